//! Files and directories: what is there already, and where nothing can be written.

use std::path::{Path, PathBuf};

use super::Given;
use super::machine::{EtcdData, Use, Writable};
use super::verdict::{Finding, or_ok};
use crate::desired::manifest::Component;
use crate::phase::{self, dashed};
use crate::plan::{Decision, Step};

/// The manifests of the plan, and an `etcd.yaml` that a configuration with an external etcd does not account for:
/// the runner would run it [6.2].
pub(super) fn manifests(given: &Given) -> Vec<Finding> {
    let planned = given.plan.steps.iter().filter_map(|step| Some((manifest_of(step)?, step)));
    let judge = |(path, step): (PathBuf, &Step)| {
        let shown = path.display();
        let finding = match &step.decision {
            Decision::Refuse(reason) if *reason != phase::foreign(&path) => return None,
            Decision::Refuse(_) => Finding::error(format!("`{shown}` exists, and init did not write it as it is now")),
            Decision::Create => Finding::ok(format!("`{shown}` is not there yet")),
            Decision::Replace(_) => Finding::ok(format!("`{shown}` is replaced")),
            Decision::Keep | Decision::Do => Finding::ok(format!("`{shown}` stays as it is")),
        };
        Some(finding.about(dashed(&path)))
    };
    let mut findings: Vec<_> = planned.filter_map(judge).collect();
    if given.machine.has_stray_etcd_manifest {
        let path = phase::manifest_path(Component::Etcd);
        let message = format!("`{}` exists, and would be run although etcd is external", path.display());
        findings.push(Finding::error(message).about(dashed(&path)));
    }
    findings
}

fn manifest_of(step: &Step) -> Option<PathBuf> {
    let is_its =
        |component: &Component| phase::manifest_step(*component) == (step.phase, step.item.as_deref().unwrap_or(""));
    Component::ALL.into_iter().find(is_its).map(phase::manifest_path)
}

/// What else the plan refuses. It cannot be ignored: there would be no certificate to go on with.
pub(super) fn fit(given: &Given) -> Vec<Finding> {
    let refused = given.plan.steps.iter().filter_map(|step| {
        let Decision::Refuse(reason) = &step.decision else { return None };
        if manifest_of(step).is_some_and(|path| *reason == phase::foreign(&path)) {
            return None;
        }
        Some(Finding::refusal(format!("{}: {reason}", step.name())))
    });
    or_ok(refused.collect(), || "nothing that is there is in the way".to_owned())
}

pub(super) fn etcd_data(given: &Given) -> Vec<Finding> {
    let Some(member) = given.desired.config.etcd.local() else { return Vec::new() };
    let shown = member.data_dir.display();
    let finding = match given.machine.etcd_data {
        EtcdData::None => Finding::ok(format!("`{shown}` is empty, or not there yet")),
        EtcdData::Ours => Finding::ok(format!("`{shown}` holds this control plane's data")),
        EtcdData::Foreign => {
            Finding::error(format!("`{shown}` is not empty, and its data is not this control plane's"))
        }
    };
    vec![finding.about(dashed(&member.data_dir))]
}

pub(super) fn writable(given: &Given) -> Vec<Finding> {
    let mut refused: Vec<(&Path, &str, Use)> = Vec::new();
    for place in &given.machine.places {
        if let Writable::No(reason) = &place.writable {
            refused.push((&place.path, reason, place.use_));
        }
    }
    let judge = |(path, reason, use_): (&Path, &str, Use)| {
        Finding::error(format!("cannot write {} to `{}`: {reason}", used_for(use_), path.display()))
    };
    or_ok(refused.into_iter().map(judge).collect(), || "every directory can be written to".to_owned())
}

/// What is written there, in words.
pub(super) fn used_for(use_: Use) -> &'static str {
    match use_ {
        Use::Configuration => "configuration",
        Use::Images => "images",
        Use::EtcdData => "etcd's data",
        Use::Logs => "logs",
        Use::RuntimeState => "the state of running pods",
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::{EtcdData, Writable};
    use super::super::testing::{Scene, told};
    use crate::desired::manifest::Component;
    use crate::phase::manifest_path;
    use crate::plan::Decision;
    use crate::plan::found::FoundFile;

    const ETCD: &str = "/etc/kubernetes/manifests/etcd.yaml";

    #[test]
    fn a_manifest_of_somebody_else_is_an_error_until_it_is_ignored() {
        let mut scene = Scene::new("");
        let verdicts = |scene: &Scene| told(super::manifests(&scene.given()));
        assert_eq!(verdicts(&scene).len(), 4);
        assert_eq!(verdicts(&scene)[0], format!("ok: `{ETCD}` is not there yet"));
        scene.found.files.insert(manifest_path(Component::Etcd), FoundFile::Content(b"mine".to_vec()));
        scene.replan();
        assert_eq!(verdicts(&scene)[0], format!("error: `{ETCD}` exists, and init did not write it as it is now"));
        scene.desired.config.ignore_preflight_errors = vec!["fileavailable--etc-kubernetes-manifests-etcd.yaml".into()];
        scene.replan();
        assert_eq!(verdicts(&scene)[0], format!("ok: `{ETCD}` is replaced"));
        let own = scene.desired.manifests[0].yaml.clone().into_bytes();
        scene.found.files.insert(manifest_path(Component::Etcd), FoundFile::Content(own));
        scene.replan();
        assert_eq!(verdicts(&scene)[0], format!("ok: `{ETCD}` stays as it is"));
    }

    #[test]
    fn an_etcd_manifest_beside_an_external_etcd_is_told() {
        let mut scene = Scene::new("etcd:\n  external:\n    endpoints: ['http://10.0.0.9:2379']\n");
        assert_eq!(super::manifests(&scene.given()).len(), 3);
        scene.machine.has_stray_etcd_manifest = true;
        let findings = super::manifests(&scene.given());
        let verdict = findings.into_iter().next_back().map(|finding| finding.of_check("FileAvailable-*"));
        let shown = verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        let expected =
            "error: [FileAvailable--etc-kubernetes-manifests-etcd.yaml] `/etc/kubernetes/manifests/etcd.yaml`";
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn what_the_plan_refuses_otherwise_cannot_be_ignored() {
        let mut scene = Scene::new("");
        assert_eq!(told(super::fit(&scene.given())), ["ok: nothing that is there is in the way"]);
        scene.plan.steps[0].decision = Decision::Refuse("it expired at noon".into());
        assert_eq!(super::fit(&scene.given())[0].severity, super::super::Severity::Refusal);
        assert_eq!(told(super::fit(&scene.given())), ["error: certs/ca: it expired at noon"]);
    }

    #[test]
    fn etcds_directory_is_named_as_kubeadm_names_it() {
        let mut scene = Scene::new("etcd:\n  local:\n    dataDir: /srv/etcd data\n");
        let verdict = |scene: &Scene| super::etcd_data(&scene.given()).remove(0).of_check("DirAvailable-*").to_string();
        assert!(verdict(&scene).starts_with("ok: [DirAvailable--srv-etcd data] "), "{}", verdict(&scene));
        scene.machine.etcd_data = EtcdData::Ours;
        assert!(verdict(&scene).starts_with("ok: "));
        scene.machine.etcd_data = EtcdData::Foreign;
        assert!(verdict(&scene).starts_with("error: [DirAvailable--srv-etcd data] `/srv/etcd data` is not empty"));
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_named_with_its_use() {
        let mut scene = Scene::new("");
        assert_eq!(told(super::writable(&scene.given())), ["ok: every directory can be written to"]);
        scene.machine.places[1].writable = Writable::No("Read-only file system".into());
        let expected = "error: cannot write images to `/var/lib/bootstrap`: Read-only file system";
        assert_eq!(told(super::writable(&scene.given())), [expected]);
    }
}

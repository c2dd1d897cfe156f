//! Which phases and steps are wanted: `init phase …`, `--skip-phases` and `skipPhases` [5.3].

use super::{PHASES, PREFLIGHT};
use crate::config::file::suggest::nearest;
use crate::error::{Fault, Result};
use crate::plan::{Plan, Step};

/// Skipping wins over selecting, and a phase stands for all its steps.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `None` for all.
    only: Option<String>,
    skip: Vec<String>,
}

/// Names that kubeadm takes as well.
const ALIASES: [(&str, &str); 3] =
    [("uploadconfig", "upload-config"), ("bootstraptoken", "bootstrap-token"), ("pre-flight", PREFLIGHT.name)];

impl Selection {
    /// `only` is what follows `init phase`, joined by `/`.
    ///
    /// # Errors
    /// Every name that is no phase and no step, with the nearest one that is.
    pub fn new(only: Option<&str>, skip: &[String]) -> Result<Selection> {
        let known = names();
        let is_known = |name: &str| known.iter().any(|known| known == name);
        let selection = Selection {
            only: only.map(canonical),
            skip: skip.iter().map(|name| canonical(name)).filter(|name| !name.is_empty()).collect(),
        };
        let unknown = |name: &&String| !is_known(name);
        let wrong: Vec<_> = selection.only.iter().chain(&selection.skip).filter(unknown).collect();
        if wrong.is_empty() {
            return Ok(selection);
        }
        let told: Vec<_> =
            wrong.iter().map(|name| format!("invalid phase name: `{name}`{}", meant(name, &known))).collect();
        Err(Fault::usage(told.join("; ")).hint("`bootstrap phases` lists them").into())
    }

    /// Everything is wanted but what is skipped: an init, and no `init phase`.
    pub fn is_whole(&self) -> bool {
        self.only.is_none()
    }

    /// The phase that alone is wanted, or a step of it.
    pub fn phase(&self) -> Option<&str> {
        self.only.as_deref().map(|only| only.split('/').next().unwrap_or(only))
    }

    /// The steps that are wanted.
    pub fn of(&self, everything: &Plan) -> Plan {
        Plan { steps: everything.steps.iter().filter(|step| self.includes(step)).cloned().collect() }
    }

    fn includes(&self, step: &Step) -> bool {
        let name = step.name();
        let covers = |selected: &String| *selected == name || selected == step.phase;
        self.only.as_ref().is_none_or(covers) && !self.skip.iter().any(covers)
    }

    /// It is named among what is skipped.
    pub fn skips(&self, phase: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == phase)
    }

    /// Nothing but preflight is wanted.
    pub fn is_preflight_alone(&self) -> bool {
        self.only.as_deref() == Some(PREFLIGHT.name)
    }

    /// Preflight runs with a whole init and when it is asked for.
    pub fn includes_preflight(&self) -> bool {
        let is_preflight = |name: &String| name == PREFLIGHT.name;
        self.only.as_ref().is_none_or(is_preflight) && !self.skip.iter().any(is_preflight)
    }
}

/// Every name that selects something.
fn names() -> Vec<String> {
    let of_phase = |phase: &'static super::Phase| {
        let items = phase.items.iter().map(|item| format!("{}/{}", phase.name, item.name));
        std::iter::once(phase.name.to_owned()).chain(items)
    };
    std::iter::once(PREFLIGHT.name.to_owned()).chain(PHASES.iter().flat_map(of_phase)).collect()
}

/// Without aliases, and without `/all`, which is the phase itself. The components' manifests were once selected by the
/// names of their pods.
fn canonical(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_suffix("/all").unwrap_or(name);
    let (phase, item) = name.split_once('/').map_or((name, None), |(phase, item)| (phase, Some(item)));
    let phase = ALIASES.iter().find(|(alias, _)| *alias == phase).map_or(phase, |(_, phase)| phase);
    match item {
        None => phase.to_owned(),
        Some(item) if phase == "control-plane" => format!("{phase}/{}", item.strip_prefix("kube-").unwrap_or(item)),
        Some(item) => format!("{phase}/{item}"),
    }
}

/// `; did you mean …?`, where something is near.
fn meant(name: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let item = || known.iter().find(|known| known.rsplit_once('/').is_some_and(|(_, item)| item == name)).copied();
    match nearest(name, &known).or_else(item) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::Decision;

    fn step(phase: &'static str, item: &str) -> Step {
        let item = Some(item.to_owned()).filter(|item| !item.is_empty());
        Step { phase, item, needs: Vec::new(), decision: Decision::Do, actions: Vec::new() }
    }

    fn selection(only: Option<&str>, skip: &[&str]) -> Result<Selection> {
        Selection::new(only, &skip.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn selections_cover_phases_and_steps() {
        let all = [
            step("certs", "ca"),
            step("certs", "apiserver"),
            step("etcd", "local"),
            step("control-plane", "apiserver"),
            step("upload-config", "kubeadm"),
            step("bootstrap-token", ""),
        ];
        let plan = Plan { steps: all.to_vec() };
        for (only, skip, expected) in [
            (
                None,
                &[][..],
                &[
                    "certs/ca",
                    "certs/apiserver",
                    "etcd/local",
                    "control-plane/apiserver",
                    "upload-config/kubeadm",
                    "bootstrap-token",
                ][..],
            ),
            (Some("certs"), &[], &["certs/ca", "certs/apiserver"]),
            (Some("certs/all"), &[], &["certs/ca", "certs/apiserver"]),
            (Some("certs/ca"), &[], &["certs/ca"]),
            // skipping wins
            (Some("certs/ca"), &["certs"], &[]),
            (Some("certs"), &["certs/ca"], &["certs/apiserver"]),
            (
                None,
                &["certs", "etcd/local", "addon", ""],
                &["control-plane/apiserver", "upload-config/kubeadm", "bootstrap-token"],
            ),
            (Some("uploadconfig/kubeadm"), &[], &["upload-config/kubeadm"]),
            (None, &["certs", "etcd", "control-plane/kube-apiserver", "uploadconfig", "bootstraptoken/all"], &[]),
            (Some("preflight"), &[], &[]),
        ] {
            let names: Vec<_> = selection(only, skip).unwrap().of(&plan).steps.iter().map(Step::name).collect();
            assert_eq!(names, expected, "{only:?} without {skip:?}");
        }
    }

    #[test]
    fn preflight_goes_with_a_whole_init_or_alone() {
        for (only, skip, expected) in [
            (None, &[][..], true),
            (None, &["pre-flight"], false),
            (Some("certs"), &[], false),
            (Some("pre-flight"), &[], true),
            (Some("preflight"), &["preflight"], false),
        ] {
            assert_eq!(selection(only, skip).unwrap().includes_preflight(), expected, "{only:?} without {skip:?}");
        }
    }

    #[test]
    fn unknown_names_are_told_together_with_what_was_meant() {
        for (name, meant) in [
            ("cert", "certs"),
            ("certs/api-server", "certs/apiserver"),
            ("kubelet-strat", "kubelet-start"),
            ("coredns", "addon/coredns"),
        ] {
            let told = selection(None, &[name]).unwrap_err().to_string();
            assert_eq!(told, format!("invalid phase name: `{name}`; did you mean `{meant}`?"));
        }
        let told = selection(Some("etcd/remote"), &["no-such-phase"]).unwrap_err().to_string();
        assert!(told.contains("`etcd/remote`") && told.ends_with("invalid phase name: `no-such-phase`"), "{told}");
    }
}

//! `certs renew`: which certificates are renewed, and which pods are restarted for it.
//!
//! Pure. Whatever there is in a certificate stays, so that nothing needs to be configured again; what cannot be renewed
//! is told, what must not be is refused before anything is done.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::config::EncryptionAlgorithm;
use crate::desired::certificate::Certificate;
use crate::desired::issue::Key;
use crate::desired::kubeconfig::existing::Existing;
use crate::desired::manifest::Component;
use crate::desired::pki::Authority;
use crate::desired::readers::reads;
use crate::desired::renewal::{Place, Renewable, Settings, is_optional};
use crate::desired::verify::{self, Misfit};
use crate::error::{Context, Result, chain_of};
use crate::plan::found::{Found, FoundFile};
use crate::plan::renewal::{CertificateFiles, Renewal};
use crate::plan::{Action, Decision, KeyPairPaths, Plan, Step};

/// A manifest that lies in the runner's directory.
#[derive(Debug, Clone)]
pub struct PlacedPod {
    /// As the runner knows it: with the instance's root.
    pub manifest: PathBuf,
    pub pod: Pod,
}

impl PlacedPod {
    /// Without the node's suffix.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }
}

/// The plan, and what is told beside it.
#[derive(Debug, Default)]
pub struct Renewing {
    pub plan: Plan,
    /// What is not renewed, one sentence each.
    pub notes: Vec<String>,
    pub missing: Vec<&'static Renewable>,
    pub warnings: Vec<String>,
}

/// The files that the plan depends on; paths of the node.
pub fn files(settings: &Settings, selected: &[&'static Renewable]) -> Vec<PathBuf> {
    let directory = &settings.certificates_dir;
    let mut files = Vec::new();
    for what in selected {
        let authority = KeyPairPaths::in_directory(directory, what.authority().base());
        files.extend([authority.certificate, authority.key, what.place.certificate_path(directory)]);
    }
    files
}

/// What is to be done to renew `selected`; `pods` are those that may have to be restarted.
pub fn plan(settings: &Settings, selected: &[&'static Renewable], found: &Found, pods: &[PlacedPod]) -> Renewing {
    let mut renewing = Renewing::default();
    let mut renewed = Vec::new();
    let unusable = unusable_authorities(settings, selected, found);
    for (authority, reason) in &unusable {
        let refused = Decision::Refuse(reason.clone());
        renewing.plan.steps.push(step("renew", authority.name(), refused, Vec::new()));
    }
    let is_usable = |what: &&&Renewable| unusable.iter().all(|(authority, _)| *authority != what.authority());
    for what in selected.iter().filter(is_usable) {
        match decide(settings, what, found) {
            Ok(Verdict::Renew(renewal)) => {
                renewed.extend(changed_files(&renewal.files));
                warn(&mut renewing.warnings, &renewal, found);
                renewing.plan.steps.push(step("renew", what.name, Decision::Do, vec![Action::Renew(renewal)]));
            }
            Ok(Verdict::Missing) => renewing.missing.push(what),
            Ok(Verdict::Leave(note)) => renewing.notes.extend(note),
            Err(error) => {
                let refused = Decision::Refuse(chain_of(&error));
                renewing.plan.steps.push(step("renew", what.name, refused, Vec::new()));
            }
        }
    }
    let mut affected: Vec<_> = pods.iter().filter(|pod| renewed.iter().any(|file| reads(&pod.pod, file))).collect();
    affected.sort_by_key(|pod| (order(pod.name()), pod.manifest.clone()));
    for pod in affected {
        let action = Action::RestartPod { name: pod.name().to_owned(), manifest: pod.manifest.clone() };
        renewing.plan.steps.push(step("restart", pod.name(), Decision::Do, vec![action]));
    }
    renewing
}

/// Those that are needed and do not work, each with the reason. What somebody else signs with is not looked at.
fn unusable_authorities(
    settings: &Settings,
    selected: &[&'static Renewable],
    found: &Found,
) -> Vec<(Authority, String)> {
    let is_needed = |authority: &Authority| {
        selected.iter().any(|what| what.authority() == *authority && found.exists(&path_of(settings, what)))
    };
    let check = |authority: Authority| {
        let paths = KeyPairPaths::in_directory(&settings.certificates_dir, authority.base());
        let error = check_authority(&paths, found).err().filter(|_| !is_elsewhere(&paths, found))?;
        Some((authority, chain_of(&error)))
    };
    settings.authorities().filter(is_needed).filter_map(check).collect()
}

fn path_of(settings: &Settings, what: &Renewable) -> PathBuf {
    what.place.certificate_path(&settings.certificates_dir)
}

/// etcd before the API server, since that waits for it, and what uses the API after that.
fn order(name: &str) -> usize {
    Component::ALL.iter().position(|component| component.name() == name).unwrap_or(Component::ALL.len())
}

fn step(phase: &'static str, item: &str, decision: Decision, actions: Vec<Action>) -> Step {
    Step { phase, item: Some(item.to_owned()), needs: Vec::new(), decision, actions }
}

fn changed_files(files: &CertificateFiles) -> Vec<PathBuf> {
    match files {
        CertificateFiles::Pair(paths) => vec![paths.certificate.clone(), paths.key.clone()],
        CertificateFiles::Kubeconfig(path) => vec![path.clone()],
    }
}

fn warn(warnings: &mut Vec<String>, renewal: &Renewal, found: &Found) {
    let path = &renewal.authority.certificate;
    let FoundFile::Content(pem) = found.file(path) else { return };
    let Ok(authority) = Certificate::from_pem(pem) else { return };
    if authority.not_after < found.now() + renewal.validity {
        let end = verify::stamp(authority.not_after);
        let warning = format!("`{}` expires at {end}: what it signs now is worth nothing after that", path.display());
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

enum Verdict {
    Renew(Renewal),
    Missing,
    /// Nothing is to be done, with a word about it.
    Leave(Option<String>),
}

fn decide(settings: &Settings, what: &'static Renewable, found: &Found) -> Result<Verdict> {
    let (directory, path) = (&settings.certificates_dir, path_of(settings, what));
    let authority = KeyPairPaths::in_directory(directory, what.authority().base());
    let content = match found.file(&path) {
        FoundFile::Absent if is_optional(what) => return Ok(Verdict::Leave(None)),
        FoundFile::Absent => return Ok(Verdict::Missing),
        FoundFile::Unreadable => None,
        FoundFile::Content(content) => Some(content),
    };
    if is_elsewhere(&authority, found) {
        let reason = format!("`{}` is not here, somebody else signs it", authority.key.display());
        return Ok(Verdict::Leave(Some(format!("{} ({}) is not renewed: {reason}", what.name, what.about))));
    }
    let cannot = || format!("cannot renew `{}`", path.display());
    let existing = match (content, &what.place) {
        (None, _) => None,
        (Some(text), Place::Pair(_)) => Some(Certificate::from_pem(text).with_context(cannot)?),
        (Some(text), Place::Kubeconfig(_)) => {
            let client = Existing::read(text).and_then(|existing| existing.client()).with_context(cannot)?;
            let Some(client) = client else {
                let note = format!("{} is not renewed: its user logs in without a certificate in the file", what.name);
                return Ok(Verdict::Leave((!is_optional(what)).then_some(note)));
            };
            Some(client.certificate)
        }
    };
    if let (Some(existing), FoundFile::Content(pem)) = (&existing, found.file(&authority.certificate)) {
        let misfits = verify::pair(existing, None, &Certificate::from_pem(pem)?, what.purpose, found.now());
        // everything else is mended by the renewal, and these would be copied
        if let Some(misfit) = misfits.iter().find(|one| matches!(one, Misfit::Usage | Misfit::Unusable(_))) {
            anyhow::bail!("cannot renew `{}`: {misfit}; `bootstrap init` makes a new one", path.display());
        }
    }
    let algorithm = existing.and_then(|existing| existing.algorithm);
    Ok(Verdict::Renew(Renewal {
        what,
        files: match &what.place {
            Place::Pair(base) => CertificateFiles::Pair(KeyPairPaths::in_directory(directory, base)),
            Place::Kubeconfig(_) => CertificateFiles::Kubeconfig(path),
        },
        authority,
        algorithm: settings.algorithm.or(algorithm).unwrap_or(EncryptionAlgorithm::Rsa2048),
        validity: settings.validity,
    }))
}

/// Somebody else has the key, and signs.
fn is_elsewhere(authority: &KeyPairPaths, found: &Found) -> bool {
    found.exists(&authority.certificate) && !found.exists(&authority.key)
}

/// An authority whose certificate or key does not work would be found out only when others are renewed already.
fn check_authority(paths: &KeyPairPaths, found: &Found) -> Result<()> {
    let cannot_use = |path: &Path| format!("cannot use `{}`", path.display());
    let FoundFile::Content(pem) = found.file(&paths.certificate) else {
        return match found.file(&paths.certificate) {
            FoundFile::Absent => anyhow::bail!("`{}` is missing", paths.certificate.display()),
            _ => Ok(()),
        };
    };
    let certificate = Certificate::from_pem(pem).with_context(|| cannot_use(&paths.certificate))?;
    let key = match found.file(&paths.key) {
        FoundFile::Content(pem) => Some(Key::from_pem(pem).with_context(|| cannot_use(&paths.key))?),
        FoundFile::Absent | FoundFile::Unreadable => None,
    };
    let misfits = verify::authority(&certificate, key.as_ref(), found.now());
    if !misfits.is_empty() {
        anyhow::bail!("{}: {}", cannot_use(&paths.certificate), verify::clause(&misfits));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pod(name: &str, command: &str, mount: &str) -> PlacedPod {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  volumes: [{{name: v, hostPath: {{path: {mount}}}}}]\n\
             \x20 containers: [{{name: {name}, command: [x, --file={command}], volumeMounts: [{{name: v, mountPath: {mount}}}]}}]\n"
        );
        PlacedPod { manifest: format!("/manifests/{name}.yaml").into(), pod: serde_yaml::from_str(&text).unwrap() }
    }

    /// Every file is there, and cannot be looked into: then all of it can be renewed.
    fn found(settings: &Settings) -> Found {
        let all: Vec<_> = settings.renewables().collect();
        let files: BTreeMap<_, _> =
            files(settings, &all).into_iter().map(|path| (path, FoundFile::Unreadable)).collect();
        Found { files, ..Found::at(jiff::Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn pods_that_read_what_is_renewed_follow_in_their_order() {
        let settings = Settings::default();
        let all: Vec<_> = settings.renewables().collect();
        let pki = "/etc/kubernetes/pki";
        let pods = [
            pod("balancer", "/none", "/etc/kubernetes/admin.conf"),
            pod("kube-scheduler", "/etc/kubernetes/scheduler.conf", "/etc/kubernetes/scheduler.conf"),
            pod("kube-apiserver", &format!("{pki}/apiserver.key"), pki),
            pod("other", &format!("{pki}/ca.crt"), pki),
            pod("etcd", &format!("{pki}/etcd/server.crt"), pki),
        ];
        let names = |selected: &[&'static Renewable]| {
            let plan = plan(&settings, selected, &found(&settings), &pods).plan;
            plan.steps.iter().map(Step::name).collect::<Vec<_>>()
        };
        let everything = names(&all);
        assert_eq!(everything[..2], ["renew/etcd-server", "renew/etcd-peer"]);
        let restarts = ["restart/etcd", "restart/kube-apiserver", "restart/kube-scheduler", "restart/balancer"];
        assert_eq!(everything[12..], restarts);
        let one = |name: &str| names(&[Renewable::find(name).unwrap()]);
        assert_eq!(one("etcd-peer"), ["renew/etcd-peer"]);
        assert_eq!(one("admin.conf"), ["renew/admin.conf", "restart/balancer"]);
    }

    #[test]
    fn what_is_missing_and_what_others_sign_is_left() {
        let settings = Settings::default();
        let all: Vec<_> = settings.renewables().collect();
        let mut found = found(&settings);
        for absent in ["pki/ca.key", "pki/etcd/peer.crt", "kubelet.conf"] {
            found.files.insert(format!("/etc/kubernetes/{absent}").into(), FoundFile::Absent);
        }
        let renewing = plan(&settings, &all, &found, &[]);
        let names: Vec<_> = renewing.plan.steps.iter().map(Step::name).collect();
        let renewed = ["etcd-server", "etcd-healthcheck-client", "apiserver-etcd-client", "front-proxy-client"];
        assert_eq!(names, renewed.map(|name| format!("renew/{name}")));
        assert_eq!(renewing.missing.iter().map(|what| what.name).collect::<Vec<_>>(), ["etcd-peer"]);
        assert_eq!(renewing.notes.len(), 6, "{:?}", renewing.notes);
        assert!(renewing.notes.iter().all(|note| note.contains("`/etc/kubernetes/pki/ca.key` is not here")));
    }
}

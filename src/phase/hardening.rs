//! `hardening`: what a profile's flags need on the node.
//!
//! No step without a profile. A file that the user has edited stays as it is while it can be read: these are theirs to
//! tune, and the key at rest must outlive every init.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::control_plane::manifest_path;
use super::file;
use crate::config::profile::{AUDIT_LOGS, DIRECTORY, ENCRYPTION, ENCRYPTION_FLAG};
use crate::desired::manifest::{Component, Manifest};
use crate::desired::profile::{Content, ProfileFile, is_kind};
use crate::desired::{Desired, encryption};
use crate::layout;
use crate::plan::found::{Found, FoundFile};
use crate::plan::{Action, Decision, Step};

const PHASE: &str = "hardening";

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    let files = desired.profile_files.iter().map(|file| step(desired, found, file));
    let logs = desired.config.writes_profile_audit_log().then(|| Step {
        phase: PHASE,
        item: Some("audit-log".to_owned()),
        needs: Vec::new(),
        decision: Decision::Do,
        actions: vec![Action::MakeDirectory { path: AUDIT_LOGS.into(), mode: layout::PRIVATE_DIRECTORY }],
    });
    files.chain(logs).collect()
}

/// Steps that the API server's manifest waits for.
pub(super) const NEEDED_BY_API_SERVER: [&str; 4] =
    ["hardening/admission", "hardening/audit-policy", "hardening/encryption", "hardening/audit-log"];

fn step(desired: &Desired, found: &Found, file: &ProfileFile) -> Step {
    let path = PathBuf::from(file.path);
    let (decision, mut actions) = match &file.content {
        Content::Text { kind, text } => {
            let is_usable = matches!(found.file(&path), FoundFile::Content(current) if is_kind(current, kind));
            match file::decide(desired, found, path, layout::SECRET_FILE, text.clone()) {
                (Decision::Refuse(_), _) if is_usable => (Decision::Keep, Vec::new()),
                decided => decided,
            }
        }
        Content::Encryption => match encryption(found) {
            Decision::Create => (Decision::Create, vec![Action::WriteEncryptionConfiguration { path }]),
            decision => (decision, Vec::new()),
        },
    };
    if !actions.is_empty() {
        actions.insert(0, Action::MakeDirectory { path: DIRECTORY.into(), mode: layout::PRIVATE_DIRECTORY });
    }
    Step { phase: PHASE, item: Some(file.name.to_owned()), needs: Vec::new(), decision, actions }
}

/// A key is made once: with another one, everything that was encrypted before would be lost.
fn encryption(found: &Found) -> Decision {
    match found.file(Path::new(ENCRYPTION)) {
        FoundFile::Unreadable => Decision::Keep,
        FoundFile::Absent => match in_use(found) {
            None => Decision::Create,
            Some(path) => Decision::Refuse(format!(
                "the Secrets in etcd are encrypted with the key in `{path}`: put that file at `{ENCRYPTION}`, or reset"
            )),
        },
        FoundFile::Content(text) => match encryption::provider_of_secrets(text) {
            Ok(_) => Decision::Keep,
            Err(reason) => Decision::Refuse(format!("cannot use `{ENCRYPTION}`: {reason}")),
        },
    }
}

/// Why the API server must not get this manifest: it would come up, and could read no Secret that is in etcd.
pub(super) fn refusal_to_drop_encryption(manifest: &Manifest, found: &Found) -> Option<String> {
    if manifest.component != Component::ApiServer || flag(&manifest.pod).is_some() {
        return None;
    }
    in_use(found).map(|path| {
        format!(
            "the Secrets in etcd are encrypted with the key in `{path}`, and `--{ENCRYPTION_FLAG}` is no longer asked \
             for: use `--profile=cis` as before, or reset"
        )
    })
}

/// The EncryptionConfiguration that the API server of this instance runs with: its manifest says so, and where there
/// is none, the journal.
fn in_use(found: &Found) -> Option<String> {
    if let FoundFile::Content(text) = found.file(&manifest_path(Component::ApiServer))
        && let Ok(text) = std::str::from_utf8(text)
        && let Ok(pod) = serde_yaml::from_str::<Pod>(text)
    {
        return flag(&pod);
    }
    found.written.contains_key(Path::new(ENCRYPTION)).then(|| ENCRYPTION.to_owned())
}

fn flag(pod: &Pod) -> Option<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let words = containers.flat_map(|container| container.command.iter().chain(&container.args).flatten());
    let values = words.filter_map(|word| word.strip_prefix("--")?.strip_prefix(ENCRYPTION_FLAG)?.strip_prefix('='));
    values.map(str::to_owned).reduce(|_, last| last)
}

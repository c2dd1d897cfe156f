//! The files behind the flags of a profile (`config::profile`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::account::{Accounts, Existing, Group};
use super::ownership::{Ownership, Reach};
use super::template;
use crate::config::Config;
use crate::config::profile::{ADMISSION, AUDIT_POLICY, ENCRYPTION};
use crate::error::Result;

/// Values for a template that says everything itself.
const NO_HOLES: BTreeMap<&str, &str> = BTreeMap::new();

/// Who owns etcd's data (item 1.1.12). Distributions' packages of etcd make the same user, and theirs will do.
pub const ETCD: Accounts =
    Accounts { users: &[ETCD_NAME], groups: &[Group { name: ETCD_NAME, members: &[] }], existing: Existing::Taken };
const ETCD_NAME: &str = "etcd";

/// Whose etcd's data is. etcd itself stays root: its keys do, as everything in the PKI has to (items 1.1.12 and 1.1.19),
/// and as another user it could not read them.
pub fn etcd_ownership(config: &Config) -> Option<Ownership> {
    let member = config.etcd.local().filter(|_| config.gives_etcd_its_data())?;
    Some(Ownership { path: member.data_dir.clone(), user: ETCD_NAME, group: ETCD_NAME, reach: Reach::Directory })
}

/// A file of the profile that the API server is told of.
#[derive(Debug)]
pub struct ProfileFile {
    /// The step that makes it.
    pub name: &'static str,
    pub path: &'static str,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    /// `kind` is what the API server takes it for.
    Text { kind: &'static str, text: String },
    /// A key of its own, made once.
    Encryption,
}

/// The files of the profile that this configuration uses.
pub fn files(config: &Config) -> Result<Vec<ProfileFile>> {
    let text = |kind, template| Ok(Content::Text { kind, text: template::render(template, &NO_HOLES)? });
    let files = [
        ("admission", ADMISSION, text("AdmissionConfiguration", "hardening/admission.yaml")),
        ("audit-policy", AUDIT_POLICY, audit_policy().map(|text| Content::Text { kind: "Policy", text })),
        ("encryption", ENCRYPTION, Ok(Content::Encryption)),
    ];
    let used = files.into_iter().filter(|(_, path, _)| config.uses_profile_file(path));
    used.map(|(name, path, content)| Ok(ProfileFile { name, path, content: content? })).collect()
}

/// What the audit log is told of.
pub fn audit_policy() -> Result<String> {
    template::render("hardening/audit-policy.yaml", &NO_HOLES)
}

/// Whether a text is a YAML document of this kind.
pub fn is_kind(text: &[u8], kind: &str) -> bool {
    #[derive(Deserialize)]
    struct Document {
        kind: String,
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    serde_yaml::from_str::<Document>(text).is_ok_and(|document| document.kind == kind)
}

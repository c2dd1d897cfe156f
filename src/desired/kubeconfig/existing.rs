//! A kubeconfig that exists: what it trusts, who its user is, and the same file with a new certificate.
//!
//! Only its current context counts [2]. Whatever else is in it stays as it is.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;

use super::KubeconfigFile;
use crate::desired::certificate::{self, Certificate};
use crate::desired::issue::Key;
use crate::desired::verify::{self, Misfit};
use crate::error::{Context, Result};
use crate::secret::Secret;

/// What a kubeconfig's cluster trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// PEM, in the file itself.
    Embedded(Vec<u8>),
    /// As written; a path that is not absolute counts from the kubeconfig's directory.
    File(PathBuf),
    Nothing,
}

/// The client certificate in a kubeconfig.
#[derive(Debug)]
pub struct Client {
    pub certificate: Certificate,
    pub key: Key,
}

/// `Debug` shows nothing of it: it holds a private key.
#[derive(Clone)]
pub struct Existing {
    content: Value,
    cluster: usize,
    user: usize,
}

impl std::fmt::Debug for Existing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Existing")
    }
}

impl Existing {
    /// Fails unless the current context, its cluster and its user exist.
    pub fn read(text: &[u8]) -> Result<Existing> {
        let text = std::str::from_utf8(text).context("it is not UTF-8")?;
        // the reason may show a line of the file
        let content: Value = serde_yaml::from_str(text).map_err(|_| anyhow::anyhow!("it is no YAML"))?;
        let current = content["current-context"].as_str().unwrap_or_default();
        let (_, context) = named(&content, "contexts", current)
            .with_context(|| format!("its current context `{current}` does not exist"))?;
        let find = |list: &str, kind: &str| {
            let name = context["context"][kind].as_str().unwrap_or_default();
            let found = named(&content, list, name).filter(|(_, entry)| entry[kind].is_object());
            found.map(|(index, _)| index).with_context(|| format!("its {kind} `{name}` does not exist"))
        };
        let (cluster, user) = (find("clusters", "cluster")?, find("users", "user")?);
        Ok(Existing { cluster, user, content })
    }

    fn cluster(&self) -> &Value {
        &self.content["clusters"][self.cluster]["cluster"]
    }

    fn user(&self) -> &Value {
        &self.content["users"][self.user]["user"]
    }

    pub fn server(&self) -> &str {
        self.cluster()["server"].as_str().unwrap_or_default()
    }

    pub fn cluster_name(&self) -> &str {
        self.content["clusters"][self.cluster]["name"].as_str().unwrap_or_default()
    }

    pub fn trust(&self) -> Result<Trust> {
        let text = |field: &str| self.cluster()[field].as_str().filter(|text| !text.is_empty());
        Ok(match (text("certificate-authority-data"), text("certificate-authority")) {
            (Some(data), _) => Trust::Embedded(decode("certificate-authority-data", data)?),
            (None, Some(path)) => Trust::File(PathBuf::from(path)),
            (None, None) => Trust::Nothing,
        })
    }

    /// `None` for a user who logs in with files of their own, a token, or the help of a program: there is nothing to
    /// be judged or renewed then.
    pub fn client(&self) -> Result<Option<Client>> {
        let text = |field: &str| self.user()[field].as_str().filter(|text| !text.is_empty());
        let (Some(certificate), Some(key)) = (text("client-certificate-data"), text("client-key-data")) else {
            return Ok(None);
        };
        let certificate = Certificate::from_pem(&decode("client-certificate-data", certificate)?)
            .context("its `client-certificate-data` cannot be used")?;
        let key = Key::from_pem(&decode("client-key-data", key)?).context("its `client-key-data` cannot be used")?;
        Ok(Some(Client { certificate, key }))
    }

    /// The text with another client certificate and key, and with this authority where one is embedded.
    pub fn renewed(mut self, authority: &Certificate, certificate_pem: &str, key: &Secret) -> Result<String> {
        let cluster = &mut self.content["clusters"][self.cluster]["cluster"];
        if let Some(data) = cluster.get_mut("certificate-authority-data") {
            *data = STANDARD.encode(authority.to_pem()).into();
        }
        let user = &mut self.content["users"][self.user]["user"];
        user["client-certificate-data"] = STANDARD.encode(certificate_pem).into();
        user["client-key-data"] = STANDARD.encode(key.reveal()).into();
        super::to_yaml(&self.content)
    }
}

/// The files that a kubeconfig at `path` trusts the authorities in, if it names any.
pub fn trusted_file(path: &Path, text: &[u8]) -> Option<PathBuf> {
    match Existing::read(text).ok()?.trust().ok()? {
        Trust::File(file) => Some(path.parent()?.join(file)),
        Trust::Embedded(_) | Trust::Nothing => None,
    }
}

/// Judges a kubeconfig that exists: its cluster has to trust our authority, and a client certificate in it has to be
/// ours and to say what it should. A different server is the user's business [2].
///
/// `trusted` are the authorities of its cluster, in PEM; the first of them counts, and may be any of ours.
///
/// # Errors
/// When it trusts another authority, or cannot be understood.
pub fn judge(
    file: &KubeconfigFile,
    existing: &Existing,
    trusted: &[u8],
    authority_pem: &[u8],
    now: OffsetDateTime,
) -> Result<Vec<Misfit>> {
    let trusted = Certificate::from_pem(trusted).context("the authority that its cluster trusts cannot be read")?;
    if !certificate::is_among(authority_pem, &trusted)? {
        anyhow::bail!("its cluster trusts another certificate authority");
    }
    let authority = Certificate::from_pem(authority_pem)?;
    Ok(match existing.client()? {
        Some(Client { certificate, key }) => verify::leaf(&file.client, &certificate, Some(&key), &authority, now),
        None => Vec::new(),
    })
}

fn named<'a>(content: &'a Value, list: &str, name: &str) -> Option<(usize, &'a Value)> {
    content[list].as_array()?.iter().enumerate().find(|(_, entry)| entry["name"] == name)
}

fn decode(field: &str, base64: &str) -> Result<Vec<u8>> {
    let text: String = base64.split_whitespace().collect();
    STANDARD.decode(text).map_err(|_| anyhow::anyhow!("its `{field}` is not base64"))
}

#[cfg(test)]
mod tests;

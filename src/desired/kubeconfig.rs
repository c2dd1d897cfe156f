//! The kubeconfigs: who each one is for, which server it names, and its text [2].
//!
//! Pure: the certificate and key that go into one are made elsewhere.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::issue::Key;
use super::pki::{Authority, CertificateSpec, Purpose};
use super::verify::{self, Verdict};
use crate::config::Config;
use crate::error::{Context, Result};
use crate::layout;
use crate::secret::Secret;

/// One kubeconfig file with a client certificate of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigFile {
    /// The step in the `kubeconfig` phase.
    pub name: &'static str,
    /// In `/etc/kubernetes`.
    pub file: &'static str,
    pub server: String,
    pub cluster_name: String,
    /// Its common name is also the user's name.
    pub client: CertificateSpec,
}

impl KubeconfigFile {
    pub fn path(&self) -> PathBuf {
        PathBuf::from(layout::KUBERNETES).join(self.file)
    }
}

/// All kubeconfigs, in kubeadm's order.
pub fn kubeconfigs(config: &Config) -> Vec<KubeconfigFile> {
    let version = &config.kubernetes_version;
    let local = config.local_server();
    let public = config.server();
    let one = |name, file, common_name: &str, organization: Option<&str>, server: &str| KubeconfigFile {
        name,
        file,
        server: server.to_owned(),
        cluster_name: config.cluster_name.clone(),
        client: CertificateSpec {
            common_name: common_name.to_owned(),
            organization: organization.map(str::to_owned),
            purpose: Purpose::Client(Authority::Kubernetes),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            validity: config.certificate_validity_period,
        },
    };
    let mut files = vec![one("admin", "admin.conf", "kubernetes-admin", Some(version.admin_organization()), &public)];
    if version.has_super_admin_conf() {
        files.push(one("super-admin", "super-admin.conf", "kubernetes-super-admin", Some("system:masters"), &public));
    }
    let node = format!("system:node:{}", config.node.name);
    files.push(one("kubelet", "kubelet.conf", &node, Some("system:nodes"), &local));
    files.push(one("controller-manager", "controller-manager.conf", "system:kube-controller-manager", None, &local));
    files.push(one("scheduler", "scheduler.conf", "system:kube-scheduler", None, &local));
    files
}

/// The file's text.
pub fn render(file: &KubeconfigFile, authority_pem: &str, certificate_pem: &str, key_pem: &Secret) -> Result<String> {
    let user = file.client.common_name.clone();
    let context = format!("{user}@{}", file.cluster_name);
    let kubeconfig = Kubeconfig {
        api_version: "v1".to_owned(),
        clusters: vec![NamedCluster {
            cluster: Cluster {
                certificate_authority_data: STANDARD.encode(authority_pem),
                server: file.server.clone(),
            },
            name: file.cluster_name.clone(),
        }],
        contexts: vec![NamedContext {
            context: ContextEntry { cluster: file.cluster_name.clone(), user: user.clone() },
            name: context.clone(),
        }],
        current_context: context,
        kind: "Config".to_owned(),
        users: vec![NamedUser {
            name: user,
            user: User {
                client_certificate_data: STANDARD.encode(certificate_pem),
                client_key_data: Secret::new(STANDARD.encode(key_pem.reveal())),
            },
        }],
    };
    let options = serde_yaml::ser_options! { prefer_block_scalars: false, compact_list_indent: true };
    serde_yaml::to_string_with_options(&kubeconfig, options).context("cannot write a kubeconfig as YAML")
}

/// Judges a kubeconfig that exists: its cluster must trust our authority, its client certificate must be ours and
/// still say what it should. A different server is the user's business [2].
pub fn judge(file: &KubeconfigFile, text: &[u8], authority_pem: &[u8], now: OffsetDateTime) -> Result<Verdict> {
    let text = std::str::from_utf8(text).context("it is not UTF-8")?;
    let kubeconfig: Kubeconfig = serde_yaml::from_str(text)
        .map_err(|_| anyhow::anyhow!("it is no kubeconfig with an embedded client certificate"))?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == kubeconfig.current_context)
        .with_context(|| format!("its current context `{}` does not exist", kubeconfig.current_context))?;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.context.cluster)
        .with_context(|| format!("its cluster `{}` does not exist", context.context.cluster))?;
    let user = kubeconfig
        .users
        .iter()
        .find(|user| user.name == context.context.user)
        .with_context(|| format!("its user `{}` does not exist", context.context.user))?;
    let trusted = decode("certificate-authority-data", &cluster.cluster.certificate_authority_data)?;
    if verify::Parsed::from_pem(&trusted)?.der() != verify::Parsed::from_pem(authority_pem)?.der() {
        return Ok(Verdict::Refuse("its cluster trusts another certificate authority".to_owned()));
    }
    let certificate = decode("client-certificate-data", &user.user.client_certificate_data)?;
    let key = Key::from_pem(&decode("client-key-data", user.user.client_key_data.reveal())?)
        .context("its `client-key-data` cannot be used")?;
    verify::leaf(&file.client, &certificate, Some(&key), authority_pem, now)
}

fn decode(field: &str, base64: &str) -> Result<Vec<u8>> {
    STANDARD.decode(base64.trim()).map_err(|_| anyhow::anyhow!("its `{field}` is not base64"))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kubeconfig {
    api_version: String,
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    #[serde(rename = "current-context")]
    current_context: String,
    kind: String,
    users: Vec<NamedUser>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NamedCluster {
    cluster: Cluster,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority_data: String,
    server: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NamedContext {
    context: ContextEntry,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: Secret,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::issue::{self, SigningAuthority};
    use super::*;
    use crate::config::EncryptionAlgorithm;

    #[test]
    fn a_rendered_file_is_judged_fit_and_another_authority_is_refused() {
        let now = OffsetDateTime::now_utc();
        let client = CertificateSpec {
            common_name: "system:kube-scheduler".into(),
            organization: None,
            purpose: Purpose::Client(Authority::Kubernetes),
            dns_names: vec![],
            ip_addresses: vec![],
            validity: Duration::from_secs(3600),
        };
        let file = KubeconfigFile {
            name: "scheduler",
            file: "scheduler.conf",
            server: "https://10.0.0.5:6443".into(),
            cluster_name: "na: me \"# {{".into(),
            client: client.clone(),
        };
        let authority = |serial| {
            let key = Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap();
            let spec = CertificateSpec { purpose: Purpose::Authority(Authority::Kubernetes), ..client.clone() };
            let pem = issue::authority(&spec, &key, now, serial).unwrap();
            SigningAuthority::new(pem, key).unwrap()
        };
        let (ours, other) = (authority(1), authority(2));
        let key = Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap();
        let certificate = issue::leaf(&client, &key, &ours, ours.not_before(), now, 3).unwrap();
        let text = render(&file, ours.certificate_pem(), &certificate, &key.to_pem()).unwrap();
        let judged =
            |by: &SigningAuthority| judge(&file, text.as_bytes(), by.certificate_pem().as_bytes(), now).unwrap();
        assert_eq!(judged(&ours), Verdict::Fits);
        assert!(matches!(judged(&other), Verdict::Refuse(_)));
    }
}

//! The kubeconfigs: who each one is for, which server it names, and its text [2].
//!
//! Pure: the certificate and key that go into one are made elsewhere.

pub mod existing;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::certificate::Certificate;
use super::pki::{Authority, CertificateSpec, Purpose};
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

    fn access(&self) -> Access<'_> {
        Access { server: &self.server, cluster_name: &self.cluster_name, user: &self.client.common_name }
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
            organizations: organization.into_iter().map(str::to_owned).collect(),
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

/// Where a kubeconfig leads, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub server: &'a str,
    pub cluster_name: &'a str,
    pub user: &'a str,
}

/// How its user proves to be the user.
#[derive(Debug)]
pub enum Credentials<'a> {
    Certificate {
        pem: &'a str,
        key: &'a Secret,
    },
    /// The certificate is still to be signed by somebody [2].
    Key(&'a Secret),
    Token(&'a Secret),
}

/// The file's text.
pub fn render(file: &KubeconfigFile, authority: &Certificate, certificate_pem: &str, key: &Secret) -> Result<String> {
    text(file.access(), Some(authority), Credentials::Certificate { pem: certificate_pem, key })
}

/// A file that lacks its certificate and its authority [9.4].
pub fn render_unsigned(file: &KubeconfigFile, key: &Secret) -> Result<String> {
    text(file.access(), None, Credentials::Key(key))
}

/// The text of any kubeconfig of ours; clients trust the authority alone, not what stands behind it in its file.
pub fn text(access: Access<'_>, authority: Option<&Certificate>, credentials: Credentials<'_>) -> Result<String> {
    let context = format!("{}@{}", access.user, access.cluster_name);
    let encoded = |secret: &Secret| Some(Secret::new(STANDARD.encode(secret.reveal())));
    let user = match credentials {
        Credentials::Certificate { pem, key } => {
            User { client_certificate_data: Some(STANDARD.encode(pem)), client_key_data: encoded(key), token: None }
        }
        Credentials::Key(key) => User { client_key_data: encoded(key), ..User::default() },
        Credentials::Token(token) => User { token: Some(token.clone()), ..User::default() },
    };
    let kubeconfig = Kubeconfig {
        api_version: "v1",
        clusters: vec![NamedCluster {
            cluster: Cluster {
                certificate_authority_data: authority.map(|authority| STANDARD.encode(authority.to_pem())),
                server: access.server,
            },
            name: access.cluster_name,
        }],
        contexts: vec![NamedContext {
            context: ContextEntry { cluster: access.cluster_name, user: access.user },
            name: &context,
        }],
        current_context: &context,
        kind: "Config",
        users: vec![NamedUser { name: access.user, user }],
    };
    to_yaml(&kubeconfig)
}

fn to_yaml(kubeconfig: &impl Serialize) -> Result<String> {
    let options = serde_yaml::ser_options! { prefer_block_scalars: false, compact_list_indent: true };
    serde_yaml::to_string_with_options(kubeconfig, options).context("cannot write a kubeconfig as YAML")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kubeconfig<'a> {
    api_version: &'a str,
    clusters: Vec<NamedCluster<'a>>,
    contexts: Vec<NamedContext<'a>>,
    #[serde(rename = "current-context")]
    current_context: &'a str,
    kind: &'a str,
    users: Vec<NamedUser<'a>>,
}

#[derive(Debug, Serialize)]
struct NamedCluster<'a> {
    cluster: Cluster<'a>,
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    server: &'a str,
}

#[derive(Debug, Serialize)]
struct NamedContext<'a> {
    context: ContextEntry<'a>,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct ContextEntry<'a> {
    cluster: &'a str,
    user: &'a str,
}

#[derive(Debug, Serialize)]
struct NamedUser<'a> {
    name: &'a str,
    user: User,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_data: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
}

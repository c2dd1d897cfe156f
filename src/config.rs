//! What the user asked for, complete and valid: the product of file, flags and facts.
//!
//! [`Config`] has no optional field that means "use the default", and nothing below this module reads a flag or the
//! configuration file. `file` is the API as written (kubeadm.k8s.io/v1beta4), `flags` the command line in the same
//! terms, `resolve` turns both into a [`Config`] and reports all problems together, `defaults` holds the constants,
//! `express` turns a [`Config`] back into the API's terms.

pub mod defaults;
pub mod duration;
pub mod express;
pub mod facts;
pub mod file;
pub mod flags;
pub mod name;
pub mod problem;
pub mod profile;
pub mod quantity;
pub mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{EnvVar, Taint};

use profile::Profile;

use crate::image::policy::PullPolicy;
use crate::release::Version;
use crate::secret::Secret;

#[derive(Debug, Clone)]
pub struct Config {
    pub kubernetes_version: Version,
    /// Already in the fields that it sets.
    pub profile: Profile,
    pub cluster_name: String,
    pub node: NodeRegistration,
    pub local_api_endpoint: ApiEndpoint,
    /// The address that clients use when it is not the local one; the port is already filled in.
    pub control_plane_endpoint: Option<HostPort>,
    pub networking: Networking,
    pub certificates_dir: PathBuf,
    pub image_repository: String,
    pub encryption_algorithm: EncryptionAlgorithm,
    pub certificate_validity_period: Duration,
    pub ca_certificate_validity_period: Duration,
    pub etcd: Etcd,
    pub api_server: ApiServer,
    pub controller_manager: Component,
    pub scheduler: Component,
    pub bootstrap_tokens: Vec<BootstrapToken>,
    pub timeouts: Timeouts,
    /// Lower-cased; `all` stands alone.
    pub ignore_preflight_errors: Vec<String>,
    /// As written: the list of phases knows whether they exist.
    pub skip_phases: Vec<String>,
    pub dry_run: bool,
    /// Protects uploaded certificates: 32 bytes in hexadecimal digits.
    pub certificate_key: Option<Secret>,
    /// Certificates are uploaded, with `certificate_key`: until this token, which nobody uses, expires [8.4].
    pub upload_certs: Option<BootstrapToken>,
    pub dns: Dns,
    /// kube-proxy is not installed.
    pub proxy_disabled: bool,
    pub component_configs: ComponentConfigs,
    /// A directory of the node with patches to the manifests.
    pub patches_directory: Option<PathBuf>,
    /// kubeadm's own gates, as written.
    pub feature_gates: BTreeMap<String, bool>,
    /// What is valid but probably not what the user thinks, one sentence each, with the field in front.
    pub warnings: Vec<String>,
}

impl Config {
    /// The API server's URL for clients: the control plane endpoint, else the local one [2].
    pub fn server(&self) -> String {
        match &self.control_plane_endpoint {
            Some(endpoint) => format!("https://{endpoint}"),
            None => self.local_server(),
        }
    }

    /// The URL of this node's API server.
    pub fn local_server(&self) -> String {
        format!("https://{}", self.local_api_endpoint)
    }

    /// A file of the certificates directory. Unlike the directory itself, it has no slash too many, as in kubeadm.
    pub fn pki_file(&self, name: &str) -> PathBuf {
        self.certificates_dir.components().chain(Path::new(name).components()).collect()
    }

    /// The gate `RootlessControlPlane`: the control plane's pods run as users of their own [3.10].
    pub fn rootless(&self) -> bool {
        self.feature_gates.get("RootlessControlPlane").copied().unwrap_or(false)
    }

    /// Whether errors of this preflight check are only warnings [6.1].
    pub fn ignores_preflight(&self, check: &str) -> bool {
        let check = check.to_lowercase();
        self.ignore_preflight_errors.iter().any(|name| *name == check || name == "all")
    }
}

#[derive(Debug, Clone)]
pub struct NodeRegistration {
    /// Lower-case.
    pub name: String,
    /// The container runtime's socket as the kubelet is told it, with its `unix://`.
    pub cri_socket: String,
    /// Empty when the user wants none.
    pub taints: Vec<Taint>,
    pub kubelet_extra_args: Vec<Arg>,
    pub image_pull_policy: PullPolicy,
    /// Pull one image after the other.
    pub image_pull_serial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiEndpoint {
    pub advertise_address: IpAddr,
    pub bind_port: u16,
}

impl fmt::Display for ApiEndpoint {
    /// `10.0.0.5:6443`, `[fd00::5]:6443`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.advertise_address, self.bind_port).fmt(f)
    }
}

/// A host name or IP (an IPv6 address without brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    /// An IPv6 address gets its brackets here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Networking {
    /// One network, or one of each family.
    pub service_subnets: Vec<IpNet>,
    pub pod_subnets: Vec<IpNet>,
    /// As written: flags carry the text verbatim [3.5, 3.6].
    pub service_subnet: String,
    pub pod_subnet: String,
    pub dns_domain: String,
}

/// `encryptionAlgorithm` [1.5].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    EcdsaP256,
    EcdsaP384,
}

impl EncryptionAlgorithm {
    pub const ALL: [EncryptionAlgorithm; 5] =
        [Self::EcdsaP256, Self::EcdsaP384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::Rsa4096 => "RSA-4096",
            Self::EcdsaP256 => "ECDSA-P256",
            Self::EcdsaP384 => "ECDSA-P384",
        }
    }
}

/// `extraArgs`: in the user's order, names may repeat [3.3].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub name: String,
    pub value: String,
}

/// The value that counts when a flag is repeated: the last.
pub fn last<'a>(args: &'a [Arg], name: &str) -> Option<&'a str> {
    args.iter().rev().find(|arg| arg.name == name).map(|arg| arg.value.as_str())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPathMount {
    pub name: String,
    pub host_path: String,
    pub mount_path: String,
    pub read_only: bool,
    /// Verbatim; empty when unset.
    pub path_type: String,
}

#[derive(Debug, Clone, Default)]
pub struct Component {
    pub extra_args: Vec<Arg>,
    pub extra_volumes: Vec<HostPathMount>,
    pub extra_envs: Vec<EnvVar>,
}

#[derive(Debug, Clone, Default)]
pub struct ApiServer {
    pub component: Component,
    /// Lower-cased.
    pub cert_sans: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum Etcd {
    Local(LocalEtcd),
    External(ExternalEtcd),
}

impl Etcd {
    /// The member that runs on this node, if one does.
    pub fn local(&self) -> Option<&LocalEtcd> {
        match self {
            Etcd::Local(local) => Some(local),
            Etcd::External(_) => None,
        }
    }
}

/// An etcd cluster that somebody else runs.
#[derive(Debug, Clone)]
pub struct ExternalEtcd {
    /// URLs, at least one.
    pub endpoints: Vec<String>,
    /// URLs that answer plain HTTP requests such as `/version`.
    pub http_endpoints: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub client: Option<EtcdClient>,
}

/// How the API server shows etcd who it is.
#[derive(Debug, Clone)]
pub struct EtcdClient {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// A stacked etcd member.
#[derive(Debug, Clone)]
pub struct LocalEtcd {
    pub data_dir: PathBuf,
    /// Overrides the cluster's repository.
    pub image_repository: Option<String>,
    pub image_tag: Option<String>,
    pub extra_args: Vec<Arg>,
    pub extra_envs: Vec<EnvVar>,
    pub server_cert_sans: Vec<String>,
    pub peer_cert_sans: Vec<String>,
}

/// CoreDNS in the cluster.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    /// It is not installed.
    pub disabled: bool,
    /// Overrides the cluster's repository.
    pub image_repository: Option<String>,
    pub image_tag: Option<String>,
}

/// Configuration of what runs on every node, as the user wrote it; `None` for kubeadm's own.
#[derive(Debug, Clone, Default)]
pub struct ComponentConfigs {
    pub kubelet: Option<Document>,
    pub kube_proxy: Option<Document>,
}

/// A document of an API whose fields are not known here.
pub type Document = serde_json::Map<String, serde_json::Value>;

#[derive(Debug, Clone)]
pub struct BootstrapToken {
    /// Six characters, public.
    pub id: String,
    /// Sixteen characters.
    pub secret: Secret,
    pub description: String,
    pub expires: TokenExpiry,
    pub usages: Vec<String>,
    pub groups: Vec<String>,
    pub source: TokenSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// The user named it.
    Given,
    /// Another one in every run.
    Generated,
}

impl BootstrapToken {
    /// What a node shows: id and secret.
    pub fn token(&self) -> Secret {
        Secret::new(format!("{}.{}", self.id, self.secret.reveal()))
    }

    /// A node finds the cluster by what it signs, and then logs in with it.
    pub fn lets_nodes_join(&self) -> bool {
        ["signing", "authentication"].iter().all(|usage| self.usages.iter().any(|given| given == usage))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenExpiry {
    Never,
    After(Duration),
    At(jiff::Timestamp),
}

/// What somebody waits for at most; what `init` does not wait for is for whoever reads the configuration later.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub control_plane_component_health_check: Duration,
    pub kubelet_health_check: Duration,
    pub kubernetes_api_call: Duration,
    pub etcd_api_call: Duration,
    pub tls_bootstrap: Duration,
    pub discovery: Duration,
    pub upgrade_manifests: Duration,
}

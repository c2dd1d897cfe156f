//! Which certificates can be renewed, under kubeadm's names [9.4], and what else a renewal depends on.
//!
//! Authorities and the service accounts' keys are never renewed. `kubelet.conf` is, where it holds a certificate of its
//! own: no kubelet runs on this node that would renew it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::pki::{Authority, Purpose};
use crate::config::{Config, EncryptionAlgorithm, defaults, duration};
use crate::error::{Context, Result};
use crate::layout;
use crate::release::Version;

/// Something with a certificate in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Renewable {
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    pub place: Place,
    pub purpose: Purpose,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// A certificate and its key: the path below `certificatesDir` without `.crt` or `.key`.
    Pair(&'static str),
    /// A file in `/etc/kubernetes`.
    Kubeconfig(&'static str),
}

impl Renewable {
    pub fn authority(&self) -> Authority {
        // none of them is an authority itself
        self.purpose.signer().unwrap_or(Authority::Kubernetes)
    }

    /// By name.
    pub fn find(name: &str) -> Option<&'static Renewable> {
        RENEWABLE.iter().find(|renewable| renewable.name == name)
    }
}

impl Place {
    /// The file that holds the certificate; a path of the node.
    pub fn certificate_path(&self, certificates_dir: &Path) -> PathBuf {
        match self {
            Place::Pair(base) => certificates_dir.join(format!("{base}.crt")),
            Place::Kubeconfig(file) => Path::new(layout::KUBERNETES).join(file),
        }
    }
}

const fn pair(name: &'static str, base: &'static str, about: &'static str, purpose: Purpose) -> Renewable {
    Renewable { name, about, place: Place::Pair(base), purpose }
}

const fn kubeconfig(name: &'static str, about: &'static str) -> Renewable {
    Renewable { name, about, place: Place::Kubeconfig(name), purpose: Purpose::Client(Authority::Kubernetes) }
}

/// In the order of renewal: etcd and its clients first, as they are restarted.
pub static RENEWABLE: &[Renewable] = &[
    pair("etcd-server", "etcd/server", "etcd's certificate as a server", Purpose::ServerAndClient(Authority::Etcd)),
    pair("etcd-peer", "etcd/peer", "etcd's certificate among its members", Purpose::ServerAndClient(Authority::Etcd)),
    pair(
        "etcd-healthcheck-client",
        "etcd/healthcheck-client",
        "the client certificate for etcd's health checks",
        Purpose::Client(Authority::Etcd),
    ),
    pair(
        "apiserver-etcd-client",
        "apiserver-etcd-client",
        "the API server's client certificate for etcd",
        Purpose::Client(Authority::Etcd),
    ),
    pair("apiserver", "apiserver", "the API server's certificate as a server", Purpose::Server(Authority::Kubernetes)),
    pair(
        "apiserver-kubelet-client",
        "apiserver-kubelet-client",
        "the API server's client certificate for kubelets",
        Purpose::Client(Authority::Kubernetes),
    ),
    pair(
        "front-proxy-client",
        "front-proxy-client",
        "the API server's client certificate for extension servers",
        Purpose::Client(Authority::FrontProxy),
    ),
    kubeconfig("admin.conf", "the administrators' certificate in their kubeconfig"),
    kubeconfig(SUPER_ADMIN, "the certificate of the administrator whom no role binds, in its kubeconfig"),
    kubeconfig(KUBELET, "the certificate in the kubelet's kubeconfig"),
    kubeconfig("controller-manager.conf", "the controller manager's certificate in its kubeconfig"),
    kubeconfig("scheduler.conf", "the scheduler's certificate in its kubeconfig"),
];

const SUPER_ADMIN: &str = "super-admin.conf";
const KUBELET: &str = "kubelet.conf";

/// What can be told of the node's certificates without looking at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub certificates_dir: PathBuf,
    /// The member of etcd that runs here has its certificates here.
    pub has_local_etcd: bool,
    pub has_super_admin_conf: bool,
    /// Of new keys; `None` for that of the key before.
    pub algorithm: Option<EncryptionAlgorithm>,
    pub validity: Duration,
    /// How long a component may take to become healthy.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            certificates_dir: layout::PKI.into(),
            has_local_etcd: true,
            has_super_admin_conf: true,
            algorithm: None,
            validity: defaults::CERTIFICATE_VALIDITY_PERIOD,
            patience: defaults::CONTROL_PLANE_COMPONENT_HEALTH_CHECK,
        }
    }
}

impl Settings {
    pub fn of(config: &Config) -> Settings {
        Settings {
            certificates_dir: config.certificates_dir.clone(),
            has_local_etcd: config.etcd.local().is_some(),
            has_super_admin_conf: config.kubernetes_version.has_super_admin_conf(),
            algorithm: Some(config.encryption_algorithm),
            validity: config.certificate_validity_period,
            patience: config.timeouts.control_plane_component_health_check,
        }
    }

    /// As the cluster's `kubeadm-config` tells: a ClusterConfiguration of whatever version, of which only these few
    /// fields are looked at. They have not changed since there is a kubeadm.
    pub fn of_cluster(text: &str) -> Result<Settings> {
        let cluster: Value = serde_yaml::from_str(text).context("the ClusterConfiguration is no YAML")?;
        let text = |pointer: &str| cluster.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let algorithm = text("/encryptionAlgorithm").map(|name| {
            let known = EncryptionAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
            known.with_context(|| format!("encryptionAlgorithm: `{name}` is not known"))
        });
        let gate = match cluster.pointer("/featureGates/PublicKeysECDSA").and_then(Value::as_bool) {
            Some(true) => Some(EncryptionAlgorithm::EcdsaP256),
            Some(false) => Some(EncryptionAlgorithm::Rsa2048),
            None => None,
        };
        let validity = text("/certificateValidityPeriod").map(|text| {
            duration::parse(text).map_err(|reason| anyhow::anyhow!("certificateValidityPeriod: `{text}`: {reason}"))
        });
        let version = text("/kubernetesVersion").and_then(|text| text.parse::<Version>().ok());
        let default = Settings::default();
        Ok(Settings {
            certificates_dir: text("/certificatesDir").map_or(default.certificates_dir, PathBuf::from),
            has_local_etcd: cluster.pointer("/etcd/external").is_none_or(Value::is_null),
            has_super_admin_conf: version.is_none_or(|version| version.has_super_admin_conf()),
            algorithm: gate.or(algorithm.transpose()?),
            validity: validity.transpose()?.unwrap_or(default.validity),
            patience: default.patience,
        })
    }

    /// What there may be on this node, in the order of renewal.
    pub fn renewables(&self) -> impl Iterator<Item = &'static Renewable> {
        let (etcd, super_admin) = (self.has_local_etcd, self.has_super_admin_conf);
        RENEWABLE
            .iter()
            .filter(move |one| etcd || one.authority() != Authority::Etcd)
            .filter(move |one| super_admin || one.name != SUPER_ADMIN)
    }

    pub fn authorities(&self) -> impl Iterator<Item = Authority> {
        let etcd = self.has_local_etcd;
        [Authority::Kubernetes, Authority::FrontProxy, Authority::Etcd]
            .into_iter()
            .filter(move |authority| etcd || *authority != Authority::Etcd)
    }
}

/// A node without it lacks nothing.
pub fn is_optional(renewable: &Renewable) -> bool {
    renewable.name == KUBELET
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_configuration_of_any_version_tells_what_is_needed() {
        let old = "apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\nkubernetesVersion: v1.20.2\n\
                   certificatesDir: /opt/pki\nfeatureGates: {PublicKeysECDSA: true, Unheard: true}\n\
                   etcd: {local: {dataDir: /var/lib/etcd}}\napiServer: {extraArgs: {v: \"3\"}}\n";
        let expected = Settings {
            certificates_dir: "/opt/pki".into(),
            has_super_admin_conf: false,
            algorithm: Some(EncryptionAlgorithm::EcdsaP256),
            ..Settings::default()
        };
        assert_eq!(Settings::of_cluster(old).unwrap(), expected);
        let new = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n\
                   encryptionAlgorithm: RSA-3072\ncertificateValidityPeriod: 100h0m0s\n\
                   etcd: {external: {endpoints: [\"https://10.0.0.9:2379\"]}}\n";
        let settings = Settings::of_cluster(new).unwrap();
        assert_eq!(settings.algorithm, Some(EncryptionAlgorithm::Rsa3072));
        assert_eq!(settings.validity, Duration::from_secs(360_000));
        let names: Vec<_> = settings.renewables().map(|one| one.name).collect();
        assert!(!names.iter().any(|name| name.contains("etcd")) && names.len() == 8, "{names:?}");
        assert_eq!(settings.authorities().count(), 2);
        assert_eq!(Settings::of_cluster("{}").unwrap(), Settings::default());
        assert!(Settings::of_cluster("encryptionAlgorithm: RSA-1\n").is_err());
    }
}

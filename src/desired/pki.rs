//! Which certificates and keys a control plane has: kubeadm's list, in kubeadm's order [1.1].
//!
//! Pure: names, subjects, usages and subject alternative names. `issue` makes the certificates, `verify` judges
//! existing ones.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Config, name};

/// A certificate authority of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Authority {
    Kubernetes,
    FrontProxy,
    Etcd,
}

impl Authority {
    /// Its step in the `certs` phase.
    pub fn name(self) -> &'static str {
        match self {
            Authority::Kubernetes => "ca",
            Authority::FrontProxy => "front-proxy-ca",
            Authority::Etcd => "etcd-ca",
        }
    }

    /// Path below `certificatesDir`, without `.crt` or `.key`.
    pub fn base(self) -> &'static str {
        match self {
            Authority::Kubernetes => "ca",
            Authority::FrontProxy => "front-proxy-ca",
            Authority::Etcd => "etcd/ca",
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            Authority::Kubernetes => "kubernetes",
            Authority::FrontProxy => "front-proxy-ca",
            Authority::Etcd => "etcd-ca",
        }
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Signs others: self-signed, no extended key usage.
    Authority(Authority),
    Server(Authority),
    Client(Authority),
    /// etcd's: a member is a server and a client of the others.
    ServerAndClient(Authority),
}

impl Purpose {
    /// Who signs it; `None` for a self-signed authority.
    pub fn signer(self) -> Option<Authority> {
        match self {
            Purpose::Authority(_) => None,
            Purpose::Server(ca) | Purpose::Client(ca) | Purpose::ServerAndClient(ca) => Some(ca),
        }
    }
}

/// Everything a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSpec {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub purpose: Purpose,
    /// Sorted, no duplicates.
    pub dns_names: Vec<String>,
    /// In the order of first mention, no duplicates.
    pub ip_addresses: Vec<IpAddr>,
    /// From the start of the run to its end.
    pub validity: Duration,
}

/// A certificate and key in files of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// The step in the `certs` phase.
    pub name: &'static str,
    /// Path below `certificatesDir`, without `.crt` or `.key`.
    pub base: &'static str,
    pub spec: CertificateSpec,
}

impl CertificateFile {
    pub fn certificate_path(&self, config: &Config) -> PathBuf {
        config.pki_file(&format!("{}.crt", self.base))
    }

    pub fn key_path(&self, config: &Config) -> PathBuf {
        config.pki_file(&format!("{}.key", self.base))
    }
}

/// All certificates, each after its authority; none of etcd where etcd is external.
pub fn certificates(config: &Config) -> Vec<CertificateFile> {
    use Authority::{Etcd, FrontProxy, Kubernetes};
    let node = config.node.name.as_str();
    let version = &config.kubernetes_version;
    let etcd_client = version.etcd_client_organization();
    let leaf = |name, base, common_name: &str, organization: Option<&str>, purpose, sans: Sans| CertificateFile {
        name,
        base,
        spec: CertificateSpec {
            common_name: common_name.to_owned(),
            organizations: organization.into_iter().map(str::to_owned).collect(),
            purpose,
            dns_names: sans.dns.into_iter().collect(),
            ip_addresses: sans.ips,
            validity: config.certificate_validity_period,
        },
    };
    let none = Sans::default;
    let mut certificates = vec![
        authority(config, Kubernetes),
        leaf("apiserver", "apiserver", "kube-apiserver", None, Purpose::Server(Kubernetes), api_server_sans(config)),
        leaf(
            "apiserver-kubelet-client",
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            version.kubelet_client_organization(),
            Purpose::Client(Kubernetes),
            none(),
        ),
        authority(config, FrontProxy),
        leaf(
            "front-proxy-client",
            "front-proxy-client",
            "front-proxy-client",
            None,
            Purpose::Client(FrontProxy),
            none(),
        ),
    ];
    if let Some(member) = config.etcd.local() {
        certificates.extend([
            authority(config, Etcd),
            leaf(
                "etcd-server",
                "etcd/server",
                node,
                None,
                Purpose::ServerAndClient(Etcd),
                etcd_sans(config, &member.server_cert_sans),
            ),
            leaf(
                "etcd-peer",
                "etcd/peer",
                node,
                None,
                Purpose::ServerAndClient(Etcd),
                etcd_sans(config, &member.peer_cert_sans),
            ),
            leaf(
                "etcd-healthcheck-client",
                "etcd/healthcheck-client",
                "kube-etcd-healthcheck-client",
                etcd_client,
                Purpose::Client(Etcd),
                none(),
            ),
            leaf(
                "apiserver-etcd-client",
                "apiserver-etcd-client",
                "kube-apiserver-etcd-client",
                etcd_client,
                Purpose::Client(Etcd),
                none(),
            ),
        ]);
    }
    certificates
}

fn authority(config: &Config, authority: Authority) -> CertificateFile {
    CertificateFile {
        name: authority.name(),
        base: authority.base(),
        spec: CertificateSpec {
            common_name: authority.common_name().to_owned(),
            organizations: Vec::new(),
            purpose: Purpose::Authority(authority),
            dns_names: vec![authority.common_name().to_owned()],
            ip_addresses: Vec::new(),
            validity: config.ca_certificate_validity_period,
        },
    }
}

/// The service account's key pair, which is no certificate: `sa.key` and `sa.pub` [1.7].
pub fn service_account_paths(config: &Config) -> (PathBuf, PathBuf) {
    (config.pki_file("sa.key"), config.pki_file("sa.pub"))
}

/// Subject alternative names while they are collected.
#[derive(Default)]
struct Sans {
    dns: BTreeSet<String>,
    ips: Vec<IpAddr>,
}

impl Sans {
    /// An address or a name; the configuration has been validated.
    fn add(&mut self, san: &str) {
        match name::parse_ip(san) {
            Some(ip) => self.add_ip(ip),
            None if san.is_empty() => {}
            None => {
                self.dns.insert(san.to_owned());
            }
        }
    }

    fn add_ip(&mut self, ip: IpAddr) {
        // a certificate has four bytes for an IPv4 address, however it was written
        let ip = ip.to_canonical();
        if !self.ips.contains(&ip) {
            self.ips.push(ip);
        }
    }
}

/// [1.3]
fn api_server_sans(config: &Config) -> Sans {
    let mut sans = Sans::default();
    for name in [&config.node.name, "kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
        sans.add(name);
    }
    if !config.networking.dns_domain.is_empty() {
        sans.add(&format!("kubernetes.default.svc.{}", config.networking.dns_domain));
    }
    if let Some(service) = config.networking.service_subnets.first().and_then(|subnet| address_at(subnet, 1)) {
        sans.add_ip(service);
    }
    sans.add_ip(config.local_api_endpoint.advertise_address);
    if let Some(endpoint) = &config.control_plane_endpoint {
        sans.add(&endpoint.host);
    }
    for san in &config.api_server.cert_sans {
        sans.add(san);
    }
    sans
}

/// [1.3]
fn etcd_sans(config: &Config, extra: &[String]) -> Sans {
    let mut sans = Sans::default();
    sans.add(&config.node.name);
    sans.add("localhost");
    sans.add_ip(config.local_api_endpoint.advertise_address);
    sans.add_ip(Ipv4Addr::LOCALHOST.into());
    sans.add_ip(Ipv6Addr::LOCALHOST.into());
    for san in extra {
        sans.add(san);
    }
    sans
}

/// The address `index` places after the network's own; `None` when the network is smaller.
pub fn address_at(network: &IpNet, index: u32) -> Option<IpAddr> {
    let address = match network.network() {
        IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).checked_add(index)?).into(),
        IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).checked_add(u128::from(index))?).into(),
    };
    network.contains(&address).then_some(address)
}

#[cfg(test)]
mod tests;

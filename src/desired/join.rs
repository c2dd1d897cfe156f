//! `kubeadm join`: what to run on a machine that is to become a node of this cluster [5.10, 8.1].
//!
//! Pure. The command holds a token, so it is a secret until somebody decides to show it.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::config::{BootstrapToken, Config};
use crate::error::{Context, Result};
use crate::secret::Secret;

/// Stands where a token or a key is not to be shown [5.10].
pub const WITHHELD: &str = "<value withheld>";

/// What the machine becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Worker,
    /// With the key of the uploaded certificates; without it they are copied by hand.
    ControlPlane {
        certificate_key: Option<Secret>,
    },
}

/// A command that makes a machine join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCommand {
    /// Host and port of the API server.
    pub endpoint: String,
    /// Id and secret, with a dot between.
    pub token: Secret,
    /// What the machine checks the cluster's authority against.
    pub pins: Vec<String>,
    pub role: Role,
}

/// What the cluster has for those who join.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    pub tokens: Vec<BootstrapToken>,
    /// Of uploaded certificates.
    pub certificate_key: Option<Secret>,
}

/// What init shows at its end: for each token that lets nodes join, how a worker does and, where there is a stable
/// endpoint, how another control plane does.
pub fn commands(config: &Config, authority_pem: &[u8], admission: &Admission) -> Result<Vec<JoinCommand>> {
    let control_plane = || Role::ControlPlane { certificate_key: admission.certificate_key.clone() };
    let roles: Vec<_> =
        std::iter::once(Role::Worker).chain(config.control_plane_endpoint.iter().map(|_| control_plane())).collect();
    let tokens = admission.tokens.iter().filter(|token| token.lets_nodes_join());
    tokens
        .flat_map(|token| roles.iter().map(|role| (token.token(), role.clone())))
        .map(|(token, role)| JoinCommand::new(&config.server(), authority_pem, token, role))
        .collect()
}

impl JoinCommand {
    /// `server` is the API server's URL, `authority_pem` the certificates that its clients trust.
    ///
    /// # Errors
    /// When `server` is no URL with a host, or when there is no certificate.
    pub fn new(server: &str, authority_pem: &[u8], token: Secret, role: Role) -> Result<JoinCommand> {
        Ok(JoinCommand { endpoint: endpoint(server)?, token, pins: pins(authority_pem)?, role })
    }

    /// The whole command on one line.
    pub fn one_line(&self) -> Secret {
        Secret::new(self.parts().join(" "))
    }

    /// A part on each line, for people.
    pub fn lines(&self) -> Secret {
        Secret::new(self.parts().join(" \\\n\t"))
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = vec![format!("kubeadm join {} --token {}", self.endpoint, self.token.reveal())];
        parts.extend(self.pins.iter().map(|pin| format!("--discovery-token-ca-cert-hash {pin}")));
        match &self.role {
            Role::Worker => {}
            Role::ControlPlane { certificate_key: None } => parts.push("--control-plane".to_owned()),
            Role::ControlPlane { certificate_key: Some(key) } => {
                parts.push(format!("--control-plane --certificate-key {}", key.reveal()));
            }
        }
        parts
    }
}

/// `sha256:…` over the public key of each certificate, as SubjectPublicKeyInfo in DER [8.3].
pub fn pins(authority_pem: &[u8]) -> Result<Vec<String>> {
    let mut pins = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(authority_pem) {
        let certificate = certificate.map_err(|_| anyhow::anyhow!("the cluster's authority is no PEM certificate"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| anyhow::anyhow!("the certificate of the cluster's authority cannot be parsed"))?;
        pins.push(format!("sha256:{}", hex::encode(Sha256::digest(parsed.public_key().raw))));
    }
    anyhow::ensure!(!pins.is_empty(), "the cluster's authority has no certificate");
    Ok(pins)
}

/// `join` wants a port, a URL may leave it out.
fn endpoint(server: &str) -> Result<String> {
    let url: Option<http::Uri> = server.parse().ok();
    let url = url.with_context(|| format!("`{server}` is no URL of an API server"))?;
    let host = url.host().with_context(|| format!("`{server}` names no host"))?;
    Ok(format!("{host}:{}", url.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUEuwer59ABaxxmMJbLWYHzCs2yYUwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjUxNDU2MjhaGA8yMTI2MTEw
MTE0NTYyOFowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABJnkQ7X/12urCMxz7AaPAlrOx84cTGONzL6YU1qJs8NuAlovh65X
RMANhrk0C7qmnYSmIo7/1s8Vochu1kiTT2+jUzBRMB0GA1UdDgQWBBSYAcRxjQUd
SZyF+EIRW9EDeZa+yjAfBgNVHSMEGDAWgBSYAcRxjQUdSZyF+EIRW9EDeZa+yjAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQCS8MhP+XS7CDfOGZnt
MU6WihjoBQP7pn4AbK0RGttS/QIgYk8J5yUpWiRw9chPLC+87NtKGSnWeTCzT6/f
rxehCcc=
-----END CERTIFICATE-----
";
    /// openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum
    const PIN: &str = "sha256:76500e0b5d46a9f1f384f3e6e6910e1bee105368b9724be775022672fce6da64";

    fn command(role: Role) -> JoinCommand {
        let token = Secret::new("abcdef.0123456789abcdef");
        JoinCommand::new("https://10.0.0.5:6443", AUTHORITY.as_bytes(), token, role).unwrap()
    }

    #[test]
    fn a_worker_needs_token_and_pin() {
        let start = "kubeadm join 10.0.0.5:6443 --token abcdef.0123456789abcdef";
        let worker = command(Role::Worker);
        assert_eq!(worker.one_line().reveal(), format!("{start} --discovery-token-ca-cert-hash {PIN}"));
        assert_eq!(worker.lines().reveal(), format!("{start} \\\n\t--discovery-token-ca-cert-hash {PIN}"));
    }

    #[test]
    fn a_control_plane_also_shows_the_certificate_key() {
        let key = Some(Secret::new(WITHHELD));
        let with_key = command(Role::ControlPlane { certificate_key: key }).lines();
        assert!(with_key.reveal().ends_with(" \\\n\t--control-plane --certificate-key <value withheld>"));
        let without = command(Role::ControlPlane { certificate_key: None }).one_line();
        assert!(without.reveal().ends_with(" --control-plane"));
    }

    #[test]
    fn every_certificate_is_pinned() {
        assert_eq!(pins(format!("{AUTHORITY}{AUTHORITY}").as_bytes()).unwrap(), [PIN, PIN]);
        assert!(pins(b"").is_err());
        assert!(pins(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }

    #[test]
    fn an_endpoint_always_has_a_port() {
        for (server, expected) in [
            ("https://api.example.com:6443", "api.example.com:6443"),
            ("https://api.example.com", "api.example.com:443"),
            ("https://[fd00::5]:6443/", "[fd00::5]:6443"),
        ] {
            assert_eq!(endpoint(server).unwrap(), expected);
        }
        assert!(endpoint("").is_err() && endpoint("/path").is_err());
    }
}

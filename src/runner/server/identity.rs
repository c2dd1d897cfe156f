//! PURE: who a client is.

use std::collections::BTreeMap;

use x509_parser::prelude::{FromDer, X509Certificate};

/// A user in the API's sense.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    pub uid: Option<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Everybody whose name is known is in it, too.
const AUTHENTICATED: &str = "system:authenticated";
/// The API server's own superusers: its authorizers are not asked about them.
const MASTERS: &str = "system:masters";
/// As whom kube-apiserver comes [8.6].
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const CLUSTER_ADMINS: &str = "kubeadm:cluster-admins";

impl User {
    /// The user of a certificate that has been verified: common name and organisations. `None` without a name.
    pub fn of_certificate(der: &[u8]) -> Option<User> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let organizations = subject.iter_organization().filter_map(|group| group.as_str().ok());
        let groups = organizations.chain([AUTHENTICATED]).map(str::to_owned).collect();
        (!name.is_empty()).then(|| User { name, groups, ..User::default() })
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    /// May do everything, and no API server would say otherwise: for holders of a certificate only.
    pub fn is_master(&self) -> bool {
        self.is_in(MASTERS)
    }

    /// Is the cluster's API server, by the certificate that it has for this: for holders of a certificate only.
    pub fn is_api_server(&self) -> bool {
        self.name == API_SERVER && self.is_in(CLUSTER_ADMINS)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(name: &str, groups: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_names_a_user_and_its_groups() {
        let user = User::of_certificate(&certificate("jane", &["team"])).unwrap();
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("jane", &["team".to_owned(), AUTHENTICATED.to_owned()][..])
        );
        assert!(!user.is_master() && !user.is_api_server());
        assert!(User::of_certificate(&certificate("root", &[MASTERS])).unwrap().is_master());
        assert!(User::of_certificate(&certificate(API_SERVER, &[CLUSTER_ADMINS])).unwrap().is_api_server());
        assert!(!User::of_certificate(&certificate("kubernetes-admin", &[CLUSTER_ADMINS])).unwrap().is_api_server());
        assert_eq!(User::of_certificate(&certificate("", &[MASTERS])), None);
        assert_eq!(User::of_certificate(b"no certificate"), None);
    }
}

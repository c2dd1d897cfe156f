//! Actions on certificates beside those of init: to renew one, and to ask somebody else for one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::KeyPairPaths;
use crate::config::{EncryptionAlgorithm, duration};
use crate::desired::kubeconfig::KubeconfigFile;
use crate::desired::pki::CertificateSpec;
use crate::desired::renewal::Renewable;
use crate::desired::verify::subject;

/// A certificate that is replaced by one that says the same, for a new key [9.4].
#[derive(Debug, Clone, PartialEq)]
pub struct Renewal {
    pub what: &'static Renewable,
    pub files: CertificateFiles,
    pub authority: KeyPairPaths,
    pub algorithm: EncryptionAlgorithm,
    pub validity: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateFiles {
    Pair(KeyPairPaths),
    Kubeconfig(PathBuf),
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.files {
            CertificateFiles::Pair(paths) => {
                write!(f, "renew {} and {}", paths.key.display(), paths.certificate.display())?;
            }
            CertificateFiles::Kubeconfig(path) => write!(f, "renew the certificate in {}", path.display())?,
        }
        write!(f, " ({}, for {})", self.algorithm.name(), duration::format(self.validity))
    }
}

/// A certificate that somebody else is to sign: a new key, and a request beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub spec: CertificateSpec,
    pub key: RequestKey,
    pub request: PathBuf,
}

/// Where the key goes.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestKey {
    File(PathBuf),
    /// A kubeconfig that lacks its certificate.
    Kubeconfig(KubeconfigFile, PathBuf),
}

impl RequestKey {
    pub fn path(&self) -> &PathBuf {
        match self {
            RequestKey::File(path) | RequestKey::Kubeconfig(_, path) => path,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = subject(&self.spec.organizations, &self.spec.common_name);
        write!(f, "write {} and {} (mode 0600): {subject}", self.key.path().display(), self.request.display())
    }
}

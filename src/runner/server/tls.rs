//! How the server speaks TLS: with which certificate, and which clients' certificates it believes. Files that are
//! replaced count from the next connection on.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::watched::Watched;
use crate::error::{Context, Result};
use crate::files;
use crate::layout::{self, PUBLIC_FILE, SECRET_FILE};

/// Of a certificate of our own: nobody renews it, and nobody verifies it but by its very key.
const LASTS: time::Duration = time::Duration::days(3650);

/// The certificate, its key and the authority of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Without it, no client's certificate is believed.
    pub authority: PathBuf,
}

#[derive(Debug)]
pub struct Tls {
    files: Files,
    config: Watched<ServerConfig>,
}

impl Tls {
    pub fn new(files: Files) -> Tls {
        let watched = vec![files.certificate.clone(), files.key.clone(), files.authority.clone()];
        Tls { files, config: Watched::new(watched) }
    }

    /// For the next connection.
    pub async fn config(&self) -> Result<Arc<ServerConfig>> {
        self.config.get(|| async { config(&self.files) }).await
    }
}

fn config(files: &Files) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match authority(&files.authority)? {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(
                verifier.with_context(|| format!("cannot use `{}`", files.authority.display()))?,
            )
        }
        None => builder.with_no_client_auth(),
    };
    let cannot = |path: &Path| format!("cannot use `{}`", path.display());
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        // the parser's words are not about a secret, but need not quote the file either
        .map_err(|_| anyhow::anyhow!("it cannot be read as a private key"))
        .with_context(|| cannot(&files.key))?;
    let mut config = builder.with_single_cert(chain, key).with_context(|| cannot(&files.certificate))?;
    // what is upgraded to another protocol begins with this one
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.with_context(|| format!("cannot use `{}`", path.display()))
}

fn authority(path: &Path) -> Result<Option<RootCertStore>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("cannot use `{}`", path.display()))?;
    }
    Ok(Some(roots).filter(|roots| !roots.is_empty()))
}

/// Makes a certificate for this node, signed by itself, unless one is there [8.2].
pub fn make_own(files: &Files, node: &str, address: IpAddr) -> Result<()> {
    if files.certificate.exists() && files.key.exists() {
        return Ok(());
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let now = time::OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{node}@{}", now.unix_timestamp()));
    let name = node.to_owned().try_into().ok().map(SanType::DnsName);
    params.subject_alt_names = name.into_iter().chain([SanType::IpAddress(address)]).collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (now - time::Duration::hours(1), now + LASTS);
    let certificate = params.self_signed(&key).context("cannot make a certificate")?;
    for directory in [&files.certificate, &files.key].into_iter().filter_map(|file| file.parent()) {
        files::make_directory(directory, layout::PRIVATE_DIRECTORY)?;
    }
    files::write(&files.key, key.serialize_pem().as_bytes(), SECRET_FILE)?;
    files::write(&files.certificate, certificate.pem().as_bytes(), PUBLIC_FILE)
}

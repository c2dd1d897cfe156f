//! Whom an HTTPS client of this program believes.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::redirect::{Action, Attempt};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Fault, Result};

const MOST_REDIRECTS: usize = 10;

/// Trust is the machine's certificates, or where it has none Mozilla's as of the build, and the files given. Blocks.
pub fn client_config(ca_files: &[PathBuf]) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::debug!("this machine has no CA certificates; the built-in ones are used");
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    for path in ca_files {
        let unusable = || Fault::usage(format!("cannot use the CA file `{}`", path.display()));
        let content = fs::read(path).map_err(|error| unusable().because(error))?;
        let (mut added, before) = (Ok(()), roots.len());
        for certificate in CertificateDer::pem_slice_iter(&content) {
            let certificate = certificate.map_err(|error| unusable().because(error))?;
            added = added.and(roots.add(certificate));
        }
        added.map_err(|error| unusable().because(error))?;
        if roots.len() == before {
            return Err(unusable().because(anyhow::anyhow!("it holds no certificate")).into());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Follows a redirection, but never from HTTPS to plain HTTP.
pub fn redirect(attempt: Attempt<'_>) -> Action {
    let secure = attempt.previous().iter().all(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if secure && attempt.url().scheme() != "https" {
        attempt.error("it redirects from HTTPS to plain HTTP")
    } else {
        attempt.follow()
    }
}

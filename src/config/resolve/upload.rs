//! `--upload-certs`: the key that nobody named, and the token that ends the certificates' time [8.4].

use sha2::{Digest, Sha256};

use super::token;
use crate::config::facts::Facts;
use crate::config::{BootstrapToken, Config, TokenExpiry, TokenSource, defaults};
use crate::secret::Secret;

/// kubeadm's words, for those who list the tokens.
const DESCRIPTION: &str = "Proxy for managing TTL for the kubeadm-certs secret";
/// Further than any token of a configuration.
const INDEX: usize = usize::MAX;

/// The configuration of a run that uploads the certificates.
pub(super) fn uploading(config: Config, facts: &Facts) -> Config {
    let (id, secret) = token::generate(&facts.token_seed, INDEX);
    let owner = BootstrapToken {
        id,
        secret,
        description: DESCRIPTION.to_owned(),
        expires: TokenExpiry::After(defaults::UPLOADED_CERTIFICATES_TTL),
        usages: Vec::new(),
        groups: Vec::new(),
        source: TokenSource::Generated,
    };
    let generated = || {
        let mut hash = Sha256::new();
        hash.update(facts.token_seed.bytes());
        hash.update("certificate key");
        Secret::new(hex::encode(hash.finalize()))
    };
    let certificate_key = Some(config.certificate_key.clone().unwrap_or_else(generated));
    Config { certificate_key, upload_certs: Some(owner), ..config }
}

//! AES-256-GCM as in the Secret `kubeadm-certs`: the nonce, then the ciphertext with its tag; no additional data [8.4].

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::error::{Context, Result};
use crate::secret::Secret;

/// Twelve bytes, never the same for two texts under one key: random ones.
pub type NonceBytes = [u8; NONCE_LEN];

/// The key that uploaded certificates are encrypted with.
pub struct CertificateKey(LessSafeKey);

impl fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateKey")
    }
}

impl CertificateKey {
    /// Fails unless it is 32 bytes in hexadecimal digits.
    pub fn from_hex(key: &Secret) -> Result<CertificateKey> {
        let bytes = hex::decode(key.reveal()).ok();
        let key = bytes.and_then(|bytes| UnboundKey::new(&AES_256_GCM, &bytes).ok());
        Ok(CertificateKey(LessSafeKey::new(key.context("the certificate key is not 32 bytes in hexadecimal digits")?)))
    }

    pub fn seal(&self, nonce: NonceBytes, text: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = text.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(|_| anyhow::anyhow!("cannot encrypt"))?;
        Ok([&nonce[..], &sealed].concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aes_gcm::aead::{Aead, KeyInit};
    use aes_gcm::{Aes256Gcm, Nonce};

    #[test]
    fn another_implementation_opens_what_was_sealed() {
        let (key, nonce) = ([7; 32], [9; NONCE_LEN]);
        let sealed = CertificateKey::from_hex(&Secret::new(hex::encode(key))).unwrap().seal(nonce, b"a key").unwrap();
        assert_eq!(sealed.len(), NONCE_LEN + b"a key".len() + 16);
        let (prepended, ciphertext) = sealed.split_at(NONCE_LEN);
        assert_eq!(prepended, nonce);
        let opened = Aes256Gcm::new(&key.into()).decrypt(&Nonce::try_from(prepended).unwrap(), ciphertext).unwrap();
        assert_eq!(opened, b"a key");
    }

    #[test]
    fn a_key_has_32_bytes() {
        for bad in ["", "zz", &"0".repeat(62), &"0".repeat(63), &"0".repeat(66)] {
            let error = CertificateKey::from_hex(&Secret::new(bad)).unwrap_err().to_string();
            assert!(error.contains("32 bytes"), "{error}");
        }
    }
}

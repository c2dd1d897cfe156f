//! Private keys: the five algorithms that are made, and every form that is read [1.5].

use rcgen::{KeyPair, PublicKeyData, RsaKeySize};
use rustls_pki_types::PrivateKeyDer;

use crate::config::EncryptionAlgorithm;
use crate::desired::pem;
use crate::error::{Context, Result};
use crate::secret::Secret;

/// A private key with its public half.
#[derive(Debug)]
pub struct Key {
    pub(super) pair: KeyPair,
    /// Of its PEM block: which structure the key is kept in.
    label: &'static str,
}

/// The label of PKCS #8.
const PKCS8: &str = "PRIVATE KEY";

impl Key {
    /// A new key. RSA takes tens of milliseconds of CPU time and more.
    pub fn generate(algorithm: EncryptionAlgorithm) -> Result<Key> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            EncryptionAlgorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            EncryptionAlgorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            EncryptionAlgorithm::Rsa4096 => rsa(RsaKeySize::_4096),
            EncryptionAlgorithm::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            EncryptionAlgorithm::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        };
        Ok(Key { pair: pair.context("cannot generate a private key")?, label: PKCS8 })
    }

    /// Reads `PRIVATE KEY`, `RSA PRIVATE KEY` and `EC PRIVATE KEY` blocks; other blocks before it are skipped.
    ///
    /// # Errors
    /// When there is none, or it is neither RSA nor ECDSA: kubeadm takes no other.
    pub fn from_pem(text: &[u8]) -> Result<Key> {
        let der = pem::private_key(text)?;
        let der = PrivateKeyDer::try_from(der.as_slice()).ok();
        let label = match &der {
            Some(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Some(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => PKCS8,
        };
        let pair = der.and_then(|der| KeyPair::try_from(&der).ok());
        let pair = pair.filter(|pair| pair.algorithm() != &rcgen::PKCS_ED25519);
        Ok(Key { pair: pair.context("its private key is neither RSA of 2048 bits or more nor ECDSA")?, label })
    }

    /// `PRIVATE KEY` (PKCS #8), or the structure that the key was read in.
    pub fn to_pem(&self) -> Secret {
        // the key's bytes are kept as they were read, and always labelled as PKCS #8
        Secret::new(self.pair.serialize_pem().replace(PKCS8, self.label))
    }

    /// `PUBLIC KEY` (SubjectPublicKeyInfo).
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// The SubjectPublicKeyInfo in DER, as it stands in a certificate of this key.
    pub fn public_der(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// Whether one of the public keys in a PEM file is this key's.
    pub fn is_in(&self, public: &[u8]) -> bool {
        pem::public_keys(public).is_ok_and(|keys| keys.contains(&self.public_der()))
    }
}

//! Private keys: the five algorithms that are made, and every form that is read [1.5].

use rcgen::{KeyPair, PublicKeyData, RsaKeySize};
use rustls_pki_types::PrivateKeyDer;

use crate::config::EncryptionAlgorithm;
use crate::desired::pem;
use crate::error::{Context, Result};
use crate::secret::Secret;

/// A private key with its public half.
#[derive(Debug)]
pub struct Key(pub(super) KeyPair);

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
        pair.map(Key).context("cannot generate a private key")
    }

    /// Reads `PRIVATE KEY`, `RSA PRIVATE KEY` and `EC PRIVATE KEY` blocks; other blocks before it are skipped.
    ///
    /// # Errors
    /// When there is none, or it is neither RSA nor ECDSA: kubeadm takes no other.
    pub fn from_pem(text: &[u8]) -> Result<Key> {
        let der = pem::private_key(text)?;
        let pair = PrivateKeyDer::try_from(der.as_slice()).ok().and_then(|der| KeyPair::try_from(&der).ok());
        pair.filter(|pair| pair.algorithm() != &rcgen::PKCS_ED25519)
            .map(Key)
            .context("its private key is neither RSA of 2048 bits or more nor ECDSA")
    }

    /// `PRIVATE KEY` (PKCS #8); for keys that were generated.
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    /// `PUBLIC KEY` (SubjectPublicKeyInfo).
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// The SubjectPublicKeyInfo in DER, as it stands in a certificate of this key.
    pub fn public_der(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// Whether one of the public keys in a PEM file is this key's.
    pub fn is_in(&self, public: &[u8]) -> bool {
        pem::public_keys(public).is_ok_and(|keys| keys.contains(&self.public_der()))
    }
}

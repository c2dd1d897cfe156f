//! Makes keys and certificates: the fields that kubeadm sets, as kubeadm sets them [1.4, 1.5].
//!
//! Nothing is written here. The random serial number and the time come from the caller; the key and the signature
//! are random by nature.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    RsaKeySize, SanType, SerialNumber,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::pki::{CertificateSpec, Purpose};
use super::verify;
use crate::config::EncryptionAlgorithm;
use crate::error::{Context, Result};
use crate::secret::Secret;

/// How far a certificate's start lies before the moment it was made, so that clocks may differ.
pub const BACK_DATE: time::Duration = time::Duration::minutes(5);

/// A private key with its public half.
#[derive(Debug)]
pub struct Key(KeyPair);

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

    /// Reads `PRIVATE KEY`, `RSA PRIVATE KEY` and `EC PRIVATE KEY` blocks; other blocks before it are skipped [1.5].
    pub fn from_pem(pem: &[u8]) -> Result<Key> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| anyhow::anyhow!("it holds no PEM private key"))?;
        KeyPair::try_from(&der).map(Key).map_err(|_| anyhow::anyhow!("its private key is neither RSA nor ECDSA"))
    }

    /// `PRIVATE KEY` (PKCS #8).
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    /// `PUBLIC KEY` (SubjectPublicKeyInfo).
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// The SubjectPublicKeyInfo in DER, as it stands in a certificate of this key.
    pub fn public_der(&self) -> Vec<u8> {
        use rcgen::PublicKeyData;
        self.0.subject_public_key_info()
    }
}

/// An authority that can sign.
#[derive(Debug)]
pub struct SigningAuthority {
    certificate_pem: String,
    certificate_der: Vec<u8>,
    key: Key,
    not_before: OffsetDateTime,
}

impl SigningAuthority {
    /// Fails when the certificate cannot be read, is no authority, or is not the key's.
    pub fn new(certificate_pem: String, key: Key) -> Result<SigningAuthority> {
        let certificate = verify::Parsed::from_pem(certificate_pem.as_bytes())?;
        if !certificate.is_authority()? {
            anyhow::bail!("the certificate is no certificate authority");
        }
        if !certificate.is_of(&key)? {
            anyhow::bail!("the certificate and the private key do not belong together");
        }
        let not_before = certificate.not_before()?;
        Ok(SigningAuthority { certificate_der: certificate.into_der(), certificate_pem, key, not_before })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Client certificates in kubeconfigs begin when their authority does [1.4].
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }
}

/// A self-signed certificate authority, in PEM.
pub fn authority(spec: &CertificateSpec, key: &Key, now: OffsetDateTime, serial: u64) -> Result<String> {
    let certificate = params(spec, now - BACK_DATE, now, serial)?.self_signed(&key.0)?;
    Ok(certificate.pem())
}

/// A certificate signed by `signer`, in PEM; it has been verified as its users will.
///
/// # Errors
/// When the authority's subject cannot be carried over exactly (several attributes of one type): such a certificate
/// would be refused by everybody.
pub fn leaf(
    spec: &CertificateSpec,
    key: &Key,
    signer: &SigningAuthority,
    not_before: OffsetDateTime,
    now: OffsetDateTime,
    serial: u64,
) -> Result<String> {
    let mut params = params(spec, not_before, now, serial)?;
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_ca_cert_pem(&signer.certificate_pem, &signer.key.0)?;
    let certificate = params.signed_by(&key.0, &issuer)?;
    verify::chain(certificate.der(), &signer.certificate_der, spec.purpose, now)
        .context("the certificate authority cannot be used to sign")?;
    Ok(certificate.pem())
}

fn params(
    spec: &CertificateSpec,
    not_before: OffsetDateTime,
    now: OffsetDateTime,
    serial: u64,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(organization) = &spec.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, spec.common_name.as_str());
    for name in &spec.dns_names {
        let name = name.as_str().try_into().with_context(|| format!("`{name}` cannot stand in a certificate"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(spec.ip_addresses.iter().copied().map(SanType::IpAddress));
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = not_before;
    params.not_after = now + spec.validity;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    match spec.purpose {
        Purpose::Authority(_) => {
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Purpose::Server(_) => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Client(_) => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::ServerAndClient(_) => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    if spec.purpose.signer().is_some() {
        params.is_ca = IsCa::ExplicitNoCa;
    }
    Ok(params)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::pki::Authority;
    use super::*;

    fn spec(purpose: Purpose) -> CertificateSpec {
        CertificateSpec {
            common_name: "someone".into(),
            organization: Some("some:group".into()),
            purpose,
            dns_names: vec!["a.example".into()],
            ip_addresses: vec!["10.0.0.1".parse().unwrap()],
            validity: Duration::from_secs(3600),
        }
    }

    #[test]
    fn every_algorithm_signs_and_verifies() {
        let now = OffsetDateTime::now_utc();
        for algorithm in [EncryptionAlgorithm::Rsa2048, EncryptionAlgorithm::EcdsaP256, EncryptionAlgorithm::EcdsaP384]
        {
            let ca_key = Key::generate(algorithm).unwrap();
            let ca_pem = authority(&spec(Purpose::Authority(Authority::Etcd)), &ca_key, now, 7).unwrap();
            let signer = SigningAuthority::new(ca_pem.clone(), ca_key).unwrap();
            for purpose in [Purpose::Server(Authority::Etcd), Purpose::ServerAndClient(Authority::Etcd)] {
                let key = Key::generate(algorithm).unwrap();
                let pem = leaf(&spec(purpose), &key, &signer, now - BACK_DATE, now, 8).unwrap();
                let reread = Key::from_pem(key.to_pem().reveal().as_bytes()).unwrap();
                let problem = verify::leaf(&spec(purpose), pem.as_bytes(), Some(&reread), ca_pem.as_bytes(), now);
                assert_eq!(problem.unwrap(), verify::Verdict::Fits);
            }
        }
    }

    #[test]
    fn an_authority_needs_its_own_key() {
        let now = OffsetDateTime::now_utc();
        let key = Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap();
        let pem = authority(&spec(Purpose::Authority(Authority::Etcd)), &key, now, 7).unwrap();
        let other = Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap();
        assert!(SigningAuthority::new(pem, other).is_err());
    }
}

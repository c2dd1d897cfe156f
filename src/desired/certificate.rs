//! A certificate that exists, as far as anything here asks about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME};
use x509_parser::public_key::PublicKey;

use super::pem;
use crate::config::EncryptionAlgorithm;
use crate::error::Result;

/// The first certificate of a file, and what follows it there [1.5].
#[derive(Debug, Clone)]
pub struct Certificate {
    pub der: Vec<u8>,
    /// The rest of its file, in DER: the intermediates of a leaf, or further authorities that are trusted.
    pub others: Vec<Vec<u8>>,
    pub subject: Subject,
    /// In lower case.
    pub dns_names: BTreeSet<String>,
    pub ip_addresses: BTreeSet<IpAddr>,
    /// SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// Of its key; `None` for one that init would not make.
    pub algorithm: Option<EncryptionAlgorithm>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub is_authority: bool,
    /// Its key usage, if it has one, allows to sign certificates.
    pub may_sign: bool,
    pub subject_key_identifier: Option<Vec<u8>>,
    pub alternative_names: Option<Extension>,
    pub extended_key_usage: Option<Extension>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The whole name in DER: two names are the same when these bytes are.
    pub der: Vec<u8>,
    pub common_name: String,
    /// In their order.
    pub organizations: Vec<String>,
}

/// An extension as it stands, to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub critical: bool,
    /// In DER.
    pub value: Vec<u8>,
}

impl Certificate {
    pub fn from_pem(text: &[u8]) -> Result<Certificate> {
        let mut certificates = pem::certificates(text)?;
        let others = certificates.split_off(1);
        let der = certificates.remove(0);
        let (_, x509) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| anyhow::anyhow!("its certificate cannot be parsed"))?;
        let (dns_names, ip_addresses) = names(&x509);
        let extension = |oid| {
            let found = x509.extensions().iter().find(|extension| extension.oid == oid);
            found.map(|extension| Extension { critical: extension.critical, value: extension.value.to_vec() })
        };
        Ok(Certificate {
            others,
            subject: subject(&x509),
            dns_names,
            ip_addresses,
            public_key: x509.public_key().raw.to_vec(),
            algorithm: algorithm(&x509),
            not_before: x509.validity().not_before.to_datetime(),
            not_after: x509.validity().not_after.to_datetime(),
            is_authority: x509.is_ca(),
            may_sign: match x509.key_usage() {
                Ok(Some(usage)) => usage.value.key_cert_sign(),
                Ok(None) => true,
                Err(_) => false,
            },
            subject_key_identifier: x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            }),
            alternative_names: extension(OID_X509_EXT_SUBJECT_ALT_NAME),
            extended_key_usage: extension(OID_X509_EXT_EXTENDED_KEY_USAGE),
            der,
        })
    }

    /// Without what follows it in its file.
    pub fn to_pem(&self) -> String {
        pem::of_certificate(&self.der)
    }

    /// Whether a TLS client that asks for `name` accepts it: a wildcard stands for one label.
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.dns_names.contains(&name) || wildcard.is_some_and(|wildcard| self.dns_names.contains(&wildcard))
    }
}

/// Whether any of the certificates in a file is this one.
pub fn is_among(text: &[u8], certificate: &Certificate) -> Result<bool> {
    Ok(pem::certificates(text)?.contains(&certificate.der))
}

fn subject(x509: &X509Certificate<'_>) -> Subject {
    let name = x509.subject();
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().map(str::to_owned).ok();
    Subject {
        der: name.as_raw().to_vec(),
        common_name: name.iter_common_name().filter_map(text).last().unwrap_or_default(),
        organizations: name.iter_organization().filter_map(text).collect(),
    }
}

fn names(x509: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    // an extension that cannot be read covers nothing
    if let Ok(Some(extension)) = x509.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => drop(names.insert(name.to_ascii_lowercase())),
                GeneralName::IPAddress(bytes) => addresses.extend(ip_address(bytes)),
                _ => {}
            }
        }
    }
    (names, addresses)
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn algorithm(x509: &X509Certificate<'_>) -> Option<EncryptionAlgorithm> {
    match x509.public_key().parsed().ok()? {
        PublicKey::RSA(key) => match key.key_size() {
            2048 => Some(EncryptionAlgorithm::Rsa2048),
            3072 => Some(EncryptionAlgorithm::Rsa3072),
            4096 => Some(EncryptionAlgorithm::Rsa4096),
            _ => None,
        },
        PublicKey::EC(key) => match key.key_size() {
            256 => Some(EncryptionAlgorithm::EcdsaP256),
            384 => Some(EncryptionAlgorithm::EcdsaP384),
            _ => None,
        },
        _ => None,
    }
}

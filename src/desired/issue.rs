//! Makes keys, certificates and requests for certificates: the fields that kubeadm sets, as kubeadm sets them [1.4].
//!
//! Nothing is written here. The random serial number and the time come from the caller; the key and the signature
//! are random by nature.

mod key;
mod name;

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;

pub use key::Key;

use super::certificate::{Certificate, Extension};
use super::pem;
use super::pki::{CertificateSpec, Purpose};
use super::verify;
use crate::error::{Context, Result};
use name::Naming;

/// How far a certificate's start lies before the moment it was made, so that clocks may differ.
pub const BACK_DATE: time::Duration = time::Duration::minutes(5);

const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const SUBJECT_ALTERNATIVE_NAME: [u64; 4] = [2, 5, 29, 17];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// `SEQUENCE {}`: no authority, without a word about path lengths.
const NO_AUTHORITY: [u8; 2] = [0x30, 0x00];

/// An authority that can sign.
#[derive(Debug)]
pub struct SigningAuthority {
    certificate: Certificate,
    key: Key,
}

impl SigningAuthority {
    /// Fails when the certificate is no authority, may not sign, or is not the key's.
    pub fn new(certificate_pem: &[u8], key: Key) -> Result<SigningAuthority> {
        let certificate = Certificate::from_pem(certificate_pem)?;
        // its dates were judged when the plan was made
        let misfits = verify::authority(&certificate, Some(&key), certificate.not_after);
        if !misfits.is_empty() {
            anyhow::bail!("{}", verify::clause(&misfits));
        }
        Ok(SigningAuthority { certificate, key })
    }

    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Client certificates in kubeconfigs begin when their authority does [1.4].
    pub fn not_before(&self) -> OffsetDateTime {
        self.certificate.not_before
    }
}

/// From when to when a certificate is valid, and its number.
#[derive(Debug, Clone, Copy)]
pub struct Issue {
    pub not_before: OffsetDateTime,
    pub now: OffsetDateTime,
    pub serial: u64,
}

/// A self-signed certificate authority, in PEM.
pub fn authority(spec: &CertificateSpec, key: &Key, now: OffsetDateTime, serial: u64) -> Result<String> {
    let mut params = params(Issue { not_before: now - BACK_DATE, now, serial }, spec.validity);
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, spec.common_name.as_str());
    params.subject_alt_names = alternative_names(spec)?;
    Ok(params.self_signed(&key.pair)?.pem())
}

/// A certificate signed by `signer`, in PEM; it has been verified as its users will.
pub fn leaf(spec: &CertificateSpec, key: &Key, signer: &SigningAuthority, issue: Issue) -> Result<String> {
    let mut params = params(issue, spec.validity);
    params.subject_alt_names = alternative_names(spec)?;
    params.extended_key_usages = match spec.purpose {
        Purpose::Authority(_) => Vec::new(),
        Purpose::Server(_) => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Client(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::ServerAndClient(_) => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    let subject = name::encode(&spec.organizations, &spec.common_name);
    sign(params, &subject, key, signer, spec.purpose, issue.now)
}

/// A new certificate for another key that says what an existing one says [9.4]: subject, names and extended key
/// usages to the byte.
pub fn renewed(
    existing: &Certificate,
    purpose: Purpose,
    validity: Duration,
    key: &Key,
    signer: &SigningAuthority,
    issue: Issue,
) -> Result<String> {
    let mut params = params(issue, validity);
    for (oid, extension) in
        [(SUBJECT_ALTERNATIVE_NAME, &existing.alternative_names), (EXTENDED_KEY_USAGE, &existing.extended_key_usage)]
    {
        params.custom_extensions.extend(extension.as_ref().map(|extension| copied(oid, extension)));
    }
    sign(params, &existing.subject.der, key, signer, purpose, issue.now)
}

/// A request for the certificate, in PEM: subject and names, nothing else [9.4].
pub fn request(spec: &CertificateSpec, key: &Key) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for organization in &spec.organizations {
        params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, spec.common_name.as_str());
    params.subject_alt_names = alternative_names(spec)?;
    Ok(pem::of_request(params.serialize_request(&key.pair)?.der()))
}

/// What every certificate says [1.4].
fn params(issue: Issue, validity: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(issue.serial));
    params.not_before = issue.not_before;
    params.not_after = issue.now + validity;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params
}

fn alternative_names(spec: &CertificateSpec) -> Result<Vec<SanType>> {
    let mut names = Vec::new();
    for name in &spec.dns_names {
        let name = name.as_str().try_into().with_context(|| format!("`{name}` cannot stand in a certificate"))?;
        names.push(SanType::DnsName(name));
    }
    names.extend(spec.ip_addresses.iter().copied().map(SanType::IpAddress));
    Ok(names)
}

fn copied(oid: [u64; 4], extension: &Extension) -> CustomExtension {
    let mut copy = CustomExtension::from_oid_content(&oid, extension.value.clone());
    copy.set_criticality(extension.critical);
    copy
}

fn sign(
    mut params: CertificateParams,
    subject: &[u8],
    key: &Key,
    signer: &SigningAuthority,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<String> {
    // rcgen's own way of saying so adds a key identifier, which kubeadm's leaves do not have
    let no_authority = Extension { critical: true, value: NO_AUTHORITY.to_vec() };
    params.custom_extensions.push(copied(BASIC_CONSTRAINTS, &no_authority));
    params.use_authority_key_identifier_extension = true;
    // rcgen marks names as critical where there is no subject
    params.distinguished_name.push(DnType::CommonName, "");
    let authority = signer.certificate();
    let mut issuer = CertificateParams::default();
    if let Some(identifier) = &authority.subject_key_identifier {
        issuer.key_identifier_method = KeyIdMethod::PreSpecified(identifier.clone());
    }
    let naming = || Naming { key: &signer.key.pair, issuer: &authority.subject.der, subject };
    let made = params.signed_by(&key.pair, &Issuer::new(issuer, naming()))?;
    let der = naming().finished(made.der()).map_err(|_| anyhow::anyhow!("a new certificate cannot be read"))?;
    let text = pem::of_certificate(&der);
    verify::chain(&Certificate::from_pem(text.as_bytes())?, authority, purpose, now)
        .map_err(|misfit| anyhow::anyhow!("nobody would accept what this authority signs: {misfit}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests;

//! Judges certificates that exist: do they still fit what is wanted [1.7]?
//!
//! Pure. kubeadm keeps a certificate whose names, subject or key no longer fit; here that is found out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::issue::Key;
use super::pki::{CertificateSpec, Purpose};
use crate::error::Result;

/// What becomes of an existing certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    /// A new one takes its place, because …
    Renew(String),
    /// The user has to decide, because …
    Refuse(String),
}

/// The first certificate of a PEM file.
#[derive(Debug)]
pub struct Parsed {
    der: Vec<u8>,
}

impl Parsed {
    pub fn from_pem(pem: &[u8]) -> Result<Parsed> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| anyhow::anyhow!("it holds no PEM certificate"))?;
        let parsed = Parsed { der: der.to_vec() };
        parsed.x509()?;
        Ok(parsed)
    }

    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    fn x509(&self) -> Result<X509Certificate<'_>> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.der)
            .map_err(|_| anyhow::anyhow!("its certificate cannot be parsed"))?;
        Ok(certificate)
    }

    pub fn is_authority(&self) -> Result<bool> {
        Ok(self.x509()?.is_ca())
    }

    pub fn is_of(&self, key: &Key) -> Result<bool> {
        Ok(self.x509()?.public_key().raw == key.public_der())
    }

    pub fn not_before(&self) -> Result<OffsetDateTime> {
        Ok(self.x509()?.validity().not_before.to_datetime())
    }

    pub fn not_after(&self) -> Result<OffsetDateTime> {
        Ok(self.x509()?.validity().not_after.to_datetime())
    }
}

/// Judges a certificate authority. `key` is `None` where its key is kept elsewhere.
pub fn authority(certificate_pem: &[u8], key: Option<&Key>, now: OffsetDateTime) -> Result<Verdict> {
    let certificate = Parsed::from_pem(certificate_pem)?;
    let refuse = |reason: &str| Ok(Verdict::Refuse(reason.to_owned()));
    if !certificate.is_authority()? {
        return refuse("it is no certificate authority");
    }
    if let Some(reason) = out_of_time(&certificate, now)? {
        return refuse(&reason);
    }
    match key {
        Some(key) if !certificate.is_of(key)? => refuse("it and the private key beside it do not belong together"),
        _ => Ok(Verdict::Fits),
    }
}

/// Judges a certificate against what it should say. `key` is `None` where there is no key file.
pub fn leaf(
    spec: &CertificateSpec,
    certificate_pem: &[u8],
    key: Option<&Key>,
    authority_pem: &[u8],
    now: OffsetDateTime,
) -> Result<Verdict> {
    let certificate = Parsed::from_pem(certificate_pem)?;
    let authority = Parsed::from_pem(authority_pem)?;
    let x509 = certificate.x509()?;
    let authority_x509 = authority.x509()?;
    // before its dates: a renewal would hide that it comes from elsewhere
    if x509.verify_signature(Some(authority_x509.public_key())).is_err() {
        return Ok(Verdict::Refuse("it is not signed by its certificate authority".to_owned()));
    }
    if let Some(reason) = out_of_time(&certificate, now)? {
        return Ok(Verdict::Renew(reason));
    }
    let renew = |reason: String| Ok(Verdict::Renew(reason));
    match key {
        None => return renew("its private key is missing".to_owned()),
        Some(key) if !certificate.is_of(key)? => {
            return renew("it and the private key beside it do not belong together".to_owned());
        }
        Some(_) => {}
    }
    let attribute = |mut values: Vec<&str>| values.pop().map(str::to_owned);
    let common_name = attribute(x509.subject().iter_common_name().filter_map(|v| v.as_str().ok()).collect());
    let organization = attribute(x509.subject().iter_organization().filter_map(|v| v.as_str().ok()).collect());
    if common_name.as_deref() != Some(spec.common_name.as_str()) || organization != spec.organization {
        return renew(format!(
            "its subject is {} instead of {}",
            subject(common_name.as_deref(), organization.as_deref()),
            subject(Some(&spec.common_name), spec.organization.as_deref())
        ));
    }
    let missing = missing_names(spec, &x509);
    if !missing.is_empty() {
        return renew(format!("it does not cover {}", missing.join(", ")));
    }
    match chain(&certificate.der, &authority.der, spec.purpose, now) {
        Ok(()) => Ok(Verdict::Fits),
        Err(error) => renew(error.to_string()),
    }
}

fn subject(common_name: Option<&str>, organization: Option<&str>) -> String {
    match organization {
        Some(organization) => format!("`O={organization}, CN={}`", common_name.unwrap_or("")),
        None => format!("`CN={}`", common_name.unwrap_or("")),
    }
}

fn missing_names(spec: &CertificateSpec, x509: &X509Certificate<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    if let Ok(Some(extension)) = x509.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => drop(names.insert(name.to_ascii_lowercase())),
                GeneralName::IPAddress(bytes) => drop(ip_address(bytes).map(|ip| addresses.insert(ip))),
                _ => {}
            }
        }
    }
    let dns = spec.dns_names.iter().filter(|name| !names.contains(&name.to_ascii_lowercase())).cloned();
    let ips = spec.ip_addresses.iter().filter(|ip| !addresses.contains(*ip)).map(IpAddr::to_string);
    dns.chain(ips).map(|name| format!("`{name}`")).collect()
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn out_of_time(certificate: &Parsed, now: OffsetDateTime) -> Result<Option<String>> {
    let (begin, end) = (certificate.not_before()?, certificate.not_after()?);
    Ok(if now > end {
        Some(format!("it expired at {}", stamp(end)))
    } else if now < begin {
        Some(format!("it is not valid before {} (is the clock right?)", stamp(begin)))
    } else {
        None
    })
}

fn stamp(moment: OffsetDateTime) -> String {
    moment.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| moment.to_string())
}

/// Verifies signature, dates and usages of a certificate as a TLS peer does.
pub fn chain(certificate: &[u8], authority: &[u8], purpose: Purpose, now: OffsetDateTime) -> Result<()> {
    let authority = CertificateDer::from(authority);
    let anchor = anchor_from_trusted_cert(&authority)
        .map_err(|error| anyhow::anyhow!("the certificate authority is not usable: {error}"))?;
    let certificate = CertificateDer::from(certificate);
    let certificate = EndEntityCert::try_from(&certificate)
        .map_err(|error| anyhow::anyhow!("the certificate is not usable: {error}"))?;
    let usages: &[KeyUsage] = match purpose {
        Purpose::Authority(_) => &[],
        Purpose::Server(_) => &[KeyUsage::server_auth()],
        Purpose::Client(_) => &[KeyUsage::client_auth()],
        Purpose::ServerAndClient(_) => &[KeyUsage::server_auth(), KeyUsage::client_auth()],
    };
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for usage in usages {
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                std::slice::from_ref(&anchor),
                &[],
                now,
                *usage,
                None,
                None,
            )
            .map_err(|error| anyhow::anyhow!("it does not verify against its certificate authority: {error}"))?;
    }
    Ok(())
}

//! Judges certificates that exist: can they be used, and do they say what is wanted [1.7]?
//!
//! Pure. kubeadm keeps a certificate whose names, subject or key no longer fit; here that is found out.

use std::collections::BTreeSet;
use std::fmt;

use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, Error as WebpkiError, KeyUsage, anchor_from_trusted_cert};

use super::certificate::Certificate;
use super::issue::Key;
use super::pki::{CertificateSpec, Purpose};

/// A reason why a certificate cannot stay as it is. Prints as a clause about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It comes from somebody else: a renewal would hide that.
    NotSigned,
    Expired(OffsetDateTime),
    NotYetValid(OffsetDateTime),
    KeyMissing,
    KeyOfAnother,
    /// Its extended key usages do not allow what it is for.
    Usage,
    /// Whatever else keeps it from being accepted.
    Unusable(String),
    /// It is made out to somebody else; works, if those have the rights.
    Subject {
        found: String,
        wanted: String,
    },
    /// Names and addresses that it should cover.
    Names(Vec<String>),
    /// An authority: it is none, or its key usage does not allow to sign.
    NoAuthority,
    MayNotSign,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::NotSigned => f.write_str("it is not signed by its certificate authority"),
            Misfit::Expired(at) => write!(f, "it expired at {}", stamp(*at)),
            Misfit::NotYetValid(from) => write!(f, "it is not valid before {} (is the clock right?)", stamp(*from)),
            Misfit::KeyMissing => f.write_str("its private key is missing"),
            Misfit::KeyOfAnother => f.write_str("it and the private key beside it do not belong together"),
            Misfit::Usage => f.write_str("its extended key usage does not allow what it is for"),
            Misfit::Unusable(reason) => f.write_str(reason),
            Misfit::Subject { found, wanted } => write!(f, "its subject is `{found}` instead of `{wanted}`"),
            Misfit::Names(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                write!(f, "it does not cover {}", names.join(", "))
            }
            Misfit::NoAuthority => f.write_str("it is no certificate authority"),
            Misfit::MayNotSign => f.write_str("its key usage does not allow to sign certificates"),
        }
    }
}

/// Several reasons as one clause.
pub fn clause(misfits: &[Misfit]) -> String {
    misfits.iter().map(Misfit::to_string).collect::<Vec<_>>().join(", and ")
}

/// Judges a certificate authority. `key` is `None` where its key is kept elsewhere.
pub fn authority(certificate: &Certificate, key: Option<&Key>, now: OffsetDateTime) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    if !certificate.is_authority {
        misfits.push(Misfit::NoAuthority);
    } else if !certificate.may_sign {
        misfits.push(Misfit::MayNotSign);
    }
    misfits.extend(out_of_time(certificate, now));
    misfits.extend(key.filter(|key| key.public_der() != certificate.public_key).map(|_| Misfit::KeyOfAnother));
    misfits
}

/// Judges a certificate by itself, its key and its authority. `key` is `None` where nothing is known of it.
pub fn pair(
    certificate: &Certificate,
    key: Option<&Key>,
    authority: &Certificate,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    // its dates are judged apart: an expired certificate may still tell who signed it
    let lifetime = certificate.not_before..=certificate.not_after;
    let moment = if lifetime.contains(&now) { now } else { certificate.not_after };
    misfits.extend(chain(certificate, authority, purpose, moment).err());
    misfits.extend(out_of_time(certificate, now));
    misfits.extend(key.filter(|key| key.public_der() != certificate.public_key).map(|_| Misfit::KeyOfAnother));
    misfits
}

/// Judges a certificate against what it should say.
pub fn leaf(
    spec: &CertificateSpec,
    certificate: &Certificate,
    key: Option<&Key>,
    authority: &Certificate,
    now: OffsetDateTime,
) -> Vec<Misfit> {
    let mut misfits = pair(certificate, key, authority, spec.purpose, now);
    let found = &certificate.subject;
    let groups = |organizations: &[String]| organizations.iter().cloned().collect::<BTreeSet<_>>();
    let is_same_user = found.common_name == spec.common_name;
    if !is_same_user || groups(&found.organizations) != groups(&spec.organizations) {
        misfits.push(Misfit::Subject {
            found: subject(&found.organizations, &found.common_name),
            wanted: subject(&spec.organizations, &spec.common_name),
        });
    }
    let names = spec.dns_names.iter().filter(|name| !certificate.covers(name)).cloned();
    let addresses = spec.ip_addresses.iter().filter(|ip| !certificate.ip_addresses.contains(*ip));
    let missing: Vec<_> = names.chain(addresses.map(ToString::to_string)).collect();
    if !missing.is_empty() {
        misfits.push(Misfit::Names(missing));
    }
    misfits
}

/// `O=a, O=b, CN=c`
pub fn subject(organizations: &[String], common_name: &str) -> String {
    let organizations = organizations.iter().map(|organization| format!("O={organization}, "));
    format!("{}CN={common_name}", organizations.collect::<String>())
}

fn out_of_time(certificate: &Certificate, now: OffsetDateTime) -> Option<Misfit> {
    if now > certificate.not_after {
        Some(Misfit::Expired(certificate.not_after))
    } else if now < certificate.not_before {
        Some(Misfit::NotYetValid(certificate.not_before))
    } else {
        None
    }
}

/// `2027-01-31T10:00:00Z`
pub fn stamp(moment: OffsetDateTime) -> String {
    moment.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| moment.to_string())
}

/// Verifies signatures, dates and usages of a certificate and its intermediates as a TLS peer does. Every authority of
/// the file counts: while one is replaced by another, both are in it. Their own dates are not looked at.
pub fn chain(
    certificate: &Certificate,
    authority: &Certificate,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<(), Misfit> {
    let unusable = |what: &str, error: WebpkiError| Misfit::Unusable(format!("{what} cannot be used: {error}"));
    let authorities = [&authority.der].into_iter().chain(&authority.others);
    let authorities: Vec<_> = authorities.map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors: Vec<_> = authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable("its certificate authority", error))?;
    let end = CertificateDer::from(certificate.der.as_slice());
    let end = EndEntityCert::try_from(&end).map_err(|error| unusable("it", error))?;
    let intermediates: Vec<_> = certificate.others.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for usage in usages(purpose) {
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let verified = end.verify_for_usage(algorithms, &anchors, &intermediates, moment, usage, None, None);
        verified.map_err(|error| match error {
            WebpkiError::UnknownIssuer | WebpkiError::InvalidSignatureForPublicKey => Misfit::NotSigned,
            WebpkiError::RequiredEkuNotFoundContext(_) | WebpkiError::EmptyEkuExtension => Misfit::Usage,
            error => unusable("it", error),
        })?;
    }
    Ok(())
}

fn usages(purpose: Purpose) -> Vec<KeyUsage> {
    match purpose {
        Purpose::Authority(_) => Vec::new(),
        Purpose::Server(_) => vec![KeyUsage::server_auth()],
        Purpose::Client(_) => vec![KeyUsage::client_auth()],
        Purpose::ServerAndClient(_) => vec![KeyUsage::server_auth(), KeyUsage::client_auth()],
    }
}

//! When certificates expire, and whether they work until then: kubeadm's report, with more to say [9.4].
//!
//! Pure: looks at files that were read already.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use time::OffsetDateTime;

use super::certificate::{self, Certificate};
use super::issue::Key;
use super::kubeconfig::existing::{Existing, Trust};
use super::pki::{Authority, Purpose};
use super::renewal::{Place, Renewable, Settings, is_optional};
use super::verify::{self, Misfit};
use crate::error::{Result, chain_of};

const DAY: i64 = 24 * 60 * 60;
/// A certificate should be renewed when no more than this is left, or a third of its life where that is shorter.
const SOON: i64 = 30 * DAY;
/// The same of an authority: what it signs for a year would outlive it.
const SOON_FOR_AUTHORITIES: i64 = 365 * DAY;

/// kubeadm's type for programs; fields of ours follow those of kubeadm's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateExpirationInfo {
    pub kind: &'static str,
    pub api_version: &'static str,
    /// By name.
    pub certificates: Vec<Expiration>,
    pub certificate_authorities: Vec<Expiration>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiration {
    pub name: String,
    /// `None` when it is not there or cannot be read.
    pub expiration_date: Option<Timestamp>,
    /// Seconds; negative when it has expired.
    pub residual_time: i64,
    /// The key of its authority, or its own if it is one, is kept elsewhere.
    pub externally_managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_name: Option<&'static str>,
    pub missing: bool,
    pub state: State,
    /// What keeps it from being used, one sentence each.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    Valid,
    ExpiresSoon,
    Expired,
    NotYetValid,
    /// Not there, or not to be read.
    Unknown,
}

/// A file as it was found.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    Absent,
    /// This user may not.
    Denied,
    Content(&'a [u8]),
}

/// Looks at every certificate; `file` is asked for the node's files.
pub fn report<'a>(settings: &Settings, file: &impl Fn(&Path) -> Look<'a>, now: Timestamp) -> CertificateExpirationInfo {
    let mut certificates: Vec<_> = settings
        .renewables()
        .filter_map(|what| {
            let of_kubelet = is_optional(what);
            let expiration = certificate(settings, what, file, now);
            // a kubelet keeps its certificate in a file of its own
            Some(expiration).filter(|expiration| !of_kubelet || expiration.expiration_date.is_some())
        })
        .collect();
    certificates.sort_by(|a, b| a.name.cmp(&b.name));
    CertificateExpirationInfo {
        kind: "CertificateExpirationInfo",
        api_version: "output.kubeadm.k8s.io/v1alpha3",
        certificates,
        certificate_authorities: settings.authorities().map(|one| authority(settings, one, file, now)).collect(),
    }
}

fn certificate<'a>(
    settings: &Settings,
    what: &Renewable,
    file: &impl Fn(&Path) -> Look<'a>,
    now: Timestamp,
) -> Expiration {
    let path = what.place.certificate_path(&settings.certificates_dir);
    let authority_path = |extension| settings.certificates_dir.join(format!("{}.{extension}", what.authority().base()));
    let mut expiration = Expiration::unknown(what.name, Some(what.authority().name()));
    let authority = file(&authority_path("crt"));
    expiration.externally_managed =
        matches!(file(&authority_path("key")), Look::Absent) && !matches!(authority, Look::Absent);
    let content = match file(&path) {
        Look::Absent => {
            expiration.missing = true;
            return expiration;
        }
        Look::Denied => {
            expiration.problems.push("it may not be read by this user".to_owned());
            return expiration;
        }
        Look::Content(content) => content,
    };
    let looked = match &what.place {
        Place::Pair(base) => pair(content, file(&settings.certificates_dir.join(format!("{base}.key")))),
        Place::Kubeconfig(_) => kubeconfig(content, authority),
    };
    match looked {
        Ok(None) => expiration.problems.push("it holds no certificate of its own".to_owned()),
        Err(error) => expiration.problems.push(chain_of(&error)),
        Ok(Some((certificate, key, problems))) => {
            expiration.date(&certificate, now, SOON);
            expiration.problems.extend(problems);
            expiration.judge(&certificate, key.as_ref(), authority, what.purpose, now);
        }
    }
    expiration
}

/// A certificate, its key, and what is wrong besides the two.
type Looked = (Certificate, Option<Key>, Vec<String>);

fn pair(content: &[u8], key: Look<'_>) -> Result<Option<Looked>> {
    let certificate = Certificate::from_pem(content)?;
    Ok(Some(match key {
        Look::Absent => (certificate, None, vec![Misfit::KeyMissing.to_string()]),
        Look::Denied => (certificate, None, Vec::new()),
        Look::Content(pem) => match Key::from_pem(pem) {
            Ok(key) => (certificate, Some(key), Vec::new()),
            Err(error) => (certificate, None, vec![format!("its key cannot be used: {}", chain_of(&error))]),
        },
    }))
}

/// `None`: there is no certificate in it.
fn kubeconfig(content: &[u8], authority: Look<'_>) -> Result<Option<Looked>> {
    let existing = Existing::read(content)?;
    let Some(client) = existing.client()? else { return Ok(None) };
    let mut problems = Vec::new();
    if let (Trust::Embedded(trusted), Look::Content(ours)) = (existing.trust()?, authority)
        && !certificate::is_among(ours, &Certificate::from_pem(&trusted)?)?
    {
        problems.push("its cluster trusts another certificate authority".to_owned());
    }
    Ok(Some((client.certificate, Some(client.key), problems)))
}

fn authority<'a>(
    settings: &Settings,
    authority: Authority,
    file: &impl Fn(&Path) -> Look<'a>,
    now: Timestamp,
) -> Expiration {
    let path = |extension| settings.certificates_dir.join(format!("{}.{extension}", authority.base()));
    let mut expiration = Expiration::unknown(authority.name(), None);
    let content = match file(&path("crt")) {
        Look::Absent => {
            expiration.missing = true;
            return expiration;
        }
        Look::Denied => {
            expiration.problems.push("it may not be read by this user".to_owned());
            return expiration;
        }
        Look::Content(content) => content,
    };
    let key = file(&path("key"));
    expiration.externally_managed = matches!(key, Look::Absent);
    let certificate = match Certificate::from_pem(content) {
        Ok(certificate) => certificate,
        Err(error) => {
            expiration.problems.push(chain_of(&error));
            return expiration;
        }
    };
    let key = match key {
        Look::Content(pem) => match Key::from_pem(pem) {
            Ok(key) => Some(key),
            Err(error) => {
                expiration.problems.push(format!("its key cannot be used: {}", chain_of(&error)));
                None
            }
        },
        Look::Absent | Look::Denied => None,
    };
    expiration.date(&certificate, now, SOON_FOR_AUTHORITIES);
    expiration.add(verify::authority(&certificate, key.as_ref(), moment(now)));
    expiration
}

fn moment(now: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Expiration {
    fn unknown(name: &str, ca_name: Option<&'static str>) -> Expiration {
        Expiration {
            name: name.to_owned(),
            expiration_date: None,
            residual_time: 0,
            externally_managed: false,
            ca_name,
            missing: false,
            state: State::Unknown,
            problems: Vec::new(),
        }
    }

    fn date(&mut self, certificate: &Certificate, now: Timestamp, soon: i64) {
        let (begin, end) = (certificate.not_before.unix_timestamp(), certificate.not_after.unix_timestamp());
        self.expiration_date = Timestamp::from_second(end).ok();
        self.residual_time = end - now.as_second();
        self.state = state(begin, end, now.as_second(), soon);
    }

    fn judge(
        &mut self,
        certificate: &Certificate,
        key: Option<&Key>,
        authority: Look<'_>,
        purpose: Purpose,
        now: Timestamp,
    ) {
        match authority {
            Look::Absent => self.problems.push("its certificate authority is missing".to_owned()),
            Look::Denied => {}
            Look::Content(pem) => match Certificate::from_pem(pem) {
                Ok(authority) => self.add(verify::pair(certificate, key, &authority, purpose, moment(now))),
                Err(error) => self.problems.push(format!("its certificate authority: {}", chain_of(&error))),
            },
        }
    }

    /// Dates have a state of their own.
    fn add(&mut self, misfits: Vec<Misfit>) {
        let is_date = |misfit: &Misfit| matches!(misfit, Misfit::Expired(_) | Misfit::NotYetValid(_));
        self.problems.extend(misfits.iter().filter(|misfit| !is_date(misfit)).map(Misfit::to_string));
    }

    /// For people: what is the matter with it, `ok` if nothing is.
    pub fn summary(&self) -> String {
        let state = match self.state {
            State::Valid | State::Unknown => None,
            State::ExpiresSoon => Some("expires soon"),
            State::Expired => Some("expired"),
            State::NotYetValid => Some("not valid yet (is the clock right?)"),
        };
        let words: Vec<_> = state.into_iter().chain(self.problems.iter().map(String::as_str)).collect();
        if words.is_empty() && !self.missing { "ok".to_owned() } else { words.join("; ") }
    }
}

/// All in seconds.
fn state(begin: i64, end: i64, now: i64, soon: i64) -> State {
    match end - now {
        ..0 => State::Expired,
        _ if now < begin => State::NotYetValid,
        left if left <= soon.min((end - begin) / 3) => State::ExpiresSoon,
        _ => State::Valid,
    }
}

/// As kubeadm prints what is left: one unit.
pub fn short(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / DAY);
    match seconds {
        ..0 => "<invalid>".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..DAY => format!("{hours}h"),
        _ if days < 365 => format!("{days}d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests;

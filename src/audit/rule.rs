//! What an item asks for, and how that is judged.

mod content;
mod files;
mod flags;

use super::Status;
use super::facts::{Facts, Place};
use crate::config::profile::Profile;
use crate::desired::manifest::Component;
use crate::release::Version;

pub(super) use flags::{Check, Test, test};

#[derive(Debug)]
pub(super) enum Rule {
    /// No file of the place has a permission beyond these bits.
    Mode { of: Place, most: u32 },
    /// Every file of the place is theirs, `user:group`.
    Owner { of: Place, owner: &'static str },
    /// All tests hold for the command line of the component.
    Flags { of: Component, tests: &'static [Test] },
    /// The same, where the version has what is asked for.
    FlagsSince { of: Component, tests: &'static [Test], exists: fn(&Version) -> bool, what: &'static str },
    /// A test of `--authorization-mode`, which a file can take the place of.
    Authorization(Check),
    /// Secrets are written by a provider that encrypts.
    Encryption,
    /// The audit policy is one that is known to cover what matters.
    AuditPolicy,
    /// etcd trusts another authority than the API server does.
    EtcdAuthority,
    /// Only a person can tell: what to look at.
    ByHand(&'static str),
    /// About a kubelet or its kube-proxy.
    Kubelet,
}

/// How an item stands.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) fix: Option<String>,
}

impl Verdict {
    fn new(status: Status, expected: impl Into<String>, found: impl Into<String>) -> Verdict {
        Verdict { status, expected: expected.into(), found: found.into(), fix: None }
    }

    /// Fails, and this makes it pass.
    fn fail(expected: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Verdict {
        Verdict { fix: Some(fix.into()), ..Verdict::new(Status::Fail, expected, found) }
    }
}

impl Rule {
    pub(super) fn judge(&self, id: &str, facts: &Facts) -> Verdict {
        let mut verdict = match self {
            Rule::Mode { of, most } => files::mode(*of, *most, facts),
            Rule::Owner { of, owner } => files::owner(*of, owner, facts),
            Rule::Flags { of, tests } => flags::judge(*of, tests, facts),
            Rule::FlagsSince { of, tests, exists, what } => match &facts.version {
                Some(version) if !exists(version) => {
                    let lacks = format!("Kubernetes {version} has no {what}");
                    Verdict::new(Status::NotApplicable, flags::expected(tests), lacks)
                }
                _ => flags::judge(*of, tests, facts),
            },
            Rule::Authorization(check) => flags::authorization(*check, facts),
            Rule::Encryption => content::encryption(facts),
            Rule::AuditPolicy => content::audit_policy(facts),
            Rule::EtcdAuthority => content::etcd_authority(facts),
            Rule::ByHand(what) => Verdict::new(Status::Warn, *what, "a person has to look"),
            Rule::Kubelet => Verdict::new(Status::NotApplicable, "a kubelet", "no kubelet runs on this node"),
        };
        if let Some(fix) = &mut verdict.fix
            && Profile::Cis.covers(id)
        {
            fix.push_str("; `bootstrap init --profile=cis` does");
        }
        verdict
    }
}

//! Verdicts: what a check says, what becomes of it when it is ignored, and the refusal that follows.

use std::fmt;

use crate::error::{Fault, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Ok,
    Warning,
    /// Refuses, unless it is ignored.
    Error,
    /// Refuses whatever is ignored: to go on is not possible.
    Refusal,
}

impl Severity {
    fn refuses(self) -> bool {
        matches!(self, Severity::Error | Severity::Refusal)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error | Severity::Refusal => "error",
        })
    }
}

/// `error: [Mem] 512 MiB of memory, 1700 MiB are needed`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// As `--ignore-preflight-errors` takes it.
    pub check: String,
    pub severity: Severity,
    pub message: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.severity, self.check, self.message)
    }
}

/// A verdict that does not know yet which check it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) message: String,
    subject: Option<String>,
}

impl Finding {
    fn new(severity: Severity, message: impl Into<String>) -> Finding {
        Finding { severity, message: message.into(), subject: None }
    }

    pub(super) fn ok(message: impl Into<String>) -> Finding {
        Finding::new(Severity::Ok, message)
    }

    pub(super) fn warning(message: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, message)
    }

    pub(super) fn error(message: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, message)
    }

    pub(super) fn refusal(message: impl Into<String>) -> Finding {
        Finding::new(Severity::Refusal, message)
    }

    /// What it is about: stands where the check's name has a `*`.
    pub(super) fn about(mut self, subject: impl Into<String>) -> Finding {
        self.subject = Some(subject.into());
        self
    }

    pub(super) fn of_check(self, name: &str) -> Verdict {
        let check = match (name.strip_suffix('*'), self.subject) {
            (Some(stem), Some(subject)) => format!("{stem}{subject}"),
            _ => name.to_owned(),
        };
        Verdict { check, severity: self.severity, message: self.message }
    }
}

/// These, or that all is well, in a few words.
pub(super) fn or_ok(findings: Vec<Finding>, all_is_well: impl FnOnce() -> String) -> Vec<Finding> {
    if findings.is_empty() { vec![Finding::ok(all_is_well())] } else { findings }
}

/// Turns ignored errors into warnings.
pub fn settle(verdicts: Vec<Verdict>, ignored: impl Fn(&str) -> bool) -> Vec<Verdict> {
    let settle = |verdict: Verdict| match verdict.severity {
        Severity::Error if ignored(&verdict.check) => Verdict { severity: Severity::Warning, ..verdict },
        _ => verdict,
    };
    verdicts.into_iter().map(settle).collect()
}

/// Without root hardly anything can be looked at: that error stands alone.
pub fn user_first(verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let alone = verdicts.iter().find(|verdict| is_about_user(verdict)).cloned();
    alone.map_or(verdicts, |verdict| vec![verdict])
}

fn is_about_user(verdict: &Verdict) -> bool {
    verdict.check == "IsPrivilegedUser" && verdict.severity == Severity::Error
}

/// Fails if any verdict refuses. The verdicts themselves are told by whoever asks.
pub fn refuse(verdicts: &[Verdict]) -> Result<()> {
    let errors: Vec<_> = verdicts.iter().filter(|verdict| verdict.severity.refuses()).collect();
    let hint = match errors.as_slice() {
        [] => return Ok(()),
        [error] if is_about_user(error) => "run it as root; `--dry-run` needs no root".to_owned(),
        errors if errors.iter().any(|error| error.severity == Severity::Refusal) => {
            "restore the files named, or move them away to have new ones made".to_owned()
        }
        errors => {
            let names: Vec<_> = errors.iter().map(|error| error.check.as_str()).collect();
            format!("`--ignore-preflight-errors={}` goes on all the same", names.join(","))
        }
    };
    let count = if errors.len() == 1 { "an error" } else { &format!("{} errors", errors.len()) };
    Err(Fault::usage(format!("preflight refused because of {count}; nothing was changed")).hint(hint).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::hint_of;

    fn verdict(check: &str, severity: Severity) -> Verdict {
        Verdict { check: check.to_owned(), severity, message: "no".to_owned() }
    }

    #[test]
    fn ignored_errors_become_warnings_and_refusals_stay() {
        use Severity::{Error, Ok, Refusal, Warning};
        let verdicts = || [("A", Error), ("B", Error), ("C", Warning), ("D", Refusal), ("E", Ok)];
        let settled = |ignored: fn(&str) -> bool| {
            let verdicts = verdicts().map(|(check, severity)| verdict(check, severity)).to_vec();
            settle(verdicts, ignored).iter().map(|verdict| verdict.severity).collect::<Vec<_>>()
        };
        assert_eq!(settled(|_| false), [Error, Error, Warning, Refusal, Ok]);
        assert_eq!(settled(|check| check == "A"), [Warning, Error, Warning, Refusal, Ok]);
        assert_eq!(settled(|_| true), [Warning, Warning, Warning, Refusal, Ok]);
    }

    #[test]
    fn without_root_nothing_else_is_told() {
        let verdicts = || vec![verdict("IsPrivilegedUser", Severity::Error), verdict("Mem", Severity::Error)];
        assert_eq!(user_first(verdicts()), verdicts()[..1]);
        assert_eq!(user_first(settle(verdicts(), |check| check == "IsPrivilegedUser")).len(), 2);
        let error = refuse(&verdicts()[..1]).unwrap_err();
        assert_eq!(hint_of(&error), Some("run it as root; `--dry-run` needs no root"));
    }

    #[test]
    fn the_hint_says_what_helps() {
        let refused = |verdicts: &[(&str, Severity)]| {
            let verdicts: Vec<_> = verdicts.iter().map(|(check, severity)| verdict(check, *severity)).collect();
            refuse(&verdicts).map_err(|error| (error.to_string(), hint_of(&error).unwrap().to_owned()))
        };
        assert!(refused(&[("A", Severity::Warning), ("B", Severity::Ok)]).is_ok());
        let (error, hint) = refused(&[("A", Severity::Error), ("B", Severity::Error)]).unwrap_err();
        assert_eq!(error, "preflight refused because of 2 errors; nothing was changed");
        assert!(hint.contains("=A,B`"), "{hint}");
        let (error, hint) = refused(&[("FilesFit", Severity::Refusal)]).unwrap_err();
        assert!(error.contains("an error") && !hint.contains("ignore"), "{hint}");
    }

    #[test]
    fn a_verdict_carries_its_subject_in_its_name() {
        let verdict = Finding::error("port 6443 is in use").about("6443").of_check("Port-*");
        assert_eq!(verdict.to_string(), "error: [Port-6443] port 6443 is in use");
        assert_eq!(Finding::ok("fine").about("x").of_check("Mem").to_string(), "ok: [Mem] fine");
    }
}

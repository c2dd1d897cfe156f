//! The one error type that carries more than words.
//!
//! Functions return [`anyhow::Result`]; each layer adds what it alone knows with `.context(…)`: the path, the name,
//! the field. A [`Fault`] stands where the user's next step is known (`hint`) or where the exit code is not 1.
//! `main` joins the chain with `: `, prints the first hint it finds and exits with the first fault's code.

use std::error::Error as StdError;
use std::fmt;

pub use anyhow::{Context, Result};

/// Exit codes of the program, as docs/operations.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something did not work.
    Failed = 1,
    /// The command line, the configuration, another input or the machine is not as it must be; nothing was changed.
    Usage = 2,
    /// Something waited for did not come in time.
    TimedOut = 4,
}

/// A failure with an exit code and, where one is known, the next step.
#[derive(Debug)]
pub struct Fault {
    message: String,
    hint: Option<String>,
    exit: Exit,
    source: Option<anyhow::Error>,
}

impl Fault {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Fault { message: message.into(), hint: None, exit, source: None }
    }

    /// Wrong input: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Fault::new(Exit::Usage, message)
    }

    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Fault::new(Exit::Failed, message)
    }

    /// What the user can do about it, printed on a line of its own.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The cause below this failure.
    #[must_use]
    pub fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// The exit code that an error ends the program with: the first fault's in the chain, otherwise 1.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(|cause| cause.downcast_ref::<Fault>()).map_or(Exit::Failed, |fault| fault.exit)
}

/// The first hint in the chain.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().filter_map(|cause| cause.downcast_ref::<Fault>()).find_map(|fault| fault.hint.as_deref())
}

/// The chain in one line, outermost first.
pub fn chain_of(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_below_its_context() {
        let error = anyhow::Error::from(Fault::usage("no such field").hint("did you mean `name`?"))
            .context("cannot read `config.yaml`");
        assert_eq!(exit_of(&error), Exit::Usage);
        assert_eq!(hint_of(&error), Some("did you mean `name`?"));
        assert_eq!(chain_of(&error), "cannot read `config.yaml`: no such field");
    }

    #[test]
    fn a_plain_error_exits_with_one() {
        assert_eq!(exit_of(&anyhow::anyhow!("no")), Exit::Failed);
    }

    #[test]
    fn the_cause_of_a_fault_stays_in_the_chain() {
        let error = anyhow::Error::from(Fault::failed("cannot start").because(std::io::Error::other("boom")));
        assert_eq!(chain_of(&error), "cannot start: boom");
    }
}

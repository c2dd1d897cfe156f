//! What runner and shim say to each other.
//!
//! On the shim's socket each connection carries one request and one reply, each a line of JSON. A container is served
//! by the version of the program that created it, so a variant is never renamed and a field never loses its meaning.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runner::runtime::{ContainerState, ExecOutput, RuntimeError};

pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    pub verb: Verb,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    State,
    /// Runs the user's program; answered once it has been executed.
    Start,
    /// To the container's first process.
    Signal(i32),
    /// SIGKILL to every process of the container.
    KillAll,
    /// Answered when the container has exited.
    Wait,
    Exec {
        command: Vec<String>,
        timeout: Duration,
    },
    /// After somebody has moved the log file away.
    ReopenLog,
    /// Ends what runs; answered when nothing does, and then the shim ends.
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    State(ContainerState),
    Done,
    Exec { exit_code: Option<i32>, output: Vec<u8> },
    Failed(Failure),
}

/// What the shim prints when it is ready to be asked, or has given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hello {
    Ready { warnings: Vec<String> },
    Failed(Failure),
}

/// An error that crosses a process boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    #[error("{0}")]
    BadConfig(String),
    #[error("{0}")]
    Other(String),
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::BadConfig(message) => RuntimeError::BadConfig(message),
            Failure::Other(message) => RuntimeError::Other(anyhow::Error::msg(message)),
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::BadConfig(message) => Failure::BadConfig(message),
            other => Failure::Other(crate::error::chain_of(&anyhow::Error::from(other))),
        }
    }
}

impl From<ExecOutput> for Reply {
    fn from(output: ExecOutput) -> Self {
        Reply::Exec { exit_code: output.exit_code, output: output.output }
    }
}

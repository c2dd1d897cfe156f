//! What runner and shim say to each other.
//!
//! On the shim's socket each connection carries one request and one reply, each a line of JSON. A request for streams
//! has two replies: the streams' ends, which travel with the first as descriptors, and the end of what they belong to.
//! A container is served by the version of the program that created it, so a variant is never renamed and a field never
//! loses its meaning; a verb that a shim does not know is refused in words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runner::runtime::{ContainerState, ExecOutput, RuntimeError, StreamOptions};

pub const VERSION: u32 = 1;
/// How the answer to a verb begins that the shim, which is as old as its container, does not know.
pub const NOT_UNDERSTOOD: &str = "cannot understand the request";

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
    /// Runs a command whose streams are the client's; answered by [`Reply::Streams`], then by [`Reply::Exited`].
    Stream {
        command: Vec<String>,
        streams: StreamOptions,
        /// The command is killed then, and the last reply is [`Reply::TimedOut`].
        #[serde(default)]
        timeout: Option<Duration>,
    },
    /// The streams of the container's own process; answered by [`Reply::Streams`], then by [`Reply::Exited`].
    Attach(StreamOptions),
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
    Exec {
        exit_code: Option<i32>,
        output: Vec<u8>,
    },
    /// Which ends have come with this reply, in this order.
    Streams {
        stdin: bool,
        stdout: bool,
        stderr: bool,
        terminal: bool,
    },
    /// The exit code, 128 + signal where a signal ended the process.
    Exited(i32),
    /// A command that ran for too long has been killed.
    TimedOut,
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

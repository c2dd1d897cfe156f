//! An exec probe: a command in the container ends with 0 [5.20].

use std::time::Duration;

use super::Outcome;
use crate::error::chain_of;
use crate::runner::runtime::Runtime;

pub(super) async fn succeeds<R: Runtime>(runtime: &R, id: &str, command: &[String], timeout: Duration) -> Outcome {
    match runtime.exec_sync(id, command, timeout).await {
        Ok(output) => match output.exit_code {
            Some(0) => Outcome::Success,
            Some(_) => Outcome::Failure(String::from_utf8_lossy(&output.output).trim_end().to_owned()),
            None => Outcome::Failure(format!(
                "command timed out: \"{}\" timed out after {}s",
                command.join(" "),
                timeout.as_secs()
            )),
        },
        Err(error) => Outcome::Unknown(chain_of(&error.into())),
    }
}

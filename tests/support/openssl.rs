//! The `openssl` program: another opinion on every certificate, and the maker of those that we did not make.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Run;

/// Runs it; the working directory is `directory`.
pub(crate) fn run<A: AsRef<OsStr>>(directory: &Path, args: impl IntoIterator<Item = A>) -> Run {
    let mut command = Command::new("openssl");
    let output = command.args(args).current_dir(directory).stdin(Stdio::null()).output();
    Run::from(output.expect("`openssl` is missing: apt-get install openssl"))
}

/// Its standard output, if it succeeds; the arguments are words of `line`.
#[track_caller]
pub(crate) fn say(directory: &Path, line: &str) -> String {
    run(directory, line.split_whitespace()).succeeds().stdout
}

//! The last step inside the container: confine the process and become the user's program.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::libc;
use nix::unistd::{AccessFlags, access};
use seccompiler::sock_filter;

use super::loan;
use crate::linux::process;
use crate::runner::runtime::seccomp::Filter;

/// First byte on the status pipe: everything is set up and the program is about to be executed. The pipe's end after
/// it means that this has worked; what follows it instead, or stands without it, is why not.
pub(super) const EXECUTING: u8 = b'>';

/// Runs the program of the specification under `filter`.
#[derive(Clone)]
pub(super) struct Program {
    /// Whether a program that is not there is found before anything is executed. A container's is not: its failed start
    /// is a run of its own [3.43].
    pub(super) is_looked_for: bool,
    pub(super) filter: Filter,
    /// What is left of its capabilities once the filter is installed; `None`: it holds no others now.
    pub(super) held: Option<u64>,
    /// Closed by a successful execution.
    pub(super) status: Arc<fs::File>,
}

impl Program {
    /// Runs after capabilities are dropped, but for those that are lent until the filter is installed.
    fn become_program(&self, spec: &Spec) -> Result<(), String> {
        let (path, arguments, environment) = self.resolve(spec)?;
        self.say(&[EXECUTING]);
        process::reset_sigpipe().map_err(|error| format!("cannot reset a signal: {error}"))?;
        self.confine()?;
        let Err(error) = nix::unistd::execve(&path, &arguments, &environment);
        Err(format!("exec {path:?}: {}", error.desc()))
    }

    fn confine(&self) -> Result<(), String> {
        let capabilities = |error| format!("cannot drop capabilities: {error}");
        if let Some(held) = self.held {
            process::forbid_capabilities(loan::mask() & !held).map_err(capabilities)?;
        }
        for program in &self.filter.programs {
            let instruction =
                |one: &sock_filter| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
            let program: Vec<_> = program.iter().map(instruction).collect();
            process::install_filter(&program, self.filter.flags)
                .map_err(|error| format!("cannot install the seccomp filter: {error}"))?;
        }
        match self.held {
            Some(held) => process::set_capabilities(held).map_err(capabilities),
            None => Ok(()),
        }
    }

    fn resolve(&self, spec: &Spec) -> Result<(CString, Vec<CString>, Vec<CString>), String> {
        let process = spec.process().as_ref().ok_or("the specification has no process")?;
        let arguments = process.args().as_deref().unwrap_or_default();
        let environment = process.env().as_deref().unwrap_or_default();
        let name = arguments.first().ok_or("no command")?;
        let path = executable(name, environment)?;
        let strings =
            |texts: &[String]| texts.iter().map(|text| CString::new(text.as_bytes())).collect::<Result<_, _>>();
        let nul = |_| "a NUL character in the command or its environment".to_owned();
        let path = CString::new(path.into_os_string().into_encoded_bytes()).map_err(nul)?;
        Ok((path, strings(arguments).map_err(nul)?, strings(environment).map_err(nul)?))
    }

    fn say(&self, bytes: &[u8]) {
        // nobody to tell when the shim is gone
        let _ = (&*self.status).write_all(bytes);
    }
}

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if !self.is_looked_for {
            return Ok(());
        }
        self.resolve(spec).map(drop).map_err(|message| {
            self.say(message.as_bytes());
            ExecutorValidationError::ArgValidationError(message)
        })
    }

    fn setup_envs(&self, _: std::collections::HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // the program gets the specification's own list, in its order
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        self.become_program(spec).map_err(|message| {
            self.say(message.as_bytes());
            ExecutorError::Other(message)
        })
    }
}

/// The file that a command names, as the user that this process has become sees it.
fn executable(name: &str, environment: &[String]) -> Result<PathBuf, String> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match fs::metadata(&path) {
            Err(error) => Err(format!("exec {name:?}: {error}")),
            Ok(found) if found.is_dir() => Err(format!("exec {name:?}: is a directory")),
            Ok(_) => match access(&path, AccessFlags::X_OK) {
                Err(error) => Err(format!("exec {name:?}: {}", error.desc())),
                Ok(()) => Ok(path),
            },
        };
    }
    let path = environment.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let candidates =
        path.split(':').map(|directory| PathBuf::from(if directory.is_empty() { "." } else { directory }).join(name));
    candidates
        .into_iter()
        .find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
        .ok_or_else(|| format!("exec {name:?}: executable file not found in $PATH"))
}

/// What the status pipe said: `Ok(true)` the program runs, `Ok(false)` it was never reached, `Err` why it failed.
pub(super) fn outcome(status: &[u8]) -> Result<bool, String> {
    match status {
        [] => Ok(false),
        [EXECUTING] => Ok(true),
        [EXECUTING, message @ ..] | message => Err(String::from_utf8_lossy(message).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_like_execvp_does() {
        let environment = ["A=b".to_owned(), "PATH=/nowhere:/bin:/usr/bin".to_owned()];
        assert_eq!(executable("sh", &environment), Ok(PathBuf::from("/bin/sh")));
        assert_eq!(executable("/bin/sh", &[]), Ok(PathBuf::from("/bin/sh")));
        let cases = [
            ("absent-program", "executable file not found in $PATH"),
            ("/absent/program", "No such file or directory"),
            ("/etc", "is a directory"),
            ("/proc/version", "Permission denied"),
        ];
        for (name, expected) in cases {
            let error = executable(name, &environment).expect_err(name);
            assert!(error.contains(expected) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_status_pipe_tells_three_ends() {
        assert_eq!(outcome(b">"), Ok(true));
        assert_eq!(outcome(b""), Ok(false));
        assert_eq!(outcome(b">exec format error"), Err("exec format error".into()));
        assert_eq!(outcome(b"not found"), Err("not found".into()));
    }
}

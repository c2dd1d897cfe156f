//! Runs a plugin: its parameters are environment variables, its input and output JSON.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::configuration::reason;
use crate::error::{Context, Result};
use crate::linux::pidfd::PidFd;

/// Of what a plugin prints, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// What all plugins of one operation are told.
pub(super) struct Operation<'a> {
    /// `ADD` or `DEL`.
    pub(super) command: &'static str,
    pub(super) sandbox: &'a str,
    /// `None` once it is gone.
    pub(super) namespace: Option<&'a Path>,
    pub(super) interface: &'a str,
    pub(super) arguments: &'a str,
    /// Where programs are, the first one first.
    pub(super) search: &'a [PathBuf],
    /// For each of the plugins.
    pub(super) patience: Duration,
}

impl Operation<'_> {
    /// Returns what the plugin prints, which may be nothing.
    pub(super) fn run(&self, plugin: &str, input: &Value) -> Result<Vec<u8>> {
        let cannot = || format!("CNI plugin `{plugin}` cannot {}", self.command);
        self.try_run(plugin, input).with_context(cannot)
    }

    fn try_run(&self, plugin: &str, input: &Value) -> Result<Vec<u8>> {
        let programs = self.search.iter().map(|directory| directory.join(plugin));
        let missing = || {
            let searched: Vec<_> = self.search.iter().map(|path| path.display().to_string()).collect();
            format!("there is no such program in `{}`", searched.join(":"))
        };
        let program = programs.into_iter().find(|program| program.is_file()).with_context(missing)?;
        // files in memory never make a writer wait for its reader
        let (mut stdin, mut stdout, mut stderr) = (memory()?, memory()?, memory()?);
        stdin.write_all(input.to_string().as_bytes()).and_then(|()| stdin.rewind()).context("cannot keep its input")?;
        let status = self.execute(&program, stdin, [&stdout, &stderr])?;
        let output = read(&mut stdout)?;
        if status.success() {
            return Ok(output);
        }
        if let Some(reason) = reason(&output) {
            anyhow::bail!("{reason}");
        }
        let words = String::from_utf8_lossy(&[output, read(&mut stderr)?].concat()).trim().to_owned();
        anyhow::bail!("{status}: {words}")
    }

    fn execute(&self, program: &Path, stdin: File, outputs: [&File; 2]) -> Result<ExitStatus> {
        let search = std::env::join_paths(self.search).context("a `:` in the path of the plugins' directory")?;
        let [stdout, stderr] = outputs.map(File::try_clone);
        let mut child = Command::new(program)
            .env("CNI_COMMAND", self.command)
            .env("CNI_CONTAINERID", self.sandbox)
            .env("CNI_NETNS", self.namespace.unwrap_or(Path::new("")))
            .env("CNI_IFNAME", self.interface)
            .env("CNI_ARGS", self.arguments)
            .env("CNI_PATH", search)
            .stdin(stdin)
            .stdout(stdout.context("cannot share a file")?)
            .stderr(stderr.context("cannot share a file")?)
            // with the plugins that it runs itself
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot execute `{}`", program.display()))?;
        let group = Pid::from_raw(child.id() as i32);
        let ended = PidFd::open(child.id()).and_then(|process| process.wait(Some(self.patience)));
        if !matches!(ended, Ok(true)) {
            // not waited for yet: the pid is nobody else's
            let _ = killpg(group, Signal::SIGKILL);
        }
        let status = child.wait().context("cannot wait for it")?;
        anyhow::ensure!(ended.context("cannot watch it")?, "it has not ended within {} s", self.patience.as_secs());
        Ok(status)
    }
}

fn memory() -> Result<File> {
    Ok(memfd_create("cni", MFdFlags::MFD_CLOEXEC).context("cannot make a file in memory")?.into())
}

fn read(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.take(LIMIT).read_to_end(&mut bytes)).context("cannot read its output")?;
    Ok(bytes)
}

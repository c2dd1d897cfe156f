//! Preflight: may init begin? Every check by its name, all verdicts together, each ignorable by name [6].
//!
//! Pure. `host::probe` looks at the machine.

use crate::desired::Desired;
use crate::error::{Fault, Result};
use crate::layout::port;

/// What the checks depend on.
#[derive(Debug, Clone)]
pub struct Machine {
    pub is_root: bool,
    pub cpus: usize,
    pub memory_bytes: u64,
    pub listeners: Vec<Listener>,
    /// etcd's data directory has content that this instance did not make.
    pub foreign_etcd_data: bool,
    pub cgroups: Cgroups,
    /// The kernel can mount overlayfs (`/proc/filesystems`, or a module).
    pub has_overlayfs: bool,
    /// Bytes free for images and etcd's data.
    pub free_bytes: u64,
    /// Another runtime's kubelet runs here.
    pub kubelet: Option<i32>,
    /// Seconds since the epoch.
    pub now: i64,
    /// The day of this program's source, in the same count: no clock that is right is before it.
    pub source_date: i64,
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    /// Process id and name, where they can be seen.
    pub process: Option<(i32, String)>,
    /// A container of this instance.
    pub ours: bool,
}

/// What is usable of the control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroups {
    Usable,
    /// Why not, in words.
    Unusable(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// As `--ignore-preflight-errors` takes it.
    pub check: String,
    pub severity: Severity,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// kubeadm's minima [10.1].
const MINIMUM_CPUS: usize = 2;
const MINIMUM_MEMORY: u64 = 1700 << 20;
/// Four images and a fresh etcd need about this much.
const MINIMUM_FREE: u64 = 1 << 30;

/// Runs every check.
pub fn check(desired: &Desired, machine: &Machine) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut add = |severity, check: &str, message: String| {
        verdicts.push(Verdict { check: check.to_owned(), severity, message });
    };
    if !machine.is_root {
        add(Severity::Error, "IsPrivilegedUser", "the user is not root".to_owned());
    }
    if machine.cpus < MINIMUM_CPUS {
        add(Severity::Error, "NumCPU", format!("{} CPU is available, {MINIMUM_CPUS} are needed", machine.cpus));
    }
    if machine.memory_bytes < MINIMUM_MEMORY {
        let found = machine.memory_bytes >> 20;
        add(Severity::Error, "Mem", format!("{found} MiB of memory, {} MiB are needed", MINIMUM_MEMORY >> 20));
    }
    for listener in machine.listeners.iter().filter(|listener| !listener.ours) {
        let holder = match &listener.process {
            Some((pid, name)) => format!("by `{name}` (pid {pid})"),
            None => "by a process that cannot be seen from here".to_owned(),
        };
        let name = format!("Port-{}", listener.port);
        add(Severity::Error, &name, format!("port {} is in use {holder}", listener.port));
    }
    if let Some(member) = desired.config.etcd.local().filter(|_| machine.foreign_etcd_data) {
        let directory = member.data_dir.to_string_lossy();
        let name = format!("DirAvailable-{}", directory.replace('/', "-"));
        add(Severity::Error, &name, format!("`{directory}` is not empty, and its data is not this control plane's"));
    }
    if let Cgroups::Unusable(reason) = &machine.cgroups {
        add(Severity::Error, "SystemVerification", format!("control groups cannot be used: {reason}"));
    }
    if !machine.has_overlayfs {
        add(Severity::Error, "SystemVerification", "the kernel has no overlayfs".to_owned());
    }
    if machine.free_bytes < MINIMUM_FREE {
        let free = machine.free_bytes >> 20;
        add(Severity::Warning, "DiskSpace", format!("only {free} MiB are free for images and etcd's data"));
    }
    if let Some(pid) = machine.kubelet {
        let message = format!("a kubelet runs (pid {pid}); it would run the same manifests a second time");
        add(Severity::Error, "KubeletRunning", message);
    }
    if machine.now < machine.source_date {
        let message = "the clock is before the day this program was written; certificates would not be valid yet";
        add(Severity::Error, "Clock", message.to_owned());
    }
    verdicts
}

/// The ports that the control plane will listen on.
pub fn ports(desired: &Desired) -> Vec<u16> {
    let endpoint = desired.config.local_api_endpoint;
    let mut ports = vec![endpoint.bind_port, port::CONTROLLER_MANAGER, port::SCHEDULER];
    if desired.config.etcd.local().is_some() {
        ports.extend([port::ETCD_CLIENT, port::ETCD_PEER, port::ETCD_METRICS]);
    }
    ports
}

/// Turns ignored errors into warnings; fails with all that remain, otherwise returns the warnings.
pub fn judge(verdicts: Vec<Verdict>, ignored: impl Fn(&str) -> bool) -> Result<Vec<Verdict>> {
    let (errors, warnings): (Vec<_>, Vec<_>) = verdicts
        .into_iter()
        .map(|verdict| match ignored(&verdict.check) {
            true => Verdict { severity: Severity::Warning, ..verdict },
            false => verdict,
        })
        .partition(|verdict| verdict.severity == Severity::Error);
    if errors.is_empty() {
        return Ok(warnings);
    }
    let root_only = errors.iter().all(|error| error.check == "IsPrivilegedUser");
    let told: Vec<_> = errors.iter().map(|error| format!("[{}] {}", error.check, error.message)).collect();
    let hint = match root_only {
        true => "run it as root; `--dry-run` needs no root".to_owned(),
        false => {
            let names: Vec<_> = errors.iter().map(|error| error.check.as_str()).collect();
            format!("`--ignore-preflight-errors={}` goes on all the same; nothing was changed", names.join(","))
        }
    };
    Err(Fault::usage(format!("preflight refused: {}", told.join("; "))).hint(hint).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verdict(check: &str, severity: Severity) -> Verdict {
        Verdict { check: check.to_owned(), severity, message: "no".to_owned() }
    }

    #[test]
    fn ignored_errors_become_warnings_and_the_rest_is_told_together() {
        let verdicts =
            || vec![verdict("A", Severity::Error), verdict("B", Severity::Error), verdict("C", Severity::Warning)];
        let error = judge(verdicts(), |_| false).unwrap_err();
        assert_eq!(error.to_string(), "preflight refused: [A] no; [B] no");
        assert!(judge(verdicts(), |check| check == "A").unwrap_err().to_string().contains("[B]"));
        assert_eq!(judge(verdicts(), |_| true).unwrap().len(), 3);
    }
}

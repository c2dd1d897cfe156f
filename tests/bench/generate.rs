//! The generate path alone: certificates, kubeconfigs and manifests, and nothing that runs. As a dry run, as init writes
//! them, and as kubeadm writes the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tempfile::TempDir;

use crate::RSA;
use crate::figures::Figure;
use crate::support::components::{COMPONENTS, ECDSA};
use crate::support::images::TEMPORARY;
use crate::support::network::ADDRESS;

/// Milliseconds that either way of writing the files may take with keys that cost nothing.
pub(crate) const ALLOWED_MS: f64 = 30.0;
/// How many times as long kubeadm has to take.
const TIMES: f64 = 2.0;

/// All but certificates, kubeconfigs and manifests.
const SKIPPED: &str = "--skip-phases=preflight,images,kubelet-start,runner-start,wait-control-plane,upload-config,\
    upload-certs,mark-control-plane,bootstrap-token,kubelet-finalize,addon,show-join-command";
const SKIPPED_BY_KUBEADM: &str = "--skip-phases=preflight,kubelet-start,wait-control-plane,upload-config,\
    upload-certs,mark-control-plane,bootstrap-token,kubelet-finalize,addon";

/// Whole processes, in milliseconds.
#[derive(Default)]
pub(crate) struct Generate {
    pub(crate) dry_run: Figure,
    pub(crate) written: Figure,
    rsa: Figure,
    kubeadm: Figure,
    /// kubeadm's time over init's in the same round.
    times: Figure,
    cpu_times: Figure,
}

/// What one process took.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

impl Generate {
    /// ECDSA's keys take no time, RSA's vary: each is made as often in a round as its figure needs.
    pub(crate) fn round(&mut self) {
        for _ in 0..5 {
            let directory = directory();
            let out = directory.path().join("tree");
            let mut command = init(directory.path(), ECDSA);
            command.arg("--dry-run").arg("--out").arg(&out);
            self.dry_run.add(milliseconds(run(&mut command).wall));
            self.written.add(milliseconds(run(init(directory.path(), ECDSA).arg(SKIPPED)).wall));
        }
        for _ in 0..4 {
            let (ours, theirs) = (directory(), directory());
            let own = run(init(ours.path(), RSA).arg(SKIPPED));
            let kubeadm = run(&mut kubeadm(theirs.path()));
            let files = |root: &Path| names(&root.join("etc/kubernetes"));
            assert_eq!(files(&ours.path().join("root")), files(theirs.path()), "both make the same files");
            self.rsa.add(milliseconds(own.wall));
            self.kubeadm.add(milliseconds(kubeadm.wall));
            self.times.add(kubeadm.wall.as_secs_f64() / own.wall.as_secs_f64());
            self.cpu_times.add(kubeadm.cpu.as_secs_f64() / own.cpu.as_secs_f64());
        }
    }

    pub(crate) fn print(&self) {
        self.dry_run.print("generate, ECDSA-P256: dry run", "ms");
        self.written.print("generate, ECDSA-P256: written and synced", "ms");
        self.rsa.print("generate, RSA-2048: written and synced", "ms");
        self.kubeadm.print("generate, RSA-2048: kubeadm", "ms");
    }

    /// kubeadm makes one key after the other; init uses every core, so the CPU's time is told, too.
    pub(crate) fn judge(&self) {
        let name = format!("generate, RSA-2048: kubeadm's time over init's ({:.2} of CPU)", self.cpu_times.median());
        judge_ratio(&name, &self.times, TIMES);
    }
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("generate-").tempdir_in(TEMPORARY).unwrap()
}

fn init(directory: &Path, cluster: &str) -> Command {
    let config = directory.join("config.yaml");
    fs::write(&config, COMPONENTS.configuration("", cluster)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.arg("--root").arg(directory.join("root")).arg("init").arg("--config").arg(config);
    command
}

/// In a root directory of its own, which it enters.
fn kubeadm(root: &Path) -> Command {
    let beside = COMPONENTS.binary("kubeadm");
    let mut command = Command::new(if beside.is_file() { beside } else { PathBuf::from("kubeadm") });
    command.arg("init").arg(SKIPPED_BY_KUBEADM).args(["--rootfs".as_ref(), root.as_os_str()]);
    command.args(["--node-name=node".to_owned(), format!("--apiserver-advertise-address={ADDRESS}")]);
    command.arg(format!("--kubernetes-version={}", COMPONENTS.kubernetes_version));
    command
}

fn run(command: &mut Command) -> Cost {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds().cast_unsigned())
    };
    let before = cpu();
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let wall = begin.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Cost { wall, cpu: cpu() - before }
}

/// The files below a directory.
fn names(directory: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => waiting.push(path),
                false => drop(names.insert(path.strip_prefix(directory).unwrap().to_owned())),
            }
        }
    }
    names
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A line of the verdict about a ratio that should be at least `wanted`, of the rounds' own ratios.
fn judge_ratio(name: &str, ratio: &Figure, wanted: f64) {
    let verdict = if ratio.median() >= wanted { "ok" } else { "MISSED" };
    let (min, median) = (ratio.min(), ratio.median());
    println!("  {name:<44} min {min:>8.2}   median {median:>8.2}   at least {wanted} times: {verdict}");
}

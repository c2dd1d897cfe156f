//! The program itself, timed from outside: init, reset, and what it costs to let it run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bootstrap::control::{ContainerState, ContainerStatus, Status};
use jiff::Timestamp;
use procfs::process::Process;
use tempfile::TempDir;

use crate::support::components::COMPONENTS;
use crate::support::{images, sweep};
use crate::wait;

/// From the start of init's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Init {
    pub(crate) ready: Duration,
    /// Everything healthy, and init has ended.
    pub(crate) done: Duration,
}

/// What runs costs while nothing happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) runner_mib: f64,
    /// Percent of one core.
    pub(crate) runner_cpu: f64,
    /// Of the largest.
    pub(crate) shim_mib: f64,
}

/// One root directory with the images in its store.
pub(crate) struct Product {
    directory: TempDir,
    root: PathBuf,
}

impl Product {
    pub(crate) fn new(cluster: &str) -> Product {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(images::TEMPORARY).unwrap();
        let root = directory.path().join("root");
        images::give(&root);
        fs::write(directory.path().join("config.yaml"), COMPONENTS.configuration("", cluster)).unwrap();
        Product { directory, root }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        command.arg(format!("--root={}", self.root.display())).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn init_command(&self) -> Command {
        let mut command = self.command(&["init"]);
        command.arg(format!("--config={}", self.directory.path().join("config.yaml").display()));
        command
    }

    pub(crate) fn init(&self) -> Init {
        let mut command = self.init_command();
        command.stderr(fs::File::create(self.directory.path().join("init.log")).unwrap());
        let begin = Instant::now();
        let mut child = command.spawn().unwrap();
        let end = std::thread::spawn(move || (child.wait().unwrap(), begin.elapsed()));
        let kubeconfig = loop {
            if end.is_finished() {
                break String::new();
            }
            match fs::read_to_string(wait::administrator(&self.root)) {
                Ok(text) => break text,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        if !kubeconfig.is_empty() {
            wait::until_ready(&kubeconfig);
        }
        let ready = begin.elapsed();
        let (status, done) = end.join().unwrap();
        let told = fs::read_to_string(self.directory.path().join("init.log")).unwrap();
        assert!(status.success(), "init: {told}");
        Init { ready, done }
    }

    pub(crate) fn reset(&self) -> Duration {
        let begin = Instant::now();
        assert!(self.command(&["reset", "--force"]).stderr(Stdio::null()).status().unwrap().success());
        begin.elapsed()
    }

    /// `--dry-run --out` into an empty directory, which it returns.
    pub(crate) fn dry_run(&self) -> PathBuf {
        let tree = self.directory.path().join("tree");
        let mut command = self.init_command();
        command.args(["--dry-run", "--out"]).arg(&tree);
        assert!(command.status().unwrap().success());
        tree
    }

    /// Milliseconds from the end of a container to its successor's running, as the runner's log tells them: the
    /// decision, the new container's creation and its start.
    pub(crate) fn container_starts(&self) -> Vec<f64> {
        ["kube-scheduler", "kube-controller-manager"].map(|name| self.restart(name)).into()
    }

    fn restart(&self, name: &str) -> f64 {
        let container = || {
            let output = self.command(&["status", "-o", "json"]).stdout(Stdio::piped()).output().unwrap();
            let status: Status = serde_json::from_slice(&output.stdout).unwrap();
            let mut containers = status.pods.into_iter().flat_map(|pod| pod.containers);
            containers.find(|container| container.name == name).unwrap()
        };
        let id = container().id.unwrap();
        assert!(self.command(&["stop", &id]).stdout(Stdio::null()).status().unwrap().success());
        while !matches!(container(), ContainerStatus { restarts: 1, state: ContainerState::Running { .. }, .. }) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.root.join("var/log/bootstrap-runner.log")).unwrap();
        let moment = |text: &str| {
            let line = log.lines().rfind(|line| line.contains(&format!("{name}: {text}")));
            let line = line.unwrap_or_else(|| panic!("`{name}: {text}` is not in the runner's log:\n{log}"));
            line.split(' ').next().unwrap().parse::<Timestamp>().unwrap()
        };
        moment("started (").duration_since(moment("ended:")).as_secs_f64() * 1000.0
    }

    /// Watches what init has left running.
    pub(crate) fn idle(&self, time: Duration) -> Idle {
        let output = self.command(&["status", "-o", "json"]).stdout(Stdio::piped()).output().unwrap();
        let status: Status = serde_json::from_slice(&output.stdout).unwrap();
        let runner = Process::new(status.runner.pid.cast_signed()).unwrap();
        let before = cpu(&runner);
        std::thread::sleep(time);
        let runner_cpu = (cpu(&runner) - before) / time.as_secs_f64() * 100.0;
        let containers = status.pods.iter().flat_map(|pod| &pod.containers);
        let shims = containers.filter_map(|container| match container.state {
            ContainerState::Running { pid, .. } => Some(parent(pid)),
            _ => None,
        });
        let shim_mib = shims.map(|shim| private_mib(&shim)).fold(0.0, f64::max);
        Idle { runner_mib: private_mib(&runner), runner_cpu, shim_mib }
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        sweep::sweep(&self.root);
    }
}

fn parent(pid: u32) -> Process {
    let child = Process::new(pid.cast_signed()).unwrap();
    Process::new(child.stat().unwrap().ppid).unwrap()
}

/// Seconds of CPU time.
fn cpu(process: &Process) -> f64 {
    let stat = process.stat().unwrap();
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// Memory that would be free without this process.
fn private_mib(process: &Process) -> f64 {
    let rollup = process.smaps_rollup().unwrap();
    let map = rollup.memory_map_rollup.iter().next().unwrap();
    let bytes = ["Private_Clean", "Private_Dirty"].map(|key| map.extension.map.get(key).copied().unwrap_or_default());
    bytes.iter().sum::<u64>() as f64 / f64::from(1 << 20)
}

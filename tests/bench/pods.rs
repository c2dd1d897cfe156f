//! A runner with small static pods, timed from outside: by its status, its log and `/proc`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bootstrap::control::{ContainerState, PodStatus, Status};
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Process;
use tempfile::TempDir;

use crate::support::sweep;

/// One program, which does nothing for a long time.
pub(crate) const IMAGE: &str = "test.local/sleep:1";
pub(crate) const SECONDS: &str = "1000000";

/// Nothing takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// A root directory with one image, and a runner.
pub(crate) struct Machine {
    _directory: TempDir,
    pub(crate) root: PathBuf,
    runner: Child,
}

/// A pod that has been started.
pub(crate) struct Started {
    pub(crate) name: String,
    /// From the moment its manifest appeared.
    pub(crate) started_after: Duration,
}

/// Both from the signal.
pub(crate) struct Crash {
    pub(crate) noticed_after: Duration,
    pub(crate) started_after: Duration,
}

/// What many pods cost.
pub(crate) struct Many {
    pub(crate) all_started: Duration,
    /// Seconds of the runner's CPU time until all are started.
    pub(crate) starting_cpu: f64,
    /// Percent of a core.
    pub(crate) idle_cpu: f64,
    pub(crate) resident_mib: f64,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let directory = tempfile::Builder::new().prefix("pods-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("etc/kubernetes/manifests")).unwrap();
        let output = program(&root).args(["images", "build", IMAGE, "--binary", "/bin/sleep"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let runner = program(&root)
            .args(["runner", "--node-name=node", "--node-ip=127.0.0.1", "--port=0", "--max-pods=1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(root.join("runner.log")).unwrap())
            .spawn()
            .unwrap();
        let machine = Machine { _directory: directory, root, runner };
        wait("an answer of the runner", || {
            program(&machine.root).arg("ps").output().unwrap().status.success().then_some(())
        });
        machine
    }

    /// A new pod, whose manifest is written beside the directory and moved into it.
    pub(crate) fn start(&self, number: usize) -> Started {
        let name = format!("pod-{number:03}");
        let begin = self.write(&name, 0);
        Started { started_after: since(begin, started(&self.running(&name, |_| true))), name }
    }

    /// Kills the pod's container.
    pub(crate) fn crash(&self, name: &str) -> Crash {
        let before = self.running(name, |_| true);
        let ContainerState::Running { pid, .. } = before.containers[0].state else { unreachable!() };
        let begin = Timestamp::now();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        let after = self.running(name, |pod| pod.containers[0].restarts == 1);
        let noticed = self.logged(&format!(" {name}: ended:"));
        Crash { noticed_after: since(begin, noticed), started_after: since(begin, started(&after)) }
    }

    /// From the end of the pod's container to the start of its successor's in a new pod.
    pub(crate) fn replace(&self, name: &str) -> Duration {
        let before = self.running(name, |_| true);
        self.write(name, 1);
        let after = self.running(name, |pod| pod.uid != before.uid);
        since(self.logged(&format!(" {name}: ended:")), started(&after))
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.manifest(name)).unwrap();
        wait("the end of a pod", || self.find(name).is_none().then_some(()));
    }

    /// Many pods at once, and then nothing for some time.
    pub(crate) fn many(&self, count: usize, idle: Duration) -> Many {
        let names: Vec<_> = (0..count).map(|number| format!("many-{number:03}")).collect();
        let runner = Process::new(self.runner.id().cast_signed()).unwrap();
        let before = cpu(&runner);
        let begin = names.iter().map(|name| self.write(name, 0)).min().unwrap();
        let last = wait("the last pod", || {
            let pods = self.status().pods;
            let is_running = |pod: &&PodStatus| matches!(pod.containers[0].state, ContainerState::Running { .. });
            (pods.iter().filter(is_running).count() == count).then(|| pods.iter().map(started).max().unwrap())
        });
        let starting_cpu = cpu(&runner) - before;
        // what the last start has left to do
        std::thread::sleep(idle / 3);
        let before = cpu(&runner);
        std::thread::sleep(idle);
        let idle_cpu = (cpu(&runner) - before) / idle.as_secs_f64() * 100.0;
        let resident_mib = runner.status().unwrap().vmrss.unwrap() as f64 / 1024.0;
        Many { all_started: since(begin, last), starting_cpu, idle_cpu, resident_mib }
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.root.join("etc/kubernetes/manifests").join(name).with_extension("yaml")
    }

    /// Returns the moment before it appears.
    fn write(&self, name: &str, revision: u32) -> Timestamp {
        let hidden = self.root.join(name);
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  hostNetwork: true\n  \
             terminationGracePeriodSeconds: 0\n  containers:\n  - name: {name}\n    image: {IMAGE}\n    \
             args: [\"{SECONDS}\"]\n    env: [{{name: REVISION, value: \"{revision}\"}}]\n"
        );
        fs::write(&hidden, text).unwrap();
        let begin = Timestamp::now();
        fs::rename(hidden, self.manifest(name)).unwrap();
        begin
    }

    fn status(&self) -> Status {
        let output = program(&self.root).args(["status", "-o", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn find(&self, name: &str) -> Option<PodStatus> {
        self.status().pods.into_iter().find(|pod| pod.containers[0].name == name)
    }

    fn running(&self, name: &str, holds: impl Fn(&PodStatus) -> bool) -> PodStatus {
        let is_running = |pod: &PodStatus| matches!(pod.containers[0].state, ContainerState::Running { .. });
        wait("a running pod", || self.find(name).filter(|pod| is_running(pod) && holds(pod)))
    }

    /// The moment of the last line with this text in the runner's log.
    fn logged(&self, text: &str) -> Timestamp {
        let log = fs::read_to_string(self.root.join("runner.log")).unwrap();
        let line = log.lines().rfind(|line| line.contains(text));
        let line = line.unwrap_or_else(|| panic!("`{text}` is not in the runner's log:\n{log}"));
        line.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.runner.kill().and_then(|()| self.runner.wait());
        sweep::sweep(&self.root);
    }
}

fn program(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.arg(format!("--root={}", root.display()));
    command
}

fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(POLL);
    }
}

fn started(pod: &PodStatus) -> Timestamp {
    match pod.containers[0].state {
        ContainerState::Running { started_at, .. } => started_at,
        _ => panic!("it does not run: {pod:?}"),
    }
}

fn since(begin: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(begin)).unwrap_or_default()
}

/// Seconds of CPU time.
fn cpu(process: &Process) -> f64 {
    let stat = process.stat().unwrap();
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

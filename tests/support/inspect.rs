//! What can be seen of a node: through the program, through the API, and by looking at the kernel.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bootstrap::control::{ContainerState, ContainerStatus, Status};

use super::components::{COMPONENTS, NAMES};
use super::node::Node;
use super::{Run, sweep};

/// Longer than anything takes that works, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(POLL);
    }
}

/// What of two states of a node must not change unless something was restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) pid: u32,
    pub(crate) restarts: u32,
}

impl Node {
    /// Runs the program on this node.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    /// Runs `init` with the node's configuration.
    pub(crate) fn init(&self) -> Run {
        Run::of(self.init_command())
    }

    /// As the cluster's administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Run {
        Run::of(self.kubectl_command(arguments))
    }

    /// As the cluster's administrator, ready to be started.
    pub(crate) fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let own = COMPONENTS.binary("kubectl");
        let mut command = self.other(if own.exists() { &own } else { "kubectl".as_ref() });
        command
            .arg(format!("--kubeconfig={}", self.path("etc/kubernetes/admin.conf").display()))
            .arg(format!("--cache-dir={}", self.directory.path().join("kubectl").display()))
            .args(arguments);
        command
    }

    /// The standard output of a kubectl that succeeds.
    #[track_caller]
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        self.kubectl(arguments).succeeds().stdout
    }

    /// Waits until the API server says that it is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        eventually("/readyz", || (self.kubectl(&["get", "--raw", "/readyz"]).code == 0).then_some(()));
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        serde_json::from_str(&self.run(&["status", "-o", "json"]).succeeds().stdout).unwrap()
    }

    /// The status of a component, by the name of its container.
    pub(crate) fn find(&self, component: &str) -> Option<ContainerStatus> {
        let containers = self.status().pods.into_iter().flat_map(|pod| pod.containers);
        containers.into_iter().find(|container| container.name == component)
    }

    /// A component's container, if it is running.
    pub(crate) fn running(&self, component: &str) -> Option<Identity> {
        let container = self.find(component)?;
        let ContainerState::Running { pid, .. } = container.state else { return None };
        Some(Identity { name: container.name, id: container.id?, pid, restarts: container.restarts })
    }

    /// Every component's container, all of them running.
    #[track_caller]
    pub(crate) fn identities(&self) -> Vec<Identity> {
        NAMES
            .map(|name| self.running(name).unwrap_or_else(|| panic!("{name} does not run: {:?}", self.find(name))))
            .into()
    }

    /// Processes of this node by the name of their program, wherever they came from.
    pub(crate) fn processes(&self, name: &str) -> Vec<i32> {
        let mut pids: Vec<_> =
            sweep::control_groups(&self.root).iter().flat_map(|group| sweep::processes(group)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| is_named(&comm, name)));
        pids
    }

    /// TCP sockets that listen in the node's network, as `ss` shows them.
    pub(crate) fn listeners(&self) -> String {
        let output = self.other("ss".as_ref()).args(["-Hltn"]).output();
        Run::from(output.expect("`ss` is missing: apt-get install iproute2")).stdout
    }

    /// The runner's process.
    #[track_caller]
    pub(crate) fn runner(&self) -> i32 {
        i32::try_from(self.status().runner.pid).unwrap()
    }
}

/// The kernel keeps 15 bytes of a name.
fn is_named(comm: &str, name: &str) -> bool {
    comm.trim_end() == &name[..name.len().min(15)]
}

impl Run {
    pub(crate) fn of(mut command: Command) -> Run {
        Run::from(command.stdin(Stdio::null()).output().unwrap())
    }
}

/// Ends a process as `kill -9` does, and returns when it has ended.
pub(crate) fn kill(pid: impl TryInto<i32>) {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap_or_else(|_| panic!("no process id")));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the end of a killed process", || (!is_alive(pid.as_raw())).then_some(()));
}

/// A zombie has ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    let process = procfs::process::Process::new(pid).and_then(|process| process.stat());
    process.is_ok_and(|stat| stat.state != 'Z')
}

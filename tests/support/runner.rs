//! A node with a runner and a registry, and no control plane: the embedded runtime runs whatever manifests say.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use bootstrap::control::{ContainerState, ContainerStatus, PodStatus, Rejected};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::inspect::eventually;
use super::network::ADDRESS;
use super::node::Node;
use super::registry::Registry;
use super::workloads;

/// The node's name, the suffix of every pod's.
pub(crate) const NAME: &str = "my-node1";

/// Where the manifests are unless a test says something else.
pub(crate) const MANIFESTS: &str = "etc/kubelet.d";

pub(crate) struct Runner {
    process: Option<Child>,
    /// Of the directory of manifests, or of the one manifest, below the node's root.
    manifests: String,
    arguments: Vec<String>,
    _registry: Registry,
    pub(crate) node: Node,
}

impl Runner {
    /// A node with a running runner and an empty directory of manifests.
    pub(crate) fn new() -> Runner {
        let mut runner = Runner::stopped();
        runner.start();
        runner
    }

    /// The runner is yet to be started.
    pub(crate) fn stopped() -> Runner {
        Runner::reading(MANIFESTS, &[])
    }

    /// The runner, yet to be started, reads manifests at this place below the root, and has further arguments.
    pub(crate) fn reading(manifests: &str, arguments: &[&str]) -> Runner {
        let node = Node::bare();
        let registry = workloads::serve(&node);
        fs::create_dir_all(node.path(manifests)).unwrap();
        fs::create_dir_all(node.path("var/log")).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Runner { process: None, manifests: manifests.to_owned(), arguments, _registry: registry, node }
    }

    pub(crate) fn start(&mut self) {
        self.spawn();
        eventually("an answer of the runner", || (self.node.run(&["ps"]).code == 0).then_some(()));
    }

    /// As [`Runner::start`], but does not wait until it answers.
    pub(crate) fn spawn(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.node.path("var/log/bootstrap-runner.log"));
        let mut command = self.node.command(&["runner"]);
        command.arg(format!("--node-name={NAME}")).arg(format!("--node-ip={ADDRESS}"));
        if self.manifests != "etc/kubernetes/manifests" {
            command.arg(format!("--manifests=/{}", self.manifests));
        }
        let child =
            command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap()).spawn();
        self.process = Some(child.unwrap());
    }

    /// Ends the runner by a signal; containers live on.
    pub(crate) fn stop(&mut self, signal: Signal) {
        let mut process = self.process.take().unwrap();
        kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
        process.wait().unwrap();
    }

    pub(crate) fn manifest(&self, file: &str) -> PathBuf {
        self.node.path(&self.manifests).join(file)
    }

    /// Writes a manifest beside its place, and moves it there.
    pub(crate) fn put(&self, file: &str, text: &str) {
        let hidden = self.manifest(&format!(".{file}"));
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.manifest(file)).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.manifest(file)).unwrap();
    }

    /// A pod's status, by the name in its manifest.
    pub(crate) fn find(&self, pod: &str) -> Option<PodStatus> {
        let name = format!("{pod}-{NAME}");
        self.node.status().pods.into_iter().find(|pod| pod.name == name)
    }

    /// Waits until the pod is as told.
    #[track_caller]
    pub(crate) fn pod(&self, pod: &str, mut holds: impl FnMut(&PodStatus) -> bool) -> PodStatus {
        eventually(&format!("pod {pod}"), || self.find(pod).filter(|status| holds(status)))
    }

    /// Waits until all the pod's containers run and are ready.
    #[track_caller]
    pub(crate) fn ready(&self, pod: &str) -> PodStatus {
        self.pod(pod, is_ready)
    }

    /// Waits until nothing is left of the pod but its logs.
    #[track_caller]
    pub(crate) fn gone(&self, pod: &str) {
        eventually(&format!("the end of pod {pod}"), || self.find(pod).is_none().then_some(()));
    }

    #[track_caller]
    pub(crate) fn rejected(&self, file: &str) -> Rejected {
        let path = self.manifest(file);
        eventually(file, || self.node.status().rejected.into_iter().find(|rejected| rejected.path == path))
    }

    /// The log of a pod's only container.
    #[track_caller]
    pub(crate) fn log(&self, pod: &str) -> String {
        self.node.run(&["logs", &format!("{pod}-{NAME}")]).succeeds().stdout
    }

    /// Waits until the only container of a pod has written this.
    #[track_caller]
    pub(crate) fn logged(&self, pod: &str, text: &str) -> String {
        let log = || self.node.run(&["logs", &format!("{pod}-{NAME}")]).stdout;
        eventually(&format!("`{text}` of {pod}"), || Some(log()).filter(|log| log.contains(text)))
    }

    /// What a web server on the node's loopback answers.
    pub(crate) fn get(&self, port: u16) -> Option<String> {
        self.node.network.enter();
        http_get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // one that has ended needs no ending
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

/// Every container runs and is ready.
pub(crate) fn is_ready(pod: &PodStatus) -> bool {
    pod.containers.iter().all(|container| pid(container).is_some() && container.ready)
}

/// The process of a container that runs.
pub(crate) fn pid(container: &ContainerStatus) -> Option<i32> {
    match container.state {
        ContainerState::Running { pid, .. } => Some(pid.cast_signed()),
        _ => None,
    }
}

/// The body of `/` at this address.
pub(crate) fn http_get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

//! The container runtime as the runner sees it: the CRI's verbs and words.
//!
//! Two things implement [`Runtime`]: `embedded`, which runs real containers through shims, and the tests' double.
//! It knows nothing of manifests, probes or restart policies. An id is opaque, unique for ever on this machine, and
//! made of `[a-z0-9]`; everything a new runner needs to adopt what runs is in [`PodSandbox`] and [`Container`].

pub mod embedded;
pub mod log;
pub mod pause;
pub mod seccomp;
pub mod shim;
pub mod spec;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::registry::credentials::Credential;

/// Why the runtime could not do something; the runner turns these into the kubelet's reasons.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The image is not in the store.
    #[error("image `{0}` is not present")]
    ImageNotPresent(String),
    /// The registry, an archive or the network refused.
    #[error("cannot pull image `{image}`")]
    PullFailed { image: String, source: anyhow::Error },
    /// The container's configuration cannot be turned into a process: no such user, no command, …
    #[error("{0}")]
    BadConfig(String),
    #[error("there is no {kind} `{id}`")]
    NotFound { kind: &'static str, id: String },
    #[error("the command has not ended in time, and was killed")]
    TimedOut,
    /// Everything else: the kernel, the disk, the shim.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

pub type RuntimeResult<T> = std::result::Result<T, RuntimeError>;

/// Identity of a pod as it stands in log paths and cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodMetadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

/// What the sandbox shares with the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceOptions {
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// One PID namespace for all containers, unless it is the node's.
    #[serde(default)]
    pub share_process: bool,
}

/// What stands in a `/etc/resolv.conf`; its `Display` is that file's text [3.91].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    /// `name` or `name:value`.
    pub options: Vec<String>,
}

impl std::fmt::Display for DnsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.searches.is_empty() {
            writeln!(f, "search {}", self.searches.join(" "))?;
        }
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        })
    }
}

/// A port of the node that leads to a pod with a network of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub protocol: Protocol,
    pub container_port: u16,
    pub host_port: u16,
    /// Only on this address of the node; `None` or an unspecified one for all.
    pub host_ip: Option<IpAddr>,
}

impl PortMapping {
    /// Both cannot be there at once.
    pub fn collides(&self, other: &PortMapping) -> bool {
        let address = |mapping: &PortMapping| mapping.host_ip.filter(|ip| !ip.is_unspecified());
        let is_one_address = match (address(self), address(other)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.protocol == other.protocol && self.host_port == other.host_port && is_one_address
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodSandboxConfig {
    pub metadata: PodMetadata,
    /// Counts the sandboxes of one pod, from 0.
    pub attempt: u32,
    pub hostname: String,
    /// For `/etc/resolv.conf`; without it the node's own is copied.
    #[serde(default)]
    pub dns: Option<DnsConfig>,
    /// Absolute, on the machine: where the containers' logs go.
    pub log_directory: PathBuf,
    pub namespaces: NamespaceOptions,
    /// For a pod with a network of its own.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// Parameters of the kernel in the pod's own namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Where the pod's own cgroup is.
    #[serde(default)]
    pub cgroup_parent: CgroupParent,
    /// Limits of the pod's own cgroup, the parent of its containers'.
    pub resources: Resources,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Which cgroup of the instance a pod's is in [3.100].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupParent {
    /// The uppermost, where earlier versions put every pod.
    #[default]
    Instance,
    /// That of all pods: those that are guaranteed what they ask for, and those of which nothing is known.
    Pods,
    Burstable,
    BestEffort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    Ready,
    /// Stopped, or lost with a reboot.
    NotReady,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodSandbox {
    pub id: String,
    pub state: SandboxState,
    pub created_at: Timestamp,
    /// Of its own network, the primary one first; none on the node's.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    pub config: PodSandboxConfig,
}

/// Limits in the kernel's units; `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// cgroup v1 cpu.shares, 2 to 262144; converted to cpu.weight on v2.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU time in each period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    pub pids_limit: Option<i64>,
    /// -1000 to 1000; for a container only.
    pub oom_score_adj: Option<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// Nobody has said: what it means is decided when the container is asked for; to a runtime it means unconfined.
    #[default]
    Unspecified,
    /// The container engines' common default list.
    RuntimeDefault,
    /// A file in the OCI's format, relative to the kubelet's directory of profiles [3.82].
    Localhost(PathBuf),
    Unconfined,
}

impl SeccompProfile {
    /// Whether anything is refused at all.
    pub fn is_filtering(&self) -> bool {
        matches!(self, SeccompProfile::RuntimeDefault | SeccompProfile::Localhost(_))
    }
}

/// A container's securityContext after the pod's has been merged in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityContext {
    pub privileged: bool,
    /// Names without `CAP_`, or `ALL`.
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    /// `None`: the image's user.
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub supplemental_groups: Vec<i64>,
    /// `supplementalGroupsPolicy: Strict`: the image's memberships do not count [3.77].
    #[serde(default)]
    pub strict_groups: bool,
    pub run_as_non_root: bool,
    pub read_only_root_filesystem: bool,
    pub no_new_privileges: bool,
    /// `procMount: Unmasked` when true.
    pub unmasked_proc: bool,
    pub seccomp: SeccompProfile,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, on the machine (the instance's root is already in it); empty where an image is mounted.
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
    /// An image that is mounted in place of a path of the machine, read-only.
    #[serde(default)]
    pub image: Option<ImageMount>,
}

/// What is mounted of an image, which must be in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMount {
    pub image: String,
    /// Relative, in the image; the empty path is all of it.
    pub sub_path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    pub name: String,
    /// The restart count this start will have.
    pub attempt: u32,
    /// As the manifest names it; must be in the store.
    pub image: String,
    /// Overrides the image's entrypoint (and its cmd) when not empty.
    pub command: Vec<String>,
    /// Overrides the image's cmd when not empty.
    pub args: Vec<String>,
    pub working_dir: Option<String>,
    /// Overrides the image's variables of the same name; order is kept.
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    /// Below the sandbox's log directory: `<container>/<attempt>.log`.
    pub log_path: PathBuf,
    pub resources: Resources,
    pub security: SecurityContext,
    /// Its standard input is kept open for clients; otherwise it is empty.
    #[serde(default)]
    pub stdin: bool,
    /// The input ends when the first client that has it lets go.
    #[serde(default)]
    pub stdin_once: bool,
    /// It gets a terminal, whose one stream counts as `stdout` [6.4].
    #[serde(default)]
    pub tty: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 0 to 255; 128 + signal when a signal ended it; 137 with `code_known` false when nobody saw it end.
    pub code: i32,
    /// The signal that ended it, 0 if none.
    pub signal: i32,
    /// False when the shim was lost and the kernel could not tell.
    pub code_known: bool,
    pub oom_killed: bool,
    pub finished_at: Timestamp,
    /// Why it never started, or another remark of the runtime.
    pub message: Option<String>,
}

impl Exit {
    /// Adds what the container left as its termination message [3.51].
    pub fn add_words(&mut self, words: Option<String>) {
        let said: Vec<_> = [self.message.take(), words].into_iter().flatten().collect();
        self.message = (!said.is_empty()).then(|| said.join(": "));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    Created,
    Running { pid: u32, started_at: Timestamp },
    Exited { started_at: Option<Timestamp>, exit: Exit },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    /// `sha256:…`, the digest of the image's configuration.
    pub image_id: String,
    pub created_at: Timestamp,
    pub state: ContainerState,
    pub config: ContainerConfig,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// `None`: it ran longer than the timeout and was killed.
    pub exit_code: Option<i32>,
    /// The first 10 KiB of stdout and stderr, as they came [5].
    pub output: Vec<u8>,
}

/// What a command has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// `None`: it ran longer than the timeout and was killed.
    pub exit_code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Which streams a client of a process wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// The process gets a terminal; its output and its errors are then one stream, `stdout`.
    pub tty: bool,
}

/// A process and the ends of its streams that were asked for. To drop it lets go of the streams; the process goes on,
/// and what it prints is lost.
///
/// Whoever makes one descriptor of a terminal non-blocking makes all of them so. A terminal whose processes have ended
/// reads as EIO, not as an end.
pub struct Session {
    /// To close it is the end of the process's input, but with a terminal, whose end is a character. `None` also where
    /// a container has no input to attach to, or no more.
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    /// The terminal's own end, for its size; the streams are copies of it.
    pub terminal: Option<OwnedFd>,
    /// The exit code, 128 + signal where a signal ended the process. An error: the client has been left behind, or the
    /// runtime has lost the process. To drop it alone counts as letting go of the streams.
    pub exit: Pin<Box<dyn Future<Output = RuntimeResult<i32>> + Send>>,
}

/// What a container uses, as the kernel counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStats {
    /// The container's.
    pub id: String,
    pub taken_at: Timestamp,
    /// Nanoseconds of CPU time since the container began.
    pub cpu_usage: u64,
    /// Bytes, with the page cache.
    pub memory_usage: u64,
    /// Bytes, without the page cache that has not been used lately.
    pub memory_working_set: u64,
    pub pids: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStatus {
    /// `sha256:…`
    pub id: String,
    /// `registry/repository@sha256:…` where it is known.
    pub repo_digest: Option<String>,
    pub user: Option<String>,
}

/// An image of the store, under all its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`, the digest of its configuration.
    pub id: String,
    /// Whole: `registry/repository:tag`, or with a digest.
    pub references: Vec<String>,
    /// `registry/repository@sha256:…`, those that are known.
    pub repo_digests: Vec<String>,
    /// Bytes of the unpacked layers' files.
    pub size: u64,
    pub user: Option<String>,
}

/// What images, or containers, take of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// A directory on that disk.
    pub directory: PathBuf,
    pub bytes: u64,
}

/// The disks of images and of containers' writable layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFsInfo {
    pub images: FilesystemUsage,
    pub containers: FilesystemUsage,
}

/// The CRI's RuntimeService and ImageService, as far as static pods need them. Every call is idempotent: stopping
/// what is stopped and removing what is gone succeed.
pub trait Runtime: Send + Sync + 'static {
    /// Makes and readies the pod's cgroup, log directory and namespaces.
    fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> impl Future<Output = RuntimeResult<PodSandbox>> + Send;
    /// Ends what still runs in it at once and releases its namespaces.
    fn stop_pod_sandbox(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;
    /// Removes the sandbox, its containers, its cgroup and its state; logs stay.
    fn remove_pod_sandbox(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;
    fn list_pod_sandboxes(&self) -> impl Future<Output = RuntimeResult<Vec<PodSandbox>>> + Send;

    /// Sets everything up to the moment before the user's process runs.
    fn create_container(
        &self,
        sandbox: &str,
        config: &ContainerConfig,
    ) -> impl Future<Output = RuntimeResult<Container>> + Send;
    fn start_container(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;
    /// Sends the image's stop signal (SIGTERM unless it names another), waits up to `grace`, then kills every
    /// process of the container; resolves once it has exited.
    fn stop_container(&self, id: &str, grace: Duration) -> impl Future<Output = RuntimeResult<()>> + Send;
    /// Removes an exited (or created) container and its files; its log stays.
    fn remove_container(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;
    fn list_containers(&self) -> impl Future<Output = RuntimeResult<Vec<Container>>> + Send;
    fn container_status(&self, id: &str) -> impl Future<Output = RuntimeResult<Container>> + Send;
    /// Resolves when the container exits (at once if it has); event-driven, within milliseconds. Cancel-safe.
    fn wait_container(&self, id: &str) -> impl Future<Output = RuntimeResult<Exit>> + Send;
    fn exec_sync(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = RuntimeResult<ExecOutput>> + Send;

    /// Runs a command to its end, for ever without a timeout; its output and its errors are cut where both together
    /// have `limit` bytes.
    fn capture(
        &self,
        _id: &str,
        _command: &[String],
        _timeout: Option<Duration>,
        _limit: usize,
    ) -> impl Future<Output = RuntimeResult<Captured>> + Send {
        async { Err(unavailable("capture of output")) }
    }

    /// Runs a command in a container; it goes on when nobody is left to talk with.
    fn exec(
        &self,
        _id: &str,
        _command: &[String],
        _streams: StreamOptions,
    ) -> impl Future<Output = RuntimeResult<Session>> + Send {
        async { Err(unavailable("exec")) }
    }
    /// The streams of the container's own process, from now on.
    fn attach(&self, _id: &str, _streams: StreamOptions) -> impl Future<Output = RuntimeResult<Session>> + Send {
        async { Err(unavailable("attach")) }
    }
    /// A connection to `localhost:port` of the sandbox's network.
    fn port_forward(
        &self,
        _sandbox: &str,
        _port: u16,
    ) -> impl Future<Output = RuntimeResult<std::net::TcpStream>> + Send {
        async { Err(unavailable("port-forward")) }
    }
    /// Of every container that runs.
    fn list_container_stats(&self) -> impl Future<Output = RuntimeResult<Vec<ContainerStats>>> + Send {
        async { Err(unavailable("statistics")) }
    }

    /// Goes on in a new log file after somebody has moved the old one away.
    fn reopen_container_log(&self, _id: &str) -> impl Future<Output = RuntimeResult<()>> + Send {
        async { Err(unavailable("rotation of logs")) }
    }
    /// Changes the limits of a container that are `Some`.
    fn update_container_resources(
        &self,
        _id: &str,
        _resources: &Resources,
    ) -> impl Future<Output = RuntimeResult<()>> + Send {
        async { Err(unavailable("change of limits")) }
    }
    /// Whether pods can have a network of their own.
    fn has_pod_network(&self) -> bool {
        false
    }

    /// By id.
    fn list_images(&self) -> impl Future<Output = RuntimeResult<Vec<Image>>> + Send {
        async { Err(unavailable("list of images")) }
    }
    /// Forgets a reference of an image; its layers go with the last one, unless something uses them.
    fn remove_image(&self, _reference: &str) -> impl Future<Output = RuntimeResult<()>> + Send {
        async { Err(unavailable("removal of images")) }
    }
    fn image_fs_info(&self) -> impl Future<Output = RuntimeResult<ImageFsInfo>> + Send {
        async { Err(unavailable("account of disks")) }
    }
    /// [`Runtime::pull_image`] as somebody whom the registry knows.
    fn pull_image_as(
        &self,
        _image: &str,
        _credential: &Credential,
    ) -> impl Future<Output = RuntimeResult<ImageStatus>> + Send {
        async { Err(unavailable("pull with credentials")) }
    }

    fn image_status(&self, image: &str) -> impl Future<Output = RuntimeResult<Option<ImageStatus>>> + Send;
    /// Fetches the image unless a concurrent pull of the same already does.
    fn pull_image(&self, image: &str) -> impl Future<Output = RuntimeResult<ImageStatus>> + Send;
}

fn unavailable(verb: &str) -> RuntimeError {
    RuntimeError::Other(anyhow::anyhow!("this runtime has no {verb}"))
}

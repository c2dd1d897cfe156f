//! The static pod runner: a small kubelet that needs no API server.
//!
//! ```text
//! manifests ─► source ─► pods ─► worker ◄─events─ effects, probes ◄─► Runtime ─► containers
//!                         ▲        │ record, status
//!        control, cri ────┘        ▼
//! ```
//!
//! One worker task owns each pod; its decisions are made by a pure machine. The runner may end or be killed at any
//! moment: containers live on, and the next runner takes them over as they are.

pub mod admission;
mod api;
pub mod container;
pub mod control;
pub mod cri;
pub mod dns;
pub mod env;
pub mod event;
pub mod hook;
pub mod hostname;
pub mod logs;
pub mod metrics;
pub mod mirrored;
pub mod net;
pub mod node;
pub mod pod;
pub mod pods;
pub mod probe;
pub mod published;
pub mod record;
pub mod resources;
pub mod runtime;
pub mod server;
pub mod source;
pub mod status;
mod takeover;
pub mod teardown;
#[cfg(test)]
pub(crate) mod testing;
pub mod volume;
pub mod worker;

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procfs::FromRead;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::{Context, Fault, Result, chain_of};
use crate::files;
use crate::layout::{self, Layout};
use crate::linux;
use event::Recorder;
use metrics::Metrics;
use mirrored::Mirrored;
use node::Node;
use pods::Pods;
use published::Board;
use runtime::Runtime;
use runtime::log::file::Rotation;
use source::Kind;
use source::url::ManifestUrl;
use worker::Site;

/// By then what is there at the start is taken over or started, and most of the program's code has had its turn.
const SETTLED: Duration = Duration::from_secs(10);

/// Far longer than it takes from a fork to the program that follows it.
const FORKING: Duration = Duration::from_millis(100);

/// For the clients that are being answered when the runner ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Options {
    pub layout: Layout,
    pub node_name: String,
    pub node_ip: IpAddr,
    /// Name servers of the cluster, for pods that ask for them.
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// A directory of manifests, or one manifest.
    pub manifests: PathBuf,
    /// Where more manifests may be fetched.
    pub manifest_url: Option<ManifestUrl>,
    /// Where the node's API is served, if it is.
    pub server: Option<server::Settings>,
    /// No container waits longer for its restart.
    pub max_restart_period: Duration,
    /// Of this node, besides those that every node has.
    pub node_labels: Vec<(String, String)>,
    /// Pods that this node takes.
    pub max_pods: usize,
    /// Processes that a pod may have, if they are counted.
    pub pod_max_pids: Option<i64>,
    /// How much of each container's output is kept; what makes containers has it, too.
    pub rotation: Rotation,
    /// Containers have the seccomp profile RuntimeDefault unless their manifest names another.
    pub seccomp_default: bool,
}

/// Runs until SIGTERM, SIGINT or a request to shut down. Containers live on.
///
/// `open` opens the runtime once this is the one runner of the instance: opening it may put things in order that
/// another runner still uses.
pub async fn run<R, F>(options: Options, open: impl FnOnce(Layout) -> F) -> Result<()>
where
    R: Runtime,
    F: Future<Output = Result<R>>,
{
    let Options {
        layout,
        node_name,
        node_ip,
        manifests,
        manifest_url,
        server,
        max_restart_period,
        node_labels,
        max_pods,
        pod_max_pids,
        rotation,
        seccomp_default,
        cluster_dns,
        cluster_domain,
    } = options;
    files::make_directory(&layout.run(), layout::PRIVATE_DIRECTORY)?;
    let _lock = lock(&layout)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // a terminal that goes away ends nothing
    let mut hangup = signal(SignalKind::hangup())?;
    let runtime = open(layout.clone()).await?;
    let listener = control::bind_socket(&layout)?;
    let cri_listener = cri::bind_socket(&layout)?;
    let node = node(node_name, node_ip, node_labels)?;
    let node = Node { max_pods, pod_max_pids, seccomp_default, cluster_dns, cluster_domain, ..node };
    let site = Arc::new(Site {
        runtime,
        node,
        layout: layout.clone(),
        board: Board::default(),
        recorder: Recorder::default(),
        metrics: Metrics::default(),
        mirrored: Mirrored::default(),
        longest_backoff: max_restart_period,
        rotation,
    });
    let url = manifest_url.as_ref().map(ManifestUrl::origin);
    let found = takeover::find(&site, &manifests, url.as_ref()).await?;
    let kinds: Vec<_> = [Kind::Directory].into_iter().chain(url.map(|url| url.kind())).collect();
    let (scan_sender, scans) = mpsc::channel(1);
    let (ask_sender, asks) = mpsc::channel(16);
    let node_name = site.node.name.clone();
    let agent = api::run(api::Context {
        layout: layout.clone(),
        node: site.node.clone(),
        board: site.board.clone(),
        recorder: site.recorder.clone(),
        mirrored: site.mirrored.clone(),
        server_port: server.as_ref().map(|server| server.port),
    });
    let directory = source::directory::watch(manifests.clone(), node_name.clone(), scan_sender.clone());
    let url = manifest_url.map(|url| source::url::watch(url, node_name, scan_sender));
    let (open, mut conversations) = mpsc::channel(1);
    let api = server.map(|settings| server::run(settings, manifests.clone(), Arc::clone(&site), ask_sender.clone()));
    let cri = cri::serve(cri_listener, Arc::clone(&site), ask_sender.clone());
    let compression = logs::compress::run(Arc::clone(&site));
    let socket = control::serve(listener, ask_sender, open);
    let mut pods = Box::pin(Pods::run(site, manifests, &kinds, found, scans, asks));
    let mut helpers = tokio::task::JoinSet::new();
    helpers.spawn(directory);
    url.map(|url| helpers.spawn(url));
    helpers.spawn(socket);
    helpers.spawn(agent);
    helpers.spawn(compression);
    api.map(|api| helpers.spawn(api));
    helpers.spawn(cri);
    let settled = tokio::time::sleep(SETTLED);
    tokio::pin!(settled);
    let ended = loop {
        tokio::select! {
            () = &mut settled, if !settled.is_elapsed() => {
                if let Err(error) = linux::memory::release_code() {
                    tracing::debug!("{}", chain_of(&error));
                }
            }
            ended = &mut pods => break ended,
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => {}
        }
    };
    if ended.is_ok() {
        tracing::info!("the runner ends; containers live on");
    }
    files::remove_file(&layout.control_socket())?;
    files::remove_file(&layout.cri_socket())?;
    drop((pods, helpers));
    // the answer to a request to shut down is still on its way; nothing is ever sent here, only let go of
    let _ = tokio::time::timeout(LAST_ANSWERS, conversations.recv()).await;
    ended
}

/// There is one runner for each instance; the lock goes with the process however it ends.
fn lock(layout: &Layout) -> Result<File> {
    let path = layout.runner_lock();
    let cannot = || format!("cannot lock `{}`", path.display());
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).with_context(cannot)?;
    let begin = std::time::Instant::now();
    let mut locked = file.try_lock();
    // a child that a killed runner was starting holds it until it becomes another program
    while matches!(locked, Err(TryLockError::WouldBlock)) && begin.elapsed() < FORKING {
        std::thread::sleep(FORKING / 10);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id()).with_context(cannot)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).with_context(cannot)?;
            Err(Fault::failed(format!("a runner is running already (pid {})", pid.trim())).into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
    }
}

fn node(name: String, ip: IpAddr, labels: Vec<(String, String)>) -> Result<Node> {
    let host_name = nix::unistd::gethostname().context("cannot read the host's name")?;
    let memory = procfs::Meminfo::from_file("/proc/meminfo").context("cannot read `/proc/meminfo`")?.mem_total;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let name = name.to_lowercase();
    Ok(Node {
        max_pods: node::MAX_PODS,
        pod_max_pids: None,
        seccomp_default: false,
        labels: node::labels(&name, labels),
        name,
        host_name: host_name.to_string_lossy().into_owned(),
        ip,
        cluster_dns: Vec::new(),
        cluster_domain: String::new(),
        memory: i64::try_from(memory).unwrap_or(i64::MAX),
        cpu: i64::try_from(cpus).unwrap_or(1) * 1000,
    })
}

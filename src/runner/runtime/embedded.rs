//! The runtime inside this program: real containers, each under a shim of its own.
//!
//! ```text
//! <run>/pods/<sandbox>/sandbox.json          what the runner knows of the pod
//!                     /ipc, net, shm, …      see `namespaces`
//!                     /<container>/…         see `shim::record`
//! <state>/pods/<uid>/layers/<container>/     its writable layer
//! cgroup <instance>/shims                    the shims themselves
//!        <instance>/kubepods/…               see `tiers`
//! ```
//!
//! The files are the truth and the shims outlive this process: [`Embedded::open`] finds everything again, takes the
//! place of shims that have died and cleans what was interrupted half-way. A task for each container waits on its
//! shim's socket; it learns of an exit, and of the shim's own death, without asking.

mod capture;
mod clean;
mod client;
mod container;
mod direct;
mod images;
mod namespaces;
mod places;
mod sandbox;
mod tiers;
mod usage;
mod watch;

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::container::Entry;
pub use self::direct::{Running, running};
use self::places::Places;
use super::log::file::Rotation;
use super::shim::protocol::{Reply, Verb};
use super::spec::stop_signal;
use super::{
    Captured, CgroupParent, Container, ContainerConfig, ContainerState, ContainerStats, ExecOutput, Exit, ImageFsInfo,
    ImageStatus, PodSandbox, PodSandboxConfig, Resources, Runtime, RuntimeError, RuntimeResult, SandboxState, Session,
    StreamOptions,
};
use crate::error::{Context, Result, chain_of};
use crate::image::pull::Puller;
use crate::image::reference::{InvalidReference, Reference};
use crate::image::registry::credentials::Credential;
use crate::image::store::Image;
use crate::layout::Layout;
use crate::linux::Leftover;
use crate::linux::cgroup::{Cgroups, Limits};
use crate::linux::namespace::{self, Kind};
use crate::linux::process::boot_id;
use crate::runner::net::Network;

/// How long a process may take to die of SIGKILL, and a shim to answer, before this is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// What differs from one use to another.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Executed as the shim; this very program even when its file has been replaced meanwhile.
    pub program: PathBuf,
    pub rotation: Rotation,
    /// Where pods with a network of their own get addresses from, other than the instance's own choice.
    pub pod_cidr: Option<ipnet::Ipv4Net>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { program: PathBuf::from("/proc/self/exe"), rotation: Rotation::default(), pod_cidr: None }
    }
}

/// Cheap to clone; all clones are one runtime.
#[derive(Debug, Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    places: Places,
    settings: Settings,
    cgroups: Cgroups,
    boot_id: String,
    puller: Puller,
    network: Arc<Network>,
    known: Mutex<Known>,
    /// Shares that the burstable pods have together, held while they are changed.
    burstable_shares: Mutex<Option<u64>>,
    /// Held while a pod's first process is started.
    pausing: tokio::sync::Mutex<()>,
}

/// Never held across an await.
#[derive(Debug, Default)]
struct Known {
    sandboxes: BTreeMap<String, PodSandbox>,
    containers: BTreeMap<String, Arc<Entry>>,
    /// Said once.
    warnings: HashSet<String>,
}

impl Embedded {
    /// Adopts what runs and cleans what was left half-way. The caller holds the runner's lock: there is one at a time.
    pub async fn open(layout: &Layout, puller: Puller, settings: Settings) -> Result<Self> {
        let places = Places::new(layout);
        crate::files::make_directory(&places.sandboxes(), crate::layout::PRIVATE_DIRECTORY)?;
        let inner = Inner {
            layout: layout.clone(),
            network: Arc::new(Network::new(layout, settings.pod_cidr)),
            places,
            settings,
            cgroups: Cgroups::detect()?,
            boot_id: boot_id().context("cannot read the boot id")?,
            puller,
            known: Mutex::default(),
            burstable_shares: Mutex::default(),
            pausing: Default::default(),
        };
        let runtime = Embedded { inner: Arc::new(inner) };
        runtime.restore().await?;
        Ok(runtime)
    }

    /// [`tear_down`] of this instance; the runtime knows nothing any more afterwards.
    pub fn tear_down(&self) -> Result<Vec<Leftover>> {
        // without their watchers, shims are not replaced
        let known = std::mem::take(&mut *self.known());
        known.containers.values().for_each(|entry| entry.stop_watching());
        tear_down(&self.inner.layout)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // nothing is left half-changed by a panic
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: &str) -> RuntimeResult<Arc<Entry>> {
        let missing = || RuntimeError::NotFound { kind: "container", id: id.to_owned() };
        self.known().containers.get(id).cloned().ok_or_else(missing)
    }

    fn find_image(&self, name: &str) -> RuntimeResult<Option<Image>> {
        Ok(self.inner.puller.store().get(&reference(name)?)?)
    }

    fn warn_once(&self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            if self.known().warnings.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
    }
}

/// Removes everything of an instance whose runner has ended: processes, mounts, cgroups, state. Goes on where something
/// resists and returns what is left.
pub fn tear_down(layout: &Layout) -> Result<Vec<Leftover>> {
    // CNI plugins want the namespaces that they have furnished
    let network = Network::new(layout, None).tear_down();
    let mut leftovers = clean::tear_down(&Places::new(layout))?;
    if let Err(error) = network {
        leftovers.push(Leftover { path: layout.run_network(), reason: chain_of(&error) });
    }
    Ok(leftovers)
}

/// To whoever listens at this port of the calling thread's network, by either family.
fn connect(port: u16) -> Result<TcpStream> {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let connected = connected.or_else(|error| TcpStream::connect((Ipv6Addr::LOCALHOST, port)).map_err(|_| error));
    connected.with_context(|| format!("cannot connect to port {port} inside the pod"))
}

/// Runs what blocks for a moment: cgroups, removals.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a task of the runtime has panicked")
}

fn reference(image: &str) -> RuntimeResult<Reference> {
    image.parse().map_err(|error: InvalidReference| RuntimeError::BadConfig(error.to_string()))
}

fn status_of(image: &Image) -> ImageStatus {
    let (repo_digest, user) = (image.repo_digest.clone(), image.config.user.clone());
    ImageStatus { id: image.id.to_string(), repo_digest, user }
}

fn limits(resources: &Resources, kill_together: bool) -> Limits {
    Limits {
        cpu_shares: resources.cpu_shares,
        cpu_quota: resources.cpu_quota,
        cpu_period: resources.cpu_period,
        memory: resources.memory_limit,
        pids: resources.pids_limit,
        kill_together,
    }
}

impl Runtime for Embedded {
    async fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> RuntimeResult<PodSandbox> {
        self.make_sandbox(config).await
    }

    async fn stop_pod_sandbox(&self, id: &str) -> RuntimeResult<()> {
        self.end_sandbox(id).await
    }

    async fn remove_pod_sandbox(&self, id: &str) -> RuntimeResult<()> {
        self.forget_sandbox(id).await
    }

    async fn list_pod_sandboxes(&self) -> RuntimeResult<Vec<PodSandbox>> {
        Ok(self.known().sandboxes.values().cloned().collect())
    }

    async fn create_container(&self, sandbox: &str, config: &ContainerConfig) -> RuntimeResult<Container> {
        let (runtime, sandbox, config) = (self.clone(), sandbox.to_owned(), config.clone());
        // a caller that gives up must not leave half a container behind
        let made = tokio::spawn(async move { runtime.make_container(&sandbox, config).await });
        made.await.context("a task of the runtime has panicked")?
    }

    async fn start_container(&self, id: &str) -> RuntimeResult<()> {
        self.entry(id)?.start().await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        match self.entry(id) {
            Ok(entry) => Ok(entry.stop(grace).await?),
            Err(RuntimeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove_container(&self, id: &str) -> RuntimeResult<()> {
        let (runtime, id) = (self.clone(), id.to_owned());
        let removed = tokio::spawn(async move { runtime.forget_container(&id).await });
        Ok(removed.await.context("a task of the runtime has panicked")??)
    }

    async fn list_containers(&self) -> RuntimeResult<Vec<Container>> {
        let entries: Vec<_> = self.known().containers.values().cloned().collect();
        Ok(entries.iter().map(|entry| entry.container()).collect())
    }

    async fn container_status(&self, id: &str) -> RuntimeResult<Container> {
        Ok(self.entry(id)?.container())
    }

    async fn wait_container(&self, id: &str) -> RuntimeResult<Exit> {
        Ok(self.entry(id)?.exited().await?)
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> RuntimeResult<ExecOutput> {
        self.entry(id)?.exec(command, timeout).await
    }

    async fn capture(
        &self,
        id: &str,
        command: &[String],
        timeout: Option<Duration>,
        limit: usize,
    ) -> RuntimeResult<Captured> {
        self.entry(id)?.capture(command, timeout, limit).await
    }

    async fn exec(&self, id: &str, command: &[String], streams: StreamOptions) -> RuntimeResult<Session> {
        self.entry(id)?.stream(command, streams).await
    }

    async fn attach(&self, id: &str, streams: StreamOptions) -> RuntimeResult<Session> {
        self.entry(id)?.attach(streams).await
    }

    async fn port_forward(&self, sandbox: &str, port: u16) -> RuntimeResult<TcpStream> {
        let found = self.known().sandboxes.get(sandbox).cloned();
        let missing = || RuntimeError::NotFound { kind: "pod sandbox", id: sandbox.to_owned() };
        let sandbox = found.filter(|found| found.state == SandboxState::Ready).ok_or_else(missing)?;
        let network = self.inner.places.sandbox(&sandbox.id).join(Kind::Network.file());
        let connected = blocking(move || match sandbox.config.namespaces.host_network {
            true => connect(port),
            false => namespace::within(Kind::Network, &network, || connect(port)),
        });
        Ok(connected.await??)
    }

    async fn image_status(&self, image: &str) -> RuntimeResult<Option<ImageStatus>> {
        Ok(self.find_image(image)?.map(|found| status_of(&found)))
    }

    async fn pull_image(&self, image: &str) -> RuntimeResult<ImageStatus> {
        self.pull(image, None).await
    }

    async fn reopen_container_log(&self, id: &str) -> RuntimeResult<()> {
        self.entry(id)?.reopen_log().await
    }

    async fn update_container_resources(&self, id: &str, resources: &Resources) -> RuntimeResult<()> {
        self.limit_container(id, resources).await
    }

    async fn list_container_stats(&self) -> RuntimeResult<Vec<ContainerStats>> {
        Ok(self.count_usage().await?)
    }

    async fn list_images(&self) -> RuntimeResult<Vec<super::Image>> {
        self.stored_images().await
    }

    async fn remove_image(&self, reference: &str) -> RuntimeResult<()> {
        self.forget_image(reference).await
    }

    async fn image_fs_info(&self) -> RuntimeResult<ImageFsInfo> {
        Ok(self.disk_usage().await?)
    }

    async fn pull_image_as(&self, image: &str, credential: &Credential) -> RuntimeResult<ImageStatus> {
        self.pull(image, Some(credential)).await
    }
}

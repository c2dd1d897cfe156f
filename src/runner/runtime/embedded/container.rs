//! One container as the runner sees it: its record, its last known state, and the verbs that its shim performs.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::client::{call, open_session, spawn};
use super::{
    Container, ContainerConfig, ContainerState, Embedded, ExecOutput, Exit, PATIENCE, Reply, Resources, RuntimeError,
    RuntimeResult, Session, StreamOptions, Verb, blocking, clean, limits, namespaces, places, stop_signal,
};
use crate::error::{Context, Result};
use crate::layout::{PRIVATE_DIRECTORY, PUBLIC_DIRECTORY};
use crate::runner::runtime::SandboxState;
use crate::runner::runtime::shim::Origin;
use crate::runner::runtime::shim::protocol::VERSION;
use crate::runner::runtime::shim::record::{self, ContainerRecord};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: ContainerRecord,
    pub(super) directory: PathBuf,
    pub(super) state: watch::Sender<ContainerState>,
    /// Its limits, which may have changed since the record was made.
    pub(super) resources: Mutex<Resources>,
    /// Counts the shims that have been found at work.
    pub(super) shims: watch::Sender<u64>,
    pub(super) watcher: Mutex<Option<AbortHandle>>,
}

impl Entry {
    pub(super) fn new(record: ContainerRecord, directory: PathBuf, state: ContainerState) -> Arc<Entry> {
        let (state, shims) = (watch::Sender::new(state), watch::Sender::new(0));
        let resources = Mutex::new(record.config.resources.clone());
        Arc::new(Entry { record, directory, state, resources, shims, watcher: Mutex::default() })
    }

    pub(super) fn container(&self) -> Container {
        Container {
            id: self.record.id.clone(),
            sandbox_id: self.record.sandbox_id.clone(),
            image_id: self.record.image_id.clone(),
            created_at: self.record.created_at,
            state: self.state.borrow().clone(),
            config: ContainerConfig { resources: self.resources(), ..self.record.config.clone() },
        }
    }

    pub(super) fn resources(&self) -> Resources {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stop_watching(&self) {
        if let Some(watcher) = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take() {
            watcher.abort();
        }
    }

    /// Resolves when the container has exited.
    pub(super) async fn exited(&self) -> Result<Exit> {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| matches!(state, ContainerState::Exited { .. })).await;
        match &*state.context("the container has been forgotten")? {
            ContainerState::Exited { exit, .. } => Ok(exit.clone()),
            other => anyhow::bail!("unexpected state {other:?}"),
        }
    }

    pub(super) fn has_exited(&self) -> bool {
        matches!(*self.state.borrow(), ContainerState::Exited { .. })
    }

    /// Asks the shim; when it has died, asks its successor, which the watcher starts.
    pub(super) async fn ask(&self, verb: Verb) -> Result<Reply> {
        let mut shims = self.shims.subscribe();
        let asking = async {
            loop {
                shims.borrow_and_update();
                match self.ask_once(verb.clone()).await {
                    Ok(reply) => return Ok(reply),
                    Err(_) if self.has_exited() => anyhow::bail!("the container has exited"),
                    Err(_) => shims.changed().await.context("the container has been forgotten")?,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.context("the container's shim does not answer")?
    }

    async fn ask_once(&self, verb: Verb) -> io::Result<Reply> {
        call(&self.directory, verb).await?.reply().await
    }

    async fn done(&self, verb: Verb) -> RuntimeResult<()> {
        match self.ask(verb).await? {
            Reply::Failed(failure) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn start(&self) -> RuntimeResult<()> {
        match &*self.state.borrow() {
            ContainerState::Created => {}
            ContainerState::Running { .. } => return Ok(()),
            ContainerState::Exited { .. } => {
                return Err(RuntimeError::BadConfig(format!("container `{}` has exited", self.record.id)));
            }
        }
        let started = self.done(Verb::Start).await;
        // a shim that died while it started the container has a successor that knows better
        let state = self.refresh().await;
        match (started, state) {
            (Err(_), Ok(ContainerState::Running { .. })) => Ok(()),
            (started, _) => started,
        }
    }

    /// Takes over what the shim says, unless the exit is known already.
    pub(super) async fn refresh(&self) -> Result<ContainerState> {
        if self.has_exited() {
            return Ok(self.state.borrow().clone());
        }
        match self.ask(Verb::State).await? {
            Reply::State(state) => {
                self.set(state.clone());
                Ok(state)
            }
            Reply::Failed(failure) => Err(failure.into()),
            other => anyhow::bail!("unexpected reply {other:?}"),
        }
    }

    pub(super) fn set(&self, state: ContainerState) {
        self.state.send_if_modified(|known| {
            let is_news = !matches!(known, ContainerState::Exited { .. }) && *known != state;
            if is_news {
                *known = state;
            }
            is_news
        });
    }

    pub(super) async fn stop(&self, grace: Duration) -> Result<()> {
        if self.has_exited() {
            return Ok(());
        }
        let is_running = matches!(*self.state.borrow(), ContainerState::Running { .. });
        if is_running && !grace.is_zero() {
            let signal = stop_signal(self.record.image.stop_signal.as_deref());
            if let Err(error) = self.done(Verb::Signal(signal)).await
                && !self.has_exited()
            {
                return Err(error).context("cannot ask the container to stop");
            }
            if tokio::time::timeout(grace, self.exited()).await.is_ok() {
                return Ok(());
            }
        }
        self.kill().await
    }

    pub(super) async fn reopen_log(&self) -> RuntimeResult<()> {
        match self.done(Verb::ReopenLog).await {
            // what has been written stays where it is
            Err(_) if self.has_exited() => Ok(()),
            reopened => reopened,
        }
    }

    /// Ends every process of the container at once.
    pub(super) async fn kill(&self) -> Result<()> {
        if let Err(error) = self.done(Verb::KillAll).await
            && !self.has_exited()
        {
            return Err(error).context("cannot kill the container");
        }
        tokio::time::timeout(PATIENCE, self.exited()).await.context("the container cannot be killed")??;
        Ok(())
    }

    pub(super) async fn exec(&self, command: &[String], timeout: Duration) -> RuntimeResult<ExecOutput> {
        check(command)?;
        let verb = Verb::Exec { command: command.to_vec(), timeout };
        // never twice: a command may not be run again by the shim's successor
        let asking = async { call(&self.directory, verb).await?.reply().await };
        let reply = tokio::time::timeout(timeout + PATIENCE, asking).await.context("the shim does not answer")?;
        match reply.context("the container's shim has ended")? {
            Reply::Exec { exit_code, output } => Ok(ExecOutput { exit_code, output }),
            Reply::Failed(failure) => Err(failure.into()),
            other => Err(anyhow::anyhow!("unexpected reply {other:?}").into()),
        }
    }
}

impl Entry {
    pub(super) async fn stream(&self, command: &[String], streams: StreamOptions) -> RuntimeResult<Session> {
        stream(&self.directory, command, streams, None).await
    }

    pub(super) async fn attach(&self, streams: StreamOptions) -> RuntimeResult<Session> {
        open_session(&self.directory, Verb::Attach(streams)).await
    }
}

/// Runs a command in the container whose state is in `directory`, and ends it after `timeout`.
pub(super) async fn stream(
    directory: &Path,
    command: &[String],
    streams: StreamOptions,
    timeout: Option<Duration>,
) -> RuntimeResult<Session> {
    check(command)?;
    open_session(directory, Verb::Stream { command: command.to_vec(), streams, timeout }).await
}

fn check(command: &[String]) -> RuntimeResult<()> {
    match command.first().is_none_or(String::is_empty) {
        true => Err(RuntimeError::BadConfig("no command to execute".to_owned())),
        false => Ok(()),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.stop_watching();
    }
}

impl Embedded {
    pub(super) async fn make_container(&self, sandbox: &str, config: ContainerConfig) -> RuntimeResult<Container> {
        let missing = || RuntimeError::NotFound { kind: "pod sandbox", id: sandbox.to_owned() };
        let pod = self.known().sandboxes.get(sandbox).cloned().ok_or_else(missing)?;
        if pod.state != SandboxState::Ready {
            return Err(RuntimeError::Other(anyhow::anyhow!("pod sandbox `{sandbox}` is not ready")));
        }
        let log = log_path(&pod.config.log_directory, &config)?;
        self.ensure_pause(&pod).await?;
        let absent = || RuntimeError::ImageNotPresent(config.image.clone());
        let image = self.find_image(&config.image)?.ok_or_else(absent)?;
        let id = places::new_id().context("cannot make an id")?;
        let (places, uid) = (&self.inner.places, &pod.config.metadata.uid);
        let record = ContainerRecord {
            version: VERSION,
            id: id.clone(),
            sandbox_id: sandbox.to_owned(),
            image_id: image.id.to_string(),
            created_at: Timestamp::now(),
            image: image.config,
            namespaces: pod.config.namespaces,
            joined: namespaces::joined(&places.sandbox(sandbox)),
            shared_memory: namespaces::shared_memory(&places.sandbox(sandbox)),
            hostname: pod.config.hostname.clone(),
            managed_files: super::sandbox::managed_files(&places.sandbox(sandbox)),
            root: self.inner.layout.root().to_owned(),
            writable: places.writable(uid, &id),
            cgroup: places.container_cgroup(&pod.config, &id),
            shims_cgroup: places.shims_cgroup(),
            log,
            rotation: self.inner.settings.rotation,
            config,
        };
        let directory = places.container(sandbox, &id);
        let made = self.try_make(&record, &directory).await;
        if made.is_err() {
            let (cgroups, record, directory) = (self.inner.cgroups.clone(), record.clone(), directory.clone());
            let leftovers = blocking(move || clean::container(&cgroups, &directory, &record.writable, &record.cgroup));
            for leftover in leftovers.await? {
                tracing::warn!("cannot remove {leftover}");
            }
        }
        made?;
        let entry = Entry::new(record, directory, ContainerState::Created);
        self.known().containers.insert(id, Arc::clone(&entry));
        self.watch(&entry);
        Ok(entry.container())
    }

    async fn try_make(&self, record: &ContainerRecord, directory: &Path) -> RuntimeResult<()> {
        let (inner, prepared) = (Arc::clone(&self.inner), (record.clone(), directory.to_owned()));
        let warnings = blocking(move || -> Result<Vec<String>> {
            let (record, directory) = prepared;
            crate::files::make_directory(&directory.join(record::ROOTFS), PRIVATE_DIRECTORY)?;
            crate::files::make_directory(&record.writable, PRIVATE_DIRECTORY)?;
            if let Some(parent) = record.log.parent() {
                crate::files::make_directory(parent, PUBLIC_DIRECTORY)?;
            }
            let cgroup = inner.cgroups.at(&record.cgroup);
            cgroup.create()?;
            let warnings = cgroup.limit(&limits(&record.config.resources, true))?;
            record::store(directory.join(record::CONTAINER), &record)?;
            Ok(warnings)
        });
        self.warn_once(warnings.await??);
        let warnings = spawn(&self.inner.settings, Origin::Create, directory).await?;
        self.warn_once(warnings?);
        Ok(())
    }

    /// Ends what runs and removes all files but the log. Files go first, so that a failure leaves something to retry.
    pub(super) async fn forget_container(&self, id: &str) -> Result<()> {
        let Ok(entry) = self.entry(id) else { return Ok(()) };
        // a shim that is gone leaves the rest to the cleaner, which kills by cgroup
        if let Ok(call) = call(&entry.directory, Verb::Delete).await {
            let _ = tokio::time::timeout(PATIENCE, call.reply()).await;
        }
        entry.stop_watching();
        let (cgroups, cleaned) = (self.inner.cgroups.clone(), Arc::clone(&entry));
        let leftovers = blocking(move || {
            let (record, directory) = (&cleaned.record, &cleaned.directory);
            clean::container(&cgroups, directory, &record.writable, &record.cgroup)
        });
        if let Some(leftover) = leftovers.await?.first() {
            self.watch(&entry);
            anyhow::bail!("cannot remove container `{id}`: {leftover}");
        }
        self.known().containers.remove(id);
        Ok(())
    }
}

/// `<container>/<attempt>.log` below the pod's log directory, and nowhere else.
fn log_path(directory: &Path, config: &ContainerConfig) -> RuntimeResult<PathBuf> {
    let is_plain = |component| matches!(component, Component::Normal(_));
    if config.log_path.components().next().is_none() || !config.log_path.components().all(is_plain) {
        let path = config.log_path.display();
        return Err(RuntimeError::BadConfig(format!("log path `{path}` leads out of the pod's log directory")));
    }
    Ok(directory.join(&config.log_path))
}

//! What a worker's tasks do to the world, each with the event that tells the outcome.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Site;
use super::machine::{Event, Live, Tag, Why};
use super::words::cause;
use crate::error::{Context, chain_of};
use crate::files;
use crate::layout::{PRIVATE_DIRECTORY, PUBLIC_FILE};
use crate::runner::container;
use crate::runner::dns;
use crate::runner::event::Told;
use crate::runner::hook;
use crate::runner::logs;
use crate::runner::pod::Pod;
use crate::runner::runtime::{Container, ContainerState, Exit, Runtime, RuntimeError};
use crate::runner::volume::{self, env_file, sub_path};

/// Between two tries to learn of a container's end.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn make_sandbox<R: Runtime>(
    site: &Arc<Site<R>>,
    generation: u64,
    pod: &Arc<Pod>,
    attempt: u32,
) -> Event {
    let (there, own) = (Arc::clone(site), Arc::clone(pod));
    let prepared = blocking(move || volume::prepare(&own, &there.node, &there.layout)).await;
    if let Err(message) = prepared {
        return Event::SandboxFailed { generation, why: Why::new("FailedMount", message) };
    }
    let mut config = match container::sandbox(pod, attempt, &site.node, &site.layout, Timestamp::now()) {
        Ok(config) => config,
        Err(message) => {
            let why = Why::new("CreatePodSandboxConfigError", message);
            return Event::SandboxFailed { generation, why };
        }
    };
    if pod.dns.is_some() {
        let (dns, warnings) = dns::of_pod(pod, &site.node, &node_file("/etc/resolv.conf"));
        config.dns = dns;
        for warning in warnings {
            tracing::warn!("{}: {}", pod.name, warning.message);
            site.recorder.pod(pod, warning);
        }
    }
    let first = |container: &crate::runner::pod::Container| {
        logs::first_attempt(&site.layout, &config.metadata, &container.name)
    };
    let attempts = pod.containers.iter().map(first).collect();
    match site.runtime.run_pod_sandbox(&config).await {
        Ok(sandbox) => Event::SandboxReady { generation, id: sandbox.id, ips: sandbox.ips, attempts },
        Err(error) => {
            let why = Why::new("CreatePodSandboxError", cause(error));
            Event::SandboxFailed { generation, why }
        }
    }
}

/// A file of the node that pods see; without it they see an empty one.
fn node_file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What must not hold the runner up: others share its thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// `pod`: what ran in it, if that is known. Its volumes stay where it is wanted again.
pub(super) async fn clear_sandbox<R: Runtime>(
    site: &Arc<Site<R>>,
    generation: u64,
    sandbox: &str,
    pod: Option<&Arc<Pod>>,
    volumes: Volumes,
) -> Event {
    let cleared = async {
        site.runtime.stop_pod_sandbox(sandbox).await?;
        site.runtime.remove_pod_sandbox(sandbox).await
    };
    match cleared.await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => {
            if let Some(pod) = pod
                && let Err(error) = logs::unlink(&site.layout, &container::metadata(pod))
            {
                tracing::warn!("{}", chain_of(&error));
            }
            // its name is not free while something of its volumes is still there [2.24]
            match (pod, volumes) {
                (Some(pod), Volumes::Remove) if !remove_volumes(site, pod).await => Event::SandboxStuck { generation },
                (Some(_) | None, Volumes::Keep | Volumes::Remove) => Event::SandboxGone { generation },
            }
        }
        Err(error) => {
            let message = cause(error);
            tracing::warn!("cannot remove sandbox `{sandbox}`: {message}");
            if let Some(pod) = pod {
                site.recorder.pod(pod, Told::warning("FailedKillPod", format!("error killing pod: {message}")));
            }
            Event::SandboxStuck { generation }
        }
    }
}

pub(super) async fn rest_sandbox<R: Runtime>(site: &Arc<Site<R>>, sandbox: &str, pod: Option<&Arc<Pod>>) {
    if let Err(error) = site.runtime.stop_pod_sandbox(sandbox).await {
        tracing::warn!("cannot stop sandbox `{sandbox}`: {}", cause(error));
    }
    if let Some(pod) = pod {
        remove_volumes(site, pod).await;
    }
}

/// `false`: something is left.
async fn remove_volumes<R: Runtime>(site: &Arc<Site<R>>, pod: &Arc<Pod>) -> bool {
    let (there, uid) = (Arc::clone(site), pod.uid.clone());
    let removed = blocking(move || volume::remove(&there.layout, &uid).map_err(|error| chain_of(&error))).await;
    match removed {
        Ok(leftovers) => {
            leftovers.iter().for_each(|leftover| tracing::warn!("cannot remove {leftover}"));
            leftovers.is_empty()
        }
        Err(message) => {
            tracing::warn!("{}: cannot remove its volumes: {message}", pod.name);
            false
        }
    }
}

/// What becomes of a pod's volumes when its sandbox goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Volumes {
    Keep,
    Remove,
}

pub(super) async fn start<R: Runtime>(
    site: &Arc<Site<R>>,
    tag: Tag,
    pod: &Arc<Pod>,
    sandbox: &str,
    ips: &[IpAddr],
) -> Event {
    let failed = |reason, message| Event::StartFailed { tag, why: Why::new(reason, message), dead: None };
    let spec = &pod.containers[tag.container];
    let (there, own) = (Arc::clone(site), Arc::clone(pod));
    let files = match blocking(move || env_file::read(&own, tag.container, &there.layout)).await {
        Ok(files) => files,
        Err(message) => return failed("CreateContainerConfigError", message),
    };
    let config = match container::config(pod, tag.container, tag.attempt, &files, &site.node, ips, &site.layout) {
        Ok(config) => config,
        Err(message) => return failed("CreateContainerConfigError", message),
    };
    let bound = match container::sub_paths(pod, tag.container, &files, &site.node, ips, &site.layout) {
        Ok(parts) if parts.is_empty() => Ok(()),
        Ok(parts) => {
            let name = spec.name.clone();
            blocking(move || sub_path::bind(&parts, &name)).await
        }
        Err(message) => Err(message),
    };
    if let Err(message) = bound {
        return failed("CreateContainerConfigError", message);
    }
    if spec.termination_message.is_some()
        && let Err(error) = logs::make_termination_file(&site.layout, &pod.uid, &spec.name, tag.attempt)
    {
        return failed("CreateContainerError", chain_of(&error));
    }
    // made anew for each container: what another has written into it is gone [3.92]
    let hosts = dns::hosts(pod, &site.node, ips, &node_file("/etc/hosts"));
    if let Err(error) = write_hosts(site, pod, &hosts) {
        return failed("CreateContainerError", chain_of(&error));
    }
    let created = match site.runtime.create_container(sandbox, &config).await {
        Ok(created) => created,
        Err(error @ RuntimeError::BadConfig(_)) => return failed("CreateContainerConfigError", cause(error)),
        Err(error) => return failed("CreateContainerError", cause(error)),
    };
    site.recorder.container(pod, tag.container, Told::normal("Created", "Container created"));
    if let Err(error) = site.runtime.start_container(&created.id).await {
        return not_started(site, tag, &created, cause(error)).await;
    }
    site.recorder.container(pod, tag.container, Told::normal("Started", "Container started"));
    let metadata = container::metadata(pod);
    if let Err(error) = logs::link(&site.layout, &metadata, &spec.name, tag.attempt, &created.id) {
        tracing::warn!("{}", chain_of(&error));
    }
    Event::Started { tag, live: live(site, &created).await }
}

fn write_hosts<R: Runtime>(site: &Site<R>, pod: &Pod, text: &str) -> crate::error::Result<()> {
    let path = container::hosts_file(&site.layout, &pod.uid);
    if let Some(directory) = path.parent() {
        files::make_directory(directory, PRIVATE_DIRECTORY)?;
    }
    // in place: containers that run see it, too
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(PUBLIC_FILE)))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// As the runtime knows it now; a container that is over already has no process any more.
async fn live<R: Runtime>(site: &Site<R>, created: &Container) -> Live {
    let status = site.runtime.container_status(&created.id).await;
    let (pid, started_at) = match status.map(|container| container.state) {
        Ok(ContainerState::Running { pid, started_at }) => (pid, started_at),
        Ok(ContainerState::Exited { started_at: Some(started_at), .. }) => (0, started_at),
        Ok(ContainerState::Created | ContainerState::Exited { started_at: None, .. }) | Err(_) => (0, Timestamp::now()),
    };
    Live { id: created.id.clone(), pid, image_id: created.image_id.clone(), started_at }
}

/// A container whose start failed is either over, with a record that counts as a run [3.43], or is taken away.
async fn not_started<R: Runtime>(site: &Site<R>, tag: Tag, created: &Container, message: String) -> Event {
    let why = Why::new("RunContainerError", message);
    let id = created.id.clone();
    let dead = match site.runtime.container_status(&id).await.map(|container| container.state) {
        Ok(ContainerState::Exited { exit, .. }) => Some((id, Exit { code_known: true, ..exit })),
        Ok(ContainerState::Created | ContainerState::Running { .. }) | Err(_) => {
            if let Err(error) = site.runtime.stop_container(&id, Duration::ZERO).await {
                tracing::debug!("{}", cause(error));
            }
            if let Err(error) = site.runtime.remove_container(&id).await {
                tracing::warn!("cannot remove container `{id}`: {}", cause(error));
            }
            None
        }
    };
    Event::StartFailed { tag, why, dead }
}

pub(super) async fn watch<R: Runtime>(site: &Site<R>, tag: Tag, pod: &Pod, id: &str) -> Event {
    loop {
        match site.runtime.wait_container(id).await {
            Ok(mut exit) => {
                let failed = exit.code != 0;
                let words = logs::last_words(&site.layout, pod, tag.container, tag.attempt, failed);
                exit.add_words(words);
                return Event::Exited { tag, exit };
            }
            Err(RuntimeError::NotFound { .. }) => {
                let exit = Exit {
                    code: 137,
                    signal: 0,
                    code_known: false,
                    oom_killed: false,
                    finished_at: Timestamp::now(),
                    message: Some("The container could not be located".to_owned()),
                };
                return Event::Exited { tag, exit };
            }
            Err(error) => {
                tracing::warn!("cannot wait for container `{id}`: {}", cause(error));
                tokio::time::sleep(WATCH_AGAIN).await;
            }
        }
    }
}

pub(super) async fn post_start<R: Runtime>(site: &Site<R>, tag: Tag, pod: &Pod, live: &Live, ip: IpAddr) -> Event {
    let outcome = match &pod.containers[tag.container].post_start {
        Some(hook) => hook::run(site, &live.id, ip, hook, hook::UNLIMITED).await,
        None => Ok(()),
    };
    Event::PostStarted { tag, outcome }
}

/// Whatever becomes of the hook, the container is stopped then [3.97].
pub(super) async fn pre_stop<R: Runtime>(
    site: &Site<R>,
    tag: Tag,
    pod: &Pod,
    live: &Live,
    ip: IpAddr,
    grace: Duration,
) -> Event {
    if let Some(hook) = &pod.containers[tag.container].pre_stop {
        // the runtime ends a command at its limit; nothing else outlasts it
        let ran = tokio::time::timeout(grace, hook::run(site, &live.id, ip, hook, grace)).await;
        let failure = match ran {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(_) => Some(format!("it did not end within {} s", grace.as_secs())),
        };
        if let Some(message) = failure {
            tracing::warn!("{}: PreStop hook failed: {message}", super::words::label(pod, tag.container));
            let told = Told::warning("FailedPreStopHook", "PreStopHook failed");
            site.recorder.container(pod, tag.container, told);
        }
    }
    Event::PreStopped { tag }
}

/// The end itself is told by the watch.
pub(super) async fn stop<R: Runtime>(site: &Site<R>, tag: Tag, id: &str, grace: Duration) -> Option<Event> {
    match site.runtime.stop_container(id, grace).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => None,
        Err(error) => {
            tracing::warn!("cannot stop container `{id}`: {}", cause(error));
            Some(Event::StopFailed { tag })
        }
    }
}

pub(super) async fn forget<R: Runtime>(site: &Site<R>, pod: &Arc<Pod>, container: usize, attempt: u32, id: &str) {
    match site.runtime.remove_container(id).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => {
            let name = &pod.containers[container].name;
            if let Err(error) = logs::forget(&site.layout, &container::metadata(pod), name, attempt, id) {
                tracing::warn!("{}", chain_of(&error));
            }
        }
        Err(error) => tracing::warn!("cannot remove container `{id}`: {}", cause(error)),
    }
}

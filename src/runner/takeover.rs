//! What an earlier runner has left running, and with what each worker begins.
//!
//! Sandboxes and containers tell most of it; the records and the manifests tell the rest. Two sandboxes of one pod
//! can only be there after a crash at a bad moment: the newest that is ready counts, the others are ended first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;

use super::container::{REVISION, promised_grace};
use super::cri::convert::is_from_cri;
use super::logs;
use super::pod::{self, ContainerKind, Pod, RestartPolicy};
use super::record::{self, Clock, Record};
use super::runtime::{Container, ContainerState, PodSandbox, Runtime, SandboxState, SecurityContext};
use super::source::{Origin, Scan, directory};
use super::worker::adopt::adopt;
use super::worker::machine::{Event, step};
use super::worker::words::cause;
use super::worker::{Begin, Site};
use crate::error::{Context, Result};
use crate::image::policy::PullPolicy;
use crate::layout::Layout;

/// For a pod of which neither manifest nor record tells another [2.30].
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

pub(super) struct Found {
    pub(super) begins: Vec<Begin>,
    /// Pods that left a record and logs, and nothing that runs.
    pub(super) leftovers: Vec<Arc<Pod>>,
}

/// `url`: one of the sources is a URL. What it gives is not known yet.
pub(super) async fn find<R: Runtime>(site: &Site<R>, manifests: &Path, url: Option<&Origin>) -> Result<Found> {
    let sandboxes = site.runtime.list_pod_sandboxes().await.context("cannot list the sandboxes")?;
    let containers = site.runtime.list_containers().await.context("cannot list the containers")?;
    let records = record::read_all(&site.layout);
    // what cannot be read now is read again by the source
    let scan = directory::read(manifests, &site.node.name).unwrap_or_default();
    let mut by_name: BTreeMap<String, Vec<PodSandbox>> = BTreeMap::new();
    // what was made over the CRI is its client's
    for sandbox in sandboxes.into_iter().filter(|sandbox| !is_from_cri(&sandbox.config)) {
        let metadata = &sandbox.config.metadata;
        by_name.entry(format!("{}_{}", metadata.name, metadata.namespace)).or_default().push(sandbox);
    }
    let of = |sandbox: &PodSandbox| -> Vec<Container> {
        containers.iter().filter(|container| container.sandbox_id == sandbox.id).cloned().collect()
    };
    let clock = Clock { now: tokio::time::Instant::now().into_std(), wall: Timestamp::now() };
    let (mut begins, mut strays) = (Vec::new(), Vec::new());
    for (_, mut sandboxes) in by_name {
        sandboxes.sort_by_key(|sandbox| (sandbox.state == SandboxState::Ready, sandbox.created_at));
        let Some(sandbox) = sandboxes.pop() else { continue };
        strays.extend(sandboxes.into_iter().map(|stray| (of(&stray), stray)));
        begins.push(begin(site, &sandbox, of(&sandbox), &scan, &records, clock));
    }
    join_all(strays.iter().map(|(containers, stray)| end(site, stray, containers))).await;
    let begun = |pod: &Pod| begins.iter().filter_map(|begin| begin.state.current()).any(|other| other.uid == pod.uid);
    let leftovers: Vec<_> = records.iter().filter(|record| !begun(&record.pod)).map(|record| &record.pod).collect();
    let last_good = last_good(site, &scan, url, &leftovers, &begins, clock.now);
    let leftovers = leftovers.into_iter().cloned().map(Arc::new).collect();
    begins.extend(last_good);
    Ok(Found { begins, leftovers })
}

fn begin<R>(
    site: &Site<R>,
    sandbox: &PodSandbox,
    mut containers: Vec<Container>,
    scan: &Scan,
    records: &[Record],
    clock: Clock,
) -> Begin {
    let revision = sandbox.config.annotations.get(REVISION).map(String::as_str).unwrap_or_default();
    let is_of = |pod: &Pod| pod.revision == revision && pod.uid == sandbox.config.metadata.uid;
    let record = records.iter().find(|record| is_of(&record.pod));
    let from_manifest = scan.manifests.iter().filter_map(|file| file.pod.as_ref().ok()).find(|pod| is_of(pod));
    let pod = from_manifest
        .cloned()
        .or_else(|| record.map(|record| Arc::new(record.pod.clone())))
        .unwrap_or_else(|| Arc::new(unknown(sandbox, &containers)));
    containers.iter_mut().for_each(|container| add_last_words(container, &pod, &site.layout));
    let (mut state, mut commands) = adopt(pod, record, sandbox, containers, site.longest_backoff, clock);
    commands.extend(step(&mut state, Event::Due, clock.now));
    let metadata = &sandbox.config.metadata;
    Begin { state, commands, sandbox: Some((metadata.uid.clone(), sandbox.config.attempt)) }
}

fn add_last_words(container: &mut Container, pod: &Pod, layout: &Layout) {
    let index = pod.containers.iter().position(|spec| spec.name == container.config.name);
    if let (Some(index), ContainerState::Exited { exit, .. }) = (index, &mut container.state) {
        let words = logs::last_words(layout, pod, index, container.config.attempt, exit.code != 0);
        exit.add_words(words);
    }
}

/// A pod of which only the runtime knows: enough to watch it, and to stop it with the grace it was promised.
fn unknown(sandbox: &PodSandbox, containers: &[Container]) -> Pod {
    let grace = containers.iter().find_map(|container| promised_grace(&container.config));
    let mut own = BTreeMap::new();
    for container in containers {
        own.entry(container.config.name.clone()).or_insert_with(|| pod::Container {
            name: container.config.name.clone(),
            kind: ContainerKind::Regular,
            restart_policy: None,
            restart_rules: Vec::new(),
            post_start: None,
            pre_stop: None,
            image: container.config.image.clone(),
            pull: PullPolicy::IfNotPresent,
            command: container.config.command.clone(),
            args: container.config.args.clone(),
            working_dir: None,
            env: Vec::new(),
            mounts: Vec::new(),
            resources: Default::default(),
            security: SecurityContext::default(),
            stdin: container.config.stdin,
            stdin_once: container.config.stdin_once,
            tty: container.config.tty,
            termination_message: None,
            startup: None,
            liveness: None,
            readiness: None,
        });
    }
    let config = &sandbox.config;
    Pod {
        name: config.metadata.name.clone(),
        namespace: config.metadata.namespace.clone(),
        uid: config.metadata.uid.clone(),
        revision: config.annotations.get(REVISION).cloned().unwrap_or_else(|| "unknown".to_owned()),
        source: Origin::File("unknown".into()),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        host_pid: config.namespaces.host_pid,
        host_ipc: config.namespaces.host_ipc,
        share_process: config.namespaces.share_process,
        network: (!config.namespaces.host_network).then(|| pod::PodNetwork {
            hostname: config.hostname.clone(),
            ports: config.port_mappings.clone(),
            ..pod::PodNetwork::default()
        }),
        sysctls: config.sysctls.clone(),
        restart_policy: RestartPolicy::Always,
        grace: grace.unwrap_or(DEFAULT_GRACE),
        active_deadline: None,
        node_critical: false,
        volumes: Vec::new(),
        dns: None,
        host_aliases: Vec::new(),
        fs_group: None,
        placement: Default::default(),
        containers: own.into_values().collect(),
        remarks: Vec::new(),
        object: None,
    }
}

/// After a boot nothing runs: a manifest that is invalid by now still has the last good version in the records, and a
/// URL, which nobody may answer for a while, its last good list.
fn last_good<R>(
    site: &Site<R>,
    scan: &Scan,
    url: Option<&Origin>,
    records: &[&Pod],
    begins: &[Begin],
    now: Instant,
) -> Vec<Begin> {
    let begun = |pod: &Pod| {
        let names = begins.iter().filter_map(|begin| begin.state.current()).map(|pod| pod.full_name());
        names
            .chain(scan.manifests.iter().filter_map(|file| Some(file.pod.as_ref().ok()?.full_name())))
            .any(|name| name == pod.full_name())
    };
    let mut found: Vec<Begin> = Vec::new();
    let broken = scan.manifests.iter().filter(|file| file.pod.is_err()).map(|file| &file.origin);
    let is_wanted = |pod: &Pod| broken.clone().chain(url).any(|origin| pod.source == *origin) && !begun(pod);
    for pod in records.iter().filter(|pod| is_wanted(pod)) {
        let mut state = site.state();
        let commands = step(&mut state, Event::Wanted(Some(Arc::new(Pod::clone(pod)))), now);
        found.push(Begin { state, commands, sandbox: None });
    }
    found
}

/// Ends a sandbox that should not be there, its containers with their grace.
async fn end<R: Runtime>(site: &Site<R>, stray: &PodSandbox, containers: &[Container]) {
    tracing::warn!("{}: a second sandbox `{}` is removed", stray.config.metadata.name, stray.id);
    let running = containers.iter().filter(|container| matches!(container.state, ContainerState::Running { .. }));
    join_all(running.map(async |container| {
        if let Err(error) =
            site.runtime.stop_container(&container.id, promised_grace(&container.config).unwrap_or(DEFAULT_GRACE)).await
        {
            tracing::warn!("cannot stop container `{}`: {}", container.id, cause(error));
        }
    }))
    .await;
    let cleared = async {
        site.runtime.stop_pod_sandbox(&stray.id).await?;
        site.runtime.remove_pod_sandbox(&stray.id).await
    };
    if let Err(error) = cleared.await {
        tracing::warn!("cannot remove sandbox `{}`: {}", stray.id, cause(error));
    }
}

//! PURE: what the runtime knows, as the CRI tells it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{OWNER, image_user};
use crate::runner::cri::v1::{self, ContainerState as State, MountPropagation, NamespaceMode, PodSandboxState};
use crate::runner::runtime::{
    Container, ContainerState, ContainerStats, Exit, FilesystemUsage, Image, NamespaceOptions, PodSandbox,
    PodSandboxConfig, Propagation, Resources, SandboxState,
};

/// Nanoseconds since 1970.
pub fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or_default()
}

fn map(pairs: &BTreeMap<String, String>) -> HashMap<String, String> {
    pairs.iter().filter(|(name, _)| *name != OWNER).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn metadata(config: &PodSandboxConfig) -> v1::PodSandboxMetadata {
    let pod = config.metadata.clone();
    v1::PodSandboxMetadata { name: pod.name, uid: pod.uid, namespace: pod.namespace, attempt: config.attempt }
}

pub fn sandbox_state(state: SandboxState) -> PodSandboxState {
    match state {
        SandboxState::Ready => PodSandboxState::SandboxReady,
        SandboxState::NotReady => PodSandboxState::SandboxNotready,
    }
}

pub fn sandbox(sandbox: &PodSandbox) -> v1::PodSandbox {
    v1::PodSandbox {
        id: sandbox.id.clone(),
        metadata: Some(metadata(&sandbox.config)),
        state: sandbox_state(sandbox.state).into(),
        created_at: nanoseconds(sandbox.created_at),
        labels: map(&sandbox.config.labels),
        annotations: map(&sandbox.config.annotations),
        runtime_handler: String::new(),
    }
}

pub fn sandbox_status(sandbox: &PodSandbox) -> v1::PodSandboxStatus {
    let options = namespaces(sandbox.config.namespaces);
    v1::PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: Some(metadata(&sandbox.config)),
        state: sandbox_state(sandbox.state).into(),
        created_at: nanoseconds(sandbox.created_at),
        network: Some(network(sandbox)),
        linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options: Some(options) }) }),
        labels: map(&sandbox.config.labels),
        annotations: map(&sandbox.config.annotations),
        runtime_handler: String::new(),
    }
}

/// Empty on the node's network: that is the node's address, which whoever asks knows.
fn network(sandbox: &PodSandbox) -> v1::PodSandboxNetworkStatus {
    let mut ips = sandbox.ips.iter().map(ToString::to_string);
    v1::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
    }
}

fn namespaces(options: NamespaceOptions) -> v1::NamespaceOption {
    let mode = |is_nodes: bool, own: NamespaceMode| if is_nodes { NamespaceMode::Node } else { own }.into();
    let processes = if options.share_process { NamespaceMode::Pod } else { NamespaceMode::Container };
    v1::NamespaceOption {
        network: mode(options.host_network, NamespaceMode::Pod),
        pid: mode(options.host_pid, processes),
        ipc: mode(options.host_ipc, NamespaceMode::Pod),
        target_id: String::new(),
        userns_options: None,
    }
}

pub fn container_state(state: &ContainerState) -> State {
    match state {
        ContainerState::Created => State::ContainerCreated,
        ContainerState::Running { .. } => State::ContainerRunning,
        ContainerState::Exited { .. } => State::ContainerExited,
    }
}

fn container_metadata(container: &Container) -> v1::ContainerMetadata {
    v1::ContainerMetadata { name: container.config.name.clone(), attempt: container.config.attempt }
}

fn image_spec(name: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: name.to_owned(), user_specified_image: name.to_owned(), ..Default::default() }
}

pub fn container(container: &Container) -> v1::Container {
    v1::Container {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox_id.clone(),
        metadata: Some(container_metadata(container)),
        image: Some(image_spec(&container.config.image)),
        image_ref: container.image_id.clone(),
        state: container_state(&container.state).into(),
        created_at: nanoseconds(container.created_at),
        labels: map(&container.config.labels),
        annotations: map(&container.config.annotations),
        image_id: container.image_id.clone(),
    }
}

/// `sandbox`: the container's.
pub fn container_status(container: &Container, sandbox: &PodSandbox) -> v1::ContainerStatus {
    let (started_at, exit) = match &container.state {
        ContainerState::Created => (None, None),
        ContainerState::Running { started_at, .. } => (Some(*started_at), None),
        ContainerState::Exited { started_at, exit } => (*started_at, Some(exit)),
    };
    let config = &container.config;
    v1::ContainerStatus {
        id: container.id.clone(),
        metadata: Some(container_metadata(container)),
        state: container_state(&container.state).into(),
        created_at: nanoseconds(container.created_at),
        started_at: started_at.map_or(0, nanoseconds),
        finished_at: exit.map_or(0, |exit| nanoseconds(exit.finished_at)),
        exit_code: exit.map_or(0, |exit| exit.code),
        image: Some(image_spec(&config.image)),
        image_ref: container.image_id.clone(),
        reason: exit.map(reason).unwrap_or_default().to_owned(),
        message: exit.and_then(|exit| exit.message.clone()).unwrap_or_default(),
        labels: map(&config.labels),
        annotations: map(&config.annotations),
        mounts: config.mounts.iter().map(mount).collect(),
        log_path: sandbox.config.log_directory.join(&config.log_path).display().to_string(),
        resources: Some(v1::ContainerResources { linux: Some(resources(&config.resources)), windows: None }),
        image_id: container.image_id.clone(),
        user: None,
        stop_signal: v1::Signal::RuntimeDefault.into(),
    }
}

/// As the kubelet and the engines call it.
fn reason(exit: &Exit) -> &'static str {
    match exit {
        Exit { oom_killed: true, .. } => "OOMKilled",
        Exit { code: 0, .. } => "Completed",
        _ => "Error",
    }
}

fn mount(mount: &crate::runner::runtime::Mount) -> v1::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => MountPropagation::PropagationBidirectional,
    };
    v1::Mount {
        container_path: mount.container_path.display().to_string(),
        host_path: mount.host_path.display().to_string(),
        readonly: mount.read_only,
        propagation: propagation.into(),
        image: mount.image.as_ref().map(|of| image_spec(&of.image)),
        image_sub_path: mount.image.as_ref().map_or_else(String::new, |of| of.sub_path.display().to_string()),
        ..Default::default()
    }
}

fn resources(limits: &Resources) -> v1::LinuxContainerResources {
    let signed = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok()).unwrap_or_default();
    v1::LinuxContainerResources {
        cpu_period: signed(limits.cpu_period),
        cpu_quota: limits.cpu_quota.unwrap_or_default(),
        cpu_shares: signed(limits.cpu_shares),
        memory_limit_in_bytes: limits.memory_limit.unwrap_or_default(),
        oom_score_adj: limits.oom_score_adj.unwrap_or_default().into(),
        ..Default::default()
    }
}

fn count(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

pub fn stats(container: &Container, stats: &ContainerStats) -> v1::ContainerStats {
    let timestamp = nanoseconds(stats.taken_at);
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            id: container.id.clone(),
            metadata: Some(container_metadata(container)),
            labels: map(&container.config.labels),
            annotations: map(&container.config.annotations),
        }),
        cpu: Some(v1::CpuUsage { timestamp, usage_core_nano_seconds: count(stats.cpu_usage), ..Default::default() }),
        memory: Some(v1::MemoryUsage {
            timestamp,
            working_set_bytes: count(stats.memory_working_set),
            usage_bytes: count(stats.memory_usage),
            ..Default::default()
        }),
        writable_layer: None,
        swap: None,
        io: None,
    }
}

/// A pod uses what its running containers use.
pub fn sandbox_stats(
    sandbox: &PodSandbox,
    containers: &[(Container, ContainerStats)],
    now: Timestamp,
) -> v1::PodSandboxStats {
    let timestamp = nanoseconds(now);
    let sum = |of: fn(&ContainerStats) -> u64| count(containers.iter().map(|(_, stats)| of(stats)).sum());
    v1::PodSandboxStats {
        attributes: Some(v1::PodSandboxAttributes {
            id: sandbox.id.clone(),
            metadata: Some(metadata(&sandbox.config)),
            labels: map(&sandbox.config.labels),
            annotations: map(&sandbox.config.annotations),
        }),
        linux: Some(v1::LinuxPodSandboxStats {
            cpu: Some(v1::CpuUsage {
                timestamp,
                usage_core_nano_seconds: sum(|stats| stats.cpu_usage),
                ..Default::default()
            }),
            memory: Some(v1::MemoryUsage {
                timestamp,
                working_set_bytes: sum(|stats| stats.memory_working_set),
                usage_bytes: sum(|stats| stats.memory_usage),
                ..Default::default()
            }),
            network: None,
            process: Some(v1::ProcessUsage { timestamp, process_count: sum(|stats| stats.pids) }),
            containers: containers.iter().map(|(container, stats)| self::stats(container, stats)).collect(),
            io: None,
        }),
        windows: None,
    }
}

/// `pinned`: a manifest's pod uses it.
pub fn image(image: &Image, pinned: bool) -> v1::Image {
    let (uid, name) = image.user.as_deref().map_or((None, ""), image_user);
    let is_tag = |reference: &&String| !reference.contains('@');
    v1::Image {
        id: image.id.clone(),
        repo_tags: image.references.iter().filter(is_tag).cloned().collect(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid: uid.map(|value| v1::Int64Value { value }),
        username: name.to_owned(),
        spec: None,
        pinned,
    }
}

pub fn filesystem(usage: &FilesystemUsage, now: Timestamp) -> v1::FilesystemUsage {
    v1::FilesystemUsage {
        timestamp: nanoseconds(now),
        fs_id: Some(v1::FilesystemIdentifier { mountpoint: usage.directory.display().to_string() }),
        used_bytes: count(usage.bytes),
        inodes_used: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::runner::cri::convert::container::tests as containers;
    use crate::runner::cri::convert::sandbox::tests as sandboxes;
    use crate::runner::cri::convert::{container as from_container, sandbox as from_sandbox};

    fn pod() -> PodSandbox {
        let config = from_sandbox::config(&sandboxes::asked(), "", "node", &Layout::default()).unwrap();
        let (ips, created_at) = (vec!["10.88.0.2".parse().unwrap()], Timestamp::UNIX_EPOCH);
        PodSandbox { id: "p1".into(), state: SandboxState::Ready, created_at, ips, config }
    }

    fn etcd(state: ContainerState) -> Container {
        let options = pod().config.namespaces;
        Container {
            id: "c1".into(),
            sandbox_id: "p1".into(),
            image_id: containers::image().id,
            created_at: Timestamp::from_second(1).unwrap(),
            state,
            config: from_container::config(&containers::asked(), &containers::image(), "etcd:3", options).unwrap(),
        }
    }

    #[test]
    fn a_sandbox_comes_back_as_it_was_asked_for() {
        let (asked, status) = (sandboxes::asked(), sandbox_status(&pod()));
        assert_eq!((status.metadata, status.labels), (asked.metadata, asked.labels));
        assert_eq!(status.annotations, HashMap::from([("note".to_owned(), "x".to_owned())]), "without the owner");
        assert_eq!(status.network.unwrap().ip, "10.88.0.2");
        let options = status.linux.unwrap().namespaces.unwrap().options.unwrap();
        assert_eq!(Some(options), asked.linux.unwrap().security_context.unwrap().namespace_options);
        assert_eq!(sandbox(&pod()).state(), PodSandboxState::SandboxReady);
    }

    #[test]
    fn a_container_comes_back_as_it_was_asked_for() {
        let (asked, started_at) = (containers::asked(), Timestamp::from_second(2).unwrap());
        let status = container_status(&etcd(ContainerState::Running { pid: 7, started_at }), &pod());
        assert_eq!((status.metadata.clone(), status.mounts.clone()), (asked.metadata, asked.mounts));
        assert_eq!(
            (status.state(), status.started_at, status.finished_at),
            (State::ContainerRunning, 2_000_000_000, 0)
        );
        assert_eq!(status.log_path, "/var/log/pods/default_web_u-1/etcd/3.log");
        assert_eq!(status.resources.unwrap().linux, Some(Default::default()));
    }

    #[test]
    fn an_end_has_a_reason() {
        let exit = |code, oom_killed| {
            let finished_at = Timestamp::from_second(3).unwrap();
            let exit = Exit { code, signal: 0, code_known: true, oom_killed, finished_at, message: None };
            let status = container_status(&etcd(ContainerState::Exited { started_at: None, exit }), &pod());
            (status.exit_code, status.reason, status.finished_at)
        };
        assert_eq!(exit(0, false), (0, "Completed".to_owned(), 3_000_000_000));
        assert_eq!(exit(3, false).1, "Error");
        assert_eq!(exit(137, true).1, "OOMKilled");
    }

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let of = |id: &str, amount| ContainerStats {
            id: id.into(),
            taken_at: Timestamp::UNIX_EPOCH,
            cpu_usage: amount,
            memory_usage: amount * 2,
            memory_working_set: amount,
            pids: 1,
        };
        let both = [(etcd(ContainerState::Created), of("c1", 5)), (etcd(ContainerState::Created), of("c2", 7))];
        let linux = sandbox_stats(&pod(), &both, Timestamp::UNIX_EPOCH).linux.unwrap();
        assert_eq!(linux.cpu.unwrap().usage_core_nano_seconds, count(12));
        assert_eq!(linux.memory.unwrap().usage_bytes, count(24));
        assert_eq!((linux.process.unwrap().process_count, linux.containers.len()), (count(2), 2));
    }

    #[test]
    fn an_image_has_tags_and_a_user() {
        let of = image(&containers::image(), true);
        assert_eq!((of.uid, of.username.as_str(), of.pinned), (None, "etcd", true));
        assert_eq!(of.repo_tags, ["registry.k8s.io/etcd:3"]);
        let root = Image { user: Some("0".into()), ..containers::image() };
        assert_eq!(image(&root, false).uid, Some(v1::Int64Value { value: 0 }));
    }
}

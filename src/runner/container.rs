//! PURE: what the runtime is asked for: a pod's sandbox and its containers, with the CRI's labels [3.2].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::cri::convert::OWNER;
use super::env::{self, Files};
use super::hostname;
use super::node::Node;
use super::pod::{Container, Pod, SubPath, VolumeMount, VolumeSource};
use super::resources;
use super::runtime::{
    ContainerConfig, ImageMount, Mount, NamespaceOptions, PodMetadata, PodSandboxConfig, SeccompProfile,
    SecurityContext,
};
use super::volume;
use super::volume::sub_path::{self, Part};
use crate::layout::Layout;

/// Which revision a sandbox was made for; two revisions of a pod with a fixed UID differ in nothing else.
pub const REVISION: &str = "bootstrap.runner/revision";

const HOSTS: &str = "/etc/hosts";

/// The pod's `/etc/hosts`, on the machine.
pub fn hosts_file(layout: &Layout, uid: &str) -> PathBuf {
    layout.pods().join(uid).join("etc-hosts")
}

/// The pod's grace, on each of its containers [3.2].
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The grace that a container was promised when it was made, also where its manifest is not at hand any more.
pub fn promised_grace(container: &ContainerConfig) -> Option<Duration> {
    Some(Duration::from_secs(container.annotations.get(GRACE)?.parse().ok()?))
}

pub fn metadata(pod: &Pod) -> PodMetadata {
    PodMetadata { name: pod.name.clone(), namespace: pod.namespace.clone(), uid: pod.uid.clone() }
}

/// `<namespace>_<name>_<uid>`, where the pod's logs go [6.1].
pub fn log_directory(layout: &Layout, pod: &PodMetadata) -> PathBuf {
    layout.pod_logs().join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// Where the container leaves its last words, on the machine.
pub fn termination_file(layout: &Layout, uid: &str, container: &str, attempt: u32) -> PathBuf {
    layout.records().join(uid).join("termination").join(container).join(attempt.to_string())
}

/// `Err` in the kubelet's words, where the pod cannot be called what it asks for.
pub fn sandbox(
    pod: &Pod,
    attempt: u32,
    node: &Node,
    layout: &Layout,
    seen: Timestamp,
) -> Result<PodSandboxConfig, String> {
    let metadata = metadata(pod);
    let mut annotations = pod.annotations.clone();
    // no manifest gives its pod away
    annotations.remove(OWNER);
    annotations.insert("kubernetes.io/config.seen".to_owned(), seen.to_string());
    annotations.insert(REVISION.to_owned(), pod.revision.clone());
    Ok(PodSandboxConfig {
        attempt,
        hostname: hostname::of_pod(pod, node)?,
        // the node's file is read by whoever asks for the sandbox
        dns: None,
        log_directory: log_directory(layout, &metadata),
        namespaces: NamespaceOptions {
            host_network: pod.network.is_none(),
            host_pid: pod.host_pid,
            host_ipc: pod.host_ipc,
            share_process: pod.share_process,
        },
        port_mappings: pod.network.as_ref().map(|network| network.ports.clone()).unwrap_or_default(),
        sysctls: pod.sysctls.clone(),
        cgroup_parent: resources::cgroup_parent(pod),
        resources: resources::of_pod(pod, node),
        labels: labels(pod),
        annotations,
        metadata,
    })
}

fn labels(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = pod.labels.clone();
    labels.insert("io.kubernetes.pod.name".to_owned(), pod.name.clone());
    labels.insert("io.kubernetes.pod.namespace".to_owned(), pod.namespace.clone());
    labels.insert("io.kubernetes.pod.uid".to_owned(), pod.uid.clone());
    labels
}

/// `ips` are those of a network of the pod's own; `Err` in the kubelet's words, for the reason
/// `CreateContainerConfigError` [3.43].
pub fn config(
    pod: &Pod,
    index: usize,
    attempt: u32,
    files: &Files,
    node: &Node,
    ips: &[IpAddr],
    layout: &Layout,
) -> Result<ContainerConfig, String> {
    let container = &pod.containers[index];
    let env = env::variables(pod, container, node, files, ips)?;
    let expanded = |words: &[String]| words.iter().map(|word| env::expand(word, &env)).collect();
    let mut mounts = Vec::new();
    for mount in &container.mounts {
        let volume = pod.volumes.iter().find(|volume| volume.name == mount.volume);
        let volume = volume.ok_or_else(|| no_volume(&mount.volume, &container.name))?;
        if let VolumeSource::Image { image, .. } = &volume.source {
            let sub_path = part_of(mount, &env)?.unwrap_or_default().into();
            mounts.push(Mount {
                host_path: PathBuf::new(),
                container_path: mount.path.clone(),
                read_only: true,
                propagation: mount.propagation,
                image: Some(ImageMount { image: image.clone(), sub_path }),
            });
            continue;
        }
        mounts.push(Mount {
            host_path: match &mount.sub_path {
                None => volume::place(volume, pod, layout),
                Some(_) => sub_path_place(layout, pod, container, mounts.len()),
            },
            container_path: mount.path.clone(),
            // what a pod may know of itself is not its own to change [4.32]
            read_only: mount.read_only || matches!(volume.source, VolumeSource::DownwardApi { .. }),
            propagation: mount.propagation,
            image: None,
        });
    }
    let own: Vec<_> = mounts.iter().map(|mount: &Mount| mount.container_path.clone()).collect();
    let taken = |path: &Path| own.iter().any(|taken| taken == path);
    if let Some(message) = container.termination_message.as_ref().filter(|message| !taken(&message.path)) {
        mounts.push(Mount {
            host_path: termination_file(layout, &pod.uid, &container.name, attempt),
            container_path: message.path.clone(),
            read_only: false,
            propagation: Default::default(),
            image: None,
        });
    }
    if !taken(Path::new(HOSTS)) {
        mounts.push(Mount {
            host_path: hosts_file(layout, &pod.uid),
            container_path: HOSTS.into(),
            read_only: container.security.read_only_root_filesystem,
            propagation: Default::default(),
            image: None,
        });
    }
    let mut labels = labels(pod);
    labels.insert("io.kubernetes.container.name".to_owned(), container.name.clone());
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt,
        image: container.image.clone(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone(),
        mounts,
        log_path: PathBuf::from(&container.name).join(format!("{attempt}.log")),
        resources: resources::of_container(pod, index, node),
        security: security(container, node),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        labels,
        annotations: annotations(pod, index, attempt),
        env,
    })
}

/// As the manifest has it, and what it leaves to the node.
fn security(container: &Container, node: &Node) -> SecurityContext {
    let mut security = container.security.clone();
    if security.seccomp == SeccompProfile::Unspecified {
        let default = if node.seccomp_default { SeccompProfile::RuntimeDefault } else { SeccompProfile::Unconfined };
        security.seccomp = default;
    }
    security
}

fn no_volume(volume: &str, container: &str) -> String {
    format!("cannot find volume \"{volume}\" to mount into container \"{container}\"")
}

/// Where the part of a volume is that a container's mount asks for; `index` is that of the mount.
fn sub_path_place(layout: &Layout, pod: &Pod, container: &Container, index: usize) -> PathBuf {
    sub_path::directory(layout, &pod.uid).join(&container.name).join(index.to_string())
}

/// The subPath of a mount with its variables in place; `Err` in the kubelet's words [4.62].
fn part_of(mount: &VolumeMount, known: &[(String, String)]) -> Result<Option<String>, String> {
    let path = match &mount.sub_path {
        None => return Ok(None),
        Some(SubPath::Plain(path)) => path.clone(),
        Some(SubPath::Expression(text)) => {
            let unknown = env::unknown(text, known);
            if !unknown.is_empty() {
                return Err(format!("missing value for {}", unknown.join(", ")));
            }
            env::expand(text, known)
        }
    };
    sub_path::check(&path)?;
    Ok(Some(path))
}

/// The parts of volumes that a container mounts by a subPath; `Err` in the kubelet's words [4.62].
pub fn sub_paths(
    pod: &Pod,
    index: usize,
    files: &Files,
    node: &Node,
    ips: &[IpAddr],
    layout: &Layout,
) -> Result<Vec<Part>, String> {
    let container = &pod.containers[index];
    let known = env::variables(pod, container, node, files, ips)?;
    let mut parts = Vec::new();
    for (index, mount) in container.mounts.iter().enumerate() {
        let Some(path) = part_of(mount, &known)? else { continue };
        let volume = pod.volumes.iter().find(|volume| volume.name == mount.volume);
        let volume = volume.ok_or_else(|| no_volume(&mount.volume, &container.name))?;
        // the runtime finds it in the image
        if matches!(volume.source, VolumeSource::Image { .. }) {
            continue;
        }
        parts.push(Part {
            volume: volume.name.clone(),
            directory: volume::place(volume, pod, layout),
            path: path.into(),
            place: sub_path_place(layout, pod, container, index),
        });
    }
    Ok(parts)
}

fn annotations(pod: &Pod, index: usize, attempt: u32) -> BTreeMap<String, String> {
    let container = &pod.containers[index];
    let message = container.termination_message.as_ref();
    let policy = if message.is_some_and(|message| message.fallback_to_logs) { "FallbackToLogsOnError" } else { "File" };
    let path = message.map(|message| message.path.display().to_string()).unwrap_or_default();
    [
        ("io.kubernetes.container.restartCount", attempt.to_string()),
        ("io.kubernetes.container.terminationMessagePath", path),
        ("io.kubernetes.container.terminationMessagePolicy", policy.to_owned()),
        (GRACE, pod.grace.as_secs().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::pod::{EnvValue, EnvVar, HostPathType, TerminationMessage, Volume};
    use crate::runner::testing;

    fn host_path(path: &str, kind: HostPathType) -> Volume {
        Volume { name: "v".into(), source: VolumeSource::HostPath { path: path.into(), kind } }
    }

    fn mounted_at(path: &str) -> VolumeMount {
        VolumeMount {
            volume: "v".into(),
            path: path.into(),
            read_only: false,
            propagation: Default::default(),
            sub_path: None,
        }
    }

    #[test]
    fn a_sub_path_may_name_variables() {
        let mut pod = testing::pod("a");
        pod.volumes = vec![host_path("/data", HostPathType::Unset)];
        let variable = EnvVar { name: "NODE".into(), value: EnvValue::Field("spec.nodeName".into()) };
        pod.containers[0].env = vec![variable];
        let mut parts = |path: SubPath| {
            pod.containers[0].mounts = vec![VolumeMount { sub_path: Some(path), ..mounted_at("/x") }];
            let (node, layout) = (testing::node(), Layout::new("/srv/a"));
            let config = config(&pod, 0, 0, &Files::new(), &node, &[], &layout).unwrap();
            (config.mounts[0].host_path.clone(), sub_paths(&pod, 0, &Files::new(), &node, &[], &layout))
        };
        let place = PathBuf::from("/srv/a/var/lib/bootstrap/pods/uid-a/volume-subpaths/a/0");
        let part = |path: &str| Part {
            volume: "v".into(),
            directory: "/srv/a/data".into(),
            path: path.into(),
            place: place.clone(),
        };
        assert_eq!(parts(SubPath::Plain("$(NODE)/y".into())), (place.clone(), Ok(vec![part("$(NODE)/y")])));
        assert_eq!(parts(SubPath::Expression("$(NODE)/y".into())).1, Ok(vec![part("node/y")]));
        assert_eq!(parts(SubPath::Expression("$(B)$(A)".into())).1, Err("missing value for A, B".to_owned()));
        assert!(parts(SubPath::Expression("/$(NODE)".into())).1.is_err());
    }

    #[test]
    fn a_container_gets_what_its_manifest_says() {
        let mut pod = testing::pod("a");
        pod.volumes = vec![host_path("/var/lib/etcd", HostPathType::Unset)];
        let container = &mut pod.containers[0];
        let variable = |name: &str, value| EnvVar { name: name.to_owned(), value };
        container.env = vec![
            variable("NODE", EnvValue::Field("spec.nodeName".to_owned())),
            variable("URL", EnvValue::Literal("http://$(NODE):1".to_owned())),
            variable(
                "MEMORY",
                EnvValue::Resource { container: "a".into(), resource: "limits.memory".into(), divisor: "1Mi".into() },
            ),
            variable(
                "CPU",
                EnvValue::Resource { container: "a".into(), resource: "limits.cpu".into(), divisor: "1".into() },
            ),
        ];
        container.command = vec!["etcd".to_owned(), "--url=$(URL)".to_owned()];
        let mount = VolumeMount { read_only: true, ..mounted_at("/data") };
        container.mounts = vec![mount];
        container.termination_message =
            Some(TerminationMessage { path: "/dev/termination-log".into(), fallback_to_logs: false });
        let node = testing::node();
        let config = config(&pod, 0, 3, &Files::new(), &node, &[], &Layout::new("/srv/a")).unwrap();
        assert_eq!(config.command, ["etcd", "--url=http://node:1"]);
        let value = |name: &str| config.env.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!((value("NODE"), value("MEMORY"), value("CPU")), ("node", "1024", "2"));
        assert_eq!(config.mounts[0].host_path, Path::new("/srv/a/var/lib/etcd"));
        assert_eq!(config.mounts[1].container_path, Path::new("/dev/termination-log"));
        assert_eq!(config.log_path, Path::new("a/3.log"));
        assert_eq!(config.labels["io.kubernetes.pod.uid"], pod.uid);
    }

    #[test]
    fn case_75_the_node_decides_where_the_manifest_says_nothing() {
        let profile = |own: SeccompProfile, seccomp_default| {
            let mut pod = testing::pod("a");
            pod.containers[0].security.seccomp = own;
            let node = Node { seccomp_default, ..testing::node() };
            config(&pod, 0, 0, &Files::new(), &node, &[], &Layout::default()).unwrap().security.seccomp
        };
        assert_eq!(profile(SeccompProfile::Unspecified, false), SeccompProfile::Unconfined);
        assert_eq!(profile(SeccompProfile::Unspecified, true), SeccompProfile::RuntimeDefault);
        assert_eq!(profile(SeccompProfile::Unconfined, true), SeccompProfile::Unconfined);
    }

    #[test]
    fn a_volume_at_the_place_of_the_termination_file_wins() {
        let mut pod = testing::pod("a");
        pod.volumes = vec![host_path("/x", HostPathType::File)];
        let container = &mut pod.containers[0];
        container.mounts = vec![mounted_at("/dev/termination-log")];
        container.termination_message =
            Some(TerminationMessage { path: "/dev/termination-log".into(), fallback_to_logs: false });
        let config = config(&pod, 0, 0, &Files::new(), &testing::node(), &[], &Layout::default()).unwrap();
        let targets: Vec<_> = config.mounts.iter().map(|mount| mount.container_path.to_str().unwrap()).collect();
        assert_eq!(targets, ["/dev/termination-log", "/etc/hosts"]);
        assert_eq!(config.mounts[0].host_path, Path::new("/x"));
    }
}

//! A container's configuration as an OCI runtime specification. PURE.
//!
//! What the machine and the image say comes in as [`Facts`]. Every field is written out: the library's own defaults
//! (a 1024 file limit, inheritable capabilities, a host name) suit nobody here. Limits are not in the specification
//! but set through [`crate::linux::cgroup`], as the pod's are, so that a missing controller costs a warning and not the
//! container. Nor is seccomp, which the library would ignore silently: see [`super::seccomp`].

mod capability;
mod mounts;
mod process;
mod signal;
mod user;

use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use capability::{CAPABILITIES, has_capability};
pub use mounts::{is_covered, normalize};
pub use signal::stop_signal;

use super::{ContainerConfig, NamespaceOptions, Propagation, RuntimeError, RuntimeResult};
use crate::image::manifest::ImageConfig;

/// A device node of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub path: PathBuf,
    /// `c` or `b`
    pub kind: char,
    pub major: u64,
    pub minor: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A namespace of the pod that its containers join, and the file that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// In the specification's words: `ipc`, `network`, `pid`, `uts`.
    pub kind: String,
    pub path: PathBuf,
}

/// What the machine, the sandbox and the image's files say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub rootfs: PathBuf,
    pub hostname: String,
    pub namespaces: NamespaceOptions,
    /// The pod's own; those that are neither here nor the node's are the container's alone.
    pub joined: Vec<Joined>,
    /// The pod's shared memory, a directory.
    pub shared_memory: Option<PathBuf>,
    /// The container's cgroup, absolute from the root of every hierarchy.
    pub cgroup: PathBuf,
    /// Mount points of version 1 hierarchies; empty where version 2 is alone.
    pub cgroup_hierarchies: Vec<PathBuf>,
    /// Whether version 1's devices controller is there to refuse device nodes.
    pub device_control: bool,
    /// The image's /etc/passwd and /etc/group, empty when it has none.
    pub passwd: String,
    pub group: String,
    /// Bit mask of what this machine lets us give.
    pub capabilities: u64,
    /// What a container may have open, this machine's hard limit.
    pub open_files: u64,
    /// All of the machine's; for privileged containers.
    pub devices: Vec<Device>,
    /// Paths below /sys to mask besides the well-known ones.
    pub thermal_throttle: Vec<String>,
    /// Whether the machine has POSIX message queues to share.
    pub has_mqueue: bool,
    /// Files that every container of the pod sees, unless it mounts something there itself: container path, source.
    pub managed_files: Vec<(PathBuf, PathBuf)>,
}

/// The specification of a container; an error is always one of its configuration.
pub fn build(config: &ContainerConfig, image: &ImageConfig, facts: &Facts) -> RuntimeResult<Spec> {
    let security = &config.security;
    let user = user::resolve(security, image, facts)?;
    let value = json!({
        "ociVersion": "1.2.0",
        "root": { "path": facts.rootfs, "readonly": security.read_only_root_filesystem },
        "process": process::build(config, image, facts, &user)?,
        "mounts": mounts::build(config, facts)?,
        "annotations": config.annotations,
        "linux": {
            "namespaces": namespaces(config, facts),
            "cgroupsPath": facts.cgroup,
            "resources": device_rules(config, facts),
            "devices": if security.privileged { devices(facts) } else { json!([]) },
            "rootfsPropagation": rootfs_propagation(config),
            "maskedPaths": masked_paths(config, facts),
            "readonlyPaths": read_only_paths(config, facts),
        },
    });
    serde_json::from_value(value).map_err(|error| RuntimeError::Other(error.into()))
}

/// Who the process of a specification is.
pub fn user_id(spec: &Spec) -> u32 {
    spec.process().as_ref().map_or(0, |process| process.user().uid())
}

/// The pod's, then the container's own. Network and UTS are the pod's or the node's [3.88].
fn namespaces(config: &ContainerConfig, facts: &Facts) -> Value {
    let mut own = vec!["mount"];
    if !facts.namespaces.host_pid {
        own.push("pid");
    }
    if !facts.namespaces.host_ipc {
        own.push("ipc");
    }
    // version 1 shows a container its own cgroups by bind mounts instead [3.88]
    if facts.cgroup_hierarchies.is_empty() && !config.security.privileged {
        own.push("cgroup");
    }
    let is_joined = |kind: &str| facts.joined.iter().any(|joined| joined.kind == kind);
    let joined = facts.joined.iter().map(|joined| json!({ "type": joined.kind, "path": joined.path }));
    let own = own.into_iter().filter(|kind| !is_joined(kind)).map(|kind| json!({ "type": kind }));
    joined.chain(own).collect()
}

/// The library adds the usual devices to what is allowed.
fn device_rules(config: &ContainerConfig, facts: &Facts) -> Value {
    if !facts.device_control {
        return Value::Null;
    }
    json!({ "devices": [{ "allow": config.security.privileged, "access": "rwm" }] })
}

fn devices(facts: &Facts) -> Value {
    let devices = facts.devices.iter().map(|device| {
        json!({
            "path": device.path,
            "type": device.kind.to_string(),
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode & 0o7777,
            "uid": device.uid,
            "gid": device.gid,
        })
    });
    devices.collect()
}

/// The library clones mounts with the propagation that the whole tree has, so it is that of the container's most open
/// mount; the others are closed once they are there.
fn rootfs_propagation(config: &ContainerConfig) -> &'static str {
    let has = |propagation| config.mounts.iter().any(|mount| mount.propagation == propagation);
    if has(Propagation::Bidirectional) {
        "shared"
    } else if has(Propagation::HostToContainer) {
        "slave"
    } else {
        "private"
    }
}

/// What the kernel shows of the machine that is not a container's business [3.80].
fn masked_paths(config: &ContainerConfig, facts: &Facts) -> Vec<String> {
    const MASKED: [&str; 12] = [
        "/proc/asound",
        "/proc/acpi",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ];
    if config.security.privileged || config.security.unmasked_proc {
        return Vec::new();
    }
    MASKED.iter().map(|path| (*path).to_owned()).chain(facts.thermal_throttle.iter().cloned()).collect()
}

fn read_only_paths(config: &ContainerConfig, facts: &Facts) -> Vec<&'static str> {
    let mut paths = Vec::new();
    if config.security.privileged {
        return paths;
    }
    if !config.security.unmasked_proc {
        paths.extend(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
    }
    if !facts.cgroup_hierarchies.is_empty() {
        // the directory that holds version 1's hierarchies, which are read-only by themselves
        paths.push(mounts::CGROUPS);
    }
    paths
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn config() -> ContainerConfig {
        ContainerConfig {
            name: "etcd".into(),
            attempt: 0,
            image: "etcd:1".into(),
            command: vec!["etcd".into()],
            args: vec![],
            working_dir: None,
            env: vec![],
            mounts: vec![],
            log_path: "etcd/0.log".into(),
            resources: Default::default(),
            security: Default::default(),
            stdin: false,
            stdin_once: false,
            tty: false,
            labels: Default::default(),
            annotations: Default::default(),
        }
    }

    pub(crate) fn facts() -> Facts {
        Facts {
            rootfs: "/run/x/rootfs".into(),
            hostname: "node".into(),
            namespaces: NamespaceOptions { host_network: true, ..NamespaceOptions::default() },
            cgroup: "/bootstrap/pod1/c1".into(),
            passwd: "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:\netcd:x:100:101::/var/etcd:\n".into(),
            group: "root:x:0:\netcd:x:101:\ndisk:x:6:etcd,root\n".into(),
            capabilities: u64::MAX,
            open_files: 1024,
            ..Facts::default()
        }
    }

    #[test]
    fn nothing_is_left_to_the_librarys_defaults() {
        let spec = build(&config(), &ImageConfig::default(), &facts()).unwrap();
        let value = serde_json::to_value(&spec).unwrap();
        assert_eq!(value.get("hostname"), None);
        assert_eq!(value["process"]["noNewPrivileges"], json!(false));
        assert_eq!(value["process"]["capabilities"]["ambient"], json!([]));
        assert_eq!(value["process"]["capabilities"]["inheritable"], json!([]));
        assert_eq!(value["process"]["rlimits"].as_array().unwrap().len(), 1);
        assert_eq!(value["linux"].get("seccomp"), None);
        assert_eq!(value["linux"].get("resources"), None);
        let namespaces: Vec<_> = value["linux"]["namespaces"].as_array().unwrap().iter().map(|n| &n["type"]).collect();
        assert_eq!(namespaces, ["mount", "pid", "ipc", "cgroup"]);
    }

    #[test]
    fn what_is_the_pods_is_joined() {
        let joined = |kind: &str| Joined { kind: kind.into(), path: format!("/run/{kind}").into() };
        let facts = Facts { joined: vec![joined("ipc"), joined("network")], ..facts() };
        let namespaces = namespaces(&config(), &facts);
        let of = |kind: &str| namespaces.as_array().unwrap().iter().filter(|n| n["type"] == kind).collect::<Vec<_>>();
        assert_eq!(of("ipc"), [&json!({ "type": "ipc", "path": "/run/ipc" })]);
        assert_eq!(of("network"), [&json!({ "type": "network", "path": "/run/network" })]);
        assert_eq!(of("pid"), [&json!({ "type": "pid" })]);
    }

    #[test]
    fn a_privileged_container_sees_the_machine() {
        let mut config = config();
        config.security.privileged = true;
        let mut facts = facts();
        facts.device_control = true;
        facts.cgroup_hierarchies = vec!["/sys/fs/cgroup/memory".into()];
        facts.devices =
            vec![Device { path: "/dev/vda".into(), kind: 'b', major: 254, minor: 0, mode: 0o60660, uid: 0, gid: 6 }];
        let value = serde_json::to_value(build(&config, &ImageConfig::default(), &facts).unwrap()).unwrap();
        assert_eq!(value["linux"]["devices"][0]["fileMode"], json!(0o660));
        assert_eq!(value["linux"]["resources"]["devices"][0]["allow"], json!(true));
        assert_eq!(value["linux"]["maskedPaths"], json!([]));
        let namespaces: Vec<_> = value["linux"]["namespaces"].as_array().unwrap().iter().map(|n| &n["type"]).collect();
        assert_eq!(namespaces, ["mount", "pid", "ipc"]);
    }
}

//! What a container sees besides its image. PURE.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::Facts;
use crate::runner::runtime::{ContainerConfig, Mount, RuntimeError, RuntimeResult};

/// Where every system mounts control groups.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";

/// An image is data where it is mounted: nothing in it is a device or runs [4.68].
const IMAGE_OPTIONS: [&str; 5] = ["rbind", "ro", "nosuid", "nodev", "noexec"];

/// The engines' usual mounts, the pod's files, then the container's own mounts: outer ones before inner ones [3.94].
pub(super) fn build(config: &ContainerConfig, facts: &Facts) -> RuntimeResult<Vec<Value>> {
    for mount in &config.mounts {
        check(config, mount)?;
    }
    let usual = usual(config.security.privileged, facts).into_iter();
    let read_only = config.security.read_only_root_filesystem;
    let managed = facts.managed_files.iter().map(|(target, source)| bind(source, target, read_only));
    let mut mounts: Vec<_> = usual.chain(managed).filter(|mount| !is_replaced(mount, config)).collect();
    let mut own: Vec<_> = config.mounts.iter().collect();
    own.sort_by_key(|mount| normalize(&mount.container_path).components().count());
    mounts.extend(own.into_iter().map(|mount| {
        let mut bound = bind(&mount.host_path, &mount.container_path, mount.read_only);
        if mount.image.is_some() {
            bound["options"] = json!(IMAGE_OPTIONS);
        }
        bound
    }));
    Ok(mounts)
}

fn check(config: &ContainerConfig, mount: &Mount) -> RuntimeResult<()> {
    for (field, path) in [("hostPath", &mount.host_path), ("mountPath", &mount.container_path)] {
        let bad = |what| {
            let path = path.display();
            RuntimeError::BadConfig(format!("container `{}`: {field} `{path}` {what}", config.name))
        };
        if !path.is_absolute() {
            return Err(bad("is not absolute"));
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(bad("holds a NUL character"));
        }
        if path.components().any(|component| component == Component::ParentDir) {
            return Err(bad("must not contain `..`"));
        }
        if path.to_str().is_none() {
            return Err(bad("is not UTF-8"));
        }
    }
    let target = normalize(&mount.container_path);
    // the library makes device nodes and links in what it finds at /dev, and this would be the machine's;
    // confinement relies on what the kernel shows in /proc
    if [Path::new("/"), Path::new("/dev")].contains(&target.as_path()) || target.starts_with("/proc") {
        let path = mount.container_path.display();
        return Err(RuntimeError::BadConfig(format!("container `{}`: mountPath must not be `{path}`", config.name)));
    }
    Ok(())
}

fn usual(privileged: bool, facts: &Facts) -> Vec<Value> {
    let access = if privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
    ];
    if facts.namespaces.host_ipc {
        if facts.has_mqueue {
            mounts.push(bind(Path::new("/dev/mqueue"), Path::new("/dev/mqueue"), false));
        }
        mounts.push(bind(Path::new("/dev/shm"), Path::new("/dev/shm"), false));
    } else {
        mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        mounts.push(match &facts.shared_memory {
            Some(shared) => bind(shared, Path::new("/dev/shm"), false),
            None => mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        });
    }
    mounts.extend(cgroups(privileged, access, facts));
    mounts
}

/// Version 2 comes with its namespace. For version 1 the library would bind the container's cgroups writable, so they
/// are bound here; a privileged container gets the whole hierarchies.
fn cgroups(privileged: bool, access: &str, facts: &Facts) -> Vec<Value> {
    let options = ["nosuid", "noexec", "nodev", "relatime", access];
    if facts.cgroup_hierarchies.is_empty() {
        return vec![mount(CGROUPS, "cgroup", "cgroup", &options)];
    }
    let mut mounts = vec![mount(CGROUPS, "tmpfs", "tmpfs", &["nosuid", "noexec", "nodev", "mode=755", "size=64k"])];
    for hierarchy in &facts.cgroup_hierarchies {
        let Some(name) = hierarchy.file_name() else { continue };
        let below = facts.cgroup.strip_prefix("/").unwrap_or(&facts.cgroup);
        let source = if privileged { hierarchy.clone() } else { hierarchy.join(below) };
        let options = [&["bind"], &options[..]].concat();
        mounts.push(json!({
            "destination": Path::new(CGROUPS).join(name),
            "type": "bind",
            "source": source,
            "options": options,
        }));
    }
    mounts
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({ "destination": normalize(target), "type": "bind", "source": source, "options": ["rbind", access] })
}

/// The container mounts something in its place; what lies below a replaced mount goes with it.
fn is_replaced(mount: &Value, config: &ContainerConfig) -> bool {
    mount["destination"].as_str().is_some_and(|target| is_covered(config, Path::new(target)))
}

/// Whether one of the container's own mounts stands at `target` or, for what the engine mounts, above it.
pub fn is_covered(config: &ContainerConfig, target: &Path) -> bool {
    config.mounts.iter().any(|own| target.starts_with(normalize(&own.container_path)))
}

/// Without `.` and doubled or trailing slashes.
pub fn normalize(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{config, facts};
    use super::*;
    use crate::runner::runtime::Propagation;

    fn own(host_path: &str, container_path: &str, read_only: bool) -> Mount {
        Mount {
            host_path: host_path.into(),
            container_path: container_path.into(),
            read_only,
            propagation: Propagation::Private,
            image: None,
        }
    }

    fn targets(mounts: &[Value]) -> Vec<&str> {
        mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect()
    }

    #[test]
    fn inner_mounts_come_after_outer_ones() {
        let mut config = config();
        config.mounts =
            vec![own("/b", "/data/sub/dir", true), own("/a", "//data/./sub/", false), own("/c", "/x", false)];
        let mounts = build(&config, &facts()).unwrap();
        let targets = targets(&mounts);
        assert_eq!(targets[..4], ["/proc", "/dev", "/dev/pts", "/sys"]);
        assert_eq!(targets[targets.len() - 3..], ["/x", "/data/sub", "/data/sub/dir"]);
        assert_eq!(mounts.last().unwrap()["options"], json!(["rbind", "ro"]));
    }

    #[test]
    fn a_mount_of_the_container_replaces_the_engines() {
        let mut facts = facts();
        facts.managed_files =
            vec![("/etc/hosts".into(), "/s/hosts".into()), ("/etc/hostname".into(), "/s/name".into())];
        let mut config = config();
        config.mounts = vec![own("/v", "/etc/hosts", false), own("/shm", "/dev/shm/", false)];
        let mounts = build(&config, &facts).unwrap();
        let hosts: Vec<_> = mounts.iter().filter(|mount| mount["destination"] == "/etc/hosts").collect();
        assert_eq!((hosts.len(), &hosts[0]["source"]), (1, &json!("/v")));
        assert_eq!(targets(&mounts).iter().filter(|target| **target == "/dev/shm").count(), 1);
        assert!(targets(&mounts).contains(&"/etc/hostname"));
    }

    #[test]
    fn a_container_sees_its_own_cgroups_read_only() {
        let mut facts = facts();
        facts.cgroup_hierarchies = vec!["/sys/fs/cgroup/cpu,cpuacct".into()];
        let find = |mounts: Vec<Value>| mounts.into_iter().find(|m| m["destination"] == "/sys/fs/cgroup/cpu,cpuacct");
        let seen = find(build(&config(), &facts).unwrap()).unwrap();
        assert_eq!(seen["source"], json!("/sys/fs/cgroup/cpu,cpuacct/bootstrap/pod1/c1"));
        assert!(seen["options"].as_array().unwrap().contains(&json!("ro")));
        let mut privileged = config();
        privileged.security.privileged = true;
        let seen = find(build(&privileged, &facts).unwrap()).unwrap();
        assert_eq!(seen["source"], json!("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(seen["options"].as_array().unwrap().contains(&json!("rw")));
    }

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        let cases = [
            ("relative", "/x"),
            ("/a/../b", "/x"),
            ("/a", "x"),
            ("/a", "/x/../../etc"),
            ("/a", "/"),
            ("/dev", "/dev/"),
            ("/a", "/proc/self"),
            ("/a\0", "/x"),
        ];
        for (host, container) in cases {
            let mut config = config();
            config.mounts = vec![own(host, container, false)];
            let error = build(&config, &facts()).unwrap_err();
            assert!(matches!(error, RuntimeError::BadConfig(_)), "{host} {container}");
            assert!(error.to_string().contains("etcd"), "{error}");
        }
    }
}

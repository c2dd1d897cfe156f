//! Names and paths of sandboxes and containers. PURE but for the ids' randomness.

use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::runner::runtime::{CgroupParent, PodSandbox, PodSandboxConfig};

#[derive(Debug, Clone)]
pub(super) struct Places {
    run: PathBuf,
    pods: PathBuf,
    instance: String,
}

impl Places {
    pub(super) fn new(layout: &Layout) -> Self {
        Places { run: layout.run_pods(), pods: layout.pods(), instance: layout.instance() }
    }

    /// One directory for each sandbox.
    pub(super) fn sandboxes(&self) -> PathBuf {
        self.run.clone()
    }

    pub(super) fn sandbox(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    pub(super) fn container(&self, sandbox: &str, id: &str) -> PathBuf {
        self.run.join(sandbox).join(id)
    }

    /// Data of pods that outlives a boot: one directory for each uid.
    pub(super) fn pods(&self) -> &Path {
        &self.pods
    }

    /// Writable layers of a pod's containers.
    pub(super) fn layers(&self, uid: &str) -> PathBuf {
        self.pods.join(uid).join("layers")
    }

    pub(super) fn writable(&self, uid: &str, container: &str) -> PathBuf {
        self.layers(uid).join(container)
    }

    /// The parent of all cgroups of the instance.
    pub(super) fn cgroup(&self) -> PathBuf {
        PathBuf::from(&self.instance)
    }

    pub(super) fn shims_cgroup(&self) -> PathBuf {
        self.cgroup().join("shims")
    }

    /// What pods' cgroups are in: below `kubepods`, as below a kubelet's `cgroupRoot` [3.100].
    pub(super) fn parent_cgroup(&self, parent: CgroupParent) -> PathBuf {
        let pods = || self.cgroup().join("kubepods");
        match parent {
            CgroupParent::Instance => self.cgroup(),
            CgroupParent::Pods => pods(),
            CgroupParent::Burstable => pods().join("burstable"),
            CgroupParent::BestEffort => pods().join("besteffort"),
        }
    }

    pub(super) fn pod_cgroup(&self, pod: &PodSandboxConfig) -> PathBuf {
        self.parent_cgroup(pod.cgroup_parent).join(format!("pod{}", pod.metadata.uid))
    }

    /// Of the process that keeps the containers' PID namespace, where they share one.
    pub(super) fn pause_cgroup(&self, sandbox: &PodSandbox) -> PathBuf {
        self.pod_cgroup(&sandbox.config).join(&sandbox.id)
    }

    pub(super) fn container_cgroup(&self, pod: &PodSandboxConfig, container: &str) -> PathBuf {
        self.pod_cgroup(pod).join(container)
    }
}

/// 32 hexadecimal digits that nobody has used before.
pub(super) fn new_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(bytes))
}

/// Whether a name may become one component of a path and of a cgroup.
pub(super) fn is_component(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && name.chars().all(is_plain) && !name.starts_with('.')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_paths() {
        for good in ["abc", "0b9f-1.x_Y", &new_id().unwrap()] {
            assert!(is_component(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", ".hidden", "a b", "a\0", &"x".repeat(129)] {
            assert!(!is_component(bad), "{bad:?}");
        }
    }
}

//! Where everything is: every path, port and mode that the program uses, under one root directory.
//!
//! Pure: nothing here looks at the machine. Names and places under `/etc/kubernetes` are kubeadm's [10.2].

use std::path::{Component, Path, PathBuf};

/// Mode of private keys, kubeconfigs and manifests [1.6, 2, 3.1].
pub const SECRET_FILE: u32 = 0o600;
/// Mode of certificates.
pub const PUBLIC_FILE: u32 = 0o644;
/// Mode of directories that anybody may list.
pub const PUBLIC_DIRECTORY: u32 = 0o755;
/// Mode of directories that are root's alone: manifests, etcd's data, our own state.
pub const PRIVATE_DIRECTORY: u32 = 0o700;

/// The control plane's ports [10.1].
pub mod port {
    pub const API_SERVER: u16 = 6443;
    pub const CONTROLLER_MANAGER: u16 = 10257;
    pub const SCHEDULER: u16 = 10259;
    pub const ETCD_CLIENT: u16 = 2379;
    pub const ETCD_PEER: u16 = 2380;
    pub const ETCD_METRICS: u16 = 2381;
    /// The node's own API.
    pub const KUBELET: u16 = 10250;
}

/// kubeadm's directory for everything it makes.
pub const KUBERNETES: &str = "/etc/kubernetes";
/// kubeadm's default `certificatesDir`.
pub const PKI: &str = "/etc/kubernetes/pki";
/// The kubelet's directory.
pub const KUBELET: &str = "/var/lib/kubelet";
/// kubeadm's default etcd `dataDir`.
pub const ETCD_DATA: &str = "/var/lib/etcd";
/// State that survives a boot.
pub const STATE: &str = "/var/lib/bootstrap";
/// State that dies with a boot.
pub const RUN: &str = "/run/bootstrap";
/// The pods' logs.
pub const POD_LOGS: &str = "/var/log/pods";

/// The paths of one instance: one control plane under one root directory.
///
/// Methods return paths *under the root*, ready to open. Paths that stand in manifests and flags are written without
/// the root; [`Layout::under`] places them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Layout::new("/")
    }
}

impl Layout {
    /// `root` is absolute; the command line makes it so.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Layout { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn is_default_root(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute path of the node lies under this root. `..` never climbs out of it.
    pub fn under(&self, path: impl AsRef<Path>) -> PathBuf {
        let mut placed = self.root.clone();
        let mut depth = 0usize;
        for component in path.as_ref().components() {
            match component {
                Component::Normal(name) => {
                    placed.push(name);
                    depth += 1;
                }
                Component::ParentDir if depth > 0 => {
                    placed.pop();
                    depth -= 1;
                }
                _ => {}
            }
        }
        placed
    }

    pub fn kubernetes(&self) -> PathBuf {
        self.under(KUBERNETES)
    }

    pub fn manifests(&self) -> PathBuf {
        self.under("/etc/kubernetes/manifests")
    }

    /// Where the kubelet has seccomp profiles of type `Localhost` [3.82].
    pub fn seccomp_profiles(&self) -> PathBuf {
        self.under(KUBELET).join("seccomp")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.under("/etc/kubernetes/admin.conf")
    }

    /// By which this node's agent is known to the API server.
    pub fn kubelet_kubeconfig(&self) -> PathBuf {
        self.under("/etc/kubernetes/kubelet.conf")
    }

    /// Whose certificates clients of the node's API may come with.
    pub fn client_authority(&self) -> PathBuf {
        self.under("/etc/kubernetes/pki/ca.crt")
    }

    /// State that survives a boot: images, pods' data, records, the journal.
    pub fn state(&self) -> PathBuf {
        self.under(STATE)
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        self.state().join("images")
    }

    /// Data of pods that survives a boot: the writable layers of containers.
    pub fn pods(&self) -> PathBuf {
        self.state().join("pods")
    }

    /// What the runner remembers of each pod, in a directory named after its UID.
    pub fn records(&self) -> PathBuf {
        self.state().join("records")
    }

    /// The certificate and the key that the runner has made for its own API.
    pub fn serving(&self) -> PathBuf {
        self.state().join("serving")
    }

    /// The certificate and its key in [`Layout::serving`].
    pub fn serving_certificate(&self) -> (PathBuf, PathBuf) {
        (self.serving().join("kubelet.crt"), self.serving().join("kubelet.key"))
    }

    /// What CNI plugins have made for sandboxes. They keep their own state over a boot.
    pub fn cni_attachments(&self) -> PathBuf {
        self.state().join("cni")
    }

    /// What this instance made, for `reset`.
    pub fn journal(&self) -> PathBuf {
        self.state().join("journal")
    }

    /// State that dies with a boot.
    pub fn run(&self) -> PathBuf {
        self.under(RUN)
    }

    /// State of sandboxes and containers: one directory for each.
    pub fn run_pods(&self) -> PathBuf {
        self.run().join("pods")
    }

    /// What there is of the pods' own network: a file for each address that is taken.
    pub fn run_network(&self) -> PathBuf {
        self.run().join("network")
    }

    /// The runner's control socket, root's alone.
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("runner.sock")
    }

    /// The CRI's socket, root's alone.
    pub fn cri_socket(&self) -> PathBuf {
        self.run().join("cri.sock")
    }

    /// Held by the one runner of this instance.
    pub fn runner_lock(&self) -> PathBuf {
        self.run().join("runner.lock")
    }

    /// Held by the one `init`, `reset` or `certs renew` of this instance.
    pub fn instance_lock(&self) -> PathBuf {
        self.run().join("instance.lock")
    }

    /// The runner's log when it is a daemon of its own.
    pub fn runner_log(&self) -> PathBuf {
        self.under("/var/log/bootstrap-runner.log")
    }

    /// `<namespace>_<name>_<uid>/<container>/<attempt>.log` below here [6].
    pub fn pod_logs(&self) -> PathBuf {
        self.under(POD_LOGS)
    }

    /// Symbolic links to the current log of every container [6].
    pub fn container_logs(&self) -> PathBuf {
        self.under("/var/log/containers")
    }

    /// Name of this instance: of its cgroup subtree and its systemd unit. `bootstrap`, or with another root
    /// `bootstrap-` and eight hexadecimal digits that stand for it.
    pub fn instance(&self) -> String {
        if self.is_default_root() {
            return "bootstrap".to_owned();
        }
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        format!("bootstrap-{}", &hex::encode(digest)[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_under_the_root() {
        let layout = Layout::new("/srv/a");
        assert_eq!(layout.under("/etc/kubernetes/pki"), Path::new("/srv/a/etc/kubernetes/pki"));
        assert_eq!(layout.under("/../../etc/shadow"), Path::new("/srv/a/etc/shadow"));
        assert_eq!(layout.under("/x/../../../y"), Path::new("/srv/a/y"));
        assert_eq!(Layout::default().under("/etc"), Path::new("/etc"));
    }

    #[test]
    fn instances_have_names_of_their_own() {
        assert_eq!(Layout::default().instance(), "bootstrap");
        let (a, b) = (Layout::new("/srv/a").instance(), Layout::new("/srv/b").instance());
        assert!(a.starts_with("bootstrap-") && a.len() == "bootstrap-".len() + 8);
        assert_ne!(a, b);
    }
}

//! The real control plane: where its binaries are and which versions they have. Nothing here knows a version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The control plane's components, in the order in which they are started.
pub(crate) const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What the images of the tests are called: honest names, of no registry.
pub(crate) const REPOSITORY: &str = "test.local/control-plane";

/// The binaries that every test uses.
pub(crate) static COMPONENTS: LazyLock<Components> = LazyLock::new(Components::find);

#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) directory: PathBuf,
    /// As `kubernetesVersion` takes it, such as `v1.20.2`.
    pub(crate) kubernetes_version: String,
    pub(crate) etcd_version: String,
}

impl Components {
    fn find() -> Components {
        let cache = || {
            let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
            cache.join("bootstrap/control-plane")
        };
        let directory = std::env::var_os("CONTROL_PLANE_BINARIES").map_or_else(cache, PathBuf::from);
        for name in NAMES {
            let path = directory.join(name);
            assert!(path.is_file(), "`{}` is missing: packaging/control-plane makes it", path.display());
        }
        Components {
            kubernetes_version: version(&directory.join("kube-apiserver"), "Kubernetes "),
            etcd_version: version(&directory.join("etcd"), "etcd Version: "),
            directory,
        }
    }

    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// kubeadm's tag for this etcd.
    pub(crate) fn etcd_tag(&self) -> String {
        format!("{}-0", self.etcd_version)
    }

    pub(crate) fn image(&self, component: &str) -> String {
        let tag = if component == "etcd" { self.etcd_tag() } else { self.kubernetes_version.clone() };
        format!("{REPOSITORY}/{component}:{tag}")
    }

    /// A configuration of this control plane; `init` and `cluster` are further lines of its two documents.
    pub(crate) fn configuration(&self, init: &str, cluster: &str) -> String {
        format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n\
             nodeRegistration:\n  name: node\n  imagePullPolicy: IfNotPresent\n{init}\
             ---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n\
             kubernetesVersion: {}\nimageRepository: {REPOSITORY}\n\
             etcd:\n  local:\n    imageTag: {}\n{cluster}",
            self.kubernetes_version,
            self.etcd_tag()
        )
    }
}

/// Key generation in a millisecond instead of a second.
pub(crate) const ECDSA: &str = "encryptionAlgorithm: ECDSA-P256\n";

/// What a binary says after `sign` when it is asked for its version.
fn version(binary: &Path, sign: &str) -> String {
    let output = Command::new(binary).arg("--version").output().expect("a component that can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix(sign));
    version.unwrap_or_else(|| panic!("`{} --version` says: {text}", binary.display())).trim().to_owned()
}

//! Certificates and kubeconfigs as files: what init makes of a configuration and of files that exist. Other programs
//! have the last word: `openssl`, and the kubeadm of the control plane's version.

mod commands;
mod existing;
mod fields;
mod kubeadm;
mod sparse;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use tempfile::TempDir;

use crate::support::components::ECDSA;
use crate::support::{Bootstrap, Run, copy_tree};

/// A machine as far as init looks at its files.
struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine { directory: tempfile::tempdir().unwrap() }
    }

    /// With everything that init makes, as `cluster` further describes it.
    fn made(cluster: &str) -> Machine {
        let machine = Machine::new();
        machine.init(cluster).succeeds();
        machine.take_over();
        machine
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Below `root/etc/kubernetes`.
    fn path(&self, relative: &str) -> PathBuf {
        self.root().join("etc/kubernetes").join(relative)
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// Writes what init would write; `cluster` are further lines of the ClusterConfiguration.
    fn init(&self, cluster: &str) -> Run {
        let config = self.directory.path().join("config.yaml");
        let quick = if cluster.contains("encryptionAlgorithm") { "" } else { ECDSA };
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{quick}{cluster}---\n\
             apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n\
             localAPIEndpoint: {{advertiseAddress: 10.0.0.5}}\nnodeRegistration: {{name: n1}}\n"
        );
        fs::write(&config, text).unwrap();
        let _ = fs::remove_dir_all(self.out());
        fs::create_dir_all(self.root()).unwrap();
        let config = format!("--config={}", config.display());
        self.run(&["init", "--dry-run", &config, &format!("--out={}", self.out().display())])
    }

    /// What was written last is what the machine has, but for the manifests.
    fn take_over(&self) {
        fs::create_dir_all(self.path("")).unwrap();
        let written = self.out().join("etc/kubernetes");
        let _ = fs::remove_dir_all(written.join("manifests"));
        copy_tree(&written, &self.path(""));
    }

    fn run(&self, args: &[&str]) -> Run {
        let root = format!("--root={}", self.root().display());
        Bootstrap::new(args.iter().copied().chain([root.as_str()])).run()
    }

    /// Files that the last init wrote, below `etc/kubernetes`, without manifests.
    fn written(&self) -> Vec<String> {
        let tree = crate::support::picture(&self.out().join("etc/kubernetes"));
        let files = tree.into_iter().filter(|(_, facts)| facts.starts_with("100"));
        let names = files.map(|(path, _)| path.to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with("manifests/")).collect()
    }
}

/// Takes what is embedded in a kubeconfig out into PEM files: `authority.crt`, `client.crt`, `client.key`.
fn unpack(kubeconfig: &Path, into: &Path) {
    let text = fs::read_to_string(kubeconfig).unwrap();
    for (field, file) in [
        ("certificate-authority-data", "authority.crt"),
        ("client-certificate-data", "client.crt"),
        ("client-key-data", "client.key"),
    ] {
        let data = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: "))).unwrap();
        fs::write(into.join(file), base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap();
    }
}

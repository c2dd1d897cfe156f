//! Certificates and kubeconfigs as files: what init makes of a configuration and of files that exist. Other programs
//! have the last word: `openssl`, and the kubeadm of the control plane's version.

mod existing;
mod expiration;
mod fields;
mod kubeadm;
mod renewal;
mod requests;
mod sparse;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::components::ECDSA;
use crate::support::{Bootstrap, Run, copy_tree, picture};

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
        let tree = picture(&self.out().join("etc/kubernetes"));
        let files = tree.into_iter().filter(|(_, facts)| facts.starts_with("100"));
        let names = files.map(|(path, _)| path.to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with("manifests/")).collect()
    }

    /// What the commands for certificates cannot find out while nothing runs.
    fn config(&self) -> String {
        format!("--config={}", self.directory.path().join("config.yaml").display())
    }

    fn files(&self) -> BTreeMap<PathBuf, String> {
        picture(&self.path(""))
    }

    /// Names of what differs from `before`, below `etc/kubernetes`.
    fn changed(&self, before: &BTreeMap<PathBuf, String>) -> Vec<String> {
        let after = self.files();
        let names: BTreeSet<_> =
            before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
        names.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    fn expirations(&self) -> Value {
        let run = self.run(&["certs", "check-expiration", "-o", "json", &self.config()]).succeeds();
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// What is told of one certificate or authority.
    fn expiration(&self, name: &str) -> Value {
        let info = self.expirations();
        let lists = ["certificates", "certificateAuthorities"].map(|list| info[list].as_array().unwrap().clone());
        lists.concat().into_iter().find(|entry| entry["name"] == name).unwrap()
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

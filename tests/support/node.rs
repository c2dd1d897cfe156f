//! A node: a root directory and a network of its own, with the real control plane's images in its store.
//!
//! Nodes live side by side. Whatever a test does, nothing of its node is left: at the end it is reset, and what a
//! reset that is broken would leave is swept away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex};

use tempfile::TempDir;

use super::components::{COMPONENTS, ECDSA};
use super::network::Network;
use super::{images, sweep};

/// How many control planes run at once: one for each CPU, since each takes one and a half to start.
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run a control plane.
#[derive(Debug)]
struct Permit;

impl Permit {
    fn wait() -> Permit {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let running = RUNNING.lock().unwrap();
        *ENDED.wait_while(running, |running| *running >= most).unwrap() += 1;
        Permit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
        ENDED.notify_one();
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    /// Holds the root directory and what the node was given.
    pub(crate) directory: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) network: Network,
    _permit: Permit,
}

impl Node {
    /// A bare node but for the images and a configuration with quickly made keys.
    pub(crate) fn new() -> Node {
        let node = Node::bare();
        images::give(&node.root);
        node
    }

    /// Without the images.
    pub(crate) fn bare() -> Node {
        let permit = Permit::wait();
        let directory = tempfile::Builder::new().prefix("node-").tempdir_in(images::TEMPORARY).unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let node = Node { root, directory, network: Network::new(), _permit: permit };
        node.configure("", ECDSA);
        node
    }

    /// Further lines for the two documents of the configuration.
    pub(crate) fn configure(&self, init: &str, cluster: &str) {
        fs::write(self.config(), COMPONENTS.configuration(init, cluster)).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    /// The program on this node, ready to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.other(env!("CARGO_BIN_EXE_bootstrap").as_ref());
        command.arg(format!("--root={}", self.root.display())).args(arguments);
        command
    }

    /// `init` with the node's configuration, ready to be started.
    pub(crate) fn init_command(&self) -> Command {
        let mut command = self.command(&["init"]);
        command.arg(format!("--config={}", self.config().display()));
        command
    }

    /// Another program on this node.
    pub(crate) fn other(&self, program: &Path) -> Command {
        self.network.enter();
        let mut command = Command::new(program);
        // proxies of the machine would show up in the manifests
        let proxies = std::env::vars_os().map(|(name, _)| name);
        for name in proxies.filter(|name| name.to_string_lossy().to_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
        // a bare machine knows no authorities
        command.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let log = fs::read_to_string(self.root.join("var/log/bootstrap-runner.log")).unwrap_or_default();
        let reset = self.command(&["reset", "--force"]).output();
        if std::thread::panicking() {
            eprintln!("the runner's log:\n{log}\nthe reset: {reset:?}");
        }
        sweep::sweep(&self.root);
    }
}

//! The floor: the same four binaries with the same flags and certificates as plain processes, started by hand.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::components::COMPONENTS;
use crate::wait;

/// What one round took, from the start of etcd and kube-apiserver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) ready: Duration,
    pub(crate) healthy: Duration,
    /// From SIGTERM until the last has ended: first the three that need etcd, then etcd.
    pub(crate) stop: Duration,
}

/// One control plane of plain processes in a directory that holds what `init --dry-run --out` wrote.
pub(crate) struct ByHand<'a> {
    tree: &'a Path,
    running: Vec<(String, Child)>,
}

impl<'a> ByHand<'a> {
    /// Starts from nothing: etcd's data directory must be empty.
    pub(crate) fn round(tree: &'a Path) -> Times {
        let mut plane = ByHand { tree, running: Vec::new() };
        let begin = Instant::now();
        plane.start("etcd");
        plane.start("kube-apiserver");
        let kubeconfig = fs::read_to_string(wait::administrator(tree)).unwrap();
        wait::until_ready(&kubeconfig);
        let ready = begin.elapsed();
        plane.start("kube-controller-manager");
        plane.start("kube-scheduler");
        for component in ["kube-controller-manager", "kube-scheduler"] {
            wait::until_healthy(&plane.container(component));
        }
        let healthy = begin.elapsed();
        let begin = Instant::now();
        plane.stop(|name| name != "etcd");
        plane.stop(|_| true);
        Times { ready, healthy, stop: begin.elapsed() }
    }

    fn container(&self, component: &str) -> Container {
        let path = self.tree.join("etc/kubernetes/manifests").join(component).with_extension("yaml");
        let pod: Pod = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        pod.spec.unwrap().containers.remove(0)
    }

    fn start(&mut self, component: &str) {
        let command = self.container(component).command.unwrap();
        let place = |flag: &str| {
            let tree = self.tree.display();
            flag.replace("=/etc/kubernetes", &format!("={tree}/etc/kubernetes"))
                .replace("=/var/lib/etcd", &format!("={tree}/var/lib/etcd"))
        };
        let log = File::create(self.log(component)).unwrap();
        let child = Command::new(COMPONENTS.binary(component))
            .args(command[1..].iter().map(|flag| place(flag)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push((component.to_owned(), child));
    }

    fn log(&self, component: &str) -> PathBuf {
        self.tree.join(component).with_extension("log")
    }

    fn stop(&mut self, chosen: impl Fn(&str) -> bool) {
        let (mut stopping, rest): (Vec<_>, Vec<_>) =
            self.running.drain(..).partition(|(component, _)| chosen(component));
        self.running = rest;
        for (_, child) in &stopping {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        }
        for (_, child) in &mut stopping {
            child.wait().unwrap();
        }
    }
}

impl Drop for ByHand<'_> {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // one that has ended needs no ending
            let _ = child.kill().and_then(|()| child.wait().map(drop));
        }
    }
}

//! A runner over the real runtime: manifests go in, and what comes of them is read from its status and the pods' logs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bootstrap::control::{ContainerState, PodStatus, Reply, Request, client};
use bootstrap::layout::Layout;
use bootstrap::runner::runtime::log::file::Rotation;
use bootstrap::runner::{self, Options};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::case::{Case, until};
use crate::support::options::options;

pub(super) struct Node {
    pub(super) case: Case,
    runner: JoinHandle<()>,
    change: fn(&mut Options),
}

impl Node {
    pub(super) async fn new() -> Node {
        Node::rotating(Rotation::default(), |_| ()).await
    }

    /// `change`: what its runners are told otherwise.
    pub(super) async fn with(change: fn(&mut Options)) -> Node {
        Node::rotating(Rotation::default(), change).await
    }

    /// Keeps so much of every container's output.
    pub(super) async fn rotating(rotation: Rotation, change: fn(&mut Options)) -> Node {
        let case = Case::with(rotation, json!({})).await;
        let runner = start(&case, change).await;
        Node { case, runner, change }
    }

    /// Ends the runner, as a signal that cannot be caught would, and starts the next one.
    pub(super) async fn restart(&mut self) {
        self.runner.abort();
        let _ = (&mut self.runner).await;
        self.case.reopen().await;
        self.runner = start(&self.case, self.change).await;
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.case.layout
    }

    /// What the machine has at a path of the instance.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.layout().under(path)
    }

    /// Writes the manifest of a pod on the node's network.
    pub(super) fn apply(&self, name: &str, mut spec: Value) {
        spec["hostNetwork"] = json!(true);
        let metadata =
            json!({ "name": name, "labels": { "app": name }, "annotations": { "note": "a \"quoted\" note" } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        let hidden = self.layout().manifests().join(format!(".{name}.json"));
        fs::write(&hidden, pod.to_string()).unwrap();
        fs::rename(hidden, self.layout().manifests().join(format!("{name}.json"))).unwrap();
    }

    /// The status of a pod once it is as told.
    pub(super) async fn pod(&self, name: &str, holds: impl Fn(&PodStatus) -> bool) -> PodStatus {
        let mut last = None;
        for _ in 0..6000 {
            let Reply::Status(status) = client::call(self.layout(), Request::Status).await.unwrap() else { panic!() };
            let found = status.pods.iter().find(|pod| pod.name == format!("{name}-n1"));
            if let Some(pod) = found.filter(|pod| holds(pod)) {
                return pod.clone();
            }
            last = Some(status);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to that within a minute: {last:#?}");
    }

    /// Runs a pod that ends by itself; what became of it.
    pub(super) async fn run(&self, name: &str, mut spec: Value) -> PodStatus {
        spec["restartPolicy"] = json!("Never");
        self.apply(name, spec);
        self.pod(name, |pod| ["Succeeded", "Failed"].contains(&pod.phase.as_str())).await
    }

    /// What a container of a pod has written in its first run.
    pub(super) fn text(&self, pod: &PodStatus, container: &str) -> String {
        let directory = format!("{}_{}_{}", pod.namespace, pod.name, pod.uid);
        let log = self.layout().pod_logs().join(directory).join(container).join("0.log");
        let lines = fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        lines.lines().map(|line| super::case::Record::parse(line).text()).collect()
    }

    /// Takes a pod's manifest away and waits until the pod is gone.
    pub(super) async fn remove(&self, name: &str) {
        fs::remove_file(self.layout().manifests().join(format!("{name}.json"))).unwrap();
        for _ in 0..6000 {
            let Reply::Status(status) = client::call(self.layout(), Request::Status).await.unwrap() else { panic!() };
            if !status.pods.iter().any(|pod| pod.name == format!("{name}-n1")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not go within a minute");
    }

    /// Takes every pod away; nothing of them is left.
    pub(super) async fn finish(self) {
        for manifest in fs::read_dir(self.layout().manifests()).unwrap() {
            fs::remove_file(manifest.unwrap().path()).unwrap();
        }
        for _ in 0..6000 {
            let Reply::Status(status) = client::call(self.layout(), Request::Status).await.unwrap() else { panic!() };
            if status.pods.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.runner.abort();
        let _ = self.runner.await;
        let pods = self.case.layout.pods();
        until(|| fs::read_dir(&pods).map_or(0, Iterator::count) == 0).await;
        self.case.finish().await;
    }
}

/// A runner that answers.
async fn start(case: &Case, change: fn(&mut Options)) -> JoinHandle<()> {
    let layout = case.layout.clone();
    fs::create_dir_all(layout.manifests()).unwrap();
    let mut options = Options { rotation: case.settings.rotation, ..options(&layout) };
    change(&mut options);
    let runtime = case.runtime.clone();
    let runner = tokio::spawn(async move { runner::run(options, |_| std::future::ready(Ok(runtime))).await.unwrap() });
    while !client::is_running(&layout).await {
        assert!(!runner.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runner
}

/// It runs, and all its containers are ready.
pub(super) fn is_up(pod: &PodStatus) -> bool {
    pod.phase == "Running" && pod.all_containers().all(|one| one.ready)
}

/// A container of busybox that runs `script`.
pub(super) fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script] })
}

/// Why a container waits, with the words.
pub(super) fn waiting(pod: &PodStatus, container: &str) -> Option<(String, String)> {
    let found = pod.all_containers().find(|candidate| candidate.name == container)?;
    match &found.state {
        ContainerState::Waiting { reason, message, .. } => Some((reason.clone(), message.clone().unwrap_or_default())),
        _ => None,
    }
}

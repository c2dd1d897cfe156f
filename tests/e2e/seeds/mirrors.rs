//! What the API server shows of static pods, and what it cannot do to them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bootstrap::control::PodStatus;

use super::cluster::{self, Cluster};
use crate::e2e::manifests::{busybox, static_web};
use crate::support::inspect::eventually;
use crate::support::runner::is_ready;

/// A static pod in a namespace of its own, gone at the end.
pub(super) struct Mirrored {
    pub(super) node: Arc<Cluster>,
    pub(super) namespace: &'static str,
    file: PathBuf,
    pub(super) pod: String,
}

impl Mirrored {
    /// In a namespace that is yet to be made.
    fn before_its_namespace(namespace: &'static str, manifest: &str) -> Mirrored {
        let node = cluster::shared();
        let own = format!("metadata:\n  namespace: {namespace}\n");
        let text = manifest.replacen("metadata:\n", &own, 1);
        let name = text.lines().find_map(|line| line.strip_prefix("  name: ")).unwrap();
        let file = node.path(&format!("etc/kubernetes/manifests/{namespace}.yaml"));
        fs::write(&file, &text).unwrap();
        Mirrored { node, namespace, file, pod: format!("{name}-node") }
    }

    pub(super) fn new(namespace: &'static str, manifest: &str) -> Mirrored {
        // the same one for both: it is gone when nobody holds it
        let node = cluster::shared();
        node.ask(&["create", "namespace", namespace]);
        Mirrored::before_its_namespace(namespace, manifest)
    }

    /// A busybox that does nothing, with a label.
    fn idle(namespace: &'static str) -> Mirrored {
        let labels = "metadata:\n  labels:\n    role: myrole\n";
        Mirrored::new(namespace, &busybox("idle", "exec sleep 1000", "", "").replacen("metadata:\n", labels, 1))
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        self.node.ask(&[&["--namespace", self.namespace], arguments].concat())
    }

    /// The pod's line of `kubectl get pods` without its age.
    pub(super) fn line(&self) -> Vec<String> {
        let table = self.kubectl(&["get", "pods", "--no-headers"]);
        table.split_whitespace().take(4).map(str::to_owned).collect()
    }

    /// Waits until the API says that it runs.
    fn running(&self) {
        self.listed("1/1", "0");
    }

    /// Waits until the API says that it runs, with so many containers ready and so many restarts.
    pub(super) fn listed(&self, ready: &str, restarts: &str) {
        let expected = [&self.pod, ready, "Running", restarts];
        eventually("a running mirror", || (self.line() == expected).then_some(()));
    }

    /// Another version of its manifest.
    pub(super) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = change(fs::read_to_string(&self.file).unwrap());
        fs::write(&self.file, text).unwrap();
    }

    pub(super) fn field(&self, path: &str) -> String {
        self.kubectl(&["get", "pod", &self.pod, &format!("--output=jsonpath={{{path}}}")])
    }

    /// What the node says of it once every container is ready.
    pub(super) fn ready(&self) -> PodStatus {
        let of = || self.node.status().pods.into_iter().find(|pod| pod.namespace == self.namespace && is_ready(pod));
        eventually("the static pod", of)
    }

    /// The id of the container that runs, as the node knows it.
    fn container(&self) -> String {
        self.ready().containers.remove(0).id.unwrap()
    }

    /// Deletes the mirror, and waits for the next one.
    fn delete(&self) -> String {
        let before = self.field(".metadata.uid");
        let told = self.kubectl(&["delete", "pod", &self.pod]);
        let uid = || {
            self.node.kubectl(&[
                "--namespace",
                self.namespace,
                "get",
                "pod",
                &self.pod,
                "--output=jsonpath={.metadata.uid}",
            ])
        };
        eventually("another mirror", || Some(uid()).filter(|run| run.code == 0 && run.stdout != before));
        told
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
fn s4_the_mirror_is_tried_for_until_there_is_one() {
    let pod = Mirrored::before_its_namespace("s4", &busybox("idle", "exec sleep 1000", "", ""));
    pod.container();
    pod.node.ask(&["create", "namespace", "s4"]);
    pod.running();
}

#[test]
fn s5_the_api_server_shows_the_pod_and_controls_nothing() {
    let pod = Mirrored::idle("s5");
    pod.running();
    let before = pod.container();
    pod.delete();
    pod.running();
    assert_eq!(pod.container(), before);
}

#[test]
fn s6_the_nodes_name_is_the_suffix_of_the_pods() {
    let pod = Mirrored::idle("s6");
    pod.running();
    assert_eq!(pod.kubectl(&["get", "pods", "--output=name"]), "pod/idle-node\n");
    assert_eq!(pod.field(".spec.nodeName"), "node");
}

#[test]
fn s19_the_mirror_is_listed_as_ready_and_running() {
    let pod = Mirrored::new("s19", &static_web());
    pod.running();
    assert_eq!(pod.line()[0], "static-web-node");
}

#[test]
fn s20_a_pod_whose_mirror_is_refused_runs_all_the_same() {
    let node = cluster::shared();
    node.ask(&["create", "namespace", "s20"]);
    node.ask(&["--namespace=s20", "create", "quota", "none", "--hard=pods=0"]);
    let used = || node.ask(&["--namespace=s20", "get", "quota", "none", "--output=jsonpath={.status.hard.pods}"]);
    eventually("the quota", || (used() == "0").then_some(()));
    let pod = Mirrored::before_its_namespace("s20", &busybox("idle", "exec sleep 1000", "", ""));
    let before = pod.container();
    assert_eq!(pod.kubectl(&["get", "pods", "--output=name"]), "");
    pod.kubectl(&["delete", "quota", "none"]);
    pod.running();
    assert_eq!(pod.container(), before);
}

#[test]
fn s21_labels_are_the_mirrors_and_select_it() {
    let pod = Mirrored::idle("s21");
    pod.running();
    let selected = |selector: &str| pod.kubectl(&["get", "pods", "--output=name", "--selector", selector]);
    assert_eq!((selected("role=myrole").as_str(), selected("role!=myrole").as_str()), ("pod/idle-node\n", ""));
}

#[test]
fn s22_deleting_the_mirror_removes_no_pod() {
    let pod = Mirrored::idle("s22");
    pod.running();
    let (container, uid) = (pod.container(), pod.field(".metadata.uid"));
    assert!(pod.delete().contains("pod \"idle-node\" deleted"));
    pod.running();
    assert_ne!(pod.field(".metadata.uid"), uid);
    assert_eq!(pod.container(), container);
}

#[test]
fn s29_the_mirror_is_controlled_by_its_node() {
    let pod = Mirrored::idle("s29");
    pod.running();
    let told = pod.kubectl(&["describe", "pod", &pod.pod]);
    let line = told.lines().find(|line| line.starts_with("Controlled By:")).unwrap_or_default();
    assert_eq!(line.split_whitespace().last(), Some("Node/node"), "{told}");
}

#[test]
fn s34_events_tell_what_happened() {
    let pod = Mirrored::idle("s34");
    pod.running();
    let told = || pod.kubectl(&["describe", "pod", &pod.pod]);
    for reason in ["Pulled", "Created", "Started"] {
        eventually(reason, || told().contains(&format!("  {reason}  ")).then_some(()));
    }
}

#[test]
fn s43_a_description_has_all_fields() {
    let web = static_web().replacen("          containerPort: 80", "          containerPort: 8081", 1);
    let command = "      image: busybox:1.28\n      command: [sleep, \"1000\"]\n";
    let pod = Mirrored::new("s43", &web.replacen("      image: nginx\n", command, 1));
    pod.running();
    let told = pod.kubectl(&["describe", "pod", &pod.pod]);
    let has = |name: &str, value: &str| {
        let line = told.lines().find(|line| line.trim_start().starts_with(name) && line.contains(value));
        assert!(line.is_some(), "`{name} {value}` is not in:\n{told}");
    };
    has("Node:", "node/10.80.0.2");
    has("Start Time:", "");
    has("Labels:", "role=myrole");
    has("Annotations:", "kubernetes.io/config.hash: ");
    has("Status:", "Running");
    has("IP:", "10.80.0.2");
    has("Container ID:", "://");
    has("Image ID:", "sha256:");
    has("Port:", "8081/TCP");
    has("State:", "Running");
    has("Ready:", "True");
    has("Restart Count:", "0");
    for condition in ["Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        has(condition, "True");
    }
    has("QoS Class:", "BestEffort");
    has("Tolerations:", ":NoExecute op=Exists");
}

#[test]
fn s44_an_edit_of_the_mirror_changes_no_pod() {
    let pod = Mirrored::idle("s44");
    pod.running();
    let before = pod.container();
    let patch = |patch: &str| {
        pod.node.kubectl(&["--namespace=s44", "patch", "pod", &pod.pod, "--type=json", &format!("--patch={patch}")])
    };
    let image = r#"[{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox:latest"}]"#;
    patch(image).succeeds();
    let host = r#"[{"op": "replace", "path": "/spec/hostNetwork", "value": false}]"#;
    assert!(patch(host).stderr.contains("pod updates may not change fields other than"));
    assert_eq!(pod.field(".spec.containers[0].image"), "busybox:latest");
    assert_eq!(pod.container(), before);
    assert!(fs::read_to_string(&pod.file).unwrap().contains("busybox:1.28"));
}

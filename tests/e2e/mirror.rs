//! The runner towards the real API server: the node's object, mirror pods, events. The Node authorizer and
//! NodeRestriction are on, as in every control plane of init.

use std::fs;

use serde_json::{Value, json};

use crate::support::components::{COMPONENTS, NAMES};
use crate::support::inspect::eventually;
use crate::support::node::Node;

/// As the tests' configuration calls it.
const NODE: &str = "node";

impl Node {
    /// An object of the API, if it is there.
    pub(super) fn object(&self, arguments: &[&str]) -> Option<Value> {
        let got = self.kubectl(&[&["get", "--output=json"], arguments].concat());
        (got.code == 0).then(|| serde_json::from_str(&got.stdout).unwrap())
    }

    fn mirror(&self, namespace: &str, name: &str) -> Option<Value> {
        self.object(&["--namespace", namespace, "pod", &format!("{name}-{}", NODE)])
    }

    /// The mirror once it is as told.
    #[track_caller]
    pub(super) fn mirror_when(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("the mirror of {name}"), || self.mirror("default", name).filter(|pod| holds(pod)))
    }

    /// Another static pod: an etcd with nothing to do.
    fn write_pod(&self, name: &str, grace: u32, extra: &str) {
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{role: myrole}}}}\nspec:\n  hostNetwork: true\n  \
             terminationGracePeriodSeconds: {grace}\n  containers:\n  - name: web\n    image: {}\n    \
             imagePullPolicy: Never\n    command: [etcd, --data-dir=/data, --listen-client-urls=http://127.0.0.1:12379, \
             --advertise-client-urls=http://127.0.0.1:12379, --listen-peer-urls=http://127.0.0.1:12380{extra}]\n",
            COMPONENTS.image("etcd")
        );
        let hidden = self.path(&format!("etc/kubernetes/manifests/.{name}"));
        fs::write(&hidden, manifest).unwrap();
        fs::rename(hidden, self.path(&format!("etc/kubernetes/manifests/{name}.yaml"))).unwrap();
    }

    pub(super) fn remove_pod(&self, name: &str) {
        fs::remove_file(self.path(&format!("etc/kubernetes/manifests/{name}.yaml"))).unwrap();
    }

    fn runs(&self, name: &str) -> Option<bootstrap::control::PodStatus> {
        let with_node = format!("{name}-{}", NODE);
        let pod = self.status().pods.into_iter().find(|pod| pod.name == with_node)?;
        pod.containers.iter().all(|container| container.ready).then_some(pod)
    }
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap()
}

pub(super) fn is_running(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let runs = |status: &Value| status["state"].get("running").is_some();
    pod["status"]["phase"] == "Running" && statuses.is_some_and(|statuses| statuses.iter().all(runs))
}

/// What every mirror has to be.
fn check(pod: &Value, node_uid: &str) {
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/config.hash"], annotations["kubernetes.io/config.mirror"]);
    assert_ne!(annotations["kubernetes.io/config.hash"], pod["metadata"]["uid"]);
    assert_eq!(annotations["kubernetes.io/config.source"], "file");
    let owner = json!([
        { "apiVersion": "v1", "kind": "Node", "name": NODE, "uid": node_uid, "controller": true },
    ]);
    assert_eq!(pod["metadata"]["ownerReferences"], owner);
}

#[test]
fn case_10_95_the_components_are_mirrored_and_the_node_is_alive() {
    let node = Node::new();
    node.init().succeeds();
    let name = NODE;
    let object = eventually("a node that is ready", || {
        let object = node.object(&["node", name])?;
        let conditions = object["status"]["conditions"].as_array()?;
        let is_ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let is_known = object["status"]["nodeInfo"]["kubeletVersion"] == COMPONENTS.kubernetes_version.as_str();
        (is_ready && is_known).then_some(object)
    });
    let info = &object["status"]["nodeInfo"];
    assert!(info["containerRuntimeVersion"].as_str().unwrap().starts_with("bootstrap://"), "{info}");
    let labels = object["metadata"]["labels"].as_object().unwrap();
    assert!(
        labels.contains_key("node-role.kubernetes.io/control-plane") && labels.contains_key("kubernetes.io/hostname")
    );
    assert_eq!(object["spec"]["unschedulable"], true);
    let node_uid = uid(&object);
    for component in NAMES {
        let mirror = eventually(component, || node.mirror("kube-system", component).filter(is_running));
        check(&mirror, node_uid);
        let own = node.running(component).unwrap();
        let status = &mirror["status"]["containerStatuses"][0];
        assert_eq!(status["containerID"], format!("bootstrap://{}", own.id));
        let tolerations = mirror["spec"]["tolerations"].as_array().unwrap();
        assert!(tolerations.contains(&json!({ "operator": "Exists", "effect": "NoExecute" })), "{tolerations:?}");
        eventually("a mirror that is ready", || {
            let mirror = node.mirror("kube-system", component)?;
            let conditions = mirror["status"]["conditions"].as_array()?.clone();
            let kinds: Vec<_> = conditions.iter().map(|one| one["type"].as_str().unwrap_or_default()).collect();
            let expected = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
            assert_eq!(kinds, expected);
            conditions.iter().all(|one| one["status"] == "True").then_some(())
        });
    }
    let lease = || node.object(&["--namespace=kube-node-lease", "lease", name]);
    let first = eventually("the node's lease", lease);
    assert_eq!(first["spec"]["holderIdentity"], name);
    assert_eq!((&first["spec"]["leaseDurationSeconds"], uid_of_owner(&first)), (&json!(40), node_uid));
    eventually("its renewal", || lease().filter(|now| now["spec"]["renewTime"] != first["spec"]["renewTime"]));
    // the events are of the static pod, as `kubectl describe` looks for them
    let described = eventually("events", || {
        let text = node.ask(&["--namespace=kube-system", "describe", "pod", &format!("etcd-{name}")]);
        text.contains("Container started").then_some(text)
    });
    assert!(described.contains(&format!("Controlled By:  Node/{name}")), "{described}");
    assert!(described.contains(":NoExecute op=Exists"), "{described}");
    let told = node.run(&["events", "etcd"]).succeeds().stdout;
    assert!(told.contains("Container started") && told.contains(&format!("etcd-{name}/etcd")), "{told}");
}

fn uid_of_owner(object: &Value) -> &str {
    object["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap()
}

#[test]
fn case_1_2_3_4_5_160_a_mirror_follows_its_pod_and_the_pod_no_mirror() {
    let node = Node::new();
    node.init().succeeds();
    node.write_pod("web", 5, "");
    let first = node.mirror_when("web", is_running);
    let selected = node.ask(&["get", "pods", "--selector=role=myrole", "--output=name"]);
    assert_eq!(selected.trim(), format!("pod/web-{}", NODE));
    let container = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();

    // 2 and 3: deleted, with grace and without
    let mut before = first.clone();
    for grace in [&["--grace-period=30"][..], &["--grace-period=0", "--force"]] {
        let name = format!("web-{}", NODE);
        node.ask(&[&["delete", "pod", "--wait=false", &name][..], grace].concat());
        let again = node.mirror_when("web", |pod| uid(pod) != uid(&before) && is_running(pod));
        assert_eq!(container(&again), container(&first), "the container was left alone");
        before = again;
    }

    // 1 and 12: an edit is another pod; the old one's mirror stays until the old one is gone
    node.write_pod("web", 5, ", --name=other");
    let edited = node.mirror_when("web", |pod| uid(pod) != uid(&before) && is_running(pod));
    assert_eq!(edited["spec"]["containers"][0]["command"].as_array().unwrap().last().unwrap(), "--name=other");
    assert_ne!(container(&edited), container(&first));

    // 4 and 5: removed, and back with a restart on its count
    node.remove_pod("web");
    eventually("no mirror", || node.mirror("default", "web").is_none().then_some(()));
    node.write_pod("web", 5, ", --name=other");
    let back = node.mirror_when("web", is_running);
    assert_eq!(back["status"]["containerStatuses"][0]["restartCount"], 1);

    // a node that somebody deletes is there again, with its mirrors
    let node_uid = uid(&node.object(&["node", NODE]).unwrap()).to_owned();
    node.ask(&["delete", "node", NODE]);
    let object = eventually("a new node", || node.object(&["node", NODE]).filter(|object| uid(object) != node_uid));
    let owned = node.mirror_when("web", |pod| is_running(pod) && uid_of_owner(pod) == uid(&object));
    assert_eq!(container(&owned), container(&back));
}

#[test]
fn case_9_a_restart_of_the_runner_is_not_seen_in_the_api() {
    let node = Node::new();
    node.init().succeeds();
    let before = eventually("etcd's mirror", || node.mirror("kube-system", "etcd").filter(is_running));
    let runner = node.runner();
    crate::support::inspect::kill(runner);
    node.init().succeeds();
    assert_ne!(node.runner(), runner);
    eventually("the new runner's lease", || node.object(&["--namespace=kube-node-lease", "lease", NODE]));
    std::thread::sleep(std::time::Duration::from_secs(12));
    let after = node.mirror("kube-system", "etcd").unwrap();
    assert_eq!(uid(&after), uid(&before));
    assert_eq!(after["status"]["startTime"], before["status"]["startTime"]);
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn case_158_pods_start_and_stop_whatever_the_api_does() {
    let node = Node::new();
    node.init().succeeds();
    eventually("etcd's mirror", || node.mirror("kube-system", "etcd").filter(is_running));
    let kubeconfig = node.path("etc/kubernetes/kubelet.conf");
    let own = fs::read_to_string(&kubeconfig).unwrap();

    // somebody else's certificate: everything is forbidden
    fs::copy(node.path("etc/kubernetes/scheduler.conf"), &kubeconfig).unwrap();
    eventually("the runner noticed", || {
        let log = fs::read_to_string(node.path("var/log/bootstrap-runner.log")).unwrap_or_default();
        log.contains("system:kube-scheduler").then_some(())
    });
    node.write_pod("web", 5, "");
    let first = eventually("the pod", || node.runs("web"));
    assert!(node.mirror("default", "web").is_none());
    fs::write(&kubeconfig, own).unwrap();
    node.mirror_when("web", is_running);

    // an API server that takes connections and says nothing
    let server = nix::unistd::Pid::from_raw(node.running("kube-apiserver").unwrap().pid.cast_signed());
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGSTOP).unwrap();
    node.write_pod("web", 5, ", --name=other");
    let second = eventually("the edited pod", || node.runs("web").filter(|pod| pod.uid != first.uid));
    node.remove_pod("web");
    let name = second.name;
    eventually("its end", || node.status().pods.iter().all(|pod| pod.name != name).then_some(()));
    let told = node.run(&["events", "web"]).succeeds().stdout;
    assert!(told.contains("Stopping container web"), "{told}");
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGCONT).unwrap();
    node.wait_until_ready();
    eventually("no mirror", || node.mirror("default", "web").is_none().then_some(()));
}

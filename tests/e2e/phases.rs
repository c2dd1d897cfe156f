//! Single phases, phases left out, and the node that init marks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bootstrap::phase::{PHASES, PREFLIGHT};

use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::{Run, picture};

const TOKEN: &str = "bootstrapTokens:\n- token: abcdef.0123456789abcdef\n";
const NODE: &str = "node";

/// Runs one phase with the node's configuration.
fn phase(node: &Node, name: &str) -> Run {
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "phase", name, &config])
}

/// Files and directories with their modes.
fn shape(root: &std::path::Path) -> BTreeMap<PathBuf, String> {
    let mode = |facts: String| facts.split(' ').next().unwrap_or_default().to_owned();
    picture(root).into_iter().map(|(path, facts)| (path, mode(facts))).collect()
}

#[test]
fn phase_by_phase_a_bare_node_becomes_what_an_init_makes_of_it() {
    let node = Node::new();
    node.configure(TOKEN, ECDSA);
    let out = node.directory.path().join("out");
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "--dry-run", &config, &format!("--out={}", out.display())]).succeeds();
    phase(&node, PREFLIGHT.name).succeeds();
    for one in PHASES.iter().filter(|phase| phase.depends_on.is_empty()) {
        let run = phase(&node, one.name).succeeds();
        assert!(run.stdout.is_empty(), "{}: {}", one.name, run.stdout);
    }
    for directory in ["etc/kubernetes", "var/lib/kubelet"] {
        assert_eq!(shape(&node.path(directory)), shape(&out.join(directory)), "{directory}");
    }
    node.wait_until_ready();
    let identities = node.identities();
    let run = node.init().succeeds();
    assert!(!run.stderr.contains("created") && !run.stderr.contains("replaced"), "{}", run.stderr);
    assert_eq!(node.identities(), identities);
    assert!(
        run.stdout.contains("kubeadm join ") && run.stdout.contains("--token abcdef.0123456789abcdef"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_is_skipped_is_not_made_and_can_be_made_later() {
    let node = Node::new();
    node.configure(TOKEN, ECDSA);
    let mut command = node.init_command();
    command.arg(
        "--skip-phases=addon,bootstrap-token,show-join-command,mark-control-plane,kubelet-start,upload-config/kubelet",
    );
    let run = Run::of(command).succeeds();
    assert!(!run.stdout.contains("kubeadm join"), "{}", run.stdout);
    assert!(!node.path("var/lib/kubelet").exists());
    let found = |kind: &str, name: &str| node.kubectl(&["-n=kube-system", "get", kind, name]).code == 0;
    assert!(found("configmap", "kubeadm-config"));
    for (kind, name) in [("secret", "bootstrap-token-abcdef"), ("deployment", "coredns")] {
        assert!(!found(kind, name), "{kind} {name}");
    }
    // the runner has registered it, unmarked
    eventually("the node", || found("node", NODE).then_some(()));
    let marked = ["get", "nodes", "--selector=node-role.kubernetes.io/control-plane", "--output=name"];
    assert_eq!(node.ask(&marked), "");
    // credentials may be elsewhere
    let elsewhere = node.directory.path().join("other.conf");
    std::fs::rename(node.path("etc/kubernetes/admin.conf"), &elsewhere).unwrap();
    phase(&node, "mark-control-plane").fails(2, &["missing kubeconfig/admin, needed by mark-control-plane"]);
    let flag = format!("--kubeconfig={}", elsewhere.display());
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "phase", "mark-control-plane", &config, &flag]).succeeds();
    node.init().succeeds();
    assert!(node.path("var/lib/kubelet/config.yaml").exists());
    for (kind, name) in [("secret", "bootstrap-token-abcdef"), ("deployment", "coredns"), ("node", NODE)] {
        assert!(found(kind, name), "{kind} {name}");
    }
}

#[test]
fn a_marked_node_keeps_pods_away_and_is_marked_once() {
    let node = Node::new();
    node.configure(TOKEN, ECDSA);
    node.init().succeeds();
    let field = |path: &str| node.ask(&["get", "node", NODE, &format!("-o=jsonpath={{{path}}}")]);
    let labels: BTreeMap<String, String> = serde_json::from_str(&field(".metadata.labels")).unwrap();
    for label in ["node-role.kubernetes.io/control-plane", "node.kubernetes.io/exclude-from-external-load-balancers"] {
        assert_eq!(labels.get(label).map(String::as_str), Some(""), "{labels:?}");
    }
    assert!(!labels.contains_key("kubernetes.io/os"), "{labels:?}");
    let taints = || field(".spec.taints[*]['key','effect']");
    let own = "node-role.kubernetes.io/control-plane";
    let closed = "node.kubernetes.io/unschedulable";
    eventually("the taint of a node that is closed", || taints().contains(closed).then_some(()));
    assert!(taints().contains(own), "{}", taints());

    let unschedulable =
        ["-n=kube-system", "get", "pods", "-l=k8s-app=kube-dns", "-o=jsonpath={.items[*].status.conditions[*].reason}"];
    eventually("the scheduler's word on CoreDNS", || node.ask(&unschedulable).contains("Unschedulable").then_some(()));
    let status = "-o=jsonpath={.status.observedGeneration}/{.status.desiredNumberScheduled}";
    eventually("kube-proxy's DaemonSet", || {
        (node.ask(&["-n=kube-system", "get", "daemonset", "kube-proxy", status]) == "1/0").then_some(())
    });
    let pods: serde_json::Value = serde_json::from_str(&node.ask(&["get", "pods", "-A", "-o=json"])).unwrap();
    for pod in pods["items"].as_array().unwrap().iter().filter(|pod| !pod["spec"]["nodeName"].is_null()) {
        assert!(!pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null(), "no mirror: {pod}");
    }

    let marks = || (field(".metadata.labels"), taints());
    let before = marks();
    node.init().succeeds();
    assert_eq!(marks(), before);
    node.ask(&["taint", "node", NODE, &format!("{own}-")]);
    assert!(!taints().contains(own));
    phase(&node, "mark-control-plane").succeeds();
    let after = taints();
    assert!(after.contains(own) && after.contains(closed), "{after}");
}

#[test]
fn a_phase_that_finds_no_api_server_gives_up() {
    let node = Node::bare();
    node.configure("timeouts:\n  kubernetesAPICall: 3s\n", ECDSA);
    let config = format!("--config={}", node.config().display());
    for one in ["certs", "kubeconfig"] {
        phase(&node, one).succeeds();
    }
    let run = node.run(&["init", "phase", "upload-config", "kubeadm", &config]);
    run.fails(4, &["waiting for upload-config/kubeadm", "upload-config/kubeadm failed", "gave up after 3 s"]);
    phase(&node, "wait-control-plane")
        .fails(2, &["missing etcd, needed by wait-control-plane/etcd", "missing control-plane"]);
}

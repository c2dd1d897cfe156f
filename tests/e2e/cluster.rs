//! What init makes is a Kubernetes control plane.

use std::fs;

use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;

const TOKEN: &str = "abcdef.0123456789abcdef";

fn node() -> Node {
    let node = Node::new();
    node.configure(&format!("bootstrapTokens:\n- token: {TOKEN}\n"), ECDSA);
    node
}

#[test]
fn the_api_works_and_its_controllers_do_too() {
    let node = node();
    let run = node.init().succeeds();
    assert!(run.stdout.contains("The control plane is up"), "{}", run.stdout);

    let readyz = node.ask(&["get", "--raw", "/readyz?verbose"]);
    assert!(readyz.contains("[+]etcd ok") && readyz.contains("readyz check passed"), "{readyz}");
    node.ask(&["create", "namespace", "team"]);
    node.ask(&["--namespace=team", "create", "configmap", "notes", "--from-literal=colour=blue"]);
    let colour = ["--namespace=team", "get", "configmap", "notes", "--output=jsonpath={.data.colour}"];
    assert_eq!(node.ask(&colour), "blue");

    node.ask(&["--namespace=team", "create", "deployment", "web", "--image=web"]);
    eventually("the Deployment's ReplicaSet", || {
        let sets = node.ask(&["--namespace=team", "get", "replicasets", "--output=name"]);
        sets.contains("replicaset.apps/web-").then_some(())
    });
    for holder in ["kube-controller-manager", "kube-scheduler"] {
        let renewed = || {
            let lease = node.kubectl(&["-n=kube-system", "get", "lease", holder, "-o=jsonpath={.spec.renewTime}"]);
            (lease.code == 0 && !lease.stdout.is_empty()).then_some(lease.stdout)
        };
        let first = eventually("the lease", renewed);
        eventually("its renewal", || renewed().filter(|time| *time != first));
    }
}

#[test]
fn everything_that_the_dry_run_announces_is_in_the_api() {
    let node = node();
    node.init().succeeds();
    let announced = node.directory.path().join("announced");
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "--dry-run", &config, &format!("--out={}", announced.display())]).succeeds();
    let apply = announced.join("apply");
    assert!(fs::read_dir(&apply).unwrap().count() > 5);
    let objects = node.ask(&["get", "--output=name", &format!("--filename={}", apply.display())]);
    for name in ["configmap/cluster-info", "secret/bootstrap-token-abcdef", "configmap/kubeadm-config"] {
        assert!(objects.contains(name), "{name} is not in:\n{objects}");
    }
}

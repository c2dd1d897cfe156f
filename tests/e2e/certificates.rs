//! Certificates are renewed under a control plane that runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::components::{ECDSA, NAMES};
use crate::support::inspect::{Identity, eventually, kill};
use crate::support::network::ADDRESS;
use crate::support::node::Node;
use crate::support::openssl::say;
use crate::support::{Run, picture, sweep};

/// Every file that `renew all` changes, below `etc/kubernetes`; not every version has all of them.
const RENEWED: [&str; 19] = [
    "admin.conf",
    "controller-manager.conf",
    "kubelet.conf",
    "pki/apiserver-etcd-client.crt",
    "pki/apiserver-etcd-client.key",
    "pki/apiserver-kubelet-client.crt",
    "pki/apiserver-kubelet-client.key",
    "pki/apiserver.crt",
    "pki/apiserver.key",
    "pki/etcd/healthcheck-client.crt",
    "pki/etcd/healthcheck-client.key",
    "pki/etcd/peer.crt",
    "pki/etcd/peer.key",
    "pki/etcd/server.crt",
    "pki/etcd/server.key",
    "pki/front-proxy-client.crt",
    "pki/front-proxy-client.key",
    "scheduler.conf",
    "super-admin.conf",
];

fn node_with_data() -> Node {
    let node = Node::new();
    node.init().succeeds();
    node.ask(&["create", "configmap", "notes", "--from-literal=colour=blue"]);
    node
}

#[track_caller]
fn assert_data(node: &Node) {
    node.wait_until_ready();
    assert_eq!(node.ask(&["get", "configmap", "notes", "--output=jsonpath={.data.colour}"]), "blue");
}

fn files(node: &Node) -> BTreeMap<PathBuf, String> {
    picture(&node.path("etc/kubernetes"))
}

/// Mode and owner.
fn access(facts: &str) -> Vec<&str> {
    facts.split(' ').take(2).collect()
}

fn serial(node: &Node, file: &str) -> String {
    say(&node.path("etc/kubernetes/pki"), &format!("x509 -noout -serial -in {file}"))
}

/// The serial number of the certificate that a port of the node shows.
fn shown(node: &Node, port: u16) -> String {
    let mut command = node.other("openssl".as_ref());
    command.args(["s_client", "-connect", &format!("{ADDRESS}:{port}")]);
    let chain = node.directory.path().join("shown.pem");
    std::fs::write(&chain, Run::of(command).stdout).unwrap();
    say(node.directory.path(), "x509 -noout -serial -in shown.pem")
}

/// Those of `before` whose container is another one now; all of them run. Nothing was restarted twice, but for what
/// ends by itself while there is no API.
fn restarted(node: &Node, before: &[Identity]) -> Vec<String> {
    let after = node.identities();
    let pairs = before.iter().zip(after);
    let mut names = Vec::new();
    for (old, new) in pairs {
        if old.id != new.id {
            let is_ours_alone = ["etcd", "kube-apiserver"].contains(&&*new.name);
            assert!(new.restarts == old.restarts + 1 || !is_ours_alone, "{old:?} became {new:?}");
            names.push(new.name);
        } else {
            assert_eq!(*old, new);
        }
    }
    names
}

#[test]
fn what_is_renewed_is_in_use_and_each_pod_that_reads_it_is_restarted_once() {
    let node = node_with_data();
    let (before, identities) = (files(&node), node.identities());

    let run = node.run(&["certs", "renew", "admin.conf"]).succeeds();
    assert!(!run.stdout.contains("restarted"), "{}", run.stdout);
    assert_eq!(restarted(&node, &identities), [""; 0]);
    node.run(&["certs", "renew", "scheduler.conf"]).succeeds();
    assert_eq!(restarted(&node, &identities), ["kube-scheduler"]);

    let identities = node.identities();
    let serials = [serial(&node, "apiserver.crt"), serial(&node, "etcd/server.crt")];
    assert_eq!([shown(&node, 6443), shown(&node, 2379)], serials);
    let run = node.run(&["certs", "renew", "all"]).succeeds();
    assert_eq!(restarted(&node, &identities), NAMES, "{}{}", run.stdout, run.stderr);
    let positions = NAMES.map(|name| run.stdout.find(&format!("{name} restarted")).expect(name));
    assert!(positions.is_sorted(), "{}", run.stdout);
    let log = std::fs::read_to_string(node.path("var/log/bootstrap-runner.log")).unwrap();
    for name in NAMES {
        let asked = log.matches(&format!("{name}-node: restarting")).count();
        // the scheduler was restarted before, for its own file
        assert!(asked <= 1 + usize::from(name == "kube-scheduler"), "{name} was restarted {asked} times");
    }

    let after = files(&node);
    let changed: Vec<_> = after.keys().filter(|path| before.get(*path) != Some(&after[*path])).collect();
    let expected = RENEWED.map(PathBuf::from);
    assert_eq!(changed, expected.iter().filter(|path| before.contains_key(*path)).collect::<Vec<_>>());
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (path, facts) in &after {
        assert_eq!(access(facts), access(&before[path]), "{}", path.display());
    }
    let new = [serial(&node, "apiserver.crt"), serial(&node, "etcd/server.crt")];
    assert!(new[0] != serials[0] && new[1] != serials[1]);
    assert_eq!([shown(&node, 6443), shown(&node, 2379)], new);
    assert_data(&node);
    assert_sound(&node);
}

/// Every certificate is valid and belongs to its key and its authority.
#[track_caller]
fn assert_sound(node: &Node) {
    let text = node.run(&["certs", "check-expiration", "-o", "json"]).succeeds().stdout;
    let info: serde_json::Value = serde_json::from_str(&text).unwrap();
    for entry in info["certificates"].as_array().unwrap() {
        assert_eq!(entry["state"], "valid", "{entry}");
        assert_eq!(entry["problems"].as_array().unwrap().len(), 0, "{entry}");
    }
}

#[test]
fn a_control_plane_whose_certificates_have_expired_is_brought_back() {
    let node = Node::new();
    // as long as the slowest init takes, and not much longer
    node.configure("", &format!("{ECDSA}certificateValidityPeriod: 75s\n"));
    node.init().succeeds();
    node.ask(&["create", "configmap", "notes", "--from-literal=colour=blue"]);
    eventually("the end of the certificates", || {
        let text = node.run(&["certs", "check-expiration"]).succeeds().stdout;
        (text.matches("expired").count() > 10).then_some(())
    });
    let refused = node.kubectl(&["get", "configmap", "notes"]);
    assert!(refused.code != 0 && refused.stderr.contains("expired"), "{}", refused.stderr);

    node.configure("", ECDSA);
    let config = format!("--config={}", node.config().display());
    node.run(&["certs", "renew", "all", &config]).succeeds();
    assert_sound(&node);
    assert_data(&node);
    node.ask(&["create", "deployment", "web", "--image=web"]);
    eventually("a controller manager that works", || {
        node.ask(&["get", "replicasets", "--output=name"]).contains("replicaset.apps/web-").then_some(())
    });
}

#[test]
fn a_renewal_killed_anywhere_is_finished_by_the_next() {
    let node = node_with_data();
    // while files are written: at eighths of the time that this takes
    let writing = ["certs", "renew", "all", "--no-restart"];
    let begin = Instant::now();
    node.run(&writing).succeeds();
    let took = begin.elapsed();
    for moment in (1..8).map(|eighth| took * eighth / 8) {
        kill_after(&node, &writing, moment);
        node.run(&writing).succeeds();
        assert_sound(&node);
        assert!(files(&node).keys().all(|path| !path.to_string_lossy().contains("bootstrap-new")), "{moment:?}");
    }
    // while pods are restarted
    for moment in [Duration::from_secs(1), Duration::from_secs(5)] {
        kill_after(&node, &["certs", "renew", "all"], moment);
        node.run(&["certs", "renew", "all"]).succeeds();
        assert_sound(&node);
        assert_data(&node);
        for component in NAMES {
            assert_eq!(node.processes(component).len(), 1, "{component} after a kill at {moment:?}");
        }
    }
    assert_eq!(sweep::runners(&node.root).len(), 1);
}

fn kill_after(node: &Node, arguments: &[&str], moment: Duration) {
    let mut command = node.command(arguments);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn without_a_runner_certificates_are_renewed_and_pods_are_named() {
    let node = node_with_data();
    let (before, identities) = (serial(&node, "apiserver.crt"), node.identities());
    kill(node.runner());
    let run = node.run(&["certs", "renew", "apiserver"]).succeeds();
    assert!(run.stderr.contains("no runner is running: whatever runs of kube-apiserver uses"), "{}", run.stderr);
    assert_ne!(serial(&node, "apiserver.crt"), before);
    assert!(node.processes("kube-apiserver").len() == 1);

    node.init().succeeds();
    assert_eq!(restarted(&node, &identities), [""; 0], "the next runner adopts what runs");
    node.run(&["restart", "kube-apiserver"]).succeeds();
    eventually("the API server with its new certificate", || {
        (node.running("kube-apiserver").is_some() && shown_if_any(&node) == Some(serial(&node, "apiserver.crt")))
            .then_some(())
    });
    assert_data(&node);
    assert_eq!(restarted(&node, &identities)[0], "kube-apiserver");
}

/// As [`shown`] of the API server, which may not listen yet.
fn shown_if_any(node: &Node) -> Option<String> {
    node.listeners().contains(":6443").then(|| shown(node, 6443))
}

#[test]
fn two_renewals_do_not_run_at_once() {
    let node = Node::new();
    node.init().succeeds();
    let mut first =
        node.command(&["certs", "renew", "all"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let lock = node.path("run/bootstrap/instance.lock");
    eventually("the first at its work", || {
        std::fs::read_to_string(&lock).is_ok_and(|pid| pid == first.id().to_string()).then_some(())
    });
    let second = node.run(&["certs", "renew", "admin.conf"]);
    second.fails(
        1,
        &["another init, reset or renewal of this instance runs", &format!("(pid {})", first.id()), "hint: "],
    );
    assert!(first.wait().unwrap().success());
}

//! `init --profile cis` and `audit`, with the real control plane.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::components::COMPONENTS;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::{Run, images, picture};

fn init_with_profile(node: &Node) -> Run {
    let mut command = node.init_command();
    command.arg("--profile=cis");
    Run::of(command)
}

/// The exit code of an audit, and the numbers of the items that fail.
fn audit(node: &Node) -> (i32, Vec<String>) {
    let run = node.run(&["audit", "-o", "json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert_eq!(report["kubernetesVersion"], COMPONENTS.kubernetes_version.as_str());
    let items = report["items"].as_array().unwrap();
    let failed = items.iter().filter(|item| item["status"] == "FAIL");
    (run.code, failed.map(|item| item["id"].as_str().unwrap().to_owned()).collect())
}

/// What etcd holds under a key.
fn in_etcd(node: &Node, key: &str) -> String {
    let pki = |file: &str| node.path("etc/kubernetes/pki/etcd").join(file).display().to_string();
    let mut command = node.other(&COMPONENTS.binary("etcdctl"));
    command.env("ETCDCTL_API", "3").args(["--endpoints=https://127.0.0.1:2379", "get", key, "--print-value-only"]);
    command.arg(format!("--cacert={}", pki("ca.crt")));
    command.arg(format!("--cert={}", pki("healthcheck-client.crt")));
    command.arg(format!("--key={}", pki("healthcheck-client.key")));
    Run::of(command).succeeds().stdout
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn by_default_only_what_kubeadm_leaves_open_fails() {
    let node = Node::new();
    node.run(&["audit"]).fails(2, &["no control plane", "hint: "]);
    node.init().succeeds();
    let open = ["1.1.12", "1.2.5", "1.2.15", "1.2.16", "1.2.17", "1.2.18", "1.2.19", "1.2.30", "1.3.2", "1.4.1"];
    assert_eq!(audit(&node), (1, open.map(str::to_owned).to_vec()));
    let run = node.run(&["audit"]).fails(1, &["10 items fail", "1.2.15"]);
    assert!(run.stdout.contains("`--profiling` is not set") && run.stdout.contains("--profile=cis"), "{}", run.stdout);

    // what is there takes the profile, too
    init_with_profile(&node).succeeds();
    let nothing = (0, Vec::new());
    eventually("the components of the profile", || (audit(&node) == nothing).then_some(()));
    node.wait_until_ready();
}

#[test]
fn with_the_profile_nothing_fails_and_secrets_are_encrypted() {
    let node = Node::bare();
    // where images are given
    fs::create_dir_all(node.path("var/lib")).unwrap();
    let before = picture(&node.root);
    images::give(&node.root);
    let mut command = node.init_command();
    command.args(["--profile=cis", "-vv"]);
    let run = Run::of(command).succeeds();
    assert_eq!(audit(&node), (0, Vec::new()));
    let keys = fs::read_to_string(node.path("etc/kubernetes/hardening/encryption.yaml")).unwrap();
    let key = keys.lines().find_map(|line| line.trim().strip_prefix("secret: ")).unwrap();
    let told = [run.stdout, run.stderr, node.run(&["audit", "-o", "json"]).stdout].concat();
    assert!(key.len() > 40 && !told.contains(key), "the key at rest was told");

    node.ask(&["create", "secret", "generic", "mine", "--from-literal=password=tell-nobody"]);
    let stored = in_etcd(&node, "/registry/secrets/default/mine");
    assert!(stored.starts_with("k8s:enc:secretbox:v1:key1:") && !stored.contains("tell-nobody"), "{stored}");
    let read = node.ask(&["get", "secret", "mine", "-o", "jsonpath={.data.password}"]);
    assert_eq!(read, "dGVsbC1ub2JvZHk=");
    let log = fs::read_to_string(node.path("var/log/kubernetes/audit/audit.log")).unwrap();
    let created = log.lines().find(|line| line.contains("secrets") && line.contains("\"mine\""));
    let created: Value = serde_json::from_str(created.expect("a line about the Secret")).unwrap();
    assert_eq!((&created["verb"], &created["level"]), (&"create".into(), &"Metadata".into()));
    assert!(!log.contains("dGVsbC1ub2JvZHk="), "the log tells what is in a Secret");

    let (identities, files) = (node.identities(), picture(&node.path("etc")));
    let run = init_with_profile(&node).succeeds();
    assert!(!run.stderr.contains("created"), "{}", run.stderr);
    node.init().fails(2, &["control-plane/apiserver", "--profile=cis", "nothing was changed"]);
    assert_eq!(node.identities(), identities);
    assert_eq!(picture(&node.path("etc")), files);

    node.run(&["reset", "--force"]).succeeds();
    assert_eq!(picture(&node.root), before);
}

#[test]
fn what_was_tampered_with_fails_and_nothing_else() {
    let node = Node::new();
    init_with_profile(&node).succeeds();
    let manifest = |name: &str| node.path("etc/kubernetes/manifests").join(format!("{name}.yaml"));
    set_mode(&manifest("kube-scheduler"), 0o644);
    set_mode(&node.path("etc/kubernetes/pki/sa.key"), 0o644);
    assert_eq!(audit(&node), (1, vec!["1.1.5".to_owned()]));

    let path = manifest("kube-controller-manager");
    let text = fs::read_to_string(&path).unwrap();
    let flag = "    - --profiling=false\n";
    assert!(text.contains(flag), "{text}");
    fs::write(&path, text.replace(flag, "")).unwrap();
    let expected = ["1.1.5", "1.3.2"].map(str::to_owned).to_vec();
    eventually("the process without the flag", || (audit(&node).1 == expected).then_some(()));
}

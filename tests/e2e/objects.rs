//! Objects in the cluster: a second init changes none, and keeps what only users can say.

use std::collections::BTreeMap;
use std::fs;

use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;

/// Every object that init applies, with its resource version: any write gives it another.
fn versions(node: &Node) -> BTreeMap<String, String> {
    let announced = node.directory.path().join("announced");
    if !announced.exists() {
        let config = format!("--config={}", node.config().display());
        node.run(&["init", "--dry-run", &config, &format!("--out={}", announced.display())]).succeeds();
        for entry in fs::read_dir(announced.join("apply")).unwrap() {
            // a dry run's random token is not init's
            let path = entry.unwrap().path();
            if path.to_str().unwrap().contains("secret-bootstrap-token-") {
                fs::remove_file(path).unwrap();
            }
        }
    }
    let print = "-o=jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} \
                 {.metadata.resourceVersion}{\"\\n\"}{end}";
    let known = node.ask(&["get", &format!("--filename={}", announced.join("apply").display()), print]);
    let tokens = ["get", "secrets", "-n=kube-system", "--field-selector=type=bootstrap.kubernetes.io/token", print];
    let lines = format!("{known}{}", node.ask(&tokens));
    lines
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(object, version)| (object.to_owned(), version.to_owned()))
        .collect()
}

/// Controllers write to the others, too.
fn of_init_alone(versions: &BTreeMap<String, String>) -> BTreeMap<&String, &String> {
    let shared = ["Deployment", "DaemonSet", "ServiceAccount", "Node"];
    let is_shared =
        |object: &str| object.ends_with("/cluster-info") || shared.iter().any(|kind| object.starts_with(kind));
    versions.iter().filter(|(object, _)| !is_shared(object)).collect()
}

/// Runs init several times, and until one has changed nothing at all. What nobody else writes to must not change even
/// once; controllers may still be at work on the rest, but an init that writes would write every time.
#[track_caller]
fn init_changes_nothing(node: &Node) -> BTreeMap<String, String> {
    let first = versions(node);
    let mut quiet = 0;
    eventually("inits that change no object", || {
        let before = versions(node);
        node.init().succeeds();
        let after = versions(node);
        assert_eq!(of_init_alone(&after), of_init_alone(&first));
        quiet += usize::from(before == after);
        (quiet == 3).then_some(after)
    })
}

fn tokens(versions: &BTreeMap<String, String>) -> Vec<&String> {
    versions.keys().filter(|object| object.contains("bootstrap-token-")).collect()
}

#[test]
fn a_second_init_changes_no_object() {
    let node = Node::new();
    let told_token = |stdout: &str| {
        let mut words = stdout.split_whitespace().skip_while(|word| *word != "--token");
        words.nth(1).unwrap().to_owned()
    };
    let token = told_token(&node.init().succeeds().stdout);
    let first = versions(&node);
    assert!(first.len() > 25, "{first:#?}");
    assert_eq!(tokens(&first).len(), 1, "{first:#?}");
    let last = init_changes_nothing(&node);
    // the generated token is still the first one
    assert_eq!(tokens(&last), tokens(&first));
    assert_eq!(told_token(&node.init().succeeds().stdout), token);
    // and a named one keeps its end
    node.configure("bootstrapTokens:\n- token: abcdef.0123456789abcdef\n  ttl: 2h\n", ECDSA);
    node.init().succeeds();
    assert_eq!(tokens(&init_changes_nothing(&node)).len(), 2);
}

#[test]
fn what_only_users_can_say_about_dns_is_kept_and_the_rest_is_taken_back() {
    let node = Node::new();
    node.init().succeeds();
    let kube_system = |arguments: &[&str]| node.ask(&[&["-n=kube-system"], arguments].concat());
    kube_system(&["scale", "deployment", "coredns", "--replicas=5"]);
    kube_system(&["patch", "configmap", "coredns", r#"--patch={"data":{"Corefile":"mine"}}"#]);
    let kube_proxy = || kube_system(&["get", "configmap", "kube-proxy", r"-o=jsonpath={.data.config\.conf}"]);
    let ours = kube_proxy();
    kube_system(&["patch", "configmap", "kube-proxy", r#"--patch={"data":{"config.conf":"mine"}}"#]);
    let told = node.init().succeeds().stderr;
    assert_eq!(kube_system(&["get", "deployment", "coredns", "-o=jsonpath={.spec.replicas}"]), "5");
    assert_eq!(kube_system(&["get", "configmap", "coredns", "-o=jsonpath={.data.Corefile}"]), "mine");
    assert!(told.contains("ConfigMap `kube-system/coredns` is kept: its `Corefile` was changed"), "{told}");
    assert_eq!(kube_proxy(), ours);
    assert!(told.contains("ConfigMap `kube-system/kube-proxy`: `kubectl"), "{told}");
    init_changes_nothing(&node);

    // a second DNS would not know whose replicas to keep
    kube_system(&["create", "deployment", "other", "--image=other"]);
    kube_system(&["label", "deployment", "other", "k8s-app=kube-dns"]);
    node.init().fails(1, &["several Deployments", "`coredns`, `other`", "hint: "]);
}

//! What the node's API measures and counts, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::manifests::busybox;
use super::mirror::is_running;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::nodes_api::{ask, superuser};
use crate::support::runner::Runner;
use crate::support::workloads;

/// Takes no notice of a signal to end.
const STUBBORN: &str = "trap '' TERM; while true; do sleep 1; done";

/// A busybox that ends only when its grace of so many seconds is over.
fn stubborn(name: &str, grace: u32) -> String {
    let seconds = format!("terminationGracePeriodSeconds: {grace}\n");
    busybox(name, STUBBORN, "", "").replacen("terminationGracePeriodSeconds: 1\n", &seconds, 1)
}

/// The values of a path by their names with labels.
fn values(node: &Node, path: &str, credentials: &[String]) -> BTreeMap<String, f64> {
    let credentials: Vec<_> = credentials.iter().map(String::as_str).collect();
    let (status, text) = ask(node, path, &credentials);
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        // a label may have spaces in it, and a moment may follow the value
        let end = line.rfind('}').map_or_else(|| line.find(' ').unwrap(), |brace| brace + 1);
        (line[..end].to_owned(), line[end..].split_whitespace().next().unwrap().parse().unwrap())
    };
    lines.map(value).collect()
}

fn working(config: &str, lifecycle: &str) -> String {
    format!("kubelet_working_pods{{config=\"{config}\",lifecycle=\"{lifecycle}\",static=\"true\"}}")
}

const ACTIVE: &str = "kubelet_active_pods{static=\"true\"}";
const DESIRED: &str = "kubelet_desired_pods{static=\"true\"}";
const MIRRORS: &str = "kubelet_mirror_pods";

/// Working pods as they should be and as they are ended, then active, desired and mirror pods.
fn pods(node: &Node, credentials: &[String]) -> [f64; 5] {
    let values = values(node, "/metrics", credentials);
    let names = [working("desired", "sync"), working("orphan", "terminating")];
    let [sync, terminating] = names.map(|name| values[&name]);
    [sync, terminating, values[ACTIVE], values[DESIRED], values[MIRRORS]]
}

#[test]
fn case_14_a_pod_that_takes_its_time_to_end_keeps_its_mirror_and_is_counted_until_then() {
    let node = Node::new();
    let _registry = workloads::serve(&node);
    node.init().succeeds();
    let pki = |file: &str| node.path(&format!("etc/kubernetes/pki/{file}")).display().to_string();
    let (certificate, key) = (pki("apiserver-kubelet-client.crt"), pki("apiserver-kubelet-client.key"));
    let own = ["--cert".to_owned(), certificate, "--key".to_owned(), key];
    // the control plane's own pods, which go on
    let control_plane = [4.0, 0.0, 4.0, 4.0, 4.0];
    eventually("the control plane's mirrors", || (pods(&node, &own) == control_plane).then_some(()));
    fs::write(node.path("etc/kubernetes/manifests/slow.yaml"), stubborn("slow", 20)).unwrap();
    let uid = node.mirror_when("slow", is_running)["metadata"]["uid"].clone();
    assert_eq!(pods(&node, &own), [5.0, 0.0, 5.0, 5.0, 5.0]);

    let begin = Instant::now();
    node.remove_pod("slow");
    let ending = [4.0, 1.0, 4.0, 4.0, 5.0];
    eventually("its end to begin", || (pods(&node, &own) == ending).then_some(()));
    // the runtime is a part of the runner: to take it away is to take the runner away
    while begin.elapsed() < Duration::from_secs(17) {
        let mirror = node.object(&["pod", "slow-node"]).expect("it has its mirror until it has ended");
        assert!(is_running(&mirror) && mirror["metadata"]["uid"] == uid, "{mirror}");
        let counted = pods(&node, &own);
        // asked when it was over already, on a machine that stood still
        assert!(counted == ending || begin.elapsed() >= Duration::from_secs(19), "{counted:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    eventually("its end", || (pods(&node, &own) == control_plane).then_some(()));
    assert_eq!(node.object(&["pod", "slow-node"]), None);
}

#[test]
fn pods_and_their_ends_are_counted_without_an_api_server() {
    let runner = Runner::new();
    let own = superuser(&runner.node);
    eventually("the node's API", || (ask(&runner.node, "/healthz", &[]).0 == 401).then_some(()));
    assert_eq!(pods(&runner.node, &own), [0.0; 5]);
    runner.put("slow.yaml", &stubborn("slow", 20));
    runner.ready("slow");
    assert_eq!(pods(&runner.node, &own), [1.0, 0.0, 1.0, 1.0, 0.0]);
    let told = values(&runner.node, "/metrics", &own);
    for (name, expected) in [
        ("kubelet_running_pods", 1.0),
        ("kubelet_running_containers{container_state=\"running\"}", 1.0),
        ("kubelet_started_pods_total", 1.0),
        ("kubelet_started_containers_total{container_type=\"container\"}", 1.0),
        ("kubelet_started_pods_errors_total", 0.0),
        ("kubelet_pod_start_duration_seconds_count", 1.0),
        ("kubelet_pod_start_sli_duration_seconds_count", 1.0),
    ] {
        assert_eq!(told.get(name), Some(&expected), "{name}");
    }
    let whole = told["kubelet_pod_start_duration_seconds_sum"];
    assert!(whole > 0.0 && told["kubelet_pod_start_sli_duration_seconds_sum"] <= whole);
    assert!(told["process_resident_memory_bytes"] > 0.0 && told["process_open_fds"] > 0.0);
    runner.remove("slow.yaml");
    eventually("its end to begin", || (pods(&runner.node, &own) == [0.0, 1.0, 0.0, 0.0, 0.0]).then_some(()));
    // the same again is wanted before it has ended
    runner.put("slow.yaml", &stubborn("slow", 20));
    eventually("its return", || (pods(&runner.node, &own)[3] == 1.0).then_some(()));
}

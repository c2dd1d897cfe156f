//! Pods that the node does not take in.

use std::fs;
use std::time::Duration;

use bootstrap::control::PodStatus;

use super::{Node, is_running, manifest, manifest_with};

fn on_port(name: &str, port: u16) -> String {
    manifest_with(name, "run", "", &format!("    ports: [{{containerPort: {port}}}]\n"))
}

fn failed(pod: &PodStatus) -> bool {
    pod.phase == "Failed"
}

#[tokio::test(start_paused = true)]
async fn case_144_the_second_pod_of_a_port_has_failed_and_stays_so() {
    let mut node = Node::started().await;
    node.write("a.yaml", &on_port("a", 80));
    node.running(&["a"]).await;
    node.write("b.yaml", &on_port("b", 80));
    let pod = node.pod("b-n1", failed).await;
    assert_eq!(pod.reason.as_deref(), Some("NodePorts"));
    let message =
        "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    assert_eq!(pod.message.as_deref(), Some(message));
    // the port becomes free, the file is touched: nothing; its content changes
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.running(&[]).await;
    node.write("b.yaml", &(on_port("b", 80) + "# touched\n"));
    tokio::time::sleep(Duration::from_secs(100)).await;
    node.pod("b-n1", failed).await;
    assert!(node.runtime.times("start b").is_empty());
    node.write("b.yaml", &on_port("b", 81));
    node.running(&["b"]).await;
    assert_eq!(node.status().await.pods.len(), 1);
    // a runner that starts judges what does not run
    node.write("c.yaml", &on_port("c", 81));
    node.pod("c-n1", failed).await;
    node.kill().await;
    fs::remove_file(node.path("b.yaml")).unwrap();
    node.start().await;
    node.running(&["c"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_does_not_fit_stops_nothing() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest_with("a", "run", "  nodeSelector: {zone: a}\n", ""));
    let before = node.pod("a-n1", is_running).await;
    node.write("a.yaml", &manifest_with("a", "run", "  nodeSelector: {zone: b}\n", ""));
    let mut status = node.status().await;
    while status.rejected.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        status = node.status().await;
    }
    let reason = "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    assert_eq!((status.rejected[0].reason.as_str(), status.rejected[0].last_good_running), (reason, true));
    let after = node.pod("a-n1", is_running).await;
    assert_eq!((after.uid, after.phase.as_str()), (before.uid, "Running"));
    assert_eq!(node.runtime.times("start a").len(), 1);
    node.write("a.yaml", &manifest("a", "run"));
    node.runtime.until("the next version", |runtime| runtime.times("start a").len() == 2).await;
    node.pod("a-n1", is_running).await;
    assert!(node.status().await.rejected.is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_27_pods_that_are_over_take_no_room() {
    let mut node = Node::new();
    node.max_pods = 1;
    node.start().await;
    node.write("a.yaml", &manifest_with("a", "exit:0", "  restartPolicy: Never\n", ""));
    node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    node.write("b.yaml", &manifest("b", "run"));
    node.running(&["b"]).await;
    node.write("c.yaml", &manifest("c", "run"));
    let pod = node.pod("c-n1", failed).await;
    assert_eq!(pod.reason.as_deref(), Some("UnexpectedAdmissionError"));
    node.kill().await;
    fs::remove_file(node.path("b.yaml")).unwrap();
    node.start().await;
    node.running(&["c"]).await;
    node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
}

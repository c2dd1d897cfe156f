//! What has happened, as `bootstrap events` asks for it.

use std::fs;

use bootstrap::control::client;
use bootstrap::control::{Event, Reply, Request};

use super::{Node, is_running, manifest, manifest_with, reason};

async fn events(node: &Node, after: u64, wait: bool) -> (Vec<Event>, u64) {
    match client::call(&node.layout, Request::Events { after, wait }).await.unwrap() {
        Reply::Events { events, newest, .. } => (events, newest),
        other => panic!("{other:?}"),
    }
}

/// `reason xN: message` of each event about a pod.
async fn told(node: &Node, pod: &str) -> Vec<String> {
    let events = events(node, 0, false).await.0.into_iter().filter(|event| event.object.name == pod);
    events.map(|event| format!("{} x{}: {}", event.reason, event.count, event.message)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pods_life_is_told_in_the_kubelets_words() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    let pod = node.pod("a-n1", is_running).await;
    let present = "Container image \"run\" already present on machine and can be accessed by the pod";
    let begin = [
        format!("Pulled x1: {present}"),
        "Created x1: Container created".into(),
        "Started x1: Container started".into(),
    ];
    assert_eq!(told(&node, "a-n1").await, begin);
    node.runtime.crash("a", 1);
    node.runtime.until("attempt 1", |runtime| runtime.running().iter().any(|(_, attempt, _)| *attempt == 1)).await;
    assert_eq!(told(&node, "a-n1").await[2], "Started x2: Container started");
    node.runtime.crash("a", 1);
    node.pod("a-n1", |pod| reason(pod) == "CrashLoopBackOff").await;
    let back_off = format!("BackOff x1: Back-off restarting failed container a in pod a-n1_default({})", pod.uid);
    assert_eq!(told(&node, "a-n1").await[3], back_off);
    node.pod("a-n1", is_running).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    assert_eq!(told(&node, "a-n1").await.last().unwrap(), "Killing x1: Stopping container a");
    let all = events(&node, 0, false).await.0;
    let mut of_pods = all.iter().filter(|event| event.object.kind == "Pod");
    assert!(of_pods.all(|event| event.object.uid == pod.uid), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_what_is_new_and_of_that_alone() {
    let node = Node::started().await;
    let (begun, newest) = events(&node, 0, true).await;
    let words = ("Node", "Starting", "Starting kubelet.");
    assert_eq!((&*begun[0].object.kind, &*begun[0].reason, &*begun[0].message), words);
    assert_eq!(events(&node, newest, true).await, (Vec::new(), newest), "after half a minute");
    let probe = "    readinessProbe: {exec: {command: [x]}, periodSeconds: 60}\n";
    node.runtime.set_exec("a", 1);
    node.write("a.yaml", &manifest_with("a", "run", "", probe));
    let (mut seen, mut reasons) = (newest, Vec::new());
    while reasons.last().is_none_or(|last| last != "Unhealthy") {
        let (new, newest) = events(&node, seen, true).await;
        assert!(new.iter().all(|event| event.revision > seen));
        reasons.extend(new.into_iter().map(|event| event.reason));
        seen = newest;
    }
    assert_eq!(reasons, ["Pulled", "Created", "Started", "Unhealthy"]);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_told_with_its_back_off() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "absent"));
    node.runtime.until("two pulls", |runtime| runtime.times("pull absent").len() == 2).await;
    let told = told(&node, "a-n1").await.join("\n");
    for line in ["Pulling x2: Pulling image \"absent\"", "Error: ErrImagePull", "Back-off pulling image \"absent\""] {
        assert!(told.contains(line), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_becomes_invalid_is_told_of_the_pod_that_runs_on() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "run"));
    node.pod("a-n1", is_running).await;
    node.write("a.yaml", "kind: Pod");
    let told = loop {
        let told = told(&node, "a-n1").await.pop().unwrap();
        if told.starts_with("FailedValidation") {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert!(told.contains("a.yaml`: ") && told.ends_with("; its last good version keeps running"), "{told}");
}

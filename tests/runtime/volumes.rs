//! Volumes as containers see them.

use std::fs;

use bootstrap::control::PodStatus;
use serde_json::json;

use super::case::until;
use super::node::{Node, container};

fn is_running(pod: &PodStatus) -> bool {
    pod.phase == "Running"
}

#[tokio::test(flavor = "multi_thread")]
async fn case_083_an_empty_dir_in_memory_goes_with_its_pod() {
    let node = Node::new().await;
    let spec = |script: &str| {
        let mut container = container("main", script);
        container["volumeMounts"] = json!([{ "name": "memory", "mountPath": "/memory" }]);
        json!({ "terminationGracePeriodSeconds": 1, "containers": [container],
            "volumes": [{ "name": "memory", "emptyDir": { "medium": "Memory" } }] })
    };
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    node.apply("stopped", spec("echo x > /memory/file; sleep 600"));
    let running = node.pod("stopped", is_running).await;
    let volume = node.path("/var/lib/bootstrap/pods").join(&running.uid).join("volumes/memory");
    assert!(mounts().contains(volume.to_str().unwrap()));
    node.remove("stopped").await;
    assert!(!volume.exists() && !mounts().contains(volume.to_str().unwrap()));
    // one that ends by itself keeps its place in the status, and nothing more
    let ended = node.run("ended", spec("echo x > /memory/file")).await;
    let volume = node.path("/var/lib/bootstrap/pods").join(&ended.uid).join("volumes");
    until(|| !volume.exists()).await;
    node.finish().await;
}

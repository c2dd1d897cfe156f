//! The runner is killed after each single thing it asks of the runtime, and its successor finishes the job.

use std::time::Duration;

use super::{Node, is_running, manifest, manifest_with};

/// More than a start and a replacement of two pods ask for.
const MOMENTS: u64 = 20;

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_the_next_runner_converges() {
    for moment in 1..MOMENTS {
        let mut node = Node::new();
        node.write("a.yaml", &manifest("a", "run"));
        node.write("b.yaml", &manifest("b", "run"));
        node.start().await;
        let reached = tokio::time::timeout(Duration::from_secs(5), node.runtime.changed(moment)).await.is_ok();
        node.kill().await;
        node.write("b.yaml", &manifest_with("b", "run", "  terminationGracePeriodSeconds: 5\n", ""));
        node.start().await;
        let second = tokio::time::timeout(Duration::from_secs(5), node.runtime.changed(moment + 3)).await;
        node.kill().await;
        node.start().await;
        node.running(&["a", "b"]).await;
        let pod = node.pod("b-n1", |pod| is_running(pod) && pod.revision_wanted == pod.revision_running).await;
        assert_eq!(pod.containers[0].restarts, 0, "moment {moment}, reached {reached} {second:?}");
        assert_eq!(node.runtime.sandboxes().len(), 2, "moment {moment}");
        let live: Vec<_> = node.runtime.containers().into_iter().map(|one| one.config.name).collect();
        assert_eq!(live.len(), 2, "moment {moment}: {live:?}");
    }
}

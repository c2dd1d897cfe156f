//! Out of memory: who is killed, and what is told of it.

use bootstrap::control::{ContainerState, ContainerStatus, PodStatus};
use bootstrap::linux::cgroup::{Cgroups, Limits};
use serde_json::{Value, json};

use super::node::{Node, container};

/// Takes far more memory than any limit here.
const HOG: &str = "tail -c 300m /dev/zero";

fn limited(mut container: Value, memory: &str) -> Value {
    container["resources"] = json!({ "limits": { "memory": memory } });
    container
}

/// The reason and code of a container's end.
fn end(container: &ContainerStatus) -> (&str, i32) {
    match &container.state {
        ContainerState::Terminated(exit) => (exit.reason.as_str(), exit.exit_code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_74_out_of_memory_is_told_of_a_process_of_several_and_of_an_init_container() {
    let node = Node::new().await;
    let single = limited(container("main", &format!("exec {HOG}")), "20Mi");
    // the one that is killed is another than the container's first process
    let several = limited(container("main", &format!("sleep 600 & {HOG} & wait $!")), "20Mi");
    for (name, main) in [("single", single.clone()), ("several", several)] {
        let ended = node.run(name, json!({ "containers": [main] })).await;
        assert_eq!((ended.phase.as_str(), end(&ended.containers[0])), ("Failed", ("OOMKilled", 137)), "{name}");
    }

    let init = json!({ "initContainers": [single.clone()], "containers": [container("after", "true")] });
    let ended = node.run("init", init).await;
    assert_eq!((ended.phase.as_str(), end(&ended.init_containers[0])), ("Failed", ("OOMKilled", 137)));

    // what is restarted tells it of its last run
    node.apply("again", json!({ "containers": [single], "terminationGracePeriodSeconds": 1 }));
    let told = |pod: &PodStatus| {
        pod.containers[0].last_exit.as_ref().is_some_and(|exit| exit.reason == "OOMKilled" && exit.exit_code == 137)
    };
    node.pod("again", told).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_74_a_container_without_a_limit_may_not_take_more_than_all_pods_have() {
    let node = Node::new().await;
    let cgroups = Cgroups::detect().unwrap();
    let all_pods = cgroups.at(node.layout().instance());
    all_pods.create().unwrap();
    let warnings = all_pods.limit(&Limits { memory: Some(48 << 20), ..Limits::default() }).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let ended = node.run("hog", json!({ "containers": [container("main", &format!("exec {HOG}"))] })).await;
    assert_eq!((ended.phase.as_str(), end(&ended.containers[0])), ("Failed", ("OOMKilled", 137)));
    node.finish().await;
}

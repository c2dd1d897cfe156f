//! Sidecars that fail: what waits for them, what does not, and how their pod ends.

use std::fs;
use std::time::Duration;

use bootstrap::control::{ContainerState, PodStatus};

use super::order::{container, history, pod};
use super::{Node, is_running};

const SECOND: Duration = Duration::from_secs(1);

fn sidecar(name: &str, image: &str, more: &str) -> String {
    container(name, image, &format!("restartPolicy: Always\n{more}"))
}

fn check(role: &str) -> String {
    format!("{role}Probe: {{exec: {{command: [check]}}, periodSeconds: 1, failureThreshold: 1}}\n")
}

const BYE: &str = "lifecycle: {preStop: {exec: {command: [bye]}}}\n";

fn starts(node: &Node, name: &str) -> usize {
    node.runtime.times(&format!("start {name}")).len()
}

#[tokio::test(start_paused = true)]
async fn case_56_a_sidecar_without_image_holds_up_the_rest() {
    let node = Node::started().await;
    let init = [sidecar("s", "absent", ""), container("i", "exit:0", "")];
    node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
    node.runtime.until("three pulls", |runtime| runtime.times("pull absent").len() == 3).await;
    assert_eq!(node.pod("a-n1", |_| true).await.phase, "Pending");
    assert!(node.runtime.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_57_a_sidecar_that_keeps_ending_is_restarted_before_and_after() {
    for code in [0, 1] {
        let node = Node::started().await;
        let init = [sidecar("s", &format!("exit:{code}"), ""), container("i", "run", "")];
        node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
        node.runtime.until("restarts", |runtime| runtime.times("start s").len() == 3).await;
        assert_eq!(starts(&node, "c"), 0);
        node.runtime.crash("i", 0);
        node.running(&["c"]).await;
        let before = starts(&node, "s");
        node.runtime.until("restarts", |runtime| runtime.times("start s").len() == before + 2).await;
        assert_eq!(node.pod("a-n1", is_running).await.phase, "Running", "{code}");
        node.runtime.crash("c", 0);
        node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    }
}

#[tokio::test(start_paused = true)]
async fn case_58_a_sidecar_waits_for_the_init_containers_before_it() {
    for (policy, phase, tries) in [("Never", "Failed", 1), ("OnFailure", "Pending", 3), ("Always", "Pending", 3)] {
        let node = Node::started().await;
        let init = [container("i", "exit:1", ""), sidecar("s", "run", "")];
        node.write("a.yaml", &pod(policy, &init, &[container("c", "run", "")]));
        node.runtime.until("its tries", |runtime| runtime.times("start i").len() == tries).await;
        let status = node.pod("a-n1", |pod| pod.phase == phase).await;
        assert!(status.init_containers[0].restarts as usize >= tries - 1, "{policy}");
        assert_eq!((starts(&node, "s"), starts(&node, "c")), (0, 0), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_60_61_68_what_follows_a_sidecar_waits_until_it_has_started_up() {
    let node = Node::started().await;
    node.runtime.set_command("s: check", 1);
    let init = [sidecar("s", "run", &(BYE.to_owned() + &check("startup"))), container("i", "exit:0", "")];
    node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
    node.runtime.until("two restarts", |runtime| runtime.times("start s").len() == 3).await;
    assert_eq!((starts(&node, "i"), starts(&node, "c")), (0, 0));
    let told = history(&node);
    assert_eq!(told[..4], ["start s #0", "exec s: check", "exec s: bye", "stop s 30s"]);
    node.runtime.set_command("s: check", 0);
    let status = node.pod("a-n1", is_running).await;
    assert!(status.init_containers[0].started && status.init_containers[0].restarts >= 2);
}

#[tokio::test(start_paused = true)]
async fn case_62_a_sidecar_that_is_not_alive_is_restarted_beside_the_rest() {
    let node = Node::started().await;
    node.runtime.set_command("s: check", 1);
    let init = [sidecar("s", "run", &(BYE.to_owned() + &check("liveness"))), container("i", "exit:0", "")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    node.runtime.until("two restarts", |runtime| runtime.times("start s").len() == 3).await;
    assert!(history(&node).contains(&"exec s: bye".to_owned()));
    let status = node.pod("a-n1", is_running).await;
    assert_eq!((starts(&node, "i"), starts(&node, "c"), status.containers[0].restarts), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn case_64_an_edit_of_a_sidecar_restarts_nothing_in_a_pod_that_ends() {
    let node = Node::started().await;
    let of = |image: &str| pod("Always", &[sidecar("s", image, "")], &[container("c", "stubborn", "")]);
    node.write("a.yaml", &of("run"));
    node.pod("a-n1", is_running).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the stop", |runtime| !runtime.times("stop c 30s").is_empty()).await;
    node.write("a.yaml", &of("run:2"));
    tokio::time::sleep(SECOND).await;
    assert_eq!(starts(&node, "s"), 1);
    node.runtime.until("the pod gone", |runtime| runtime.history().contains(&"gone a-n1".to_owned())).await;
    let status = node.pod("a-n1", is_running).await;
    assert_eq!((status.init_containers[0].image.as_str(), starts(&node, "s")), ("run:2", 2));
}

#[tokio::test(start_paused = true)]
async fn case_65_hooks_that_never_end_end_with_the_grace_all_at_once() {
    let node = Node::started().await;
    let init = [sidecar("s", "stubborn", BYE), sidecar("t", "stubborn", BYE)];
    let text = pod("Always", &init, &[container("c", "stubborn", BYE)]);
    node.write(
        "a.yaml",
        &text.replace("  restartPolicy: Always\n  init", "  terminationGracePeriodSeconds: 9\n  init"),
    );
    node.pod("a-n1", is_running).await;
    for name in ["c", "s", "t"] {
        node.runtime.set_time(&format!("{name}: bye"), 1000 * SECOND);
    }
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    let at = |text: String| node.runtime.times(&text)[0];
    let hooks = ["c", "s", "t"].map(|name| at(format!("exec {name}: bye")));
    let stops = ["c", "s", "t"].map(|name| at(format!("stop {name} 2s")));
    assert_eq!((hooks, stops), ([hooks[0]; 3], [hooks[0] + 9; 3]));
}

#[tokio::test(start_paused = true)]
async fn case_67_only_regular_containers_decide_over_the_end() {
    for (own, sidecars, phase) in [(0, "run", "Succeeded"), (0, "stubborn", "Succeeded"), (3, "run", "Failed")] {
        let node = Node::started().await;
        node.write("a.yaml", &pod("Never", &[sidecar("s", sidecars, "")], &[container("c", "run", "")]));
        node.pod("a-n1", is_running).await;
        node.runtime.crash("c", own);
        let is_over = |pod: &PodStatus| matches!(pod.init_containers[0].state, ContainerState::Terminated(_));
        let status = node.pod("a-n1", |pod| pod.phase == phase && is_over(pod)).await;
        assert_ne!(status.init_containers[0].last_exit.as_ref().unwrap().exit_code, 0, "{own} {sidecars}");
        assert_eq!(starts(&node, "s"), 1);
    }
}

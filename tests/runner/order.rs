//! Init containers, sidecars and hooks: who comes before whom, at the start and at the end.

use std::fs;

use bootstrap::control::{ContainerState, PodStatus};

use super::{Node, is_running, manifest_with};

/// A container of a manifest; `more` are further lines of it.
pub(super) fn container(name: &str, image: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!("  - name: {name}\n    image: \"{image}\"\n    imagePullPolicy: IfNotPresent\n{more}")
}

pub(super) fn pod(policy: &str, init: &[String], regular: &[String]) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  hostNetwork: true\n  restartPolicy: {policy}\n  \
         initContainers:\n{}  containers:\n{}",
        init.concat(),
        regular.concat()
    )
}

/// Starts, stops and hooks, as they came.
pub(super) fn history(node: &Node) -> Vec<String> {
    let of_interest = |text: &String| text.starts_with("exec ") || text.contains('#') || text.starts_with("stop ");
    node.runtime.history().into_iter().filter(of_interest).collect()
}

#[tokio::test(start_paused = true)]
async fn case_37_39_41_54_63_what_comes_first_starts_first_and_ends_last() {
    let node = Node::started().await;
    let hooks = |name: &str| {
        format!(
            "lifecycle:\n  postStart: {{exec: {{command: [hello, {name}]}}}}\n  preStop: {{exec: {{command: [bye, {name}]}}}}"
        )
    };
    let sidecar = |name: &str| container(name, "run", &format!("restartPolicy: Always\n{}", hooks(name)));
    let init = [container("i", "exit:0", ""), sidecar("s"), container("j", "exit:0", ""), sidecar("t")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", &hooks("c")), container("d", "run", "")]));
    let status = node.pod("a-n1", is_running).await;
    assert_eq!(status.phase, "Running");
    let names: Vec<_> = status.init_containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["i", "s", "j", "t"]);
    assert!(matches!(&status.init_containers[0].state, ContainerState::Terminated(exit) if exit.reason == "Completed"));
    assert!(matches!(status.init_containers[1].state, ContainerState::Running { .. }));
    let up = [
        "start i #0",
        "start s #0",
        "exec s: hello s",
        "start j #0",
        "start t #0",
        "exec t: hello t",
        "start c #0",
        "exec c: hello c",
        "start d #0",
    ];
    assert_eq!(history(&node), up);

    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    let down = history(&node).split_off(up.len());
    let at = |text: &str| down.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text}: {down:?}"));
    // every hook at once, the signals of the sidecars in reverse order when the others are gone
    for name in ["s", "t", "c"] {
        assert!(at(&format!("exec {name}: bye {name}")) < at(&format!("stop {name} 30s")), "{down:?}");
    }
    assert!(at("stop c 30s") < at("stop t 30s") && at("stop d 30s") < at("stop t 30s"), "{down:?}");
    assert!(at("stop t 30s") < at("stop s 30s"), "{down:?}");
}

#[tokio::test(start_paused = true)]
async fn case_55_a_sidecar_comes_back_and_goes_when_the_work_is_done() {
    let node = Node::started().await;
    let init = [container("s", "run", "restartPolicy: Always")];
    node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
    node.running(&["c", "s"]).await;
    node.runtime.crash("s", 1);
    node.runtime.until("the sidecar again", |runtime| runtime.times("start s").len() == 2).await;
    node.running(&["c", "s"]).await;
    node.runtime.crash("c", 0);
    node.running(&[]).await;
    let pod = node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    assert_eq!(pod.init_containers[0].restarts, 1);
    assert_eq!(node.runtime.times("start c").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_38_59_121_an_init_container_that_fails_is_tried_again_or_fails_the_pod() {
    let node = Node::started().await;
    let init = [container("s", "run", "restartPolicy: Always"), container("i", "exit:3", "")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    node.runtime.until("four tries", |runtime| runtime.times("start i").len() == 4).await;
    let times = node.runtime.times("start i");
    assert_eq!(times.iter().map(|at| at - times[0]).collect::<Vec<_>>(), [0, 0, 10, 30]);
    let pod_status = node.pod("a-n1", |_| true).await;
    assert_eq!(pod_status.phase, "Pending");
    assert!(
        matches!(&pod_status.containers[0].state, ContainerState::Waiting { reason, .. } if reason == "PodInitializing")
    );

    node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
    node.pod("a-n1", |pod| pod.phase == "Failed").await;
    node.running(&[]).await;
    assert!(node.runtime.times("start c").is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_52_the_next_runner_does_not_initialise_again() {
    let mut node = Node::started().await;
    let init = [container("i", "exit:0", ""), container("s", "run", "restartPolicy: Always")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    node.pod("a-n1", is_running).await;
    let before = (node.runtime.running(), node.runtime.history());
    node.kill().await;
    node.start().await;
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!((node.runtime.running(), node.runtime.history()), before);
    assert_eq!(pod.phase, "Running");
    node.runtime.crash("s", 1);
    node.runtime.until("the sidecar again", |runtime| runtime.times("start s").len() == 2).await;
    assert_eq!(node.runtime.times("start i").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_post_start_hook_ends_its_container() {
    let node = Node::started().await;
    node.runtime.set_exec("a", 1);
    let hook = "    lifecycle: {postStart: {exec: {command: [hello]}}}\n";
    node.write("a.yaml", &manifest_with("a", "run", "", hook));
    node.runtime.until("three starts", |runtime| runtime.times("start a").len() == 3).await;
    let times = node.runtime.times("start a");
    assert_eq!(times.iter().map(|at| at - times[0]).collect::<Vec<_>>(), [0, 0, 10]);
    let is_told = |pod: &PodStatus| matches!(&pod.containers[0].state, ContainerState::Waiting { .. });
    let pod = node.pod("a-n1", is_told).await;
    let ContainerState::Waiting { reason, message } = &pod.containers[0].state else { panic!() };
    let said = "command 'hello' exited with 1: said so";
    assert_eq!((reason.as_str(), message.as_deref()), ("PostStartHookError", Some(said)));
    let last = pod.containers[0].last_exit.clone().unwrap();
    assert_eq!((last.cause, last.message), (Some(format!("PostStart hook failed: {said}")), None));
}

#[tokio::test(start_paused = true)]
async fn case_45_a_pre_stop_hook_takes_its_time_from_the_grace() {
    let node = Node::started().await;
    let hook = "    lifecycle: {preStop: {sleep: {seconds: 7}}}\n";
    node.write("a.yaml", &manifest_with("a", "run", "  terminationGracePeriodSeconds: 9\n", hook));
    node.pod("a-n1", is_running).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    assert_eq!(history(&node), ["start a #0", "stop a 2s"]);
}

#[tokio::test(start_paused = true)]
async fn case_133_a_containers_own_policy_and_rules_come_before_the_pods() {
    let node = Node::started().await;
    let rules =
        "restartPolicy: Never\nrestartPolicyRules:\n- action: Restart\n  exitCodes: {operator: In, values: [42]}";
    let regular = [container("c", "run", rules), container("d", "run", "restartPolicy: Always")];
    node.write("a.yaml", &pod("Never", &[], &regular).replace("  initContainers:\n", ""));
    node.running(&["c", "d"]).await;
    node.runtime.crash("d", 0);
    node.running(&["c", "d"]).await;
    node.runtime.crash("c", 42);
    node.runtime.until("c again", |runtime| runtime.times("start c").len() == 2).await;
    node.running(&["c", "d"]).await;
    node.runtime.crash("c", 1);
    node.running(&["d"]).await;
    let pod = node.pod("a-n1", |pod| matches!(pod.containers[0].state, ContainerState::Terminated(_))).await;
    assert_eq!((pod.phase.as_str(), pod.containers[1].restarts), ("Running", 1));
}

//! What befalls a pod as a whole: its time, the restart of all its containers, its name, what is gone without a word.

use std::fs;
use std::time::Duration;

use bootstrap::control::{ContainerState, PodStatus};

use super::order::{container, pod};
use super::{Node, is_running, manifest, manifest_with, reason};

fn restarts(pod: &PodStatus) -> Vec<(&str, u32)> {
    pod.all_containers().map(|container| (container.name.as_str(), container.restarts)).collect()
}

const ALL_ANEW: &str = "restartPolicy: Never\nrestartPolicyRules:\n- action: RestartAllContainers\n  \
                        exitCodes: {operator: In, values: [42]}";

fn restarted_by_one() -> String {
    let init = [container("i", "exit:0", ""), container("s", "run", "restartPolicy: Always")];
    pod("Never", &init, &[container("source", "run", ALL_ANEW), container("regular", "run", "")])
}

#[tokio::test(start_paused = true)]
async fn case_20_133_one_exit_code_restarts_all_containers_in_the_same_sandbox() {
    let node = Node::started().await;
    node.write("a.yaml", &restarted_by_one());
    node.running(&["regular", "s", "source"]).await;
    let sandboxes = node.runtime.sandboxes();
    node.runtime.crash("source", 42);
    node.runtime.until("all again", |runtime| runtime.times("start regular").len() == 2).await;
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!(pod.phase, "Running");
    assert_eq!(restarts(&pod)[1..], [("s", 1), ("source", 1), ("regular", 1)]);
    assert_eq!(pod.containers[0].last_exit.as_ref().unwrap().exit_code, 42);
    assert_eq!(node.runtime.sandboxes(), sandboxes);
    let starts = node.runtime.history().into_iter().filter(|text| text.contains('#')).collect::<Vec<_>>();
    assert_eq!(starts[4..], ["start i #1", "start s #1", "start source #1", "start regular #1"]);
    let stops = node.runtime.history().into_iter().filter(|text| text.starts_with("stop ")).collect::<Vec<_>>();
    assert_eq!(stops, ["stop regular 30s", "stop s 30s"], "what does not end by itself is stopped, sidecars last");
    // the second time is a crash that waits; another code is an end under the container's own policy
    let before = node.runtime.times("start source")[1];
    node.runtime.crash("source", 42);
    node.runtime.until("all again", |runtime| runtime.times("start source").len() == 3).await;
    assert_eq!(node.runtime.times("start source")[2] - before, 10);
    node.pod("a-n1", is_running).await;
    node.runtime.crash("source", 1);
    let pod = node.pod("a-n1", |pod| !is_running(pod)).await;
    assert_eq!((pod.phase.as_str(), reason(&pod)), ("Running", "Error"));
}

#[tokio::test(start_paused = true)]
async fn case_20_the_next_runner_goes_on_with_the_restart_of_all() {
    let mut node = Node::started().await;
    node.write("a.yaml", &restarted_by_one());
    node.running(&["regular", "s", "source"]).await;
    node.pod("a-n1", is_running).await;
    for (stop, starts) in [("stop regular 30s", 2), ("stop s 30s", 3)] {
        let before = node.runtime.times(stop).len();
        node.runtime.crash("source", 42);
        node.runtime.until("a stop", |runtime| runtime.times(stop).len() > before).await;
        node.kill().await;
        node.start().await;
        node.runtime.until("all again", |runtime| runtime.times("start regular").len() == starts).await;
        let pod = node.pod("a-n1", is_running).await;
        assert!(restarts(&pod).iter().all(|(_, count)| *count as usize == starts - 1), "{:?}", restarts(&pod));
        assert_eq!(node.runtime.times("start i").len(), starts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_time_is_over_has_failed_for_good() {
    let mut node = Node::started().await;
    let spec = "  activeDeadlineSeconds: 60\n  terminationGracePeriodSeconds: 7\n";
    node.write("a.yaml", &manifest_with("a", "run", spec, ""));
    let begun = node.pod("a-n1", is_running).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    node.kill().await;
    node.start().await;
    node.runtime.until("the end", |runtime| !runtime.times("stop a 7s").is_empty()).await;
    let (start, stop) = (node.runtime.times("start a")[0], node.runtime.times("stop a 7s")[0]);
    // the record tells moments of the wall's clock, which does not pause
    assert!(stop - start >= 60, "{start} {stop}");
    for _ in 0..2 {
        let pod = node.pod("a-n1", |pod| !is_running(pod)).await;
        assert_eq!((pod.phase.as_str(), pod.reason.as_deref()), ("Failed", Some("DeadlineExceeded")));
        let message = "Pod was active on the node longer than the specified deadline";
        assert_eq!((pod.message.as_deref(), pod.uid.as_str()), (Some(message), begun.uid.as_str()));
        tokio::time::sleep(Duration::from_secs(600)).await;
        node.kill().await;
        node.start().await;
    }
    assert_eq!(node.runtime.times("start a").len(), 1);
    node.write("a.yaml", &manifest("a", "run"));
    node.pod("a-n1", |pod| is_running(pod) && pod.phase == "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_done_in_time_has_not_failed() {
    let node = Node::started().await;
    let spec = "  activeDeadlineSeconds: 60\n  restartPolicy: Never\n";
    node.write("a.yaml", &manifest_with("a", "exit:0", spec, ""));
    node.pod("a-n1", |pod| pod.phase == "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    node.pod("a-n1", |pod| pod.phase == "Succeeded" && pod.reason.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn case_24_a_sidecar_that_vanished_while_no_runner_ran_is_made_again() {
    let mut node = Node::started().await;
    let init = [container("s", "run", "restartPolicy: Always"), container("i", "exit:0", "")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    let before = node.pod("a-n1", is_running).await;
    node.kill().await;
    node.runtime.vanish("s");
    node.start().await;
    let pod = node.pod("a-n1", |pod| matches!(pod.init_containers[0].state, ContainerState::Running { .. })).await;
    let sidecar = &pod.init_containers[0];
    assert_ne!(sidecar.id, before.init_containers[0].id);
    let last = sidecar.last_exit.as_ref().unwrap();
    assert_eq!((sidecar.restarts, last.exit_code, last.reason.as_str()), (1, 137, "ContainerStatusUnknown"));
    assert_eq!(pod.containers[0].id, before.containers[0].id);
    assert_eq!(node.runtime.times("start i").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_16_17_a_file_whose_pod_gets_another_name_starts_it_when_the_old_one_is_gone() {
    let node = Node::started().await;
    let grace = "  terminationGracePeriodSeconds: 20\n";
    let port = "    ports: [{containerPort: 4534}]\n";
    node.write("a.yaml", &manifest_with("a", "stubborn", grace, port));
    node.pod("a-n1", is_running).await;
    node.write("a.yaml", &manifest_with("b", "run", grace, port).replace("{name: b}", "{name: a, namespace: other}"));
    let is_waiting = |pod: &PodStatus| pod.namespace == "other" && pod.phase == "Pending" && pod.message.is_some();
    let waiting = node.pod("a-n1", is_waiting).await;
    assert_eq!(waiting.message.as_deref(), Some("waits for the end of the pod that its manifest held before"));
    node.running(&["b"]).await;
    let (stop, start) = (node.runtime.times("stop a 20s"), node.runtime.times("start b"));
    assert_eq!(start[0] - stop[0], 20);
    assert_eq!(node.status().await.pods.len(), 1);
    // a container with another name is another revision
    node.write("a.yaml", &manifest_with("c", "run", grace, port).replace("{name: c}", "{name: a, namespace: other}"));
    node.running(&["c"]).await;
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!((pod.phase.as_str(), pod.reason), ("Running", None));
}

#[tokio::test(start_paused = true)]
async fn case_31_32_the_longest_back_off_is_a_setting() {
    for (longest, expected) in [(30, [0, 0, 10, 30, 60, 90, 120]), (1, [0, 0, 1, 2, 3, 4, 5])] {
        let mut node = Node::new();
        node.max_restart_period = Duration::from_secs(longest);
        node.start().await;
        node.write("a.yaml", &manifest("a", "exit:1"));
        node.runtime.until("seven starts", |runtime| runtime.times("start a").len() == 7).await;
        let times = node.runtime.times("start a");
        assert_eq!(times.iter().map(|at| at - times[0]).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_images_says_so() {
    let node = Node::started().await;
    node.write("a.yaml", &manifest("a", "No:such:image"));
    let pod = node.pod("a-n1", |pod| reason(pod) == "InvalidImageName").await;
    let ContainerState::Waiting { message, .. } = &pod.containers[0].state else { panic!() };
    let cause = "couldn't parse image name \"No:such:image\": invalid reference format";
    let expected = format!("Failed to apply default image tag \"No:such:image\": {cause}");
    assert_eq!(message.as_deref(), Some(expected.as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_readiness_gates_runs() {
    let node = Node::started().await;
    let gates = "  readinessGates: [{conditionType: example.com/gate}]\n";
    node.write("a.yaml", &manifest_with("a", "run", gates, ""));
    node.pod("a-n1", is_running).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.running(&[]).await;
}

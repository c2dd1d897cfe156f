//! Containers through edits, failures, hooks, boots and restarts of the runner.

use std::fs;
use std::time::Duration;

use bootstrap::control::{ContainerState, PodStatus};

use super::order::{container, history, pod};
use super::{Node, is_running, manifest, manifest_with, reason};

const SECOND: Duration = Duration::from_secs(1);

fn probe(role: &str, command: &str) -> String {
    format!("{role}Probe: {{exec: {{command: [{command}]}}, periodSeconds: 1, failureThreshold: 1}}\n")
}

fn bye(more: &str) -> String {
    format!("lifecycle: {{preStop: {{exec: {{command: [bye]}}}}}}\n{more}")
}

fn is_init_running(pod: &PodStatus) -> bool {
    matches!(pod.init_containers[0].state, ContainerState::Running { .. })
}

#[tokio::test(start_paused = true)]
async fn case_122_policies_restart_what_they_say() {
    for (policy, code, starts, phase) in [
        ("Always", 0, 3, "Running"),
        ("Always", 1, 3, "Running"),
        ("OnFailure", 0, 1, "Succeeded"),
        ("OnFailure", 1, 3, "Running"),
        ("Never", 0, 1, "Succeeded"),
        ("Never", 1, 1, "Failed"),
    ] {
        let node = Node::started().await;
        let spec = format!("  restartPolicy: {policy}\n");
        node.write("a.yaml", &manifest_with("a", &format!("exit:{code}"), &spec, ""));
        node.runtime.until("its starts", |runtime| runtime.times("start a").len() == starts).await;
        let pod = node.pod("a-n1", |pod| pod.phase == phase && pod.containers[0].last_exit.is_some()).await;
        assert_eq!(pod.containers[0].last_exit.as_ref().unwrap().exit_code, code);
        if phase != "Running" {
            tokio::time::sleep(1000 * SECOND).await;
        }
        assert_eq!(node.runtime.times("start a").len(), starts, "{policy} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_33_another_image_is_run_whatever_the_policy() {
    for policy in ["Always", "OnFailure", "Never"] {
        let node = Node::started().await;
        let spec = format!("  restartPolicy: {policy}\n");
        node.write("a.yaml", &manifest_with("a", "run", &spec, ""));
        node.pod("a-n1", is_running).await;
        node.write("a.yaml", &manifest_with("a", "run:2", &spec, ""));
        let pod = node.pod("a-n1", |pod| is_running(pod) && pod.containers[0].image == "run:2").await;
        assert_eq!((pod.containers[0].restarts, node.runtime.running().len()), (0, 1), "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_34_an_edit_during_the_initialisation_starts_nothing_early() {
    let node = Node::started().await;
    let of = |image: &str| pod("Always", &[container("i", "run", "")], &[container("c", image, "")]);
    node.write("a.yaml", &of("run"));
    node.pod("a-n1", is_init_running).await;
    node.write("a.yaml", &of("run:2"));
    node.runtime.until("the next init", |runtime| runtime.times("start i").len() == 2).await;
    node.pod("a-n1", is_init_running).await;
    tokio::time::sleep(100 * SECOND).await;
    assert!(node.runtime.times("start c").is_empty());
    node.runtime.crash("i", 0);
    let pod = node.pod("a-n1", is_running).await;
    assert_eq!((pod.containers[0].image.as_str(), node.runtime.times("start c").len()), ("run:2", 1));
}

#[tokio::test(start_paused = true)]
async fn case_35_an_edit_after_failed_probes_is_what_runs() {
    for role in ["startup", "liveness"] {
        let node = Node::started().await;
        let probe: String = probe(role, "check").lines().map(|line| format!("    {line}\n")).collect();
        node.runtime.set_command("a: check", 1);
        node.write("a.yaml", &manifest_with("a", "run", "", &probe));
        node.runtime.until("restarts", |runtime| runtime.times("start a").len() == 3).await;
        node.runtime.set_command("a: check", 0);
        node.write("a.yaml", &manifest_with("a", "run:2", "", &probe));
        let is_new = |pod: &PodStatus| pod.containers[0].image == "run:2" && pod.containers[0].ready;
        assert_eq!(node.pod("a-n1", is_new).await.containers[0].restarts, 0, "{role}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_13_36_what_is_edited_while_the_old_one_ends_never_starts() {
    let node = Node::started().await;
    let of = |image: &str| manifest_with("a", image, "  terminationGracePeriodSeconds: 20\n", "");
    node.write("a.yaml", &of("stubborn"));
    node.pod("a-n1", is_running).await;
    let start = tokio::time::Instant::now();
    for edit in 0..100 {
        node.write("a.yaml", &of(&format!("absent:{edit}")));
        tokio::time::sleep(SECOND / 10).await;
    }
    assert!(start.elapsed() < 20 * SECOND, "the old one is still there");
    assert_eq!(node.runtime.running().len(), 1);
    node.write("a.yaml", &of("run:2"));
    let pod = node.pod("a-n1", |pod| is_running(pod) && pod.containers[0].image == "run:2").await;
    assert_eq!(pod.phase, "Running");
    assert_eq!(node.runtime.times("start a").len(), 2);
    assert!(!node.runtime.history().iter().any(|text| text.starts_with("pull ")), "no edit between was begun");
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.running(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn case_40_a_failure_does_not_initialise_again() {
    let node = Node::started().await;
    node.write("a.yaml", &pod("Always", &[container("i", "exit:0", "")], &[container("c", "exit:1", "")]));
    node.runtime.until("four starts", |runtime| runtime.times("start c").len() == 4).await;
    assert_eq!(node.runtime.times("start i").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_42_an_init_container_without_image_holds_up_the_rest() {
    let node = Node::started().await;
    let init = [container("i", "absent", ""), container("j", "run", "")];
    node.write("a.yaml", &pod("Never", &init, &[container("c", "run", "")]));
    node.runtime.until("three pulls", |runtime| runtime.times("pull absent").len() == 3).await;
    let pod = node.pod("a-n1", |_| true).await;
    assert_eq!((pod.phase.as_str(), reason(&pod)), ("Pending", "PodInitializing"));
    assert!(node.runtime.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn case_44_a_hook_longer_than_the_grace_is_cut_off() {
    let node = Node::started().await;
    node.runtime.set_time("a: bye", 100 * SECOND);
    let hook = "    lifecycle: {preStop: {exec: {command: [bye]}}}\n";
    node.write("a.yaml", &manifest_with("a", "stubborn", "  terminationGracePeriodSeconds: 9\n", hook));
    node.pod("a-n1", is_running).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    assert_eq!(history(&node), ["start a #0", "exec a: bye", "stop a 2s"]);
    assert_eq!(node.runtime.times("stop a 2s")[0] - node.runtime.times("exec a: bye")[0], 9);
}

#[tokio::test(start_paused = true)]
async fn case_46_47_113_114_a_probe_that_kills_runs_the_hook_within_its_own_grace() {
    for role in ["startup", "liveness"] {
        let node = Node::started().await;
        node.runtime.set_command("c: check", 1);
        let check = format!(
            "{role}Probe: {{exec: {{command: [check]}}, periodSeconds: 1, failureThreshold: 1, \
             terminationGracePeriodSeconds: 5}}"
        );
        let text = pod("OnFailure", &[], &[container("c", "run", &bye(&check))]).replace("  initContainers:\n", "");
        let long = "terminationGracePeriodSeconds: 500\n  containers";
        node.write("a.yaml", &text.replace("containers", long));
        node.runtime.until("a restart", |runtime| runtime.times("start c #1").len() == 1).await;
        let expected = ["start c #0", "exec c: check", "exec c: bye", "stop c 5s", "start c #1"];
        assert_eq!(history(&node)[..5], expected, "{role}");
        let times = ["start c #0", "start c #1"].map(|text| node.runtime.times(text)[0]);
        assert_eq!(times[0], times[1], "the first restart is at once");
    }
}

#[tokio::test(start_paused = true)]
async fn case_48_49_117_118_119_while_a_pod_ends_only_readiness_is_probed() {
    let node = Node::started().await;
    let probes = probe("readiness", "ready") + &probe("liveness", "live");
    let init = [container("s", "run", &(bye(&probes) + "restartPolicy: Always"))];
    let text = pod("Always", &init, &[container("c", "run", &bye(&probes))]);
    node.write("a.yaml", &text);
    node.pod("a-n1", |pod| pod.all_containers().all(|container| container.ready)).await;
    for name in ["c", "s"] {
        node.runtime.set_time(&format!("{name}: bye"), 20 * SECOND);
    }
    fs::remove_file(node.path("a.yaml")).unwrap();
    node.runtime.until("the hooks", |runtime| !runtime.times("exec s: bye").is_empty()).await;
    for command in ["c: live", "c: ready", "s: live", "s: ready"] {
        node.runtime.set_command(command, 1);
    }
    let pod = node.pod("a-n1", |pod| pod.all_containers().all(|container| !container.ready)).await;
    assert!(is_running(&pod) && is_init_running(&pod));
    node.runtime.until("the pod gone", |runtime| runtime.sandboxes().is_empty()).await;
    let ended = history(&node);
    let hook = ended.iter().position(|text| text.ends_with("bye")).unwrap();
    let count = |text: &str| ended[hook..].iter().filter(|noted| *noted == text).count();
    assert_eq!((count("exec c: live"), count("exec s: live")), (0, 0));
    assert!(count("exec c: ready") > 10 && count("exec s: ready") > 10, "{ended:?}");
    assert_eq!((count("stop c 10s"), node.runtime.times("start c").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn case_51_a_boot_starts_everything_in_order() {
    let mut node = Node::started().await;
    let sidecar = |name: &str| container(name, "run", "restartPolicy: Always");
    let init = [container("i", "exit:0", ""), sidecar("s"), container("j", "exit:0", "")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    node.pod("a-n1", is_running).await;
    node.kill().await;
    node.runtime.reboot();
    let before = history(&node).len();
    node.start().await;
    node.running(&["c", "s"]).await;
    node.pod("a-n1", is_running).await;
    assert_eq!(history(&node)[before..], ["start i #1", "start s #1", "start j #1", "start c #1"]);
}

#[tokio::test(start_paused = true)]
async fn case_18_23_52_what_has_initialised_is_not_run_again_though_nothing_is_left_of_it() {
    let mut node = Node::started().await;
    node.write("a.yaml", &pod("Always", &[container("i", "exit:0", "")], &[container("c", "run", "")]));
    let before = node.pod("a-n1", is_running).await;
    node.kill().await;
    node.runtime.vanish("i");
    node.start().await;
    let pod = node.pod("a-n1", is_running).await;
    let ContainerState::Terminated(exit) = &pod.init_containers[0].state else { panic!("{pod:?}") };
    assert_eq!((exit.reason.as_str(), exit.exit_code), ("Completed", 0));
    assert!(exit.message.as_ref().unwrap().starts_with("Unable to get init container status"));
    assert_eq!(pod.containers[0].id, before.containers[0].id);
    assert_eq!(history(&node), ["start i #0", "start c #0"]);
}

#[tokio::test(start_paused = true)]
async fn case_53_a_restart_during_the_initialisation_goes_on_where_it_was() {
    let mut node = Node::started().await;
    let init = [container("i", "exit:0", ""), container("j", "run", "")];
    node.write("a.yaml", &pod("Always", &init, &[container("c", "run", "")]));
    node.running(&["j"]).await;
    node.pod("a-n1", |pod| matches!(pod.init_containers[1].state, ContainerState::Running { .. })).await;
    node.kill().await;
    node.runtime.vanish("i");
    node.start().await;
    node.pod("a-n1", |pod| matches!(pod.init_containers[1].state, ContainerState::Running { .. })).await;
    node.runtime.crash("j", 0);
    node.pod("a-n1", is_running).await;
    assert_eq!(history(&node), ["start i #0", "start j #0", "start c #0"]);
}

#[tokio::test(start_paused = true)]
async fn case_69_an_edit_before_a_boot_or_a_restart_of_the_runner_is_what_runs() {
    for is_boot in [true, false] {
        let mut node = Node::started().await;
        node.write("a.yaml", &manifest("a", "run"));
        node.pod("a-n1", is_running).await;
        node.kill().await;
        if is_boot {
            node.runtime.reboot();
        }
        node.write("a.yaml", &manifest("a", "run:2"));
        node.start().await;
        let pod = node.pod("a-n1", |pod| is_running(pod) && pod.containers[0].image == "run:2").await;
        assert_eq!((pod.containers[0].restarts, node.runtime.sandboxes().len()), (0, 1));
        assert_eq!(node.runtime.running().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn case_9_70_a_restart_of_the_runner_changes_no_status() {
    for probes in [String::new(), probe("startup", "up"), probe("readiness", "ready"), {
        probe("startup", "up") + &probe("readiness", "ready")
    }] {
        let mut node = Node::started().await;
        let init = [container("s", "run", &(probes.clone() + "restartPolicy: Always"))];
        let regular = [container("c", "run", &probes), container("d", "run", "")];
        node.write("a.yaml", &pod("Always", &init, &regular));
        let is_well = |pod: &PodStatus| pod.all_containers().all(|container| container.ready && container.started);
        node.pod("a-n1", is_well).await;
        node.kill().await;
        node.start().await;
        let statuses: Vec<_> = [node.status().await, {
            tokio::time::sleep(11 * SECOND).await;
            node.status().await
        }]
        .into_iter()
        .flat_map(|status| status.pods)
        .collect();
        assert_eq!(statuses.len(), 2);
        for status in statuses {
            assert!(is_well(&status) && status.phase == "Running", "{status:?}");
            assert!(status.all_containers().all(|container| container.restarts == 0), "{status:?}");
        }
        // what ends then is restarted as ever
        node.runtime.crash("c", 1);
        node.pod("a-n1", |pod| pod.containers[0].restarts == 1 && is_well(pod)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn case_26_a_pod_whose_volume_never_comes_is_gone_with_its_manifest() {
    let node = Node::started().await;
    let volume = "  volumes: [{name: v, hostPath: {path: /nowhere/at/all, type: Directory}}]\n";
    let mount = "    volumeMounts: [{name: v, mountPath: /v}]\n";
    node.write("a.yaml", &manifest_with("a", "run", volume, mount));
    node.pod("a-n1", |pod| pod.message.as_ref().is_some_and(|message| message.starts_with("FailedMount"))).await;
    fs::remove_file(node.path("a.yaml")).unwrap();
    while !node.status().await.pods.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(node.runtime.sandboxes().is_empty() && node.runtime.times("start a").is_empty());
}

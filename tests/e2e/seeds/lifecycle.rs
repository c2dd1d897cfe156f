//! What happens to a static pod, and what does not.

use std::fs;

use bootstrap::control::{ContainerState, PodStatus};

use crate::e2e::manifests::{busybox, static_web};
use crate::support::inspect::{eventually, kill};
use crate::support::runner::{NAME, Runner, is_ready, pid};

#[test]
fn s1_no_api_server_is_needed() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    runner.ready("static-web");
    assert!(eventually("the web server", || runner.get(80)).contains("Welcome to nginx!"));
    assert!(!runner.node.path("etc/kubernetes").exists(), "there is nothing to reach an API server with");
}

#[test]
fn s2_what_crashes_is_started_again() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    let before = runner.ready("static-web");
    kill(pid(&before.containers[0]).unwrap());
    let after = runner.pod("static-web", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    let end = after.containers[0].last_exit.as_ref().unwrap();
    assert_eq!((end.exit_code, end.signal, end.reason.as_str()), (137, 9, "Error"));
    eventually("the web server", || runner.get(80));
}

#[test]
fn s3_a_static_pod_is_bound_to_its_node_whatever_it_says() {
    let runner = Runner::new();
    let spec = "  nodeName: another-node\n";
    let env = "    env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]\n";
    runner.put("a.yaml", &busybox("a", "echo on $NODE; exec sleep 1000", spec, env));
    assert_eq!(runner.ready("a").name, format!("a-{NAME}"));
    assert_eq!(runner.logged("a", "on"), format!("on {NAME}\n"));
}

#[test]
fn s23_a_container_stopped_by_hand_comes_back_in_the_same_pod() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    let before = runner.ready("static-web");
    let id = before.containers[0].id.clone().unwrap();
    assert!(listed(&runner, "web").contains("Running 0"));
    runner.node.run(&["stop", &id]).succeeds();
    let after = runner.pod("static-web", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    assert_ne!(after.containers[0].id.as_ref(), Some(&id));
    assert_eq!((after.sandbox_id, after.uid), (before.sandbox_id, before.uid));
    assert!(listed(&runner, "web").contains("Running 1"));
    eventually("the web server", || runner.get(80));
}

/// A container's line of `ps`, with one space between two columns.
fn listed(runner: &Runner, container: &str) -> String {
    let ps = runner.node.run(&["ps"]).succeeds().stdout;
    let line = ps.lines().find(|line| line.contains(&format!(" {container} ")));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn s24_a_manifest_that_is_moved_out_ends_its_containers() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    runner.ready("static-web");
    fs::rename(runner.manifest("static-web.yaml"), runner.node.path("static-web.yaml")).unwrap();
    runner.gone("static-web");
    assert_eq!(listed(&runner, "web"), "");
    assert!(runner.node.processes("nginx").is_empty());
}

#[test]
fn s25_a_manifest_that_is_moved_back_runs_again_and_counts_on() {
    let runner = Runner::new();
    runner.put("static-web.yaml", &static_web());
    let before = runner.ready("static-web");
    let outside = runner.node.path("static-web.yaml");
    fs::rename(runner.manifest("static-web.yaml"), &outside).unwrap();
    runner.gone("static-web");
    fs::rename(&outside, runner.manifest("static-web.yaml")).unwrap();
    let after = runner.ready("static-web");
    assert_eq!((after.containers[0].restarts, &after.uid), (1, &before.uid));
    assert_ne!(after.sandbox_id, before.sandbox_id);
    eventually("the web server", || runner.get(80));
}

#[test]
fn s32_restarting_a_container_is_not_restarting_its_pod() {
    let runner = Runner::new();
    let two = "  - name: other\n    image: busybox:1.28\n    command: [sleep, \"1000\"]\n";
    runner.put("a.yaml", &busybox("a", "exec sleep 1000", "", two));
    let before = runner.ready("a");
    kill(pid(&before.containers[0]).unwrap());
    let after = runner.pod("a", |pod| is_ready(pod) && pod.containers[0].restarts == 1);
    let pod = |pod: &PodStatus| (pod.uid.clone(), pod.sandbox_id.clone(), pod.containers[1].id.clone());
    assert_eq!(pod(&after), pod(&before));
    assert_eq!(after.containers[1].restarts, 0);
}

#[test]
fn s33_an_edited_image_replaces_the_pod() {
    let runner = Runner::new();
    let version = |image: &str| busybox("a", "exec sleep 1000", "", "").replace("busybox:1.28", image);
    runner.put("a.yaml", &version("busybox:1.28"));
    let before = runner.ready("a");
    runner.put("a.yaml", &version("busybox:latest"));
    let after = runner.pod("a", |pod| is_ready(pod) && pod.uid != before.uid);
    assert!(after.containers[0].image.ends_with("busybox:latest"));
    assert_eq!(after.containers[0].restarts, 0);
    assert!(fs::metadata(format!("/proc/{}", pid(&before.containers[0]).unwrap())).is_err());
}

#[test]
fn s48_a_jobs_container_prints_and_pauses_and_is_not_run_again() {
    let runner = Runner::new();
    let once = "  restartPolicy: OnFailure\n";
    runner.put("hello.yaml", &busybox("hello", "echo \"Hello, Kubernetes!\" && sleep 1000", once, ""));
    runner.put("done.yaml", &busybox("done", "echo \"Hello, Kubernetes!\"", once, ""));
    runner.ready("hello");
    assert_eq!(runner.logged("hello", "!"), "Hello, Kubernetes!\n");
    let done = runner.pod("done", |pod| pod.phase == "Succeeded");
    assert!(matches!(&done.containers[0].state, ContainerState::Terminated(end) if end.reason == "Completed"));
    assert_eq!((done.containers[0].restarts, runner.log("done").as_str()), (0, "Hello, Kubernetes!\n"));
    // a failure is another matter
    runner.put("fails.yaml", &busybox("fails", "exit 3", once, ""));
    runner.pod("fails", |pod| pod.containers[0].restarts > 0);
}

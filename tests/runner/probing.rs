//! Probes by command, with the paused clock: every moment is exact. Each is tried on a regular container and, where it
//! makes a difference, on a sidecar.

use std::time::Duration;

use bootstrap::control::{ContainerStatus, PodStatus};

use super::Node;
use super::order::{container, pod};

const SECOND: Duration = Duration::from_secs(1);

fn probe(role: &str, more: &str) -> String {
    format!("{role}Probe: {{exec: {{command: [{role}]}}, periodSeconds: 5{more}}}\n")
}

/// A pod in which `x` has these probes, as a sidecar or not [case 119].
fn probed(is_sidecar: bool, probes: &str) -> String {
    if is_sidecar {
        let sidecar = container("x", "run", &format!("restartPolicy: Always\n{probes}"));
        return pod("Always", &[sidecar], &[container("other", "run", "")]);
    }
    pod("Always", &[container("other", "exit:0", "")], &[container("x", "run", probes)])
}

fn x(pod: &PodStatus) -> &ContainerStatus {
    pod.all_containers().find(|container| container.name == "x").unwrap()
}

async fn started(is_sidecar: bool, probes: &str, failing: &[&str]) -> Node {
    let node = Node::started().await;
    for role in failing {
        node.runtime.set_command(&format!("x: {role}"), 1);
    }
    node.write("a.yaml", &probed(is_sidecar, probes));
    node.runtime.until("its start", |runtime| !runtime.times("start x").is_empty()).await;
    node
}

const KINDS: [bool; 2] = [false, true];

#[tokio::test(start_paused = true)]
async fn case_96_119_readiness_respects_its_delay_and_restarts_nothing() {
    for is_sidecar in KINDS {
        let node = started(is_sidecar, &probe("readiness", ", initialDelaySeconds: 30"), &[]).await;
        node.runtime.until("its probe", |runtime| !runtime.times("exec x: readiness").is_empty()).await;
        let status = node.pod("a-n1", |pod| x(pod).ready).await;
        assert_eq!(x(&status).restarts, 0);
        let first = node.runtime.times("exec x: readiness")[0];
        // counted from a start that the wall's clock tells, which does not pause
        assert!((29..=30).contains(&(first - node.runtime.times("start x")[0])), "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_97_119_what_is_never_ready_is_never_restarted() {
    for is_sidecar in KINDS {
        let node = started(is_sidecar, &probe("readiness", ""), &["readiness"]).await;
        tokio::time::sleep(300 * SECOND).await;
        let status = node.pod("a-n1", |_| true).await;
        assert_eq!((x(&status).ready, x(&status).started, x(&status).restarts), (false, true, 0));
        assert!(node.runtime.times("exec x: readiness").len() >= 60);
    }
}

#[tokio::test(start_paused = true)]
async fn case_98_99_119_what_is_alive_goes_on_and_what_is_not_is_restarted() {
    for is_sidecar in KINDS {
        let node = started(is_sidecar, &probe("liveness", ", failureThreshold: 1"), &[]).await;
        tokio::time::sleep(300 * SECOND).await;
        assert_eq!(x(&node.pod("a-n1", |_| true).await).restarts, 0);
        node.runtime.set_command("x: liveness", 1);
        node.runtime.until("a restart", |runtime| runtime.times("start x #1").len() == 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn case_102_119_restarts_are_counted_one_by_one() {
    for is_sidecar in KINDS {
        let node = started(is_sidecar, &probe("liveness", ", failureThreshold: 1"), &["liveness"]).await;
        node.runtime.until("five restarts", |runtime| runtime.times("start x").len() == 6).await;
        let starts: Vec<_> = node.runtime.history().into_iter().filter(|text| text.starts_with("start x #")).collect();
        assert_eq!(starts, [0, 1, 2, 3, 4, 5].map(|attempt| format!("start x #{attempt}")));
    }
}

#[tokio::test(start_paused = true)]
async fn case_104_105_106_119_a_command_that_takes_too_long_has_failed() {
    for is_sidecar in KINDS {
        let probes = probe("liveness", ", timeoutSeconds: 2, failureThreshold: 1");
        let node = started(is_sidecar, &probes, &[]).await;
        // whatever it would have ended with
        for code in [0, 1] {
            node.runtime.set_command("x: liveness", code);
            node.runtime.set_time("x: liveness", 10 * SECOND);
            let before = node.runtime.times("start x").len();
            node.runtime.until("a restart", |runtime| runtime.times("start x").len() > before).await;
            let status = node.pod("a-n1", |pod| x(pod).last_exit.is_some()).await;
            let cause = x(&status).last_exit.as_ref().unwrap().cause.clone().unwrap();
            assert_eq!(cause, "Liveness probe failed: command timed out: \"liveness\" timed out after 2s");
        }
        let node = started(is_sidecar, &probe("readiness", ", timeoutSeconds: 2"), &[]).await;
        node.pod("a-n1", |pod| x(pod).ready).await;
        node.runtime.set_time("x: readiness", 3 * SECOND);
        let status = node.pod("a-n1", |pod| !x(pod).ready).await;
        assert_eq!(x(&status).restarts, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn case_109_110_119_startup_comes_first_and_its_failure_restarts() {
    for is_sidecar in KINDS {
        let probes = probe("startup", ", failureThreshold: 4") + &probe("liveness", "") + &probe("readiness", "");
        let node = started(is_sidecar, &probes, &["startup", "liveness"]).await;
        node.runtime.until("a restart", |runtime| runtime.times("start x #1").len() == 1).await;
        let times = node.runtime.times("exec x: startup");
        assert_eq!(times[3] - times[0], 15, "four failures in a row");
        assert!(node.runtime.times("exec x: liveness").is_empty());
        assert!(node.runtime.times("exec x: readiness").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn case_111_112_119_after_startup_liveness_counts_and_readiness_is_asked_at_once() {
    for is_sidecar in KINDS {
        let probes = probe("startup", ", failureThreshold: 100")
            + &probe("liveness", ", failureThreshold: 1")
            + "readinessProbe: {exec: {command: [readiness]}, periodSeconds: 600}\n";
        let node = started(is_sidecar, &probes, &["startup"]).await;
        tokio::time::sleep(60 * SECOND).await;
        node.runtime.set_command("x: startup", 0);
        let status = node.pod("a-n1", |pod| x(pod).ready).await;
        assert!(x(&status).started && x(&status).restarts == 0);
        let up = *node.runtime.times("exec x: startup").last().unwrap();
        assert_eq!(node.runtime.times("exec x: readiness"), [up], "no period is waited for");
        node.runtime.set_command("x: liveness", 1);
        node.runtime.until("a restart", |runtime| runtime.times("start x #1").len() == 1).await;
        let status = node.pod("a-n1", |pod| x(pod).last_exit.is_some()).await;
        assert_eq!(x(&status).last_exit.as_ref().unwrap().cause.as_deref(), Some("Liveness probe failed: said so"));
    }
}

#[tokio::test(start_paused = true)]
async fn case_148_thresholds_count_rows_and_readiness_comes_and_goes() {
    let node = started(false, &probe("readiness", ", successThreshold: 3, failureThreshold: 2"), &[]).await;
    node.pod("a-n1", |pod| x(pod).ready).await;
    assert_eq!(node.runtime.times("exec x: readiness").len(), 3);
    node.runtime.set_command("x: readiness", 1);
    node.pod("a-n1", |pod| !x(pod).ready).await;
    assert_eq!(node.runtime.times("exec x: readiness").len(), 5);
    node.runtime.set_command("x: readiness", 0);
    node.pod("a-n1", |pod| x(pod).ready).await;
    assert_eq!(node.runtime.times("exec x: readiness").len(), 8);
}

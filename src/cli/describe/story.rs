//! PURE: a pod's status in sentences: what happened, why, what comes next and when.

use jiff::Timestamp;

use super::super::age::span;
use crate::control::{ContainerState, ContainerStatus, ExitStatus, PodStatus};

/// Who the pod is and how it stands.
pub(super) fn pod(pod: &PodStatus, now: Timestamp) -> Vec<String> {
    let mut lines = vec![
        format!("Pod {} of namespace {}: {}", pod.name, pod.namespace, pod.phase),
        format!("  manifest  {}", pod.source.display()),
        format!("  uid       {}", pod.uid),
    ];
    let revision = match (&pod.revision_running, &pod.revision_wanted) {
        (Some(running), Some(wanted)) if running != wanted => {
            Some(format!("{running} runs, and is being replaced by {wanted}"))
        }
        (Some(running), None) => Some(format!("{running} runs, and is being stopped: its manifest is gone")),
        (Some(running), Some(_)) => Some(running.clone()),
        (None, Some(wanted)) => Some(format!("{wanted} is to run")),
        (None, None) => None,
    };
    lines.extend(revision.map(|revision| format!("  revision  {revision}")));
    lines.extend(pod.started_at.map(|at| format!("  started   {at:.0} ({} ago)", span(now.duration_since(at)))));
    lines.extend(pod.message.as_ref().map(|message| format!("  now       {message}")));
    lines
}

/// The story of one container.
pub(super) fn container(container: &ContainerStatus, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!("Container {}: {}", container.name, headline(container, now))];
    let mut tell = |line: String| lines.push(format!("  {line}"));
    tell(format!("image {}", container.image));
    let end = match (&container.state, &container.last_exit) {
        (ContainerState::Terminated(exit), _) => Some(exit),
        (_, last) => last.as_ref(),
    };
    if let Some(exit) = end {
        tell(ended(exit, now));
    }
    if let Some(probe) = &container.probe {
        tell(probe.clone());
    }
    if let ContainerState::Waiting { message: Some(message), .. } = &container.state {
        tell(message.clone());
    }
    lines.extend(next(container, now).map(|next| format!("  Next: {next}")));
    lines
}

fn headline(container: &ContainerStatus, now: Timestamp) -> String {
    let restarts = match container.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    };
    let state = match &container.state {
        ContainerState::Running { pid, started_at } => {
            let age = span(now.duration_since(*started_at));
            let ready = match (container.started, container.ready) {
                (true, true) => "ready",
                (true, false) => "not ready",
                (false, _) => "not started up yet",
            };
            format!("running for {age} (pid {pid}), {ready}")
        }
        ContainerState::Waiting { reason, .. } => format!("waiting ({reason})"),
        ContainerState::Terminated(exit) => format!("ended ({})", exit.reason),
    };
    state + &restarts
}

fn ended(exit: &ExitStatus, now: Timestamp) -> String {
    let how = match exit.signal {
        0 => format!("with exit code {}", exit.exit_code),
        signal => format!("by signal {signal}"),
    };
    let ran = exit
        .started_at
        .map_or(String::new(), |at| format!(", after it had run for {}", span(exit.finished_at.duration_since(at))));
    let why = exit.words().map_or(String::new(), |words| format!(": {words}"));
    format!("It last ended {} ago {how} ({}){ran}{why}", span(now.duration_since(exit.finished_at)), exit.reason)
}

fn next(container: &ContainerStatus, now: Timestamp) -> Option<String> {
    match (&container.state, container.next_try) {
        (ContainerState::Running { .. }, _) => Some(match container.restart_delay? {
            0 => "should it end, it is started again at once if its pod's policy says so".to_owned(),
            delay => format!("should it end now, it would be started again after {delay} s of back-off"),
        }),
        (_, Some(at)) => Some(format!("it is tried again in {}, at {at:.0}", span(at.duration_since(now)))),
        (ContainerState::Waiting { .. }, None) => Some("it is tried as soon as its turn comes".to_owned()),
        (ContainerState::Terminated(_), None) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn told(state: serde_json::Value, more: serde_json::Value) -> String {
        let mut status = json!({"name": "etcd", "image": "etcd:3", "started": false, "ready": false, "restarts": 3});
        status["state"] = state;
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container(&serde_json::from_value(status).unwrap(), now()).join("\n")
    }

    #[test]
    fn a_container_that_crashes_says_why_and_when_it_is_tried_again() {
        let exit = json!({"exitCode": 1, "signal": 0, "reason": "Error", "message": "no space left\n",
            "startedAt": "2026-01-01T00:09:00Z", "finishedAt": "2026-01-01T00:09:30Z"});
        let waiting = json!({"state": "waiting", "reason": "CrashLoopBackOff", "message": "back-off 40s"});
        assert_eq!(
            told(waiting, json!({"lastExit": exit, "nextTry": "2026-01-01T00:10:10Z"})),
            "Container etcd: waiting (CrashLoopBackOff), restarted 3 times\n  image etcd:3\n  \
             It last ended 30s ago with exit code 1 (Error), after it had run for 30s: no space left\n  back-off 40s\n  \
             Next: it is tried again in 10s, at 2026-01-01T00:10:10Z"
        );
    }

    #[test]
    fn a_container_that_runs_says_how_it_stands() {
        let running = json!({"state": "running", "pid": 7, "startedAt": "2026-01-01T00:00:00Z"});
        let text = told(running, json!({"started": true, "restarts": 1, "restartDelay": 20, "probe": "Readiness: no"}));
        assert_eq!(
            text,
            "Container etcd: running for 10m0s (pid 7), not ready, restarted once\n  image etcd:3\n  Readiness: no\n  \
             Next: should it end now, it would be started again after 20 s of back-off"
        );
    }

    #[test]
    fn a_pod_says_what_becomes_of_it() {
        let status = json!({"name": "a-n1", "namespace": "default", "uid": "u", "source": "/m/a.yaml", "phase": "Running",
            "revisionWanted": "b", "revisionRunning": "a", "startedAt": "2026-01-01T00:09:00Z",
            "message": "its containers are being stopped", "containers": []});
        assert_eq!(
            pod(&serde_json::from_value(status).unwrap(), now()).join("\n"),
            "Pod a-n1 of namespace default: Running\n  manifest  /m/a.yaml\n  uid       u\n  \
             revision  a runs, and is being replaced by b\n  started   2026-01-01T00:09:00Z (60s ago)\n  \
             now       its containers are being stopped"
        );
    }
}

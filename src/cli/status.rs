//! `bootstrap status`

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::Invocation;
use super::age::span;
use crate::control::client;
use crate::control::{ContainerState, ContainerStatus, ExitStatus, PodStatus, Reply, Request, Status};
use crate::error::Result;
use crate::layout::Layout;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print everything the runner knows in this form
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
    /// Go on, and show what changes, until interrupted
    #[arg(short, long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Json,
}

const HEADS: [&str; 8] = ["POD", "CONTAINER", "STATE", "READY", "RESTARTS", "LAST EXIT", "NEXT TRY", "REVISION"];

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

pub fn run(args: StatusArgs, invocation: &Invocation) -> Result<()> {
    let mut status = ask(&invocation.layout)?;
    show(&status, &args, invocation)?;
    if !args.watch {
        return Ok(());
    }
    loop {
        std::thread::sleep(PERIOD);
        let now = ask(&invocation.layout)?;
        let is_live = invocation.report.is_screen() && args.output.is_none();
        // ages go on by themselves; without a screen, only what has happened is worth another picture
        if is_live || serde_json::to_value(&now)? != serde_json::to_value(&status)? {
            status = now;
            show(&status, &args, invocation)?;
        }
    }
}

fn show(status: &Status, args: &StatusArgs, invocation: &Invocation) -> Result<()> {
    let report = &invocation.report;
    if let Some(Form::Json) = args.output {
        return report.json(status);
    }
    if args.watch {
        report.begin_picture();
    }
    let rows = rows(status, Timestamp::now());
    if rows.is_empty() {
        report.line(format!("no pods in `{}`", status.runner.manifests.display()));
    } else {
        report.table(&HEADS, &rows);
    }
    if status.runner.draining {
        report
            .line("a reset has stopped every pod and did not finish: run `bootstrap reset` or `bootstrap init` again");
    }
    for pod in &status.pods {
        if let Some(message) = &pod.message {
            report.line(format!("{}: {message}", pod.name));
        }
        for container in pod.all_containers() {
            if let Some(why) = explanation(container) {
                report.line(format!("{}: {}: {why}", pod.name, container.name));
            }
        }
    }
    for rejected in &status.rejected {
        let kept = if rejected.last_good_running { " (its last good version keeps running)" } else { "" };
        report.line(format!("rejected `{}`: {}{kept}", rejected.path.display(), rejected.reason));
    }
    Ok(())
}

/// What the runner of this instance says.
pub(super) fn ask(layout: &Layout) -> Result<Status> {
    match call(layout, Request::Status)? {
        Reply::Status(status) => Ok(status),
        Reply::Events { .. } | Reply::Done | Reply::Error { .. } => {
            anyhow::bail!("the runner answered something else than its status")
        }
    }
}

pub(super) fn call(layout: &Layout, request: Request) -> Result<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(client::call(layout, request))
}

fn rows(status: &Status, now: Timestamp) -> Vec<Vec<String>> {
    let of = |pod: &PodStatus| -> Vec<Vec<String>> {
        let init = pod.init_containers.iter().map(|container| row(pod, container, " (init)", now));
        init.chain(pod.containers.iter().map(|container| row(pod, container, "", now))).collect()
    };
    status.pods.iter().flat_map(of).collect()
}

fn row(pod: &PodStatus, container: &ContainerStatus, mark: &str, now: Timestamp) -> Vec<String> {
    let none = || "-".to_owned();
    vec![
        pod.name.clone(),
        format!("{}{mark}", container.name),
        state(&container.state, now),
        if container.ready { "yes" } else { "no" }.to_owned(),
        container.restarts.to_string(),
        container.last_exit.as_ref().map_or_else(none, |exit| last_exit(exit, now)),
        container.next_try.map_or_else(none, |at| format!("in {}", span(at.duration_since(now)))),
        match (&pod.revision_running, &pod.revision_wanted) {
            (Some(running), Some(wanted)) if running != wanted => format!("{running}, wanted {wanted}"),
            (Some(running), None) => format!("{running}, wanted none"),
            (Some(running), Some(_)) => running.clone(),
            (None, Some(wanted)) => format!("wanted {wanted}"),
            (None, None) => none(),
        },
    ]
}

fn state(state: &ContainerState, now: Timestamp) -> String {
    match state {
        ContainerState::Running { started_at, .. } => format!("Running {}", span(now.duration_since(*started_at))),
        ContainerState::Waiting { reason, .. } => reason.clone(),
        ContainerState::Terminated(exit) => exit.reason.clone(),
    }
}

fn last_exit(exit: &ExitStatus, now: Timestamp) -> String {
    let how = if exit.signal > 0 { format!("signal {}", exit.signal) } else { format!("code {}", exit.exit_code) };
    format!("{} ({how}) {} ago", exit.reason, span(now.duration_since(exit.finished_at)))
}

/// More than the table's reason: a message of the state, a failing probe, the last words.
fn explanation(container: &ContainerStatus) -> Option<String> {
    let of_state = match &container.state {
        ContainerState::Waiting { message, .. } => message.clone(),
        ContainerState::Running { .. } | ContainerState::Terminated(_) => None,
    };
    let of_end = || {
        let words = container.last_exit.as_ref().filter(|_| !container.ready)?.words()?;
        Some(format!("last exit: {words}"))
    };
    container.probe.clone().or(of_state).or_else(of_end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::RunnerStatus;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status(state: ContainerState, last_exit: Option<ExitStatus>, next_try: Option<Timestamp>) -> Status {
        let container = ContainerStatus {
            name: "etcd".to_owned(),
            id: None,
            image: "etcd".to_owned(),
            image_id: None,
            state,
            started: true,
            ready: false,
            restarts: 3,
            last_exit,
            next_try,
            restart_delay: None,
            probe: None,
            log: None,
        };
        let pod = PodStatus {
            name: "etcd-n1".to_owned(),
            namespace: "kube-system".to_owned(),
            uid: "u".to_owned(),
            source: "etcd.yaml".into(),
            phase: "Running".to_owned(),
            revision_wanted: Some("b".to_owned()),
            revision_running: Some("a".to_owned()),
            started_at: None,
            sandbox_id: None,
            reason: None,
            ips: Vec::new(),
            message: None,
            init_containers: Vec::new(),
            containers: vec![container],
        };
        Status { runner: RunnerStatus::default(), pods: vec![pod], rejected: Vec::new() }
    }

    #[test]
    fn a_row_says_what_is_and_what_comes() {
        let exit = ExitStatus {
            exit_code: 137,
            signal: 9,
            reason: "OOMKilled".to_owned(),
            cause: Some("Liveness probe failed".to_owned()),
            message: Some("gone\n".to_owned()),
            started_at: None,
            finished_at: at(940),
        };
        let waiting = ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned(), message: None };
        let status = status(waiting, Some(exit), Some(at(1010)));
        let expected =
            ["etcd-n1", "etcd", "CrashLoopBackOff", "no", "3", "OOMKilled (signal 9) 60s ago", "in 10s", "a, wanted b"];
        assert_eq!(rows(&status, at(1000)), [expected]);
        assert_eq!(
            explanation(&status.pods[0].containers[0]).as_deref(),
            Some("last exit: Liveness probe failed: gone")
        );
    }
}

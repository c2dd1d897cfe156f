//! `bootstrap describe`

mod story;

use clap::Args;
use jiff::Timestamp;

use super::{Invocation, status};
use crate::control::{PodStatus, Status};
use crate::error::{Fault, Result};
use crate::files;

#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The pod, with or without the node's name behind it
    #[arg(value_name = "POD")]
    pod: String,
}

/// How much of a log's end is read, and how many of its lines are told.
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LINES: usize = 5;

pub fn run(args: DescribeArgs, invocation: &Invocation) -> Result<()> {
    let status = status::ask(&invocation.layout)?;
    let pod = matching(&status, &args.pod)?;
    let report = &invocation.report;
    for line in story::pod(pod, Timestamp::now()) {
        report.line(line);
    }
    for container in pod.all_containers() {
        report.line("");
        for line in story::container(container, Timestamp::now()) {
            report.line(line);
        }
        // what it says is of interest where it does not do what it should
        let log = container.log.as_deref().filter(|_| !container.ready);
        let text = log.and_then(|log| files::tail(log, TAIL_BYTES).ok()).unwrap_or_default();
        let lines: Vec<_> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
        if !lines.is_empty() {
            report.line("  Its last lines:");
        }
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            report.line(format!("    {line}"));
        }
    }
    Ok(())
}

fn matching<'a>(status: &'a Status, name: &str) -> Result<&'a PodStatus> {
    let suffixed = format!("{name}-{}", status.runner.node_name);
    let found = status.pods.iter().find(|pod| pod.name == name || pod.name == suffixed);
    found.ok_or_else(|| {
        let names: Vec<_> = status.pods.iter().map(|pod| pod.name.as_str()).collect();
        let rejected = status.rejected.first().map(|rejected| rejected.path.display().to_string());
        let hint = match (names.is_empty(), rejected) {
            (false, _) => format!("there are: {}", names.join(", ")),
            (true, Some(path)) => format!("`{path}` is rejected: `bootstrap status` says why"),
            (true, None) => "no pods run".to_owned(),
        };
        Fault::usage(format!("there is no pod `{name}`")).hint(hint).into()
    })
}

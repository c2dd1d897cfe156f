//! `bootstrap ps`

use clap::Args;

use super::{Invocation, status};
use crate::control::{ContainerState, ContainerStatus, PodStatus};
use crate::error::Result;

#[derive(Debug, Args)]
pub struct PsArgs {}

const HEADS: [&str; 6] = ["CONTAINER ID", "POD", "CONTAINER", "STATE", "ATTEMPT", "STARTED"];

pub fn run(_args: PsArgs, invocation: &Invocation) -> Result<()> {
    let status = status::ask(&invocation.layout)?;
    let of = |pod: &PodStatus| -> Vec<_> { pod.all_containers().filter_map(|one| row(pod, one)).collect() };
    let rows: Vec<_> = status.pods.iter().flat_map(of).collect();
    invocation.report.table(&HEADS, &rows);
    Ok(())
}

/// `None`: it has not been made yet.
fn row(pod: &PodStatus, container: &ContainerStatus) -> Option<Vec<String>> {
    let id = container.id.as_ref()?;
    let (state, started_at) = match &container.state {
        ContainerState::Running { started_at, .. } => ("Running", Some(*started_at)),
        ContainerState::Waiting { .. } | ContainerState::Terminated(_) => {
            ("Exited", container.last_exit.as_ref().and_then(|exit| exit.started_at))
        }
    };
    Some(vec![
        id.get(..13).unwrap_or(id).to_owned(),
        pod.name.clone(),
        container.name.clone(),
        state.to_owned(),
        container.restarts.to_string(),
        started_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}")),
    ])
}

//! `bootstrap stop`

use clap::Args;

use super::{Invocation, status};
use crate::control::{ContainerState, Request, Status};
use crate::error::{Fault, Result};

#[derive(Debug, Args)]
pub struct StopArgs {
    /// Id of a running container, or the beginning of it, as `bootstrap ps` prints it
    #[arg(value_name = "ID")]
    id: String,
}

pub fn run(args: StopArgs, invocation: &Invocation) -> Result<()> {
    let (id, name) = matching(&status::ask(&invocation.layout)?, &args.id)?;
    status::call(&invocation.layout, Request::StopContainer { id })?;
    invocation.report.line(format!("{name} stopped"));
    Ok(())
}

/// The one running container whose id begins so: its id, and its name for people.
fn matching(status: &Status, prefix: &str) -> Result<(String, String)> {
    let all = status.pods.iter().flat_map(|pod| pod.all_containers().map(move |container| (pod, container)));
    let mut found: Vec<(String, String)> = all
        .filter(|(_, container)| matches!(container.state, ContainerState::Running { .. }))
        .filter_map(|(pod, container)| Some((container.id.clone()?, format!("{}/{}", pod.name, container.name))))
        .filter(|(id, _)| !prefix.is_empty() && id.starts_with(prefix))
        .collect();
    match found.len() {
        0 => Err(Fault::usage(format!("no running container has an id that begins with `{prefix}`"))
            .hint("`bootstrap ps` lists the containers")
            .into()),
        1 => Ok(found.remove(0)),
        _ => {
            let short = |(id, name): &(String, String)| format!("{} ({name})", id.get(..13).unwrap_or(id));
            let names: Vec<_> = found.iter().map(short).collect();
            Err(Fault::usage(format!("`{prefix}` is the beginning of several ids: {}", names.join(", "))).into())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status() -> Status {
        let container = |name: &str, id: &str| {
            serde_json::json!({"name": name, "id": id, "image": "i", "started": true, "ready": true, "restarts": 0,
                "state": {"state": "running", "pid": 1, "startedAt": "2026-01-01T00:00:00Z"}})
        };
        let pod = serde_json::json!({"name": "p-n1", "namespace": "default", "uid": "u", "source": "p.yaml",
            "phase": "Running", "revisionWanted": null, "revisionRunning": null,
            "containers": [container("a", "abc1"), container("b", "abd2")]});
        let runner = serde_json::json!({"pid": 1, "version": "1", "nodeName": "n1", "manifests": "/m"});
        serde_json::from_value(serde_json::json!({"runner": runner, "pods": [pod], "rejected": []})).unwrap()
    }

    #[test]
    fn a_beginning_must_be_of_one_id() {
        assert_eq!(matching(&status(), "abc").unwrap(), ("abc1".to_owned(), "p-n1/a".to_owned()));
        let ambiguous = matching(&status(), "ab").unwrap_err().to_string();
        assert_eq!(ambiguous, "`ab` is the beginning of several ids: abc1 (p-n1/a), abd2 (p-n1/b)");
        assert!(matching(&status(), "x").is_err() && matching(&status(), "").is_err());
    }
}

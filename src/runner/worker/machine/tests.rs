#![allow(clippy::unwrap_used)]

mod history;
mod sequences;
mod table;
mod world;

use std::time::Duration;

use jiff::Timestamp;

use super::super::backoff::{Entry, RESET};
use super::*;
use crate::runner::pod::{
    Check, Container, ContainerKind, Hook, Pod, Probe, RestartAction, RestartPolicy, RestartRule,
};
use crate::runner::runtime::Exit;
use crate::runner::testing;

const GRACE: Duration = Duration::from_secs(30);

fn probe() -> Probe {
    Probe {
        check: Check::Exec { command: vec!["true".to_owned()] },
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace: Some(Duration::from_secs(5)),
    }
}

fn container(name: &str, probes: bool) -> Container {
    let probe = probes.then(probe);
    Container { startup: probe.clone(), liveness: probe.clone(), readiness: probe, ..testing::container(name) }
}

fn of_kind(name: &str, kind: ContainerKind) -> Container {
    Container { kind, ..container(name, false) }
}

fn hook() -> Option<Hook> {
    Some(Hook::Exec { command: vec!["true".to_owned()] })
}

fn pod(revision: &str, policy: RestartPolicy, containers: Vec<Container>) -> Arc<Pod> {
    Arc::new(Pod {
        uid: format!("uid-{revision}"),
        revision: revision.to_owned(),
        restart_policy: policy,
        grace: GRACE,
        containers,
        ..testing::pod("pod")
    })
}

fn exit(code: i32) -> Exit {
    Exit { code, signal: 0, code_known: true, oom_killed: false, finished_at: Timestamp::UNIX_EPOCH, message: None }
}

fn live(tag: Tag) -> Live {
    Live {
        id: format!("g{}c{}a{}", tag.generation, tag.container, tag.attempt),
        pid: 1,
        image_id: "sha256:0".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
    }
}

fn why(reason: &'static str) -> Why {
    Why::new(reason, "it did not work".to_owned())
}

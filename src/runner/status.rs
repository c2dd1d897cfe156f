//! PURE: a worker's state as people and programs see it, in the kubelet's words [3.D, 7].

pub mod api;
pub mod conditions;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::container::{log_directory, metadata};
use super::pod::{ContainerKind, Pod};
use super::record::Clock;
use super::runtime::Exit;
use super::worker::machine::{Ended, Life, Run, Slot, State, Up, Why};
use crate::control::{ContainerState, ContainerStatus, ExitStatus, PodStatus};
use crate::layout::Layout;

const FORGOTTEN: &str = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";

/// The pod that a state is about: the one on the machine, otherwise the one that is wanted.
pub fn shown(state: &State) -> Option<&Arc<Pod>> {
    state.current().or_else(|| state.wanted.as_ref().filter(|_| state.drain.is_none()))
}

/// `None` when there is no pod and none is wanted.
pub fn pod(state: &State, layout: &Layout, clock: Clock) -> Option<PodStatus> {
    let wanted = state.wanted.as_ref().filter(|_| state.drain.is_none());
    let pod = shown(state)?;
    let all = pod.containers.iter().enumerate().map(|(index, spec)| {
        let status = match state.up() {
            Some(up) => container(up, index, layout, clock),
            None => not_made(pod, index),
        };
        (spec.kind, status)
    });
    let (regular, init): (Vec<_>, Vec<_>) = all.partition(|(kind, _)| *kind == ContainerKind::Regular);
    let statuses = |all: Vec<(ContainerKind, ContainerStatus)>| all.into_iter().map(|(_, status)| status).collect();
    Some(PodStatus {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        uid: pod.uid.clone(),
        source: wanted.unwrap_or(pod).source.clone().into(),
        phase: phase(state).to_owned(),
        revision_wanted: wanted.map(|pod| pod.short_revision().to_owned()),
        revision_running: state.up().map(|up| up.pod.short_revision().to_owned()),
        started_at: state.up().and_then(started_at),
        sandbox_id: state.up().map(|up| up.sandbox.clone()),
        reason: state.failure.map(|failure| failure.why().reason.to_owned()),
        ips: state.up().map(|up| up.ips.clone()).unwrap_or_default(),
        message: message(state),
        init_containers: statuses(init),
        containers: statuses(regular),
    })
}

/// A pod for which nothing has been done.
pub fn unmade(pod: &Pod) -> PodStatus {
    let (regular, init): (Vec<_>, Vec<_>) =
        (0..pod.containers.len()).partition(|index| pod.containers[*index].kind == ContainerKind::Regular);
    let statuses = |of: Vec<usize>| of.into_iter().map(|index| not_made(pod, index)).collect();
    PodStatus {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        uid: pod.uid.clone(),
        source: pod.source.clone().into(),
        phase: "Pending".to_owned(),
        revision_wanted: Some(pod.short_revision().to_owned()),
        revision_running: None,
        started_at: None,
        sandbox_id: None,
        reason: None,
        ips: Vec::new(),
        message: None,
        init_containers: statuses(init),
        containers: statuses(regular),
    }
}

fn started_at(up: &Up) -> Option<jiff::Timestamp> {
    let started = |slot: &Slot| slot.live().map(|live| live.started_at);
    up.slots.iter().filter_map(started).min()
}

/// The first rule that holds [7.1].
fn phase(state: &State) -> &'static str {
    if state.failure.is_some() {
        return "Failed";
    }
    let Some(up) = state.up() else { return "Pending" };
    if up.has_failed() {
        return "Failed";
    }
    let of_kind = |wanted: &[ContainerKind]| {
        let slots = up.slots.iter().zip(&up.pod.containers);
        slots.filter(|(_, spec)| wanted.contains(&spec.kind)).map(|(slot, _)| slot).collect::<Vec<_>>()
    };
    let never_ran = |slot: &&Slot| slot.live().is_none() && slot.last.is_none();
    let lasting = of_kind(&[ContainerKind::Regular, ContainerKind::Sidecar]);
    let regular = of_kind(&[ContainerKind::Regular]);
    // a pod whose containers are all restarted has been initialised before
    let is_initialized = up.initialized || !regular.iter().all(never_ran);
    if !is_initialized || lasting.iter().any(never_ran) {
        return "Pending";
    }
    let is_over = |slot: &&Slot| matches!(slot.run, Run::Done);
    // a pod that is being stopped does not become Succeeded or Failed by that [2.16]
    if !matches!(state.life, Life::Finished(_)) || !regular.iter().all(is_over) {
        return "Running";
    }
    let succeeded = |slot: &&Slot| slot.last.as_ref().is_some_and(|last| last.exit.code == 0);
    if regular.iter().all(succeeded) { "Succeeded" } else { "Failed" }
}

fn message(state: &State) -> Option<String> {
    let next = || match (&state.drain, &state.wanted) {
        (None, Some(wanted)) => format!(", then revision {} starts", wanted.short_revision()),
        _ => String::new(),
    };
    match &state.life {
        Life::Up(_) | Life::Finished(_) | Life::Retrying { .. } if state.failure.is_some() => {
            state.failure.map(|failure| failure.why().message)
        }
        Life::Up(up) if up.resetting.is_some() => Some("all its containers are being restarted".to_owned()),
        Life::Absent | Life::Up(_) | Life::Finished(_) => None,
        Life::Making { .. } => Some("its sandbox is being made".to_owned()),
        Life::Retrying { why, .. } => Some(format!("{}: {}", why.reason, why.message)),
        Life::Stopping(_) => Some(format!("its containers are being stopped{}", next())),
        Life::Clearing { due: None, .. } => Some(format!("its sandbox is being removed{}", next())),
        Life::Clearing { due: Some(_), .. } => Some(format!("its sandbox could not be removed yet{}", next())),
    }
}

/// What a container waits for that has not been tried yet [3.40].
fn untried(pod: &Pod) -> ContainerState {
    let has_init = pod.containers.iter().any(|container| container.kind != ContainerKind::Regular);
    waiting(if has_init { "PodInitializing" } else { "ContainerCreating" }, None)
}

fn not_made(pod: &Pod, index: usize) -> ContainerStatus {
    let spec = &pod.containers[index];
    ContainerStatus {
        name: spec.name.clone(),
        id: None,
        image: spec.image.clone(),
        image_id: None,
        state: untried(pod),
        started: false,
        ready: false,
        restarts: 0,
        last_exit: None,
        next_try: None,
        restart_delay: None,
        probe: None,
        log: None,
    }
}

fn container(up: &Up, index: usize, layout: &Layout, clock: Clock) -> ContainerStatus {
    let (slot, spec) = (&up.slots[index], &up.pod.containers[index]);
    let live = slot.live();
    let shown = match (live, &slot.last) {
        (None, Some(last)) => Some((last.id.clone(), last.attempt)),
        (Some(live), _) => Some((live.id.clone(), slot.attempt)),
        (None, None) => None,
    };
    let last_exit = slot.last.as_ref().map(exit_status);
    let next_try = match &slot.run {
        Run::Waiting { due, .. } if *due > clock.now => Some(clock.wall(*due)),
        _ => None,
    };
    ContainerStatus {
        name: spec.name.clone(),
        id: shown.as_ref().map(|(id, _)| id.clone()),
        image: spec.image.clone(),
        image_id: live.map(|live| live.image_id.clone()),
        state: container_state(up, index),
        started: slot.started,
        ready: slot.ready,
        restarts: shown.as_ref().map_or(slot.attempt, |(_, attempt)| *attempt),
        last_exit,
        next_try,
        restart_delay: live.map(|_| slot.backoff.due(clock.now).1.as_secs()),
        probe: slot.probe.clone(),
        log: shown.map(|(_, attempt)| log(layout, &up.pod, &spec.name, attempt)),
    }
}

fn log(layout: &Layout, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
    log_directory(layout, &metadata(pod)).join(container).join(format!("{attempt}.log"))
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState::Waiting { reason: reason.to_owned(), message }
}

fn container_state(up: &Up, index: usize) -> ContainerState {
    let (slot, pod, is_initialized) = (&up.slots[index], &up.pod, up.initialized);
    match (&slot.run, &slot.last) {
        (Run::Running(live) | Run::Killing { live, .. }, _) => {
            ContainerState::Running { pid: live.pid, started_at: live.started_at }
        }
        (Run::Done, _) if up.resetting.is_some() => waiting("RestartingAllContainers", None),
        // between two tries the kubelet calls a failed pull by another name [9.2]
        (Run::Waiting { why: Some(Why { reason, message, image: Some(image) }), .. }, _) => {
            waiting("ImagePullBackOff", Some(format!("Back-off pulling image \"{image}\": {reason}: {message}")))
        }
        (Run::Waiting { why: Some(why), .. } | Run::Pulling { why: Some(why) }, _) => {
            waiting(why.reason, Some(why.message.clone()))
        }
        (Run::Waiting { .. } | Run::Pulling { .. } | Run::Starting | Run::Done, Some(last)) => {
            ContainerState::Terminated(exit_status(last))
        }
        (Run::Done, None) if is_initialized && pod.containers[index].kind == ContainerKind::Init => {
            ContainerState::Terminated(forgotten())
        }
        (Run::Waiting { .. } | Run::Pulling { .. } | Run::Starting | Run::Done, None) => untried(pod),
    }
}

/// The end of an init container that nothing is left of, in a pod whose regular containers are there [3.13].
fn forgotten() -> ExitStatus {
    ExitStatus {
        exit_code: 0,
        signal: 0,
        reason: "Completed".to_owned(),
        cause: None,
        message: Some(FORGOTTEN.to_owned()),
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    }
}

fn exit_status(ended: &Ended) -> ExitStatus {
    ExitStatus {
        exit_code: ended.exit.code,
        signal: ended.exit.signal,
        reason: exit_reason(&ended.exit, ended.started_at.is_some()).to_owned(),
        cause: ended.cause.clone(),
        message: ended.exit.message.clone(),
        started_at: ended.started_at,
        finished_at: ended.exit.finished_at,
    }
}

/// The kubelet's word for an end [3.41].
pub fn exit_reason(exit: &Exit, has_started: bool) -> &'static str {
    if exit.oom_killed {
        "OOMKilled"
    } else if !exit.code_known {
        "ContainerStatusUnknown"
    } else if !has_started && exit.code == 128 {
        "StartError"
    } else if exit.code == 0 {
        "Completed"
    } else {
        "Error"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

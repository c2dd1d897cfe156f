//! PURE: a worker's state as the API's PodStatus, field by field as the kubelet fills it in [7.A, 7.B, 7.C].

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{self, Conditions};
use super::{container_state, exit_reason, phase, untried};
use crate::control;
use crate::image::reference::Reference;
use crate::runner::node::Node;
use crate::runner::pod::{ContainerKind, Pod};
use crate::runner::record::Clock;
use crate::runner::resources::{Qos, qos};
use crate::runner::worker::machine::{Ended, Life, State, Up};

/// What container IDs and the node name as the runtime: `bootstrap://<id>`.
pub const RUNTIME: &str = "bootstrap";

/// Of all termination messages of a pod together, in bytes [3.52].
const MESSAGES: usize = 12 << 10;

/// The status of `pod`, which is the state's. `before` is what was last told of the same pod: what has not changed
/// since keeps its times, and a pod that has succeeded or failed stays so [7.4].
pub fn pod_status(
    pod: &Pod,
    state: &State,
    node: &Node,
    clock: Clock,
    before: Option<&api::PodStatus>,
) -> api::PodStatus {
    let spec = pod.object.as_ref().and_then(|object| object.pod()?.spec);
    let statuses = pod.containers.iter().enumerate().map(|(index, own)| {
        let written = spec.as_ref().and_then(|spec| written(spec, &own.name));
        (own.kind, container_status(pod, state.up(), index, written))
    });
    let (mut regular, init): (Vec<_>, Vec<_>) = statuses.partition(|(kind, _)| *kind == ContainerKind::Regular);
    regular.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let of = |statuses: Vec<(ContainerKind, api::ContainerStatus)>| -> Vec<_> {
        statuses.into_iter().map(|(_, status)| status).collect()
    };
    let (regular, init) = (of(regular), of(init));
    let phase = match before.and_then(|before| before.phase.clone()) {
        // what is cleared away of it does not tell any more how it ended
        Some(ended) if matches!(state.life, Life::Clearing { .. }) && is_terminal(&ended) => ended,
        _ => phase(state).to_owned(),
    };
    let now = to_seconds(clock.wall);
    let told = Conditions {
        pod,
        phase: &phase,
        has_sandbox: matches!(state.life, Life::Up(_) | Life::Stopping(_)),
        init: &init,
        regular: &regular,
        gates: spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default(),
    };
    let conditions = conditions::at(&now, told.all(), before.and_then(|before| before.conditions.as_deref()));
    let ip = node.ip.to_string();
    // on the node's network the node's address is the pod's [7.26]
    let ips: Vec<_> = match (&pod.network, state.up()) {
        (None, _) => vec![ip.clone()],
        (Some(_), up) => up.iter().flat_map(|up| &up.ips).map(ToString::to_string).collect(),
    };
    let failure = state.failure.map(|failure| failure.why());
    api::PodStatus {
        reason: failure.as_ref().map(|why| why.reason.to_owned()),
        message: failure.map(|why| why.message),
        conditions: Some(conditions),
        host_ip: Some(ip.clone()),
        host_ips: Some(vec![api::HostIP { ip }]),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| api::PodIP { ip }).collect()),
        start_time: before.and_then(|before| before.start_time.clone()).or(Some(now)),
        qos_class: Some(qos_class(pod).to_owned()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(regular),
        phase: Some(phase),
        ..api::PodStatus::default()
    }
}

fn is_terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

fn qos_class(pod: &Pod) -> &'static str {
    match qos(pod) {
        Qos::Guaranteed => "Guaranteed",
        Qos::Burstable => "Burstable",
        Qos::BestEffort => "BestEffort",
    }
}

/// The container as its manifest has it.
fn written<'a>(spec: &'a api::PodSpec, name: &str) -> Option<&'a api::Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}

fn container_status(
    pod: &Pod,
    up: Option<&Up>,
    index: usize,
    written: Option<&api::Container>,
) -> api::ContainerStatus {
    let own = &pod.containers[index];
    let mounts = written.and_then(|written| written.volume_mounts.as_ref());
    let bare = api::ContainerStatus {
        name: own.name.clone(),
        image: own.image.clone(),
        state: Some(state_of(untried(pod))),
        last_state: Some(api::ContainerState::default()),
        started: Some(false),
        volume_mounts: mounts.map(|mounts| mounts.iter().map(mount_status).collect()),
        ..api::ContainerStatus::default()
    };
    let Some(up) = up else { return bare };
    let slot = &up.slots[index];
    let limit = MESSAGES / pod.containers.len().max(1);
    let (state, last_state) = states(up, index, limit);
    let has_succeeded = state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0);
    let status = api::ContainerStatus {
        started: Some(slot.live().is_some() && slot.started),
        ready: slot.ready || own.kind == ContainerKind::Init && has_succeeded,
        state: Some(state),
        last_state: Some(last_state),
        ..bare
    };
    let (id, image_id, attempt) = match (slot.live(), &slot.last) {
        (Some(live), _) => (&live.id, Some(&live.image_id), slot.attempt),
        (None, Some(last)) => (&last.id, last.image_id.as_ref(), last.attempt),
        (None, None) => return api::ContainerStatus { restart_count: count(slot.attempt), ..status },
    };
    let resources = written.and_then(|written| written.resources.clone()).unwrap_or_default();
    api::ContainerStatus {
        container_id: Some(format!("{RUNTIME}://{id}")),
        image: own.image.parse::<Reference>().map_or_else(|_| own.image.clone(), |image| image.to_string()),
        image_id: image_id.cloned().unwrap_or_default(),
        restart_count: count(attempt),
        allocated_resources: resources.requests.clone(),
        resources: Some(resources),
        ..status
    }
}

fn count(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

/// A mount that is read-only is so at its top alone, unless the runtime does more.
fn mount_status(mount: &api::VolumeMount) -> api::VolumeMountStatus {
    let read_only = mount.read_only == Some(true);
    api::VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| "Disabled".to_owned()),
        ..api::VolumeMountStatus::default()
    }
}

/// State and last state: the end of the last run is one of the two [7.12]. Messages have `limit` bytes at most.
fn states(up: &Up, index: usize, limit: usize) -> (api::ContainerState, api::ContainerState) {
    let shown = container_state(up, index);
    let slot = &up.slots[index];
    let ended = slot.last.as_ref().map(|last| terminated(last, limit));
    let of_end = |terminated| api::ContainerState { terminated, ..api::ContainerState::default() };
    match (shown, ended) {
        (control::ContainerState::Terminated(_), Some(ended)) => (of_end(Some(ended)), of_end(None)),
        (shown, ended) => (state_of(shown), of_end(ended)),
    }
}

fn state_of(state: control::ContainerState) -> api::ContainerState {
    let mut told = api::ContainerState::default();
    match state {
        control::ContainerState::Waiting { reason, message } => {
            told.waiting = Some(api::ContainerStateWaiting { reason: Some(reason), message });
        }
        control::ContainerState::Running { started_at, .. } => {
            told.running = Some(api::ContainerStateRunning { started_at: Some(to_seconds(started_at)) });
        }
        // one that nothing is left of
        control::ContainerState::Terminated(exit) => {
            told.terminated = Some(api::ContainerStateTerminated {
                exit_code: exit.exit_code,
                reason: Some(exit.reason),
                message: exit.message,
                ..api::ContainerStateTerminated::default()
            });
        }
    }
    told
}

/// An end in the container's and the runtime's words alone; what this runner knows of its cause is told by events.
fn terminated(ended: &Ended, limit: usize) -> api::ContainerStateTerminated {
    // the runtime's words of a start that failed are all that there is [3.43]
    let of_start = ended.cause.as_ref().filter(|_| ended.started_at.is_none());
    let message = ended.exit.message.as_ref().or(of_start).filter(|message| !message.is_empty());
    api::ContainerStateTerminated {
        container_id: Some(format!("{RUNTIME}://{}", ended.id)),
        exit_code: ended.exit.code,
        reason: Some(exit_reason(&ended.exit, ended.started_at.is_some()).to_owned()),
        message: message.map(|message| cut(message, limit).to_owned()),
        started_at: ended.started_at.map(to_seconds),
        finished_at: Some(to_seconds(ended.exit.finished_at)),
        // the kubelet tells the code alone
        signal: None,
    }
}

/// The beginning of a text, `limit` bytes at most.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The API has whole seconds [7.15].
pub(super) fn to_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests;

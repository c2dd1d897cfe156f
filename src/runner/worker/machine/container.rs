//! PURE: the part of the machine that is about one container: its starts, its probes, its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::{Cause, Command, Ended, Life, Live, Role, Run, Slot, Stage, State, Tag, Up, Why};
use crate::runner::pod::{Container, ContainerKind, Pod, RestartAction, RestartPolicy};
use crate::runner::runtime::Exit;

/// Between two tries of what has no back-off of its own: creating a container, stopping one, clearing a sandbox [2.5].
pub(super) const RETRY: Duration = Duration::from_secs(10);
/// No container gets less to end in [2.31].
pub(super) const LEAST_GRACE: Duration = Duration::from_secs(2);

const ALL_ROLES: &[Role] = &[Role::Startup, Role::Liveness, Role::Readiness];
/// What may kill a container; readiness goes on while it ends [5.17].
const KILLING_ROLES: &[Role] = &[Role::Startup, Role::Liveness];

/// The pod and the container that a tag is about, if that run is still the current one.
pub(super) fn up_of(state: &mut State, tag: Tag) -> Option<(&mut Up, usize)> {
    if tag.generation != state.generation {
        return None;
    }
    match &mut state.life {
        Life::Up(up) | Life::Stopping(up) => {
            let is_current = up.slots.get(tag.container).is_some_and(|slot| slot.attempt == tag.attempt);
            is_current.then_some((up, tag.container))
        }
        Life::Absent | Life::Making { .. } | Life::Retrying { .. } | Life::Clearing { .. } | Life::Finished(_) => None,
    }
}

pub(super) fn started(state: &mut State, tag: Tag, live: Live, now: Instant, commands: &mut Vec<Command>) {
    let generation = state.generation;
    let Some((up, index)) = up_of(state, tag) else { return };
    if !matches!(up.slots[index].run, Run::Starting) {
        return;
    }
    commands.push(Command::Watch { tag, id: live.id.clone() });
    up.slots[index].run = Run::Running(live.clone());
    if let Some(ending) = up.ending {
        // the pod has begun to end meanwhile
        up.kill(index, Cause::Pod, ending.saturating_duration_since(now), generation, now, commands);
        return;
    }
    up.slots[index].probe = None;
    if up.pod.containers[index].post_start.is_some() {
        up.slots[index].hooking = true;
        commands.push(Command::PostStart { tag, pod: Arc::clone(&up.pod), live });
    } else {
        up.begin(index, tag, &live, commands);
    }
}

pub(super) fn post_started(
    state: &mut State,
    tag: Tag,
    outcome: Result<(), String>,
    now: Instant,
    commands: &mut Vec<Command>,
) {
    let generation = state.generation;
    let Some((up, index)) = up_of(state, tag) else { return };
    if !std::mem::take(&mut up.slots[index].hooking) {
        return;
    }
    let Run::Running(live) = up.slots[index].run.clone() else { return };
    match outcome {
        Ok(()) => up.begin(index, tag, &live, commands),
        Err(message) => {
            let grace = up.pod.grace;
            up.kill(index, Cause::Hook(message), grace, generation, now, commands);
        }
    }
}

impl Up {
    /// A container runs: without a startup probe it counts as started, else that probe comes first [5.13, 5.14].
    pub fn begin(&mut self, index: usize, tag: Tag, live: &Live, commands: &mut Vec<Command>) {
        let is_started = self.slots[index].started || self.pod.containers[index].startup.is_none();
        if is_started {
            self.set_started(index, tag, live, commands);
        } else {
            let (pod, live) = (Arc::clone(&self.pod), live.clone());
            commands.push(Command::Probe { tag, role: Role::Startup, pod, live });
        }
    }

    fn set_started(&mut self, index: usize, tag: Tag, live: &Live, commands: &mut Vec<Command>) {
        let spec = &self.pod.containers[index];
        let slot = &mut self.slots[index];
        slot.started = true;
        slot.ready |= spec.readiness.is_none();
        for (role, probe) in [(Role::Liveness, &spec.liveness), (Role::Readiness, &spec.readiness)] {
            if probe.is_some() {
                commands.push(Command::Probe { tag, role, pod: Arc::clone(&self.pod), live: live.clone() });
            }
        }
    }

    /// Asks a running container to end: its preStop hook comes first, unless a hand ends it [3.97].
    pub(super) fn kill(
        &mut self,
        index: usize,
        cause: Cause,
        grace: Duration,
        generation: u64,
        now: Instant,
        commands: &mut Vec<Command>,
    ) {
        let (tag, grace) = (self.tag(generation, index), grace.max(LEAST_GRACE));
        let has_hook = self.pod.containers[index].pre_stop.is_some() && cause != Cause::Hand;
        let slot = &mut self.slots[index];
        let (live, has_hook) = match &slot.run {
            Run::Running(live) => (live.clone(), has_hook),
            // a later request can only shorten [2.33]; the hook has had its time
            Run::Killing { live, until, .. } if now + grace < *until => (live.clone(), false),
            Run::Killing { .. } | Run::Waiting { .. } | Run::Pulling { .. } | Run::Starting | Run::Done => return,
        };
        slot.hooking = false;
        commands.push(Command::Unprobe { container: index, roles: KILLING_ROLES });
        if has_hook {
            commands.push(Command::PreStop { tag, pod: Arc::clone(&self.pod), live: live.clone(), grace });
        }
        let stage = if has_hook { Stage::Hook } else { Stage::Turn };
        slot.run = Run::Killing { live, cause, until: now + grace, stage };
    }
}

pub(super) fn start_failed(
    state: &mut State,
    tag: Tag,
    why: Why,
    dead: Option<(String, Exit)>,
    now: Instant,
    commands: &mut Vec<Command>,
) {
    let Some((up, index)) = up_of(state, tag) else { return };
    if !matches!(up.slots[index].run, Run::Starting) {
        return;
    }
    match dead {
        Some((id, mut exit)) => {
            exit.message.get_or_insert(why.message);
            let attempt = tag.attempt;
            let ended = Ended { id, image_id: None, attempt, at: now, started_at: None, exit, cause: None };
            up.end_run(index, ended, None, commands);
        }
        None if up.ending.is_some() => up.slots[index].run = Run::Done,
        None => up.slots[index].run = Run::Waiting { due: now + RETRY, after: None, why: Some(why) },
    }
}

pub(super) fn exited(state: &mut State, tag: Tag, exit: Exit, now: Instant, commands: &mut Vec<Command>) {
    let Some((up, index)) = up_of(state, tag) else { return };
    let (live, cause) = match &up.slots[index].run {
        Run::Running(live) => (live.clone(), None),
        Run::Killing { live, cause, .. } => (live.clone(), Some(cause.clone())),
        Run::Waiting { .. } | Run::Pulling { .. } | Run::Starting | Run::Done => return,
    };
    commands.push(Command::Unprobe { container: index, roles: ALL_ROLES });
    let words = match &cause {
        Some(Cause::Probe(role)) => {
            let slot = &up.slots[index];
            Some(slot.probe.clone().unwrap_or_else(|| format!("{} probe failed", role.name())))
        }
        Some(Cause::Hook(message)) => Some(format!("PostStart hook failed: {message}")),
        Some(Cause::Hand) => Some("stopped by hand".to_owned()),
        Some(Cause::Pod) | None => None,
    };
    let started_at = Some(live.started_at);
    let (image_id, attempt) = (Some(live.image_id), tag.attempt);
    let ended = Ended { id: live.id, image_id, attempt, at: now, started_at, exit, cause: words };
    up.end_run(index, ended, cause, commands);
}

impl Up {
    /// Keeps the newest end, drops the one before, and decides by the restart policy what comes next [3.20].
    pub fn end_run(&mut self, index: usize, ended: Ended, cause: Option<Cause>, commands: &mut Vec<Command>) {
        let pod = Arc::clone(&self.pod);
        let slot = &mut self.slots[index];
        (slot.started, slot.ready, slot.hooking, slot.probe) = (false, false, false, None);
        let by_probe = matches!(cause, Some(Cause::Probe(_)));
        let answer = answer(&pod, &pod.containers[index], &ended.exit, by_probe);
        let again = self.ending.is_none() && answer != Answer::Stays;
        if self.ending.is_none() && answer == Answer::RestartsAll {
            self.resetting.get_or_insert(index);
        }
        let at = ended.at;
        let before = slot.last.replace(ended);
        if let Some(before) = &before {
            let (attempt, id) = (before.attempt, before.id.clone());
            commands.push(Command::Forget { pod: Arc::clone(&pod), container: index, attempt, id });
        }
        if !again {
            slot.run = Run::Done;
            return;
        }
        slot.attempt += 1;
        slot.run = slot.waiting(at, cause.as_ref(), before.map(|ended| ended.at), &pod, index);
    }
}

/// An init container that the kernel killed a process of for memory has failed, whatever its code [3.11].
pub(super) fn succeeded(kind: ContainerKind, exit: &Exit) -> bool {
    exit.code == 0 && !(kind == ContainerKind::Init && exit.oom_killed)
}

/// What follows from the end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Stays,
    Restarts,
    RestartsAll,
}

/// By its own rules, of which the first that holds counts, its kind and policy, or its pod's policy [3.11, 3.14, 3.16].
fn answer(pod: &Pod, container: &Container, exit: &Exit, by_probe: bool) -> Answer {
    let policy = container.restart_policy.unwrap_or(pod.restart_policy);
    let succeeded = succeeded(container.kind, exit);
    let rule = container.restart_rules.iter().find(|rule| rule.holds(exit.code)).map(|rule| rule.action);
    let again = match (rule, container.kind) {
        (Some(RestartAction::RestartAllContainers), _) => return Answer::RestartsAll,
        (_, ContainerKind::Sidecar) => true,
        (_, ContainerKind::Init) if succeeded => false,
        (Some(RestartAction::Restart), ContainerKind::Init | ContainerKind::Regular) => true,
        (None, ContainerKind::Init | ContainerKind::Regular) => match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => by_probe || !succeeded,
            RestartPolicy::Never => false,
        },
    };
    if again { Answer::Restarts } else { Answer::Stays }
}

impl Slot {
    /// The wait before the restart of a run that ended at `at`.
    pub(super) fn waiting(
        &self,
        at: Instant,
        cause: Option<&Cause>,
        before: Option<Instant>,
        pod: &Pod,
        index: usize,
    ) -> Run {
        if matches!(cause, Some(Cause::Probe(_))) {
            // the kubelet kills and starts in one pass, so that only ends before this one count [3.27]
            match before {
                None => return Run::Waiting { due: at, after: None, why: None },
                Some(before) if self.backoff.due(before).0 <= at => {
                    return Run::Waiting { due: at, after: Some(before), why: None };
                }
                Some(_) => {}
            }
        }
        let (due, delay) = self.backoff.due(at);
        let back_off = || {
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(delay),
                pod.containers[index].name,
                pod.name,
                pod.namespace,
                pod.uid
            );
            Why::new("CrashLoopBackOff", message)
        };
        let why = match cause {
            // not started as it was to be: the wait is the back-off's, the reason the hook's [3.96]
            Some(Cause::Hook(message)) => Some(Why::new("PostStartHookError", message.clone())),
            Some(Cause::Probe(_) | Cause::Hand | Cause::Pod) | None => (!delay.is_zero()).then(back_off),
        };
        Run::Waiting { due, after: Some(at), why }
    }
}

/// Whole seconds as Go prints them: `10s`, `1m20s`, `5m0s` [3.25].
fn go_duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

pub(super) fn probed(
    state: &mut State,
    tag: Tag,
    role: Role,
    outcome: Result<(), String>,
    verdict: Option<bool>,
    now: Instant,
    commands: &mut Vec<Command>,
) {
    let is_stopping = matches!(state.life, Life::Stopping(_));
    let generation = state.generation;
    let Some((up, index)) = up_of(state, tag) else { return };
    let Some(live) = up.slots[index].live().cloned() else { return };
    let is_killed = matches!(up.slots[index].run, Run::Killing { .. });
    let slot = &mut up.slots[index];
    if role == Role::Startup && slot.started {
        return;
    }
    if !is_killed {
        slot.probe = outcome.err().map(|message| format!("{} probe failed: {message}", role.name()));
    }
    match (role, verdict) {
        (_, None) | (Role::Liveness, Some(true)) => {}
        (Role::Readiness, Some(is_ready)) => slot.ready = is_ready && slot.started,
        (Role::Startup, Some(true)) if !is_stopping && !is_killed => {
            commands.push(Command::Unprobe { container: index, roles: &[Role::Startup] });
            up.set_started(index, tag, &live, commands);
        }
        (Role::Startup | Role::Liveness, Some(false)) if !is_stopping && !is_killed => {
            let spec = &up.pod.containers[index];
            let probe = if role == Role::Startup { &spec.startup } else { &spec.liveness };
            let grace = probe.as_ref().and_then(|probe| probe.grace).unwrap_or(up.pod.grace);
            up.kill(index, Cause::Probe(role), grace, generation, now, commands);
        }
        (Role::Startup | Role::Liveness, Some(_)) => {}
    }
}

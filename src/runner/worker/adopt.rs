//! PURE: the state in which a worker takes over a pod that an earlier runner started [2.F].
//!
//! What runs is kept as it is: same container, same restart count, started and ready as they were. What ended
//! meanwhile is treated as if it ended now, by the restart policy and the back-off that the record tells.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::machine::{Command, Ended, Life, Live, Run, Slot, State, Tag, Up};
use crate::runner::pod::{ContainerKind, Pod};
use crate::runner::record::{Clock, ContainerRecord, Record};
use crate::runner::runtime::{Container, ContainerState, Exit, PodSandbox, SandboxState};

/// What a container that has vanished has said; the two spaces are the kubelet's [3.41].
const VANISHED: &str = "The container could not be located when the pod was deleted.  The container used to be Running";

const GENERATION: u64 = 1;

/// `containers` are those in `sandbox`; `record` is of the same pod. The commands are to be carried out first. No
/// restart waits longer than `longest`.
pub fn adopt(
    pod: Arc<Pod>,
    record: Option<&Record>,
    sandbox: &PodSandbox,
    containers: Vec<Container>,
    longest: Duration,
    clock: Clock,
) -> (State, Vec<Command>) {
    let mut commands = Vec::new();
    let slots = (0..pod.containers.len()).map(|_| Slot::new(0, clock.now)).collect();
    let mut up = Up { ips: sandbox.ips.clone(), ..Up::new(Arc::clone(&pod), sandbox.id.clone(), slots) };
    let is_ready = sandbox.state == SandboxState::Ready;
    let record = record.filter(|record| record.pod.revision == pod.revision);
    let progress = Progress::of(&pod, record, &containers);
    up.initialized = progress.initialized;
    for (index, spec) in pod.containers.iter().enumerate() {
        if spec.kind == ContainerKind::Init && progress.is_past(index) {
            // what comes after it would not be there otherwise: it is not run again, also where nothing is left of it
            up.slots[index].run = Run::Done;
        }
        let known = record.and_then(|record| record.containers.get(index));
        let backoff = known.map(|known| known.backoff(longest, clock));
        up.slots[index].backoff = backoff.unwrap_or_else(|| Backoff::up_to(longest));
        up.slots[index].attempt = known.map_or(0, |known| known.attempt);
        let mut own: Vec<_> = containers.iter().filter(|container| container.config.name == spec.name).collect();
        own.sort_by_key(|container| container.config.attempt);
        for container in &own {
            take(&mut up, index, container, known, clock, &mut commands);
        }
        let vanished = known.and_then(|known| Some((known.attempt, known.id.as_ref()?)));
        let vanished = vanished.filter(|(attempt, _)| own.iter().all(|found| found.config.attempt < *attempt));
        if let Some((attempt, id)) = vanished {
            up.vanished(index, id, attempt, clock, &mut commands);
        }
    }
    let failure = record.and_then(|record| record.failure);
    up.resetting = record.and_then(|record| record.resetting).or(up.resetting);
    let life = if up.is_finished(failure) {
        up.slots.iter_mut().for_each(|slot| slot.run = Run::Done);
        up.resetting = None;
        Life::Finished(up)
    } else if is_ready {
        Life::Up(up)
    } else {
        // a boot has taken the sandbox: its successor counts on from the logs
        commands.retain(|command| !matches!(command, Command::Watch { .. } | Command::Probe { .. }));
        commands.push(Command::ClearSandbox { generation: GENERATION, sandbox: sandbox.id.clone() });
        Life::Clearing { up, due: None }
    };
    let began = record.and_then(|record| record.began).unwrap_or(sandbox.created_at);
    let state = State {
        wanted: Some(Arc::clone(&pod)),
        life,
        generation: GENERATION,
        began: Some(clock.instant(began)),
        failure,
        longest_backoff: longest,
        ..State::default()
    };
    (state, commands)
}

/// How far the pod has come in its order.
struct Progress {
    initialized: bool,
    /// The last container in the order that is there.
    furthest: usize,
}

impl Progress {
    fn of(pod: &Pod, record: Option<&Record>, containers: &[Container]) -> Self {
        let begins = record.is_some_and(|record| record.initialized == Some(false));
        let is_found = |index: &usize| {
            // while all containers are being restarted, what ended before tells nothing
            let first = record.and_then(|record| record.containers.get(*index)).map(|known| known.attempt);
            let first = first.filter(|_| begins).unwrap_or(0);
            containers
                .iter()
                .any(|found| found.config.name == pod.containers[*index].name && found.config.attempt >= first)
        };
        let is_regular = |index: usize| pod.containers[index].kind == ContainerKind::Regular;
        let found = || (0..pod.containers.len()).rev().filter(is_found);
        let was_initialized = record.is_some_and(|record| record.initialized == Some(true));
        Progress { initialized: was_initialized || found().any(is_regular), furthest: found().next().unwrap_or(0) }
    }

    fn is_past(&self, index: usize) -> bool {
        self.initialized || index < self.furthest
    }
}

/// Takes one container over; those of one name come in the order of their attempts.
fn take(
    up: &mut Up,
    index: usize,
    container: &Container,
    known: Option<&ContainerRecord>,
    clock: Clock,
    commands: &mut Vec<Command>,
) {
    let attempt = container.config.attempt;
    let tag = Tag { generation: GENERATION, container: index, attempt };
    up.slots[index].attempt = attempt;
    match &container.state {
        ContainerState::Created => {
            let (pod, id) = (Arc::clone(&up.pod), container.id.clone());
            commands.push(Command::Forget { pod, container: index, attempt, id });
        }
        ContainerState::Running { pid, started_at } => {
            let live = Live {
                id: container.id.clone(),
                pid: *pid,
                image_id: container.image_id.clone(),
                started_at: *started_at,
            };
            let slot = &mut up.slots[index];
            if let Some(known) = known.filter(|known| known.id.as_ref() == Some(&container.id)) {
                (slot.started, slot.ready) = (known.started, known.ready);
            }
            slot.run = Run::Running(live.clone());
            commands.push(Command::Watch { tag, id: live.id.clone() });
            up.begin(index, tag, &live, commands);
        }
        ContainerState::Exited { started_at, exit } => {
            // the record counts a restart that was decided already
            let decided = known.filter(|known| known.attempt > attempt);
            let ended = Ended {
                id: container.id.clone(),
                image_id: Some(container.image_id.clone()),
                attempt,
                at: clock.instant(exit.finished_at),
                started_at: *started_at,
                exit: exit.clone(),
                cause: decided.and_then(|known| known.cause.clone()),
            };
            let resetting = up.resetting;
            up.end_run(index, ended, None, commands);
            if let Some(known) = decided {
                up.resetting = resetting;
                up.slots[index].attempt = known.attempt;
                if known.starting || matches!(up.slots[index].run, Run::Done) {
                    up.slots[index].run = Run::Waiting { due: clock.now, after: None, why: None };
                }
            }
        }
    }
}

impl Up {
    /// Nobody saw the end of a container that ran, and nothing is left of it: it is started anew, as a restart [7.14].
    fn vanished(&mut self, index: usize, id: &str, attempt: u32, clock: Clock, commands: &mut Vec<Command>) {
        let exit = Exit {
            code: 137,
            signal: 0,
            code_known: false,
            oom_killed: false,
            finished_at: clock.wall,
            message: Some(VANISHED.to_owned()),
        };
        let (id, at) = (id.to_owned(), clock.now);
        let before = self.slots[index].last.replace(Ended {
            id,
            image_id: None,
            attempt,
            at,
            started_at: None,
            exit,
            cause: None,
        });
        if let Some(Ended { attempt, id, .. }) = before {
            commands.push(Command::Forget { pod: Arc::clone(&self.pod), container: index, attempt, id });
        }
        let slot = &mut self.slots[index];
        slot.attempt = attempt + 1;
        if !(self.pod.containers[index].kind == ContainerKind::Init && matches!(slot.run, Run::Done)) {
            slot.run = Run::Waiting { due: clock.now, after: None, why: None };
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use jiff::Timestamp;

    use super::*;
    use crate::layout::Layout;
    use crate::runner::container;
    use crate::runner::pod::RestartPolicy;
    use crate::runner::testing;
    use crate::runner::worker::backoff::LONGEST;

    fn clock() -> Clock {
        Clock { now: Instant::now() + Duration::from_secs(100_000), wall: Timestamp::now() }
    }

    fn sandbox(pod: &Pod, state: SandboxState) -> PodSandbox {
        let config = container::sandbox(pod, 0, &testing::node(), &Layout::default(), Timestamp::UNIX_EPOCH).unwrap();
        PodSandbox { id: "s".to_owned(), state, created_at: Timestamp::UNIX_EPOCH, ips: Vec::new(), config }
    }

    fn found(pod: &Pod, attempt: u32, state: ContainerState) -> Container {
        Container {
            id: format!("id{attempt}"),
            sandbox_id: "s".to_owned(),
            image_id: "sha256:0".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            state,
            config: container::config(pod, 0, attempt, &Default::default(), &testing::node(), &[], &Layout::default())
                .unwrap(),
        }
    }

    fn exited(code: i32, finished_at: Timestamp) -> ContainerState {
        let exit = Exit { code, signal: 0, code_known: true, oom_killed: false, finished_at, message: None };
        ContainerState::Exited { started_at: None, exit }
    }

    #[test]
    fn what_runs_is_kept_with_its_counts_and_its_readiness() {
        let (pod, clock) = (Arc::new(testing::pod("a")), clock());
        let running = ContainerState::Running { pid: 7, started_at: Timestamp::UNIX_EPOCH };
        let containers = vec![found(&pod, 3, running), found(&pod, 2, exited(1, clock.wall))];
        let sandbox = sandbox(&pod, SandboxState::Ready);
        let (state, commands) = adopt(Arc::clone(&pod), None, &sandbox, containers, LONGEST, clock);
        let slot = &state.up().unwrap().slots[0];
        assert_eq!((slot.attempt, slot.ready), (3, true));
        assert_eq!(slot.live().unwrap().id, "id3");
        assert_eq!(slot.last.as_ref().unwrap().attempt, 2);
        assert!(matches!(&commands[..], [Command::Watch { id, .. }] if id == "id3"), "{commands:?}");
    }

    #[test]
    fn what_ended_meanwhile_waits_for_its_recorded_back_off() {
        let (pod, clock) = (Arc::new(testing::pod("a")), clock());
        let mut slot = Slot::new(2, clock.now);
        for _ in 0..3 {
            slot.backoff.restart(clock.now - Duration::from_secs(5), clock.now - Duration::from_secs(5));
        }
        let up = Up::new(Arc::clone(&pod), "s".to_owned(), vec![slot]);
        let record = Record::of(&up, clock);
        let containers = vec![found(&pod, 2, exited(1, clock.wall - Duration::from_secs(10)))];
        let sandbox = sandbox(&pod, SandboxState::Ready);
        let (state, _) = adopt(Arc::clone(&pod), Some(&record), &sandbox, containers, LONGEST, clock);
        let slot = &state.up().unwrap().slots[0];
        assert_eq!(slot.attempt, 3);
        let Run::Waiting { due, .. } = &slot.run else { panic!("{slot:?}") };
        assert_eq!((*due - clock.now).as_secs(), 30);
    }

    #[test]
    fn a_start_that_was_decided_does_not_wait_again() {
        let (pod, clock) = (Arc::new(testing::pod("a")), clock());
        let mut slot = Slot::new(3, clock.now);
        slot.backoff.restart(clock.now, clock.now);
        slot.run = Run::Starting;
        let up = Up::new(Arc::clone(&pod), "s".to_owned(), vec![slot]);
        let record = Record::of(&up, clock);
        let containers = vec![found(&pod, 2, exited(1, clock.wall))];
        let sandbox = sandbox(&pod, SandboxState::Ready);
        let (state, _) = adopt(Arc::clone(&pod), Some(&record), &sandbox, containers, LONGEST, clock);
        let slot = &state.up().unwrap().slots[0];
        assert_eq!(slot.attempt, 3);
        assert!(matches!(slot.run, Run::Waiting { due, .. } if due == clock.now), "{slot:?}");
    }

    #[test]
    fn a_container_that_was_never_started_is_made_again() {
        let (pod, clock) = (Arc::new(testing::pod("a")), clock());
        let sandbox = sandbox(&pod, SandboxState::Ready);
        let containers = vec![found(&pod, 0, ContainerState::Created)];
        let (state, commands) = adopt(Arc::clone(&pod), None, &sandbox, containers, LONGEST, clock);
        let slot = &state.up().unwrap().slots[0];
        assert!(slot.attempt == 0 && matches!(slot.run, Run::Waiting { .. }));
        assert!(matches!(&commands[..], [Command::Forget { id, .. }] if id == "id0"));
    }

    #[test]
    fn case_53_what_came_before_a_container_that_is_there_is_not_run_again() {
        let clock = clock();
        let init = |name: &str| {
            let mut container = testing::pod("a").containers.remove(0);
            (container.kind, container.name) = (ContainerKind::Init, name.to_owned());
            container
        };
        let mut pod = testing::pod("a");
        pod.containers.splice(0..0, [init("first"), init("second"), init("third")]);
        let pod = Arc::new(pod);
        let mut second = found(&pod, 0, ContainerState::Running { pid: 7, started_at: clock.wall });
        second.config.name = "second".to_owned();
        let sandbox = sandbox(&pod, SandboxState::Ready);
        let (state, _) = adopt(Arc::clone(&pod), None, &sandbox, vec![second], LONGEST, clock);
        let up = state.up().unwrap();
        let runs: Vec<_> = up.slots.iter().map(|slot| &slot.run).collect();
        assert!(matches!(runs[..], [Run::Done, Run::Running(_), Run::Waiting { .. }, Run::Waiting { .. }]), "{runs:?}");
    }

    #[test]
    fn a_sandbox_lost_with_a_boot_is_cleared_unless_the_pod_is_finished() {
        let clock = clock();
        for (policy, is_finished) in [(RestartPolicy::Always, false), (RestartPolicy::Never, true)] {
            let pod = Arc::new(Pod { restart_policy: policy, ..testing::pod("a") });
            let sandbox = sandbox(&pod, SandboxState::NotReady);
            let containers = vec![found(&pod, 0, exited(0, clock.wall))];
            let (state, commands) = adopt(Arc::clone(&pod), None, &sandbox, containers, LONGEST, clock);
            assert_eq!(matches!(state.life, Life::Finished(_)), is_finished);
            assert_eq!(commands.iter().any(|command| matches!(command, Command::ClearSandbox { .. })), !is_finished);
        }
    }
}

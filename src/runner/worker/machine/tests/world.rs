//! A world that does what the machine asks, when it is told to, and holds it to what must never happen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::*;

/// Something asked for and not yet answered.
#[derive(Debug, Clone)]
enum Pending {
    Sandbox(u64),
    Clear(u64),
    Pull(Tag),
    Start(Tag),
    PostStart(Tag),
    PreStop(Tag),
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Instant,
    pub(super) begin: Instant,
    pending: VecDeque<Pending>,
    sandbox: Option<(String, String)>,
    /// Id, tag and whether its stop was asked for, by container's index.
    pub(super) containers: BTreeMap<usize, Running>,
    pub(super) over: bool,
    /// A hook may be cut short.
    is_shortened: bool,
    pub(super) starts: Vec<(usize, u32, u64)>,
    /// The first of the starts since all containers were restarted.
    round: usize,
    was_initialized: bool,
    backoff: BTreeMap<(u64, usize), Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Running {
    tag: Tag,
    id: String,
    watched: bool,
    stopping: bool,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Happening {
    WantA,
    WantB,
    WantNone,
    Drain,
    /// The oldest thing asked for is answered.
    Succeeds,
    Fails,
    /// The newest thing asked for is answered before the others.
    NewestSucceeds,
    FirstExits,
    FirstSucceeds,
    LastExits,
    /// Something about the past arrives late.
    Stale,
    LivenessFails,
    StartupPasses,
    Killed,
    Restarted,
    /// Time passes to the next deadline.
    Later,
    StopFails,
}

pub(super) const HAPPENINGS: [Happening; 17] = {
    use Happening::*;
    [
        WantA,
        WantB,
        WantNone,
        Drain,
        Succeeds,
        Fails,
        NewestSucceeds,
        FirstExits,
        FirstSucceeds,
        LastExits,
        Stale,
        LivenessFails,
        StartupPasses,
        Killed,
        Restarted,
        Later,
        StopFails,
    ]
};

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        World {
            state: State::default(),
            now,
            begin: now,
            pending: VecDeque::new(),
            sandbox: None,
            containers: BTreeMap::new(),
            over: false,
            is_shortened: false,
            starts: Vec::new(),
            round: 0,
            was_initialized: false,
            backoff: BTreeMap::new(),
        }
    }

    pub(super) fn send(&mut self, event: Event) {
        let commands = step(&mut self.state, event, self.now);
        for command in commands {
            self.obey(command);
        }
        self.check();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::MakeSandbox { generation, .. } => {
                assert!(self.sandbox.is_none(), "a new sandbox while the old one is there");
                assert!(self.containers.is_empty(), "a new revision before the old one is gone");
                self.pending.push_back(Pending::Sandbox(generation));
            }
            Command::ClearSandbox { generation, .. } => {
                assert!(self.containers.is_empty(), "a sandbox is cleared before its containers ended");
                self.pending.push_back(Pending::Clear(generation));
            }
            Command::Pull { tag, .. } => self.pending.push_back(Pending::Pull(tag)),
            Command::Start { tag, pod, sandbox } => {
                let (id, revision) = self.sandbox.clone().unwrap();
                assert_eq!((id, revision), (sandbox, pod.revision.clone()), "a start in another pod's sandbox");
                assert!(!self.containers.contains_key(&tag.container), "two live copies of a container");
                let is_pending =
                    |pending: &Pending| matches!(pending, Pending::Start(other) if other.container == tag.container);
                assert!(!self.pending.iter().any(is_pending), "two starts of a container");
                let before = self
                    .starts
                    .iter()
                    .rfind(|(index, _, generation)| *index == tag.container && *generation == tag.generation);
                assert!(before.is_none_or(|(_, attempt, _)| tag.attempt >= *attempt), "an attempt went backwards");
                self.check_order(tag.container, &pod);
                self.pending.push_back(Pending::Start(tag));
            }
            Command::Watch { tag, id } => {
                let running = self.containers.get_mut(&tag.container).unwrap();
                assert_eq!(running.id, id);
                running.watched = true;
            }
            Command::PostStart { tag, live, .. } => {
                assert_eq!(self.containers[&tag.container].id, live.id);
                self.pending.push_back(Pending::PostStart(tag));
            }
            Command::PreStop { tag, live, grace, .. } => {
                assert!(grace >= Duration::from_secs(2), "less than the least grace");
                let running = &self.containers[&tag.container];
                assert_eq!(running.id, live.id);
                assert!(!running.stopping, "a hook after the signal");
                self.pending.push_back(Pending::PreStop(tag));
            }
            Command::Stop { tag, id, grace } => {
                assert!(grace >= Duration::from_secs(2), "less than the least grace");
                let is_hook = |pending: &Pending| matches!(pending, Pending::PreStop(other) if *other == tag);
                let is_early = self.pending.iter().any(is_hook);
                assert!(!is_early || self.is_shortened, "a signal while the hook runs");
                self.check_turn(tag.container);
                if let Some(running) = self.containers.get_mut(&tag.container) {
                    assert_eq!((running.id.as_str(), running.tag), (id.as_str(), tag));
                    running.stopping = true;
                }
            }
            Command::Forget { id, .. } => {
                assert!(self.containers.values().all(|running| running.id != id), "a live container is forgotten");
            }
            Command::End => {
                assert!(self.sandbox.is_none() && self.containers.is_empty(), "the worker left something behind");
                self.over = true;
            }
            Command::RestSandbox { .. } => {
                assert!(self.containers.is_empty(), "a sandbox rests while containers run");
            }
            Command::Probe { .. } | Command::Unprobe { .. } => {}
        }
    }

    /// Init containers have succeeded, and sidecars are up, before what follows them starts for the first time.
    fn check_order(&self, index: usize, pod: &Pod) {
        let up = self.state.up().unwrap();
        let has_run = self.starts[self.round..].iter().any(|(other, _, generation)| {
            *generation == self.state.generation && pod.containers[*other].kind == ContainerKind::Regular
        });
        if pod.containers[index].kind == ContainerKind::Init {
            assert!(!has_run, "an init container after a regular one");
        }
        for before in (0..index).filter(|_| !has_run) {
            let slot = &up.slots[before];
            match pod.containers[before].kind {
                ContainerKind::Init => {
                    let code = slot.last.as_ref().map(|last| last.exit.code);
                    assert!(code == Some(0) && matches!(slot.run, Run::Done), "a start before an init container's end");
                }
                ContainerKind::Sidecar => assert!(slot.started, "a start before a sidecar is up"),
                ContainerKind::Regular => {}
            }
        }
        assert!(up.slots.iter().all(|slot| !slot.hooking), "a start while a postStart hook runs");
    }

    /// With its pod, a sidecar goes after everything that it may be needed by.
    fn check_turn(&self, index: usize) {
        let up = self.state.up().unwrap();
        let is_by_pod = matches!(&up.slots[index].run, Run::Killing { cause: Cause::Pod, .. });
        if up.pod.containers[index].kind == ContainerKind::Sidecar && is_by_pod {
            let is_out_of_time = up.ending.unwrap() <= self.now;
            let needs = |other: &usize| *other > index || up.pod.containers[*other].kind == ContainerKind::Regular;
            let is_last = !self.containers.keys().any(|other| *other != index && needs(other));
            assert!(is_last || is_out_of_time, "a sidecar stopped before what needs it");
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        for running in self.containers.values() {
            assert!(running.watched, "a start without a watch on its end");
        }
        let generation = self.state.generation;
        let Some(up) = self.state.up() else { return };
        if self.was_initialized && !up.initialized {
            self.round = self.starts.len();
            assert!(self.containers.is_empty(), "all containers begin anew while one is left");
        }
        self.was_initialized = up.initialized;
        for (index, slot) in up.slots.iter().enumerate() {
            assert!(!slot.ready || slot.started, "ready before it is started");
            if let Some(entry) = slot.backoff.entry()
                && let Some(before) = self.backoff.insert((generation, index), entry)
            {
                let age = |last: &Ended| last.at.saturating_duration_since(before.updated);
                let ran_long = slot.last.as_ref().is_some_and(|last| age(last) > RESET);
                assert!(entry.delay >= before.delay || ran_long, "the back-off shrank before its reset");
            }
        }
    }

    /// `false`: nothing of the kind can happen now.
    pub(super) fn happen(&mut self, happening: Happening, a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
        // whoever gets End makes a new worker for the next wish
        if self.over {
            return false;
        }
        match happening {
            Happening::WantA => self.send(Event::Wanted(Some(Arc::clone(a)))),
            Happening::WantB => self.send(Event::Wanted(Some(Arc::clone(b)))),
            Happening::WantNone => self.send(Event::Wanted(None)),
            Happening::Drain => {
                self.is_shortened = true;
                self.send(Event::Drain(Drain { grace: Some(Duration::from_secs(3)) }));
            }
            Happening::Succeeds => {
                let Some(pending) = self.pending.pop_front() else { return false };
                self.succeed(pending, a, b);
            }
            Happening::NewestSucceeds => {
                if self.pending.len() < 2 {
                    return false;
                }
                let Some(pending) = self.pending.pop_back() else { return false };
                self.succeed(pending, a, b);
            }
            Happening::Fails => {
                let Some(pending) = self.pending.pop_front() else { return false };
                self.send(match pending {
                    Pending::Sandbox(generation) => Event::SandboxFailed { generation, why: why("FailedMount") },
                    Pending::Clear(generation) => Event::SandboxStuck { generation },
                    Pending::Pull(tag) => Event::PullFailed { tag, why: why("ErrImagePull") },
                    Pending::Start(tag) => Event::StartFailed { tag, why: why("CreateContainerError"), dead: None },
                    Pending::PostStart(tag) => Event::PostStarted { tag, outcome: Err("no".to_owned()) },
                    // the outcome of the hook makes no difference
                    Pending::PreStop(tag) => Event::PreStopped { tag },
                });
            }
            Happening::FirstExits => {
                let Some((_, running)) = self.containers.pop_first() else { return false };
                self.send(Event::Exited { tag: running.tag, exit: exit(1) });
            }
            Happening::FirstSucceeds => {
                let Some((_, running)) = self.containers.pop_first() else { return false };
                self.send(Event::Exited { tag: running.tag, exit: exit(0) });
            }
            Happening::LastExits => {
                if self.containers.len() < 2 {
                    return false;
                }
                let Some((_, running)) = self.containers.pop_last() else { return false };
                self.send(Event::Exited { tag: running.tag, exit: exit(0) });
            }
            Happening::Stale => {
                let tag = Tag { generation: self.state.generation.wrapping_sub(1), container: 0, attempt: 0 };
                self.send(Event::Exited { tag, exit: exit(3) });
                self.send(Event::Pulled { tag });
                self.send(Event::SandboxGone { generation: tag.generation });
            }
            Happening::LivenessFails => {
                let Some(running) = self.containers.values().next() else { return false };
                let (tag, outcome) = (running.tag, Err("no".to_owned()));
                self.send(Event::Probed { tag, role: Role::Liveness, outcome, verdict: Some(false) });
            }
            Happening::StartupPasses => {
                let Some(running) = self.containers.values().next() else { return false };
                let tag = running.tag;
                self.send(Event::Probed { tag, role: Role::Startup, outcome: Ok(()), verdict: Some(true) });
            }
            Happening::Killed => {
                let Some(running) = self.containers.values().next() else { return false };
                let id = running.id.clone();
                self.send(Event::Kill { id });
            }
            Happening::Restarted => self.send(Event::Restart { grace: None }),
            Happening::Later => {
                let Some(deadline) = self.state.deadline() else { return false };
                self.now = self.now.max(deadline);
                self.send(Event::Due);
            }
            Happening::StopFails => {
                let Some(running) = self.containers.values().find(|running| running.stopping) else { return false };
                let tag = running.tag;
                self.send(Event::StopFailed { tag });
            }
        }
        true
    }

    fn succeed(&mut self, pending: Pending, a: &Arc<Pod>, b: &Arc<Pod>) {
        match pending {
            Pending::Sandbox(generation) => {
                let id = format!("s{generation}");
                let Life::Making { pod, .. } = &self.state.life else { panic!("nobody waits for the sandbox") };
                assert!([a, b].iter().any(|known| known.revision == pod.revision));
                self.sandbox = Some((id.clone(), pod.revision.clone()));
                let attempts = vec![0; pod.containers.len()];
                self.send(Event::SandboxReady { generation, id, ips: Vec::new(), attempts });
            }
            Pending::Clear(generation) => {
                self.sandbox = None;
                self.send(Event::SandboxGone { generation });
            }
            Pending::PostStart(tag) => self.send(Event::PostStarted { tag, outcome: Ok(()) }),
            Pending::PreStop(tag) => self.send(Event::PreStopped { tag }),
            Pending::Pull(tag) => self.send(Event::Pulled { tag }),
            Pending::Start(tag) => {
                let live = live(tag);
                let running = Running { tag, id: live.id.clone(), watched: false, stopping: false };
                self.starts.push((tag.container, tag.attempt, tag.generation));
                self.containers.insert(tag.container, running);
                self.send(Event::Started { tag, live });
            }
        }
    }

    fn running_init(&self) -> Option<usize> {
        let up = self.state.up()?;
        self.containers.keys().copied().find(|index| up.pod.containers[*index].kind == ContainerKind::Init)
    }

    /// Everything asked for works out, and whatever is stopped ends.
    pub(super) fn settle(&mut self, a: &Arc<Pod>, b: &Arc<Pod>) {
        for _ in 0..100 {
            let stopping = self.containers.values().find(|running| running.stopping).map(|running| running.tag);
            if self.over {
                return;
            } else if let Some(tag) = stopping {
                self.containers.remove(&tag.container);
                self.send(Event::Exited { tag, exit: exit(143) });
            } else if self.happen(Happening::Succeeds, a, b) {
            } else if let Some(index) = self.running_init() {
                let tag = self.containers.remove(&index).unwrap().tag;
                self.send(Event::Exited { tag, exit: exit(0) });
            } else if !self.happen(Happening::Later, a, b) {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.state);
    }
}

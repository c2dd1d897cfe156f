//! PURE: what the machine is in, what it is told and what it asks for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::backoff::{Backoff, LONGEST, Retry};
use super::whole::Failure;
use crate::runner::pod::Pod;
use crate::runner::runtime::Exit;

#[derive(Debug, Clone)]
pub struct State {
    /// What the sources ask for.
    pub wanted: Option<Arc<Pod>>,
    /// Stop and stay stopped, whatever is wanted.
    pub drain: Option<Drain>,
    pub life: Life,
    /// Counts the sandboxes this state has seen.
    pub generation: u64,
    /// When the pod was first to be made.
    pub began: Option<Instant>,
    pub failure: Option<Failure>,
    /// No container waits longer for its restart.
    pub longest_backoff: Duration,
}

impl Default for State {
    fn default() -> Self {
        State {
            wanted: None,
            drain: None,
            life: Life::Absent,
            generation: 0,
            began: None,
            failure: None,
            longest_backoff: LONGEST,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Instead of the pod's own.
    pub grace: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
pub enum Life {
    #[default]
    Absent,
    Making {
        pod: Arc<Pod>,
        retry: Retry,
    },
    Retrying {
        pod: Arc<Pod>,
        retry: Retry,
        due: Instant,
        why: Why,
    },
    Up(Up),
    Stopping(Up),
    Clearing {
        up: Up,
        /// Set while the next try is waited for.
        due: Option<Instant>,
    },
    Finished(Up),
}

/// A pod with a sandbox.
#[derive(Debug, Clone)]
pub struct Up {
    pub pod: Arc<Pod>,
    pub sandbox: String,
    /// Of a network of its own, the primary one first.
    pub ips: Vec<IpAddr>,
    /// One for each container, in the order of the pod's.
    pub slots: Vec<Slot>,
    /// A regular container has had its turn: what comes before it is over, and is not asked for again [3.13].
    pub initialized: bool,
    /// When the pod's grace is over: it is being stopped, or only its sidecars are left.
    pub ending: Option<Instant>,
    /// All containers are being restarted because this one has ended as it has.
    pub resetting: Option<usize>,
}

/// One container of the manifest and what became of it.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Of the current run, or of the next one; the restart count.
    pub attempt: u32,
    pub run: Run,
    pub backoff: Backoff,
    pub pull: Retry,
    /// The newest end of a run; its container is kept for its log.
    pub last: Option<Ended>,
    pub started: bool,
    pub ready: bool,
    /// Its postStart hook has not ended yet.
    pub hooking: bool,
    /// The last probe, in words, if it failed.
    pub probe: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Run {
    Waiting {
        due: Instant,
        /// The end of the run that this start is counted against; `None` for a start that is no restart.
        after: Option<Instant>,
        why: Option<Why>,
    },
    Pulling {
        /// Why the try before failed.
        why: Option<Why>,
    },
    Starting,
    Running(Live),
    Killing {
        live: Live,
        cause: Cause,
        /// When its grace ends.
        until: Instant,
        stage: Stage,
    },
    /// Never again in this sandbox.
    Done,
}

/// How far the stop of a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its preStop hook runs.
    Hook,
    /// It is to be signalled when its turn comes: a sidecar after those that may need it.
    Turn,
    Signalled,
    /// The stop itself failed; when to try again.
    Retry(Instant),
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub id: String,
    pub pid: u32,
    pub image_id: String,
    pub started_at: Timestamp,
}

/// Why a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Probe(Role),
    /// Its postStart hook failed, so.
    Hook(String),
    Hand,
    Pod,
}

/// Why something waits, in the kubelet's words [3.40].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub reason: &'static str,
    pub message: String,
    /// The image that a pull has failed for, where it is tried again with a back-off.
    pub image: Option<String>,
}

impl Why {
    pub fn new(reason: &'static str, message: String) -> Why {
        Why { reason, message, image: None }
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub id: String,
    /// `None` where its start failed.
    pub image_id: Option<String>,
    pub attempt: u32,
    pub at: Instant,
    pub started_at: Option<Timestamp>,
    /// With the container's own termination message [3.51].
    pub exit: Exit,
    /// Why this runner ended it, in words for people; no part of the API's status.
    pub cause: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Startup,
    Liveness,
    Readiness,
}

impl Role {
    /// As the kubelet's events begin: `Liveness probe failed: …`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Startup => "Startup",
            Role::Liveness => "Liveness",
            Role::Readiness => "Readiness",
        }
    }
}

/// Which run of which container something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    pub generation: u64,
    /// Index in the pod's list.
    pub container: usize,
    pub attempt: u32,
}

#[derive(Debug, Clone)]
pub enum Event {
    /// The sources ask for this pod under this name, or for none.
    Wanted(Option<Arc<Pod>>),
    Drain(Drain),
    /// A container is to be stopped by hand.
    Kill {
        id: String,
    },
    /// The pod is to end, and to begin anew if it is still wanted then. `grace` is instead of the pod's own.
    Restart {
        grace: Option<Duration>,
    },
    /// `attempts`: for each container the first one that has no log yet [3.35].
    SandboxReady {
        generation: u64,
        id: String,
        ips: Vec<IpAddr>,
        attempts: Vec<u32>,
    },
    SandboxFailed {
        generation: u64,
        why: Why,
    },
    SandboxGone {
        generation: u64,
    },
    SandboxStuck {
        generation: u64,
    },
    Pulled {
        tag: Tag,
    },
    PullFailed {
        tag: Tag,
        why: Why,
    },
    Started {
        tag: Tag,
        live: Live,
    },
    /// `dead`: the container exists and is over; otherwise there is none.
    StartFailed {
        tag: Tag,
        why: Why,
        dead: Option<(String, Exit)>,
    },
    Exited {
        tag: Tag,
        exit: Exit,
    },
    StopFailed {
        tag: Tag,
    },
    /// The postStart hook has ended.
    PostStarted {
        tag: Tag,
        outcome: Result<(), String>,
    },
    /// The preStop hook has ended, well or not, or the grace is over.
    PreStopped {
        tag: Tag,
    },
    /// One probe's attempt; `verdict` when it made a threshold full.
    Probed {
        tag: Tag,
        role: Role,
        outcome: Result<(), String>,
        verdict: Option<bool>,
    },
    /// The time of [`State::deadline`] has come.
    Due,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Prepare the volumes and make the sandbox.
    MakeSandbox {
        generation: u64,
        pod: Arc<Pod>,
    },
    /// Stop and remove the sandbox with all that is in it.
    ClearSandbox {
        generation: u64,
        sandbox: String,
    },
    /// Stop the sandbox of a pod that is finished; its containers stay for their logs.
    RestSandbox {
        sandbox: String,
    },
    Pull {
        tag: Tag,
        pod: Arc<Pod>,
    },
    /// Create and start the container.
    Start {
        tag: Tag,
        pod: Arc<Pod>,
        sandbox: String,
    },
    /// Tell of the container's end.
    Watch {
        tag: Tag,
        id: String,
    },
    Stop {
        tag: Tag,
        id: String,
        grace: Duration,
    },
    /// Run the container's postStart hook.
    PostStart {
        tag: Tag,
        pod: Arc<Pod>,
        live: Live,
    },
    /// Run the container's preStop hook, for as long as `grace` at most.
    PreStop {
        tag: Tag,
        pod: Arc<Pod>,
        live: Live,
        grace: Duration,
    },
    Probe {
        tag: Tag,
        role: Role,
        pod: Arc<Pod>,
        live: Live,
    },
    /// End these probes of a container.
    Unprobe {
        container: usize,
        roles: &'static [Role],
    },
    /// Remove a dead container and its log.
    Forget {
        pod: Arc<Pod>,
        container: usize,
        attempt: u32,
        id: String,
    },
    /// The worker's work is over.
    End,
}

impl State {
    /// When [`Event::Due`] is to come, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let next = match &self.life {
            Life::Absent | Life::Making { .. } | Life::Finished(_) => None,
            Life::Retrying { due, .. } => Some(*due).filter(|_| self.failure.is_none()),
            Life::Clearing { due, .. } => *due,
            Life::Up(up) | Life::Stopping(up) => up.deadline(),
        };
        [next, self.end_of_time()].into_iter().flatten().min()
    }

    /// The pod that exists on the machine, in part or as a whole.
    pub fn current(&self) -> Option<&Arc<Pod>> {
        match &self.life {
            Life::Absent => None,
            Life::Making { pod, .. } | Life::Retrying { pod, .. } => Some(pod),
            Life::Up(up) | Life::Stopping(up) | Life::Finished(up) | Life::Clearing { up, .. } => Some(&up.pod),
        }
    }

    pub fn up(&self) -> Option<&Up> {
        match &self.life {
            Life::Up(up) | Life::Stopping(up) | Life::Finished(up) | Life::Clearing { up, .. } => Some(up),
            Life::Absent | Life::Making { .. } | Life::Retrying { .. } => None,
        }
    }

    /// `pod` is what is wanted, and may run.
    pub fn wants(&self, pod: &Pod) -> bool {
        self.drain.is_none() && self.wanted.as_ref().is_some_and(|wanted| wanted.revision == pod.revision)
    }
}

impl Up {
    pub fn new(pod: Arc<Pod>, sandbox: String, slots: Vec<Slot>) -> Self {
        Up { pod, sandbox, ips: Vec::new(), slots, initialized: false, ending: None, resetting: None }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_busy = self.is_busy();
        let of = |(index, slot): (usize, &Slot)| match &slot.run {
            Run::Waiting { due, .. } if !is_busy && self.may_start(index) => Some(*due),
            Run::Killing { stage: Stage::Retry(at), .. } => Some(*at),
            // a turn that has come has been taken; one that has not comes with the end of another, or of the grace
            Run::Killing { stage: Stage::Turn, .. } => self.ending,
            Run::Waiting { .. }
            | Run::Pulling { .. }
            | Run::Starting
            | Run::Running(_)
            | Run::Killing { stage: Stage::Hook | Stage::Signalled, .. }
            | Run::Done => None,
        };
        self.slots.iter().enumerate().filter_map(of).min()
    }

    /// Containers are made one at a time, and the next one not before the last one's postStart hook is over [3.1].
    pub(super) fn is_busy(&self) -> bool {
        self.slots.iter().any(|slot| {
            let is_made = matches!(slot.run, Run::Pulling { .. } | Run::Starting);
            is_made || slot.hooking && matches!(slot.run, Run::Running(_))
        })
    }

    /// Every container has ended, and none will be started.
    pub(super) fn is_done(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.run, Run::Done))
    }
}

impl Slot {
    pub fn new(attempt: u32, now: Instant) -> Self {
        Slot {
            attempt,
            run: Run::Waiting { due: now, after: None, why: None },
            backoff: Backoff::default(),
            pull: Retry::IMAGE,
            last: None,
            started: false,
            ready: false,
            hooking: false,
            probe: None,
        }
    }

    pub fn live(&self) -> Option<&Live> {
        match &self.run {
            Run::Running(live) | Run::Killing { live, .. } => Some(live),
            Run::Waiting { .. } | Run::Pulling { .. } | Run::Starting | Run::Done => None,
        }
    }
}

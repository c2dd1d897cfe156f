//! PURE: the life of one static pod, as a function from state and event to the next state and commands.
//!
//! ```text
//!            wanted            SandboxReady        all ended for good
//!  Absent ───────────► Making ─────────────► Up ──────────────────────► Finished
//!    ▲ ▲                │  ▲                  │ other revision wanted,      │ other revision, none wanted,
//!    │ │  SandboxFailed │  │ due              │ none wanted, drained,       │ restart
//!    │ │                │  │                  │ restart                     │
//!    │ │                ▼  │                  ▼                             ▼
//!    │ └───────────── Retrying             Stopping ──────────────────► Clearing
//!    │   not wanted                                every container ended     │
//!    └───────────────────────────────────────────────────────────────────────┘ SandboxGone
//!
//!  each container, while the pod is Up:
//!
//!     due, its turn         Pulled            Started            Exited
//!  Waiting ───────► Pulling ──────► Starting ─────────► Running ────────► Waiting, or Done by the restart policy
//!     ▲                │ PullFailed     │ StartFailed      │ a probe, a hook, a hand, the pod's end
//!     └────────────────┴────────────────┘                  └─► Killing ──► Exited
//!                                                              preStop hook, its turn, signal
//! ```
//!
//! Init containers come first, one after the other; a sidecar lets the next one start once it has started itself, and
//! is stopped after all that came later. `order` decides whose turn it is.
//!
//! [`step`] first takes the event in, then does whatever has become possible ([`advance`]). What is asked of the
//! world carries a [`Tag`] that its answer brings back: an answer about a container of the past is of no effect.
//! The machine knows no clock, no runtime and no files.

mod container;
mod order;
mod state;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use state::{Cause, Command, Drain, Ended, Event, Life, Live, Role, Run, Slot, Stage, State, Tag, Up, Why};
pub use whole::Failure;

use super::backoff::{Backoff, Retry};
use container::{RETRY, exited, post_started, probed, start_failed, started, up_of};

/// The machine: takes `event` in, then does what has become possible.
pub fn step(state: &mut State, event: Event, now: Instant) -> Vec<Command> {
    let mut commands = Vec::new();
    absorb(state, event, now, &mut commands);
    advance(state, now, &mut commands);
    commands
}

fn absorb(state: &mut State, event: Event, now: Instant, commands: &mut Vec<Command>) {
    let generation = state.generation;
    match event {
        Event::Wanted(pod) => state.wanted = pod,
        Event::Drain(drain) => {
            state.drain = Some(drain);
            if let (Life::Stopping(up), Some(grace)) = (&mut state.life, drain.grace) {
                up.stop(grace, generation, now, commands);
            }
        }
        Event::Kill { id } => {
            if let Life::Up(up) = &mut state.life
                && let Some(index) = up.slots.iter().position(|slot| slot.live().is_some_and(|live| live.id == id))
            {
                let grace = up.pod.grace;
                up.kill(index, Cause::Hand, grace, generation, now, commands);
            }
        }
        Event::Restart { grace } => restart(state, grace, now, commands),
        Event::SandboxReady { generation: of, id, ips, attempts } => {
            if of == generation
                && let Life::Making { pod, .. } = &state.life
            {
                let first = |index: usize| attempts.get(index).copied().unwrap_or(0);
                let backoff = Backoff::up_to(state.longest_backoff);
                let slot = |index| Slot { backoff: backoff.clone(), ..Slot::new(first(index), now) };
                let slots = (0..pod.containers.len()).map(slot).collect();
                state.life = Life::Up(Up { ips, ..Up::new(Arc::clone(pod), id, slots) });
            }
        }
        Event::SandboxFailed { generation: of, why } => {
            if of == generation
                && let Life::Making { pod, retry } = &state.life
            {
                let (pod, mut retry) = (Arc::clone(pod), *retry);
                let due = now + retry.delay();
                state.life = Life::Retrying { pod, retry, due, why };
            }
        }
        Event::SandboxGone { generation: of } => {
            if of == generation && matches!(state.life, Life::Clearing { .. }) {
                state.life = Life::Absent;
            }
        }
        Event::SandboxStuck { generation: of } => {
            if of == generation
                && let Life::Clearing { due, .. } = &mut state.life
            {
                *due = Some(now + RETRY);
            }
        }
        Event::Pulled { tag } => {
            if let Some((up, index)) = up_of(state, tag)
                && matches!(up.slots[index].run, Run::Pulling { .. })
            {
                up.slots[index].pull = Retry::IMAGE;
                up.slots[index].run = Run::Starting;
                let (pod, sandbox) = (Arc::clone(&up.pod), up.sandbox.clone());
                commands.push(Command::Start { tag, pod, sandbox });
            }
        }
        Event::PullFailed { tag, why } => {
            if let Some((up, index)) = up_of(state, tag)
                && matches!(up.slots[index].run, Run::Pulling { .. })
            {
                let due = now + up.slots[index].pull.delay();
                up.slots[index].run = Run::Waiting { due, after: None, why: Some(why) };
            }
        }
        Event::Started { tag, live } => started(state, tag, live, now, commands),
        Event::StartFailed { tag, why, dead } => start_failed(state, tag, why, dead, now, commands),
        Event::Exited { tag, exit } => exited(state, tag, exit, now, commands),
        Event::StopFailed { tag } => {
            if let Some((up, index)) = up_of(state, tag)
                && let Run::Killing { stage, .. } = &mut up.slots[index].run
            {
                *stage = Stage::Retry(now + RETRY);
            }
        }
        Event::PostStarted { tag, outcome } => post_started(state, tag, outcome, now, commands),
        Event::PreStopped { tag } => {
            if let Some((up, index)) = up_of(state, tag)
                && let Run::Killing { stage: stage @ Stage::Hook, .. } = &mut up.slots[index].run
            {
                *stage = Stage::Turn;
            }
        }
        Event::Probed { tag, role, outcome, verdict } => probed(state, tag, role, outcome, verdict, now, commands),
        Event::Due => {}
    }
}

/// Sends the pod on its way out; a pod that is wanted is made again at the end of that way. What has no container yet,
/// or is on that way already, begins anew in any case.
fn restart(state: &mut State, grace: Option<Duration>, now: Instant, commands: &mut Vec<Command>) {
    let generation = state.generation;
    match &mut state.life {
        Life::Up(up) => {
            up.stop(grace.unwrap_or(up.pod.grace), generation, now, commands);
            state.life = Life::Stopping(up.clone());
        }
        Life::Finished(up) => state.life = clear(up, generation, commands),
        Life::Retrying { due, .. } => {
            *due = now;
            (state.began, state.failure) = (Some(now), None);
        }
        Life::Absent | Life::Making { .. } | Life::Stopping(_) | Life::Clearing { .. } => {}
    }
}

/// Goes on as far as the state allows without another event.
fn advance(state: &mut State, now: Instant, commands: &mut Vec<Command>) {
    loop {
        state.keep_time(now);
        let (generation, failure) = (state.generation, state.failure);
        let is_wanted = state.current().is_some_and(|pod| state.wants(pod));
        let grace = state.drain.and_then(|drain| drain.grace);
        let next = match &mut state.life {
            Life::Absent => match state.wanted.clone().filter(|_| state.drain.is_none()) {
                Some(pod) => {
                    state.generation += 1;
                    (state.began, state.failure) = (Some(now), None);
                    commands.push(Command::MakeSandbox { generation: state.generation, pod: Arc::clone(&pod) });
                    Some(Life::Making { pod, retry: Retry::SANDBOX })
                }
                None => {
                    commands.push(Command::End);
                    None
                }
            },
            // cannot be called back: what comes of it is cleared away then
            Life::Making { .. } => None,
            Life::Retrying { .. } if !is_wanted => Some(Life::Absent),
            Life::Retrying { pod, retry, due, .. } if *due <= now && failure.is_none() => {
                state.generation += 1;
                commands.push(Command::MakeSandbox { generation: state.generation, pod: Arc::clone(pod) });
                Some(Life::Making { pod: Arc::clone(pod), retry: *retry })
            }
            Life::Retrying { .. } => None,
            Life::Up(up) if !is_wanted => {
                up.stop(grace.unwrap_or(up.pod.grace), generation, now, commands);
                Some(Life::Stopping(up.clone()))
            }
            Life::Up(up) => {
                up.stop_all(failure, generation, now, commands);
                up.retire(generation, now, commands);
                up.signal(generation, now, commands);
                if up.is_done() && up.resetting.is_some() {
                    up.reset(now);
                }
                if up.is_done() {
                    commands.push(Command::RestSandbox { sandbox: up.sandbox.clone() });
                    Some(Life::Finished(up.clone()))
                } else {
                    up.start_next(generation, now, commands);
                    None
                }
            }
            Life::Stopping(up) if up.is_done() => Some(clear(up, generation, commands)),
            Life::Stopping(up) => {
                up.signal(generation, now, commands);
                None
            }
            Life::Finished(up) if !is_wanted => Some(clear(up, generation, commands)),
            Life::Finished(_) => None,
            Life::Clearing { up, due } => {
                if due.is_some_and(|due| due <= now) {
                    *due = None;
                    commands.push(Command::ClearSandbox { generation, sandbox: up.sandbox.clone() });
                }
                None
            }
        };
        match next {
            Some(next) => state.life = next,
            None => return,
        }
    }
}

fn clear(up: &Up, generation: u64, commands: &mut Vec<Command>) -> Life {
    commands.push(Command::ClearSandbox { generation, sandbox: up.sandbox.clone() });
    Life::Clearing { up: up.clone(), due: None }
}

#[cfg(test)]
mod tests;

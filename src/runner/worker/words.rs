//! PURE: the log line that an event is worth, told from the state after it.

use std::time::Instant;

use tracing::Level;

use super::machine::{Event, Life, Role, Run, Slot, State, Tag, Up};
use crate::error::chain_of;
use crate::runner::pod::Pod;
use crate::runner::status::exit_reason;

/// The pod's name alone where its container has the same.
pub fn label(pod: &Pod, index: usize) -> String {
    let container = &pod.containers[index].name;
    match pod.containers.len() {
        1 if pod.name.starts_with(container.as_str()) => container.clone(),
        _ => format!("{}/{container}", pod.name),
    }
}

/// `None` for what is of no interest, or came too late to be of any.
pub fn line(state: &State, event: &Event, now: Instant) -> Option<(Level, String)> {
    match event {
        Event::SandboxFailed { .. } => match &state.life {
            Life::Retrying { pod, why, due, .. } => {
                let wait = seconds(*due, now);
                Some((Level::WARN, format!("{}: {}: {}; next try in {wait}", pod.name, why.reason, why.message)))
            }
            _ => None,
        },
        Event::PullFailed { tag, why } | Event::StartFailed { tag, why, .. } => {
            let (up, slot) = of(state, *tag)?;
            let next = match &slot.run {
                Run::Waiting { due, .. } if *due > now => format!("; next try in {}", seconds(*due, now)),
                _ => String::new(),
            };
            Some((Level::WARN, format!("{}: {}: {}{next}", label(&up.pod, tag.container), why.reason, why.message)))
        }
        Event::Started { tag, live } => {
            let (up, _) = of(state, *tag)?;
            let id = live.id.get(..12).unwrap_or(&live.id);
            let label = label(&up.pod, tag.container);
            Some((Level::INFO, format!("{label}: started (container {id}, attempt {})", tag.attempt)))
        }
        Event::Exited { tag, .. } => {
            let (up, slot) = of(state, *tag)?;
            Some(ended(up, slot, *tag, now)?)
        }
        Event::Probed { tag, role, outcome, verdict } => {
            let (up, _) = of(state, *tag)?;
            let label = label(&up.pod, tag.container);
            let name = role.name().to_lowercase();
            Some(match (role, outcome, verdict) {
                (Role::Readiness, _, Some(true)) => (Level::INFO, format!("{label}: ready")),
                (Role::Startup, _, Some(true)) => (Level::INFO, format!("{label}: started up")),
                (Role::Readiness, Err(message), Some(false)) => (Level::WARN, format!("{label}: not ready: {message}")),
                (_, Err(message), Some(false)) => {
                    (Level::WARN, format!("{label}: {name} probe failed, the container is ended: {message}"))
                }
                (_, Err(message), None) => (Level::DEBUG, format!("{label}: {name} probe failed: {message}")),
                (_, Ok(()), _) | (_, Err(_), Some(true)) => return None,
            })
        }
        Event::StopFailed { tag } => {
            let (up, _) = of(state, *tag)?;
            Some((Level::WARN, format!("{}: could not be stopped, is tried again", label(&up.pod, tag.container))))
        }
        Event::PostStarted { tag, outcome: Err(message) } => {
            let (up, _) = of(state, *tag)?;
            let label = label(&up.pod, tag.container);
            Some((Level::WARN, format!("{label}: PostStart hook failed, the container is ended: {message}")))
        }
        Event::PostStarted { outcome: Ok(()), .. }
        | Event::PreStopped { .. }
        | Event::SandboxReady { .. }
        | Event::SandboxGone { .. }
        | Event::SandboxStuck { .. }
        | Event::Wanted(_)
        | Event::Drain(_)
        | Event::Kill { .. }
        | Event::Restart { .. }
        | Event::Pulled { .. }
        | Event::Due => None,
    }
}

fn ended(up: &Up, slot: &Slot, tag: Tag, now: Instant) -> Option<(Level, String)> {
    let last = slot.last.as_ref().filter(|last| last.attempt == tag.attempt)?;
    let reason = exit_reason(&last.exit, last.started_at.is_some());
    let how = match last.exit.signal {
        0 => format!("exit code {}", last.exit.code),
        signal => format!("signal {signal}"),
    };
    let cause = last.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let next = match &slot.run {
        _ if up.resetting == Some(tag.container) => "; all containers are restarted".to_owned(),
        Run::Waiting { due, .. } if *due > now => format!("; next start in {}", seconds(*due, now)),
        _ => String::new(),
    };
    let level = if last.exit.code == 0 { Level::INFO } else { Level::WARN };
    Some((level, format!("{}: ended: {how} ({reason}){cause}{next}", label(&up.pod, tag.container))))
}

/// The container that an event is about, if the pod still is.
fn of(state: &State, tag: Tag) -> Option<(&Up, &Slot)> {
    let up = state.up().filter(|_| state.generation == tag.generation)?;
    let slot = up.slots.get(tag.container)?;
    Some((up, slot))
}

fn seconds(due: Instant, now: Instant) -> String {
    format!("{:.1} s", due.saturating_duration_since(now).as_secs_f64())
}

/// A failure that the runtime told, as a reason's message.
pub fn cause(error: impl Into<anyhow::Error>) -> String {
    chain_of(&error.into())
}

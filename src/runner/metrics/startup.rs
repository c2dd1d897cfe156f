//! PURE: how long a pod takes from the decision to make it until all its containers have been started.

use std::time::{Duration, Instant};

use crate::runner::pod::ContainerKind;
use crate::runner::worker::machine::{Life, Run, State, Up};

/// How long a start took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    pub whole: Duration,
    /// Without the pulls of images and the runs of init containers.
    pub own: Duration,
}

/// Follows a worker's state from step to step.
#[derive(Debug, Default)]
pub struct Startup {
    /// When it began, while one is under way.
    began: Option<Instant>,
    /// Since when an image is pulled, or an init container runs.
    waits: Option<Instant>,
    waited: Duration,
}

impl Startup {
    /// After a step that came to `state`; what a start took, once. A pod that was taken over has been started before.
    pub fn follow(&mut self, state: &State, now: Instant) -> Option<Took> {
        let up = match &state.life {
            Life::Making { .. } if self.began.is_none() => {
                *self = Startup { began: Some(now), ..Startup::default() };
                return None;
            }
            Life::Making { .. } | Life::Retrying { .. } => return None,
            Life::Up(up) | Life::Finished(up) => up,
            Life::Absent | Life::Stopping(_) | Life::Clearing { .. } => {
                self.began = None;
                return None;
            }
        };
        let began = self.began?;
        if let Some(since) = self.waits.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.waits = waits(up).then_some(now);
        if !has_started(up) {
            return None;
        }
        self.began = None;
        let whole = now.saturating_duration_since(began);
        Some(Took { whole, own: whole.saturating_sub(self.waited) })
    }
}

fn waits(up: &Up) -> bool {
    up.slots.iter().zip(&up.pod.containers).any(|(slot, spec)| {
        matches!(slot.run, Run::Pulling { .. }) || spec.kind == ContainerKind::Init && slot.live().is_some()
    })
}

fn has_started(up: &Up) -> bool {
    let mut lasting = up.slots.iter().zip(&up.pod.containers).filter(|(_, spec)| spec.kind != ContainerKind::Init);
    lasting.all(|(slot, _)| slot.live().is_some() || slot.last.is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::runner::pod::Pod;
    use crate::runner::testing;
    use crate::runner::worker::machine::{Event, Live, Tag, step};

    fn tag() -> Tag {
        Tag { generation: 1, container: 0, attempt: 0 }
    }

    #[test]
    fn a_start_is_told_once_with_and_without_its_pull() {
        let (begin, mut state, mut startup) = (Instant::now(), State::default(), Startup::default());
        let live =
            Live { id: "i".to_owned(), pid: 7, image_id: "sha256:0".to_owned(), started_at: Timestamp::UNIX_EPOCH };
        let ready = Event::SandboxReady { generation: 1, id: "s".to_owned(), ips: Vec::new(), attempts: vec![0] };
        let pod: Arc<Pod> = Arc::new(testing::pod("a"));
        let mut told = Vec::new();
        for (second, event) in [
            (0, Event::Wanted(Some(pod))),
            (1, ready),
            (5, Event::Pulled { tag: tag() }),
            (6, Event::Started { tag: tag(), live }),
            (7, Event::Due),
            (8, Event::Wanted(None)),
        ] {
            let now = begin + Duration::from_secs(second);
            step(&mut state, event, now);
            told.push(startup.follow(&state, now));
        }
        let took = Took { whole: Duration::from_secs(6), own: Duration::from_secs(2) };
        assert_eq!(told, [None, None, None, Some(took), None, None]);
    }
}

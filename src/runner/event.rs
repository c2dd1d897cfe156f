//! The recorder of what happens: a bounded ring that `bootstrap events` reads and from which the API gets its events.
//!
//! Nobody waits for it: whoever records goes on at once. What happens again is counted, not kept twice; beyond
//! [`KEPT`] events the oldest is forgotten, sent to the API or not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::pod::{ContainerKind, Pod};
use crate::control::{Event, EventLevel, Involved};

/// How many different events are kept.
pub const KEPT: usize = 1000;

/// What has happened, in the kubelet's words [3.60].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub level: EventLevel,
    pub reason: &'static str,
    pub message: String,
}

impl Told {
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Told {
        Told { level: EventLevel::Normal, reason, message: message.into() }
    }

    pub fn warning(reason: &'static str, message: impl Into<String>) -> Told {
        Told { level: EventLevel::Warning, reason, message: message.into() }
    }
}

/// A clone writes into the same ring.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    ring: Arc<Mutex<Ring>>,
    /// The newest revision.
    newest: Arc<watch::Sender<u64>>,
}

impl Recorder {
    pub fn pod(&self, pod: &Pod, told: Told) {
        self.record(of_pod(pod, None), told);
    }

    /// `container` is an index in the pod's list.
    pub fn container(&self, pod: &Pod, container: usize, told: Told) {
        let own = &pod.containers[container];
        let list = match own.kind {
            ContainerKind::Regular => "containers",
            ContainerKind::Init | ContainerKind::Sidecar => "initContainers",
        };
        self.record(of_pod(pod, Some(format!("spec.{list}{{{}}}", own.name))), told);
    }

    /// The node's UID is its name: events come before its object does [7.79].
    pub fn node(&self, name: &str, told: Told) {
        let involved = Involved {
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
            uid: name.to_owned(),
            field_path: None,
        };
        self.record(involved, told);
    }

    fn record(&self, object: Involved, told: Told) {
        let revision = self.ring().add(object, told, Timestamp::now());
        self.newest.send_replace(revision);
    }

    /// What has happened, or happened again, after a revision, oldest first; 0 is the beginning, and so is a revision
    /// of another runner, which may be greater than any of this one's.
    pub fn since(&self, revision: u64) -> Vec<Event> {
        self.ring().since(revision)
    }

    /// Resolves when there is something newer than `revision`. Cancel-safe.
    pub async fn newer_than(&self, revision: u64) {
        let mut newest = self.newest.subscribe();
        // the sender is in `self`
        let _ = newest.wait_for(|newest| *newest != revision && *newest > 0).await;
    }

    /// One that panicked with the ring in its hands has left at worst an event out.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_pod(pod: &Pod, field_path: Option<String>) -> Involved {
    Involved {
        kind: "Pod".to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        field_path,
    }
}

/// In the order of their revisions.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    newest: u64,
}

impl Ring {
    fn add(&mut self, object: Involved, told: Told, now: Timestamp) -> u64 {
        self.newest += 1;
        let is_same =
            |known: &Event| known.object == object && known.reason == told.reason && known.message == told.message;
        let mut event = match self.events.iter().rposition(is_same).and_then(|index| self.events.remove(index)) {
            Some(known) => Event { count: known.count.saturating_add(1), last: now, ..known },
            None => Event {
                revision: 0,
                object,
                level: told.level,
                reason: told.reason.to_owned(),
                message: told.message,
                count: 1,
                first: now,
                last: now,
            },
        };
        event.revision = self.newest;
        self.events.push_back(event);
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
        self.newest
    }

    fn since(&self, revision: u64) -> Vec<Event> {
        let is_known = revision <= self.newest;
        self.events.iter().filter(|event| !is_known || event.revision > revision).cloned().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::testing;

    #[test]
    fn what_happens_again_is_counted_and_becomes_the_newest() {
        let recorder = Recorder::default();
        let pod = testing::pod("a");
        for told in ["one", "two", "one"] {
            recorder.container(&pod, 0, Told::warning("Unhealthy", told));
        }
        recorder.pod(&pod, Told::warning("Unhealthy", "one"));
        let events = recorder.since(0);
        let told: Vec<_> = events.iter().map(|event| (event.message.as_str(), event.count, event.revision)).collect();
        assert_eq!(told, [("two", 1, 2), ("one", 2, 3), ("one", 1, 4)]);
        assert_eq!(events[0].object.field_path.as_deref(), Some("spec.containers{a}"));
        assert_eq!(events[2].object.field_path, None);
        assert_eq!(recorder.since(3).len(), 1);
        assert_eq!(recorder.since(4).len(), 0);
        assert_eq!(recorder.since(5).len(), 3, "a number of another runner");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let recorder = Recorder::default();
        for index in 0..KEPT + 10 {
            recorder.node("n1", Told::normal("Starting", index.to_string()));
        }
        let events = recorder.since(0);
        assert_eq!((events.len(), events[0].message.as_str()), (KEPT, "10"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_the_next_one() {
        let recorder = Recorder::default();
        let second = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(second, recorder.newer_than(0)).await.is_err());
        recorder.node("n1", Told::normal("Starting", "Starting kubelet."));
        recorder.newer_than(0).await;
        assert!(tokio::time::timeout(second, recorder.newer_than(1)).await.is_err());
    }
}

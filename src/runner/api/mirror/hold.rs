//! What has failed is tried again later, and holds nothing else up: one pause for each pod.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause, doubled up to the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

/// By full name: when to try again, and the pause before that.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<String, (Instant, Duration)>);

impl Holds {
    pub(super) fn failed(&mut self, full_name: String, now: Instant) {
        let pause = self.0.get(&full_name).map_or(FIRST, |(_, pause)| (*pause * 2).min(LONGEST));
        self.0.insert(full_name, (now + pause, pause));
    }

    pub(super) fn worked(&mut self, full_name: &str) {
        self.0.remove(full_name);
    }

    pub(super) fn is_held(&self, full_name: &str, now: Instant) -> bool {
        self.0.get(full_name).is_some_and(|(due, _)| *due > now)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the first of them is to be tried again; those that are overdue have had their turn.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|(due, _)| *due).filter(|due| *due > now).min()
    }

    /// What nobody asks for any more is not waited for.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|full_name, _| is_there(full_name));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_each_pod_its_own() {
        let begin = Instant::now();
        let mut holds = Holds::default();
        let mut now = begin;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            holds.failed("a".to_owned(), now);
            let due = holds.due(now).unwrap();
            assert!(holds.is_held("a", now) && !holds.is_held("a", due) && !holds.is_held("b", now));
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        holds.worked("a");
        assert!(holds.is_empty() && holds.due(begin).is_none());
    }
}

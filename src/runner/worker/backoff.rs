//! PURE: when a container that ended may start again, and when an image is asked for again.
//!
//! The kubelet's rules [3.21–3.24, 9.2], measured from the end of the last run: the first restart at once, then after
//! 10 s, 20 s, … 300 s; a run of more than ten minutes clears the slate.

use std::time::{Duration, Instant};

pub const INITIAL: Duration = Duration::from_secs(10);
/// Unless a setting says otherwise.
pub const LONGEST: Duration = Duration::from_secs(300);
/// A run that lasted longer makes the next restart a first one again [3.22].
pub const RESET: Duration = Duration::from_secs(600);

/// The delays of one container's restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    entry: Option<Entry>,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::up_to(LONGEST)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What the next restart waits after the end of the run before it.
    pub delay: Duration,
    /// When the last restart was decided.
    pub updated: Instant,
}

impl Backoff {
    /// No restart waits longer than `longest`, not even the first [3.21].
    pub fn up_to(longest: Duration) -> Self {
        Backoff { entry: None, longest }
    }

    /// As a runner before this one left it; it may have allowed longer waits.
    pub fn resumed(self, entry: Option<Entry>) -> Self {
        let entry = entry.map(|entry| Entry { delay: entry.delay.min(self.longest), ..entry });
        Backoff { entry, ..self }
    }

    pub fn entry(&self) -> Option<Entry> {
        self.entry
    }

    /// The earliest restart of a container that ended at `finished`, and the delay in it.
    pub fn due(&self, finished: Instant) -> (Instant, Duration) {
        let delay = self.valid(finished).map_or(Duration::ZERO, |entry| entry.delay);
        (finished + delay, delay)
    }

    /// A restart after the run that ended at `finished` is decided now: the next one waits longer.
    pub fn restart(&mut self, finished: Instant, now: Instant) {
        let delay = self.valid(finished).map_or(INITIAL, |entry| entry.delay * 2).min(self.longest);
        self.entry = Some(Entry { delay, updated: now });
    }

    fn valid(&self, finished: Instant) -> Option<Entry> {
        self.entry.filter(|entry| finished.saturating_duration_since(entry.updated) <= RESET)
    }
}

/// The doubling of anything else that is tried again: from a first delay to a last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    next: Duration,
    longest: Duration,
}

impl Retry {
    /// An image that could not be fetched [9.2].
    pub const IMAGE: Retry = Retry { next: INITIAL, longest: LONGEST };
    /// A sandbox or a volume that could not be made. The kubelet's volumes go up to two minutes [4.2]; a control
    /// plane whose disk was mounted late should not wait that long.
    pub const SANDBOX: Retry = Retry { next: Duration::from_millis(500), longest: INITIAL };

    /// The delay after one more failure.
    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_container_that_fails_at_once_follows_the_kubelets_schedule() {
        let begin = Instant::now();
        let (mut backoff, mut now, mut starts) = (Backoff::default(), begin, vec![0]);
        for _ in 0..8 {
            let (due, _) = backoff.due(now);
            now = due;
            backoff.restart(now - backoff.entry().map_or(Duration::ZERO, |entry| entry.delay), now);
            starts.push((now - begin).as_secs());
        }
        assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310, 610, 910]);
    }

    #[test]
    fn case_31_32_no_wait_is_longer_than_the_setting() {
        for (longest, expected) in [(30, [0, 10, 20, 30, 30]), (1, [0, 1, 1, 1, 1])] {
            let (mut backoff, now, mut delays) = (Backoff::up_to(longest * SECOND), Instant::now(), Vec::new());
            for _ in 0..5 {
                delays.push(backoff.due(now).1.as_secs());
                backoff.restart(now, now);
            }
            assert_eq!(delays, expected);
        }
        let entry = Entry { delay: LONGEST, updated: Instant::now() };
        let resumed = Backoff::up_to(SECOND).resumed(Some(entry));
        assert_eq!(resumed.entry().map(|entry| entry.delay), Some(SECOND));
    }

    #[test]
    fn ten_minutes_of_running_clear_the_slate() {
        let begin = Instant::now();
        let mut backoff = Backoff::default();
        backoff.restart(begin, begin);
        backoff.restart(begin, begin + SECOND);
        assert_eq!(backoff.due(begin + SECOND + RESET).1, 20 * SECOND);
        assert_eq!(backoff.due(begin + 2 * SECOND + RESET).1, Duration::ZERO);
        backoff.restart(begin + 2 * SECOND + RESET, begin + 2 * SECOND + RESET);
        assert_eq!(backoff.entry().map(|entry| entry.delay), Some(INITIAL));
    }

    #[test]
    fn a_retry_doubles_to_its_longest() {
        let mut retry = Retry::SANDBOX;
        let delays: Vec<_> = (0..7).map(|_| retry.delay().as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 10000, 10000]);
    }
}

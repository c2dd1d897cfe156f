//! PURE: what was asked for over the CRI and is yet to be fetched: each by the one path that leads to it, once, for a
//! minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// As containerd has it.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);
/// As containerd has it.
const MOST: usize = 1000;

#[derive(Debug)]
pub(super) struct Expected<T>(HashMap<String, (Instant, T)>);

impl<T> Default for Expected<T> {
    fn default() -> Self {
        Expected(HashMap::new())
    }
}

impl<T> Expected<T> {
    /// `false`: too many are waited for.
    pub(super) fn add(&mut self, path: String, what: T, now: Instant) -> bool {
        self.forget(now);
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.insert(path, (now + LIFETIME, what));
        }
        has_room
    }

    /// Only the first who comes with the path gets it.
    pub(super) fn take(&mut self, path: &str, now: Instant) -> Option<T> {
        self.forget(now);
        self.0.remove(path).map(|(_, what)| what)
    }

    /// When the first of them is given up; `None`: nobody is waited for.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.0.values().map(|(expiry, _)| *expiry).min()
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, (expiry, _)| *expiry > now);
    }

    /// Whether somebody is still waited for.
    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_somewhere_once_and_not_for_long() {
        let (mut expected, begin) = (Expected::default(), Instant::now());
        assert!(expected.add("/exec/a".to_owned(), 1, begin) && expected.add("/exec/b".to_owned(), 2, begin));
        let later = begin + LIFETIME / 2;
        assert!(expected.add("/exec/c".to_owned(), 3, later));
        assert_eq!((expected.take("/exec/x", begin), expected.take("/exec/a", begin)), (None, Some(1)));
        assert_eq!(expected.take("/exec/a", begin), None);
        assert_eq!(expected.expiry(), Some(begin + LIFETIME));
        assert_eq!(expected.take("/exec/b", begin + LIFETIME), None);
        assert_eq!((expected.expiry(), expected.is_empty(later)), (Some(later + LIFETIME), false));
        assert!(expected.is_empty(later + LIFETIME));
    }

    #[test]
    fn not_everybody_is_waited_for() {
        let (mut expected, begin) = (Expected::default(), Instant::now());
        assert!((0..MOST).all(|number| expected.add(number.to_string(), (), begin)));
        assert!(!expected.add("more".to_owned(), (), begin));
        assert!(expected.add("more".to_owned(), (), begin + LIFETIME));
    }
}

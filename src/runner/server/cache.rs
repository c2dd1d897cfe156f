//! PURE: answers that are believed for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Answers that are kept at most; the oldest go first.
const MOST: usize = 1024;

#[derive(Debug)]
pub struct Cache<K, V> {
    entries: BTreeMap<K, (Instant, V)>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Cache<K, V> {
    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.entries.get(key).filter(|(expiry, _)| *expiry > now).map(|(_, value)| value.clone())
    }

    pub fn put(&mut self, key: K, value: V, lasts: Duration, now: Instant) {
        if self.entries.len() >= MOST {
            self.entries.retain(|_, (expiry, _)| *expiry > now);
        }
        if self.entries.len() >= MOST
            && let Some(first) = self.entries.iter().min_by_key(|(_, (expiry, _))| *expiry).map(|(key, _)| key.clone())
        {
            self.entries.remove(&first);
        }
        self.entries.insert(key, (now + lasts, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_forgotten_in_time_and_there_are_never_too_many() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let second = Duration::from_secs(1);
        cache.put(0, "old", second, now);
        assert_eq!(cache.get(&0, now), Some("old"));
        assert_eq!(cache.get(&0, now + second), None);
        for key in 1..=2 * MOST {
            cache.put(key, "new", second * key as u32, now);
        }
        assert_eq!(cache.entries.len(), MOST);
        assert_eq!((cache.get(&1, now), cache.get(&(2 * MOST), now)), (None, Some("new")));
    }
}

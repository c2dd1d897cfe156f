//! Which pods of the API mirror which static pods: told by what keeps the mirrors, for the server's sake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As it was last told. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Mirrored(Arc<Mutex<BTreeMap<String, String>>>);

impl Mirrored {
    /// The static pods' UIDs by their mirrors'.
    pub(super) fn put(&self, uids: BTreeMap<String, String>) {
        *self.lock() = uids;
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The static pod of that mirror; any other UID stays as it is [8.17].
    pub fn translate(&self, uid: &str) -> String {
        self.lock().get(uid).map_or(uid, String::as_str).to_owned()
    }

    /// One that panicked has not left it half-changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

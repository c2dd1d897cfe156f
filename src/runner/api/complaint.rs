//! What does not work towards the API, told once for as long as it stays the same.

use std::collections::BTreeSet;
use std::error::Error;

use crate::error::chain_of;

/// Of different failures; a server may think of a new text each time.
const MOST: usize = 200;

/// One thing that may fail again and again.
#[derive(Debug)]
pub(super) struct Complaint {
    /// As in `cannot create mirror pod`.
    what: String,
    /// Several may take turns, as many as there are pods.
    told: BTreeSet<String>,
}

impl Complaint {
    pub(super) fn about(what: impl Into<String>) -> Complaint {
        Complaint { what: what.into(), told: BTreeSet::new() }
    }

    pub(super) fn tell(&mut self, error: impl Error + Send + Sync + 'static) {
        self.say(chain_of(&anyhow::Error::from(error)));
    }

    pub(super) fn say(&mut self, message: String) {
        if self.told.len() < MOST && self.told.insert(message.clone()) {
            tracing::warn!("{}: {message}", self.what);
        }
    }

    /// It works, or works again.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.told).is_empty() {
            tracing::info!("{}: it is over", self.what);
        }
    }
}

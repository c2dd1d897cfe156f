//! What does not work towards the API, told once for as long as it stays the same.

use std::error::Error;

use crate::error::chain_of;

/// One thing that may fail again and again.
#[derive(Debug)]
pub(super) struct Complaint {
    /// As in `cannot create mirror pod`.
    what: String,
    told: Option<String>,
}

impl Complaint {
    pub(super) fn about(what: impl Into<String>) -> Complaint {
        Complaint { what: what.into(), told: None }
    }

    pub(super) fn tell(&mut self, error: impl Error + Send + Sync + 'static) {
        self.say(chain_of(&anyhow::Error::from(error)));
    }

    pub(super) fn say(&mut self, message: String) {
        if self.told.as_ref() != Some(&message) {
            tracing::warn!("{}: {message}", self.what);
            self.told = Some(message);
        }
    }

    /// It works, or works again.
    pub(super) fn settle(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("{}: it is over", self.what);
        }
    }
}

//! Waiting for a container's end, and for the end of its shim, which is replaced at once.
//!
//! ```text
//!            ┌────────────── the shim has died ──────────────┐
//!            ▼                                               │
//! exit on file? ── no ──► adopt, if nobody serves ──► wait on its socket ── exited ──► (done)
//!            └── yes ─────────────────────────────────────────────────────────────────► (done)
//! ```

use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::client::{call, spawn};
use super::container::Entry;
use super::{ContainerState, Embedded, Exit, Inner, Reply, Settings, Verb};
use crate::error::{Context, Result, chain_of};
use crate::runner::runtime::shim::Origin;
use crate::runner::runtime::shim::record::{self, ProcessRecord};

/// Between attempts to replace a shim: only a machine without memory or descriptors refuses, and it must not be made
/// busier.
const RETRY: Duration = Duration::from_millis(500);

impl Embedded {
    /// Waits for the container's end in a task of its own.
    pub(super) fn watch(&self, entry: &Arc<Entry>) {
        // neither the runtime nor the entry is kept alive by the task
        let (inner, weak) = (Arc::downgrade(&self.inner), Arc::downgrade(entry));
        let task = tokio::spawn(follow(inner, weak));
        let former = entry.watcher.lock().unwrap_or_else(PoisonError::into_inner).replace(task.abort_handle());
        if let Some(former) = former {
            former.abort();
        }
    }

    /// Brings a container of an earlier runner back: its state is known when this returns.
    pub(super) async fn adopt(&self, entry: &Arc<Entry>) -> Result<()> {
        ensure_shim(&self.inner.settings, entry).await?;
        if !entry.has_exited() {
            entry.refresh().await?;
        }
        Ok(())
    }
}

async fn follow(inner: Weak<Inner>, weak: Weak<Entry>) {
    loop {
        let (Some(inner), Some(entry)) = (inner.upgrade(), weak.upgrade()) else { return };
        if let Err(error) = ensure_shim(&inner.settings, &entry).await {
            tracing::warn!("cannot replace the shim of container `{}`: {}", entry.record.id, chain_of(&error));
            drop((inner, entry));
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if entry.has_exited() {
            return;
        }
        let Ok(call) = call(&entry.directory, Verb::Wait).await else { continue };
        drop((inner, entry));
        let reply = call.reply().await;
        let Some(entry) = weak.upgrade() else { return };
        if let Ok(Reply::State(state)) = reply {
            entry.set(state);
        }
        if entry.has_exited() {
            return;
        }
        tracing::warn!("the shim of container `{}` has ended; another takes its place", entry.record.id);
    }
}

/// Makes sure that a shim serves the container, or that its exit is known.
async fn ensure_shim(settings: &Settings, entry: &Entry) -> Result<()> {
    if let Some(state) = exit_on_file(&entry.directory)? {
        entry.set(state);
        return Ok(());
    }
    let is_served = match call(&entry.directory, Verb::State).await {
        Ok(call) => call.reply().await.is_ok(),
        Err(_) => false,
    };
    if !is_served {
        spawn(settings, Origin::Adopt, &entry.directory).await?.context("the new shim has given up")?;
    }
    entry.shims.send_modify(|count| *count += 1);
    Ok(())
}

/// The state of a container whose exit has been recorded.
pub(super) fn exit_on_file(directory: &Path) -> Result<Option<ContainerState>> {
    let Some(exit) = record::load_if_exists::<Exit>(&directory.join(record::EXIT))? else { return Ok(None) };
    let process: ProcessRecord = record::load(directory.join(record::PROCESS))?;
    Ok(Some(ContainerState::Exited { started_at: process.started_at, exit }))
}

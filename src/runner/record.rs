//! What the next runner must know of a pod and can learn from nobody else: `records/<uid>/record.json`.
//!
//! Written whole, by renaming, so that a kill at any moment leaves the old record or the new one. It is not synced:
//! after a loss of power the kernel may have an older record or none, which costs counts and back-offs, nothing more.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::container::metadata;
use super::pod::Pod;
use super::worker::backoff::{Backoff, Entry};
use super::worker::machine::{Failure, Life, Run, Slot, State, Up};
use crate::error::{Context, Result, chain_of};
use crate::files;
use crate::layout::{self, Layout};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub pod: Pod,
    /// In the order of the manifest.
    pub containers: Vec<ContainerRecord>,
    // what the first records did not have needs a default
    /// When the pod was first to be made.
    #[serde(default)]
    pub began: Option<Timestamp>,
    #[serde(default)]
    pub failure: Option<Failure>,
    /// A regular container has had its turn.
    #[serde(default)]
    pub initialized: Option<bool>,
    /// All containers are being restarted because of this one.
    #[serde(default)]
    pub resetting: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Of the current run or the next.
    pub attempt: u32,
    /// The container that runs.
    pub id: Option<String>,
    /// Its back-off was over and its start decided. Newer than the first records: a field that an older runner does
    /// not write needs a default.
    #[serde(default)]
    pub starting: bool,
    pub started: bool,
    pub ready: bool,
    pub backoff: Option<BackoffRecord>,
    /// Why the last run ended, as far as the runtime does not know.
    pub cause: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackoffRecord {
    pub delay: Duration,
    pub updated: Timestamp,
}

/// The machine's clock beside the wall's, to tell the moments of one in the other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub now: Instant,
    pub wall: Timestamp,
}

impl Clock {
    /// To whole milliseconds, so that one moment is always told the same way.
    pub fn wall(&self, at: Instant) -> Timestamp {
        let distance = |duration: Duration| jiff::SignedDuration::try_from(duration).unwrap_or_default();
        let moment = if at >= self.now {
            self.wall.checked_add(distance(at - self.now))
        } else {
            self.wall.checked_sub(distance(self.now - at))
        };
        let moment = moment.unwrap_or(self.wall);
        Timestamp::from_millisecond((moment.as_millisecond() + 5) / 10 * 10).unwrap_or(moment)
    }

    pub fn instant(&self, at: Timestamp) -> Instant {
        let age = Duration::try_from(self.wall.duration_since(at)).unwrap_or_default();
        self.now.checked_sub(age).unwrap_or(self.now)
    }
}

impl Record {
    /// `None`: there is no sandbox whose containers the next runner could take over.
    pub fn of_state(state: &State, clock: Clock) -> Option<Self> {
        let up = match &state.life {
            Life::Up(up) | Life::Stopping(up) | Life::Finished(up) => up,
            Life::Absent | Life::Making { .. } | Life::Retrying { .. } | Life::Clearing { .. } => return None,
        };
        let began = state.began.map(|began| clock.wall(began));
        Some(Record { began, failure: state.failure, ..Record::of(up, clock) })
    }

    pub fn of(up: &Up, clock: Clock) -> Self {
        let container = |slot: &Slot| ContainerRecord {
            attempt: slot.attempt,
            id: slot.live().map(|live| live.id.clone()),
            starting: matches!(slot.run, Run::Pulling { .. } | Run::Starting),
            started: slot.started,
            ready: slot.ready,
            backoff: slot
                .backoff
                .entry()
                .map(|entry| BackoffRecord { delay: entry.delay, updated: clock.wall(entry.updated) }),
            cause: slot.last.as_ref().and_then(|last| last.cause.clone()),
        };
        Record {
            pod: Pod::clone(&up.pod),
            containers: up.slots.iter().map(container).collect(),
            began: None,
            failure: None,
            initialized: Some(up.initialized),
            resetting: up.resetting,
        }
    }
}

impl ContainerRecord {
    pub fn backoff(&self, longest: Duration, clock: Clock) -> Backoff {
        let entry = |backoff: &BackoffRecord| Entry { delay: backoff.delay, updated: clock.instant(backoff.updated) };
        Backoff::up_to(longest).resumed(self.backoff.as_ref().map(entry))
    }
}

pub fn write(layout: &Layout, record: &Record) -> Result<()> {
    let directory = layout.records().join(&record.pod.uid);
    files::make_directory(&directory, layout::PRIVATE_DIRECTORY)?;
    let path = directory.join("record.json");
    let content = serde_json::to_vec(record).context("cannot serialise a record")?;
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new().prefix(".record-").tempfile_in(&directory)?;
        io::Write::write_all(&mut temporary, &content)?;
        temporary.persist(&path).map_err(|failed| failed.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// Every record that can be read; one that cannot is told and left alone.
pub fn read_all(layout: &Layout) -> Vec<Record> {
    let Ok(entries) = fs::read_dir(layout.records()) else { return Vec::new() };
    let mut records = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join("record.json");
        let read = || -> Result<Option<Record>> {
            let Some(content) = files::read_if_exists(&path)? else { return Ok(None) };
            serde_json::from_slice(&content)
                .map(Some)
                .with_context(|| format!("cannot understand `{}`", path.display()))
        };
        match read() {
            Ok(record) => records.extend(record),
            Err(error) => tracing::warn!("{}", chain_of(&error)),
        }
    }
    records
}

/// Removes the record of a pod and everything beside it.
pub fn remove(layout: &Layout, pod: &Pod) -> Result<()> {
    super::logs::remove(layout, &metadata(pod))?;
    let directory = layout.records().join(&pod.uid);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::runner::testing;
    use crate::runner::worker::backoff::LONGEST;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        assert!(read_all(&layout).is_empty());
        let clock = Clock { now: Instant::now(), wall: Timestamp::now() };
        let mut slot = Slot::new(4, clock.now);
        slot.backoff.restart(clock.now, clock.now);
        (slot.started, slot.ready) = (true, true);
        let pod = Arc::new(testing::pod("a"));
        let record = Record::of(&Up::new(Arc::clone(&pod), "s".to_owned(), vec![slot.clone()]), clock);
        write(&layout, &record).unwrap();
        write(&layout, &record).unwrap();
        fs::create_dir_all(layout.records().join("other")).unwrap();
        fs::write(layout.records().join("other/record.json"), "{").unwrap();
        assert_eq!(read_all(&layout), std::slice::from_ref(&record));
        let later = Clock { now: clock.now + Duration::from_secs(3600), wall: clock.wall + Duration::from_secs(3600) };
        let entry = record.containers[0].backoff(LONGEST, later).entry().unwrap();
        assert_eq!(entry.delay, Duration::from_secs(10));
        let age = later.now - entry.updated;
        assert!(age >= Duration::from_millis(3_599_990) && age <= Duration::from_millis(3_600_010), "{age:?}");
        remove(&layout, &pod).unwrap();
        assert!(read_all(&layout).is_empty());
    }
}

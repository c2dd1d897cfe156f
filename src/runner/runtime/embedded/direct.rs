//! Commands in containers by their shims alone: for a person at the machine, whether a runner is there or not.

use std::path::PathBuf;

use super::client::open_session;
use super::container::stream;
use super::places::{self, Places};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::runner::runtime::shim::protocol::Verb;
use crate::runner::runtime::shim::record::{self, ContainerRecord, ProcessRecord};
use crate::runner::runtime::{RuntimeResult, Session, StreamOptions};

/// A container that has been started and has not been seen to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    /// The pod's, by the labels of the container [3.2].
    pub namespace: String,
    pub pod: String,
    pub name: String,
    directory: PathBuf,
}

/// Every container of the instance that runs, by the files of their shims.
pub fn running(layout: &Layout) -> Result<Vec<Running>> {
    let mut found = Vec::new();
    for sandbox in children(&Places::new(layout).sandboxes())? {
        for directory in children(&sandbox)? {
            // one that is being made, or removed, does not run
            let Ok(container) = record::load::<ContainerRecord>(directory.join(record::CONTAINER)) else { continue };
            let Ok(process) = record::load::<ProcessRecord>(directory.join(record::PROCESS)) else { continue };
            if process.started_at.is_none() || directory.join(record::EXIT).exists() {
                continue;
            }
            let label = |name: &str| container.config.labels.get(name).cloned().unwrap_or_default();
            found.push(Running {
                id: container.id,
                namespace: label("io.kubernetes.pod.namespace"),
                pod: label("io.kubernetes.pod.name"),
                name: container.config.name,
                directory,
            });
        }
    }
    Ok(found)
}

impl Running {
    #[cfg(test)]
    pub(crate) fn new(id: &str, namespace: &str, pod: &str, name: &str) -> Running {
        let owned = [id, namespace, pod, name].map(str::to_owned);
        let [id, namespace, pod, name] = owned;
        Running { id, namespace, pod, name, directory: PathBuf::new() }
    }

    pub async fn exec(&self, command: &[String], streams: StreamOptions) -> RuntimeResult<Session> {
        stream(&self.directory, command, streams, None).await
    }

    pub async fn attach(&self, streams: StreamOptions) -> RuntimeResult<Session> {
        open_session(&self.directory, Verb::Attach(streams)).await
    }
}

/// Directories of plain names.
fn children(directory: &std::path::Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read `{}`", directory.display()))?,
    };
    let is_wanted = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(places::is_component)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    Ok(entries.flatten().filter(is_wanted).map(|entry| entry.path()).collect())
}

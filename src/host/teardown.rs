//! Performs a reset's plan. A failure ends nothing: the rest is still taken away, and every leftover is told.

use std::path::Path;
use std::sync::Mutex;

use futures_util::future::BoxFuture;

use super::{daemon, users};
use crate::apply::Perform;
use crate::control::{self, Request};
use crate::error::{Context, Result};
use crate::files;
use crate::layout::Layout;
use crate::linux::{self, Leftover};
use crate::plan::{Action, Step};

/// Which pods may be stopped together. Without etcd, kube-apiserver hangs on SIGTERM for over a minute.
pub const WAVES: [&[&str]; 2] = [&["kube-apiserver", "kube-controller-manager", "kube-scheduler"], &["etcd"]];

/// Stops and removes what a runner that is gone has left; `runner` provides it.
pub type RemoveLeftoverPods = dyn Fn() -> BoxFuture<'static, Result<Vec<Leftover>>>;

pub struct Teardown {
    layout: Layout,
    remove_leftover_pods: Box<RemoveLeftoverPods>,
    leftovers: Mutex<Vec<Leftover>>,
}

impl Teardown {
    pub fn new(layout: Layout, remove_leftover_pods: Box<RemoveLeftoverPods>) -> Teardown {
        Teardown { layout, remove_leftover_pods, leftovers: Mutex::default() }
    }

    /// What could not be removed, or is not ours.
    pub fn into_leftovers(self) -> Vec<Leftover> {
        self.leftovers.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn left(&self, more: impl IntoIterator<Item = Leftover>) {
        self.leftovers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(more);
    }

    async fn stop_pods(&self) -> Result<()> {
        if daemon::is_running(&self.layout).await {
            let waves = WAVES.iter().map(|wave| wave.iter().map(|name| (*name).to_owned()).collect()).collect();
            let drained = control::client::call(&self.layout, Request::Drain { waves, grace_seconds: None }).await;
            drained.context("the runner could not stop the pods")?;
        }
        // also a unit that is between two starts
        daemon::stop(&self.layout).await?;
        self.left((self.remove_leftover_pods)().await?);
        Ok(())
    }

    /// A directory that is not empty holds something that is not ours: its entries are left and named.
    fn remove_directory(&self, path: &Path) -> Result<()> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        let mut foreign: Vec<_> = entries
            .flatten()
            .map(|entry| Leftover { path: entry.path(), reason: "init did not make it".to_owned() })
            .collect();
        if foreign.is_empty() {
            return std::fs::remove_dir(path).with_context(|| format!("cannot remove `{}`", path.display()));
        }
        foreign.sort_by(|a, b| a.path.cmp(&b.path));
        let told = self.leftovers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        // a directory whose entry is already told holds nothing new
        self.left(foreign.into_iter().filter(|entry| !told.iter().any(|left| left.path.starts_with(&entry.path))));
        Ok(())
    }

    async fn undo(&self, action: &Action) -> Result<()> {
        match action {
            Action::StopPods => self.stop_pods().await,
            Action::RemoveFile { path } => {
                let place = self.layout.under(path);
                // what a kill in the middle of a write leaves
                files::remove_file(&files::temporary(&place))?;
                files::remove_file(&place).map(drop)
            }
            Action::RemoveDirectory { path } => self.remove_directory(&self.layout.under(path)),
            Action::RemoveTree { path } => {
                let place = self.layout.under(path);
                let leftovers = tokio::task::spawn_blocking(move || linux::remove_tree(&place)).await??;
                self.left(leftovers);
                Ok(())
            }
            Action::RemoveAccount { database, name } => {
                let (layout, database, name) = (self.layout.clone(), *database, name.clone());
                tokio::task::spawn_blocking(move || users::remove(&layout, database, &name)).await?
            }
            other => anyhow::bail!("reset does not know how to {other}"),
        }
    }
}

impl Perform for Teardown {
    async fn prepare(&self, _steps: &[&Step]) -> Result<()> {
        Ok(())
    }

    async fn perform(&self, _step: &Step, action: &Action) -> Result<()> {
        let stopping = matches!(action, Action::StopPods);
        match self.undo(action).await {
            Ok(()) => Ok(()),
            // files under running pods must stay: go no further
            Err(error) if stopping => Err(error),
            Err(error) => {
                let path = match action {
                    Action::RemoveFile { path } | Action::RemoveDirectory { path } | Action::RemoveTree { path } => {
                        self.layout.under(path)
                    }
                    Action::RemoveAccount { database, .. } => self.layout.under(database.path()),
                    _ => self.layout.root().to_owned(),
                };
                self.left([Leftover { path, reason: crate::error::chain_of(&error) }]);
                Ok(())
            }
        }
    }
}

//! Takes away what is left of an instance whose runner is gone: the last part of a reset's work on pods.

use std::time::Duration;

use super::container::{log_directory, metadata, promised_grace};
use super::runtime::embedded::{self, Embedded, Settings};
use super::runtime::{ContainerState, PodMetadata, Runtime};
use super::{logs, record};
use crate::error::{Result, chain_of};
use crate::image::pull::Puller;
use crate::layout::Layout;
use crate::linux::Leftover;

/// The kubelet's default `terminationGracePeriodSeconds`, for a container that says nothing else.
const GRACE: Duration = Duration::from_secs(30);

/// Stops what still runs, wave by wave and then the rest, removes every sandbox, and what a kill in the middle of
/// something may have left. Names in `waves` are those of pods, without the node's suffix.
///
/// # Errors
/// When a runner is running, or when the state cannot be read at all.
pub async fn remove_leftovers(layout: &Layout, waves: &[&[&str]]) -> Result<Vec<Leftover>> {
    if !layout.run().exists() && !layout.cni_attachments().exists() {
        return Ok(Vec::new());
    }
    let records = record::read_all(layout);
    let _lock = super::lock(layout)?;
    // a machine that cannot run containers may still have to be cleaned
    let pods = match Embedded::open(layout, Puller::open(layout)?, Settings::default()).await {
        Ok(runtime) => stop(&runtime, waves).await,
        Err(error) => {
            tracing::warn!("cannot stop the pods in order: {}", chain_of(&error));
            Vec::new()
        }
    };
    let of_state = layout.clone();
    let mut leftovers = tokio::task::spawn_blocking(move || embedded::tear_down(&of_state)).await??;
    let recorded = records.iter().map(|record| metadata(&record.pod));
    for pod in pods.into_iter().chain(recorded) {
        if let Err(error) = logs::remove(layout, &pod) {
            leftovers.push(Leftover { path: log_directory(layout, &pod), reason: chain_of(&error) });
        }
    }
    Ok(leftovers)
}

/// Returns the pods that there were.
async fn stop(runtime: &impl Runtime, waves: &[&[&str]]) -> Vec<PodMetadata> {
    let sandboxes = runtime.list_pod_sandboxes().await.unwrap_or_default();
    let wave_of = |name: &str| {
        let is =
            |member: &&str| name == *member || name.strip_prefix(*member).is_some_and(|rest| rest.starts_with('-'));
        waves.iter().position(|wave| wave.iter().any(is)).unwrap_or(waves.len())
    };
    for wave in 0..=waves.len() {
        let of_wave: Vec<_> =
            sandboxes.iter().filter(|sandbox| wave_of(&sandbox.config.metadata.name) == wave).collect();
        let containers = runtime.list_containers().await.unwrap_or_default();
        let running = containers.iter().filter(|container| {
            let is_up = matches!(container.state, ContainerState::Running { .. } | ContainerState::Created);
            is_up && of_wave.iter().any(|sandbox| sandbox.id == container.sandbox_id)
        });
        let stops = running
            .map(|container| runtime.stop_container(&container.id, promised_grace(&container.config).unwrap_or(GRACE)));
        for stopped in futures_util::future::join_all(stops).await {
            if let Err(error) = stopped {
                tracing::warn!("cannot stop a container: {}", chain_of(&error.into()));
            }
        }
        for sandbox in of_wave {
            if let Err(error) = runtime.remove_pod_sandbox(&sandbox.id).await {
                tracing::warn!("cannot remove pod `{}`: {}", sandbox.config.metadata.name, chain_of(&error.into()));
            }
        }
    }
    sandboxes.into_iter().map(|sandbox| sandbox.config.metadata).collect()
}

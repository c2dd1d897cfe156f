//! Performs the plan of `certs renew`: certificates first, then the pods that read them, one after the other.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use super::cluster;
use super::wait::{Gate, Wait};
use super::writer::Writer;
use crate::api::{Endpoint, startup_probe_server};
use crate::apply::Perform;
use crate::control::{self, ContainerState, ContainerStatus, Reply, Request, Status};
use crate::desired::kubeconfig::existing::Existing;
use crate::desired::manifest::Component;
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::phase::renew::PlacedPod;
use crate::plan::{Action, Step};

/// Seconds. On SIGTERM the API server serves nobody new, finishes what it was asked, and then waits for its watchers,
/// who do not go: whatever it gets beyond the first seconds is time without an API.
const API_SERVER_GRACE: u64 = 5;
/// Where a server listens that says no address: on this node's, and so on its loopback.
const LOOPBACK: &str = "127.0.0.1";

pub struct Renewer<'a> {
    pub layout: &'a Layout,
    pub writer: Writer,
    pub pods: &'a [PlacedPod],
    pub patience: Duration,
    /// Is told what is waited for.
    pub tell: Box<dyn Fn(String) + 'a>,
    /// When the last file was written: what was started after that has read the new ones.
    pub written_at: Mutex<Option<Timestamp>>,
}

impl Perform for Renewer<'_> {
    async fn prepare(&self, steps: &[&Step]) -> Result<()> {
        self.writer.prepare(steps);
        Ok(())
    }

    async fn perform(&self, step: &Step, action: &Action) -> Result<()> {
        if self.writer.perform(step, action).await? {
            *self.written_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Timestamp::now());
            return Ok(());
        }
        match action {
            Action::RestartPod { name, manifest } => self.restart(name, manifest).await,
            other => anyhow::bail!("a renewal does not know how to {other}"),
        }
    }
}

impl Renewer<'_> {
    async fn restart(&self, name: &str, manifest: &Path) -> Result<()> {
        let pod = self.pods.iter().find(|pod| pod.manifest == manifest);
        let pod = pod.with_context(|| format!("there is no manifest `{}`", manifest.display()))?;
        let status = status(self.layout).await?;
        let known = status.pods.iter().find(|pod| pod.source == manifest);
        // without etcd or the API server, others may have ended and been started anew by now
        if let Some(known) = known.filter(|known| !known.containers.iter().all(|container| self.is_new(container))) {
            let grace_seconds = (name == Component::ApiServer.name()).then_some(API_SERVER_GRACE);
            let restart = Request::RestartPod { uid: known.uid.clone(), grace_seconds };
            control::client::call(self.layout, restart).await.context("the runner could not restart it")?;
        }
        let wait = Wait {
            layout: self.layout,
            component: name,
            manifest: manifest.to_owned(),
            gate: self.gate(pod).await,
            patience: self.patience,
            tell: &*self.tell,
        };
        wait.run().await
    }

    fn is_new(&self, container: &ContainerStatus) -> bool {
        let written_at = *self.written_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match container.state {
            ContainerState::Running { started_at, .. } => written_at.is_some_and(|written_at| started_at > written_at),
            ContainerState::Waiting { .. } | ContainerState::Terminated(_) => false,
        }
    }

    /// The API server is asked as an administrator whose certificate has not expired, which proves the certificates
    /// of both; other components as their startup probes do; whatever has no such probe is the runner's to judge.
    async fn gate(&self, pod: &PlacedPod) -> Gate {
        let containers = pod.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let Some(container) = containers.iter().find(|container| container.name == pod.name()) else {
            return Gate::Runner;
        };
        if pod.name() == Component::ApiServer.name()
            && let (Ok(Some(kubeconfig)), Ok(server)) =
                (cluster::administrator(self.layout), startup_probe_server(container, ""))
            && has_valid_certificate(&kubeconfig)
            && let Ok(endpoint) = Endpoint::readyz(&kubeconfig, &server).await
        {
            return Gate::Endpoint(endpoint);
        }
        Endpoint::of_startup_probe(container, LOOPBACK).map_or(Gate::Runner, Gate::Endpoint)
    }
}

fn has_valid_certificate(kubeconfig: &str) -> bool {
    let client = Existing::read(kubeconfig.as_bytes()).and_then(|existing| existing.client());
    client
        .is_ok_and(|client| client.is_some_and(|client| client.certificate.not_after > time::OffsetDateTime::now_utc()))
}

/// What the runner of this instance says.
pub async fn status(layout: &Layout) -> Result<Status> {
    match control::client::call(layout, Request::Status).await? {
        Reply::Status(status) => Ok(status),
        Reply::Events { .. } | Reply::Done | Reply::Error { .. } => {
            anyhow::bail!("the runner gave an answer that makes no sense")
        }
    }
}

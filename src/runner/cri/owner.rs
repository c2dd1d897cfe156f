//! Finding what a client means, and whether it is a client's to change.

use tokio::sync::oneshot;
use tonic::Status;

use super::Cri;
use super::convert::is_from_cri;
use super::select;
use super::status::{missing, status};
use crate::control::{Reply, Request};
use crate::runner::runtime::{Container, ContainerState, PodSandbox, Runtime};

const SANDBOX: &str = "pod sandbox";
const CONTAINER: &str = "container";

impl<R: Runtime> Cri<R> {
    pub(super) async fn sandbox(&self, given: &str) -> Result<PodSandbox, Status> {
        let all = self.runtime().list_pod_sandboxes().await.map_err(status)?;
        let found = select::by_id(&all, |sandbox| &sandbox.id, given);
        found.cloned().map_err(|miss| missing(SANDBOX, given, &miss))
    }

    pub(super) async fn container(&self, given: &str) -> Result<Container, Status> {
        let all = self.runtime().list_containers().await.map_err(status)?;
        let found = select::by_id(&all, |container| &container.id, given);
        found.cloned().map_err(|miss| missing(CONTAINER, given, &miss))
    }

    /// A container with a process to talk with.
    pub(super) async fn running(&self, given: &str) -> Result<Container, Status> {
        let container = self.container(given).await?;
        match container.state {
            ContainerState::Running { .. } => Ok(container),
            _ => Err(Status::failed_precondition(format!("container `{}` does not run", container.id))),
        }
    }

    /// A sandbox that a client may change.
    pub(super) async fn own_sandbox(&self, given: &str) -> Result<PodSandbox, Status> {
        let sandbox = self.sandbox(given).await?;
        match is_from_cri(&sandbox.config) {
            true => Ok(sandbox),
            false => Err(self.refusal(&sandbox).await),
        }
    }

    /// A container that a client may change.
    pub(super) async fn own_container(&self, given: &str) -> Result<Container, Status> {
        let container = self.container(given).await?;
        self.own_sandbox(&container.sandbox_id).await?;
        Ok(container)
    }

    async fn refusal(&self, sandbox: &PodSandbox) -> Status {
        let pod = &sandbox.config.metadata;
        let owner = match self.manifest(&sandbox.id).await {
            Some(path) => format!("the manifest `{path}`: change or remove that"),
            None => "a manifest".to_owned(),
        };
        Status::failed_precondition(format!("pod `{}/{}` belongs to {owner}", pod.namespace, pod.name))
    }

    async fn manifest(&self, sandbox: &str) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.asks.send((Request::Status, answer)).await.ok()?;
        let Ok(Reply::Status(known)) = answered.await else { return None };
        let pod = known.pods.into_iter().find(|pod| pod.sandbox_id.as_deref() == Some(sandbox))?;
        Some(pod.source.display().to_string())
    }
}

/// What is there no more is stopped and removed already.
pub(super) fn if_there<T>(found: Result<T, Status>) -> Result<Option<T>, Status> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(missing) if missing.code() == tonic::Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

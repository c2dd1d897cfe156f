//! `runtime.v1.RuntimeService`: the sandboxes' and containers' verbs, each in the runtime's own words.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::convert::{self, answer, is_from_cri};
use super::owner::if_there;
use super::select;
use super::status::{missing, status};
use super::streaming::Errand;
use super::v1::runtime_service_server::RuntimeService;
use super::{Cri, MAX_MESSAGE, v1};
use crate::runner::runtime::{
    Container, ContainerState, ContainerStats, PodSandbox, Runtime, RuntimeError, SandboxState,
};

/// The version of the kubelet's runtime API, which is no other than this.
const API_VERSION: &str = "v1";
/// Bytes of a command's output and errors: what leaves room for the rest of the one message that they are sent in.
const MAX_OUTPUT: usize = MAX_MESSAGE - (1 << 10);

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// A stream of one message for each item.
fn messages<I, T>(items: Vec<I>, message: impl Fn(I) -> T) -> Response<Messages<T>>
where
    T: Send + 'static,
{
    let messages: Vec<_> = items.into_iter().map(|item| Ok(message(item))).collect();
    Response::new(Box::pin(stream::iter(messages)))
}

impl<R: Runtime> Cri<R> {
    async fn sandboxes(&self, filter: Option<&v1::PodSandboxFilter>) -> Result<Vec<PodSandbox>, Status> {
        let mut all = self.runtime().list_pod_sandboxes().await.map_err(status)?;
        all.retain(|sandbox| select::is_sandbox_in(filter, sandbox));
        Ok(all)
    }

    async fn containers(&self, filter: Option<&v1::ContainerFilter>) -> Result<Vec<Container>, Status> {
        let mut all = self.runtime().list_containers().await.map_err(status)?;
        all.retain(|container| select::is_container_in(filter, container));
        Ok(all)
    }

    async fn usage(&self, filter: Option<v1::ContainerFilter>) -> Result<Vec<(Container, ContainerStats)>, Status> {
        let containers = self.containers(filter.as_ref()).await?;
        let mut counted: HashMap<_, _> = HashMap::new();
        for stats in self.runtime().list_container_stats().await.map_err(status)? {
            counted.insert(stats.id.clone(), stats);
        }
        let pairs = containers.into_iter().filter_map(|container| {
            let stats = counted.remove(&container.id)?;
            Some((container, stats))
        });
        Ok(pairs.collect())
    }

    async fn stats(&self, filter: Option<v1::ContainerStatsFilter>) -> Result<Vec<v1::ContainerStats>, Status> {
        let usage = self.usage(select::of_stats(filter)).await?;
        Ok(usage.iter().map(|(container, stats)| answer::stats(container, stats)).collect())
    }

    async fn sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>, Status> {
        let usage = self.usage(None).await?;
        let sandboxes = self.sandboxes(select::of_sandbox_stats(filter).as_ref()).await?;
        let of = |sandbox: &PodSandbox| {
            let own = usage.iter().filter(|(container, _)| container.sandbox_id == sandbox.id).cloned();
            answer::sandbox_stats(sandbox, &own.collect::<Vec<_>>(), Timestamp::now())
        };
        Ok(sandboxes.iter().map(of).collect())
    }
}

/// What `inspect` and `inspectp` show beside the status.
fn info(verbose: bool, value: impl FnOnce() -> serde_json::Value) -> HashMap<String, String> {
    if verbose { HashMap::from([("info".to_owned(), value().to_string())]) } else { HashMap::new() }
}

fn seconds(timeout: i64) -> Duration {
    Duration::from_secs(u64::try_from(timeout).unwrap_or(0))
}

#[tonic::async_trait]
impl<R: Runtime> RuntimeService for Cri<R> {
    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        Ok(Response::new(v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "bootstrap".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: API_VERSION.to_owned(),
        }))
    }

    async fn run_pod_sandbox(&self, request: Request<v1::RunPodSandboxRequest>) -> Answer<v1::RunPodSandboxResponse> {
        let asked = request.into_inner();
        let config = asked.config.unwrap_or_default();
        let site = &self.site;
        let config = convert::sandbox::config(&config, &asked.runtime_handler, &site.node.host_name, &site.layout);
        let config = config.map_err(Status::invalid_argument)?;
        for other in self.sandboxes(None).await? {
            let (pod, known) = (&config.metadata, &other.config);
            if known.metadata.uid == pod.uid && !is_from_cri(known) {
                // they would share a cgroup
                self.own_sandbox(&other.id).await?;
            }
            if known.metadata == *pod && known.attempt == config.attempt {
                let message = format!("pod `{}/{}` has this attempt already: `{}`", pod.namespace, pod.name, other.id);
                return Err(Status::already_exists(message));
            }
        }
        let sandbox = self.runtime().run_pod_sandbox(&config).await.map_err(status)?;
        Ok(Response::new(v1::RunPodSandboxResponse { pod_sandbox_id: sandbox.id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Answer<v1::StopPodSandboxResponse> {
        if let Some(sandbox) = if_there(self.own_sandbox(&request.into_inner().pod_sandbox_id).await)? {
            self.runtime().stop_pod_sandbox(&sandbox.id).await.map_err(status)?;
        }
        Ok(Response::new(v1::StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        if let Some(sandbox) = if_there(self.own_sandbox(&request.into_inner().pod_sandbox_id).await)? {
            self.runtime().remove_pod_sandbox(&sandbox.id).await.map_err(status)?;
        }
        Ok(Response::new(v1::RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let asked = request.into_inner();
        let sandbox = self.sandbox(&asked.pod_sandbox_id).await?;
        let filter = v1::ContainerFilter { pod_sandbox_id: sandbox.id.clone(), ..Default::default() };
        let containers = self.containers(Some(&filter)).await?;
        Ok(Response::new(v1::PodSandboxStatusResponse {
            status: Some(answer::sandbox_status(&sandbox)),
            info: info(asked.verbose, || json!({ "config": sandbox.config })),
            containers_statuses: containers.iter().map(|one| answer::container_status(one, &sandbox)).collect(),
            timestamp: answer::nanoseconds(Timestamp::now()),
        }))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Answer<v1::ListPodSandboxResponse> {
        let found = self.sandboxes(request.into_inner().filter.as_ref()).await?;
        Ok(Response::new(v1::ListPodSandboxResponse { items: found.iter().map(answer::sandbox).collect() }))
    }

    type StreamPodSandboxesStream = Messages<v1::StreamPodSandboxesResponse>;

    async fn stream_pod_sandboxes(
        &self,
        request: Request<v1::StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        let found = self.sandboxes(request.into_inner().filter.as_ref()).await?;
        Ok(messages(found, |one| v1::StreamPodSandboxesResponse { pod_sandboxes: vec![answer::sandbox(&one)] }))
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        let asked = request.into_inner();
        let sandbox = self.own_sandbox(&asked.pod_sandbox_id).await?;
        let config = asked.config.unwrap_or_default();
        let name = config.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default();
        let images = self.images().await?;
        let (image, reference) = select::image(&images, name).map_err(|miss| missing("image", name, &miss))?;
        let reference = reference.or(image.references.first().map(String::as_str)).unwrap_or(name);
        let config = convert::container::config(&config, image, reference, sandbox.config.namespaces);
        let mut config = config.map_err(Status::invalid_argument)?;
        for mount in config.mounts.iter_mut().filter_map(|mount| mount.image.as_mut()) {
            let (image, reference) =
                select::image(&images, &mount.image).map_err(|miss| missing("image", &mount.image, &miss))?;
            if let Some(reference) = reference.or(image.references.first().map(String::as_str)) {
                mount.image = reference.to_owned();
            }
        }
        let filter = v1::ContainerFilter { pod_sandbox_id: sandbox.id.clone(), ..Default::default() };
        let is_taken = |other: &Container| other.config.name == config.name && other.config.attempt == config.attempt;
        if let Some(other) = self.containers(Some(&filter)).await?.into_iter().find(is_taken) {
            let message = format!("container `{}` has this attempt already: `{}`", config.name, other.id);
            return Err(Status::already_exists(message));
        }
        let container = self.runtime().create_container(&sandbox.id, &config).await.map_err(status)?;
        Ok(Response::new(v1::CreateContainerResponse { container_id: container.id }))
    }

    async fn start_container(&self, request: Request<v1::StartContainerRequest>) -> Answer<v1::StartContainerResponse> {
        let container = self.own_container(&request.into_inner().container_id).await?;
        self.runtime().start_container(&container.id).await.map_err(status)?;
        Ok(Response::new(v1::StartContainerResponse {}))
    }

    /// Also a manifest's: its worker sees it end, and does as the restart policy says [3.30].
    async fn stop_container(&self, request: Request<v1::StopContainerRequest>) -> Answer<v1::StopContainerResponse> {
        let asked = request.into_inner();
        if let Some(container) = if_there(self.container(&asked.container_id).await)? {
            self.runtime().stop_container(&container.id, seconds(asked.timeout)).await.map_err(status)?;
        }
        Ok(Response::new(v1::StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        if let Some(container) = if_there(self.own_container(&request.into_inner().container_id).await)? {
            self.runtime().remove_container(&container.id).await.map_err(status)?;
        }
        Ok(Response::new(v1::RemoveContainerResponse {}))
    }

    async fn list_containers(&self, request: Request<v1::ListContainersRequest>) -> Answer<v1::ListContainersResponse> {
        let found = self.containers(request.into_inner().filter.as_ref()).await?;
        Ok(Response::new(v1::ListContainersResponse { containers: found.iter().map(answer::container).collect() }))
    }

    type StreamContainersStream = Messages<v1::StreamContainersResponse>;

    async fn stream_containers(
        &self,
        request: Request<v1::StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        let found = self.containers(request.into_inner().filter.as_ref()).await?;
        Ok(messages(found, |one| v1::StreamContainersResponse { containers: vec![answer::container(&one)] }))
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let asked = request.into_inner();
        let container = self.container(&asked.container_id).await?;
        let sandbox = self.sandbox(&container.sandbox_id).await?;
        let pid = match container.state {
            ContainerState::Running { pid, .. } => pid,
            ContainerState::Created | ContainerState::Exited { .. } => 0,
        };
        let info = info(asked.verbose, || json!({ "sandboxID": sandbox.id, "pid": pid, "config": container.config }));
        Ok(Response::new(v1::ContainerStatusResponse {
            status: Some(answer::container_status(&container, &sandbox)),
            info,
        }))
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Answer<v1::UpdateContainerResourcesResponse> {
        let asked = request.into_inner();
        let container = self.own_container(&asked.container_id).await?;
        let resources =
            convert::changed_resources(&asked.linux.unwrap_or_default()).map_err(Status::invalid_argument)?;
        self.runtime().update_container_resources(&container.id, &resources).await.map_err(status)?;
        Ok(Response::new(v1::UpdateContainerResourcesResponse {}))
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        let container = self.container(&request.into_inner().container_id).await?;
        self.runtime().reopen_container_log(&container.id).await.map_err(status)?;
        Ok(Response::new(v1::ReopenContainerLogResponse {}))
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        let asked = request.into_inner();
        let container = self.container(&asked.container_id).await?;
        let limit = (asked.timeout > 0).then(|| seconds(asked.timeout));
        let said = self.runtime().capture(&container.id, &asked.cmd, limit, MAX_OUTPUT).await.map_err(status)?;
        let exit_code = said.exit_code.ok_or_else(|| status(RuntimeError::TimedOut))?;
        Ok(Response::new(v1::ExecSyncResponse { stdout: said.stdout, stderr: said.stderr, exit_code }))
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Answer<v1::ExecResponse> {
        let asked = request.into_inner();
        let streams = convert::streams::options(asked.stdin, asked.stdout, asked.stderr, asked.tty);
        let streams = streams.map_err(Status::invalid_argument)?;
        let container = self.running(&asked.container_id).await?.id;
        let url = self.streaming.url(Errand::Exec { container, command: asked.cmd, streams }).await?;
        Ok(Response::new(v1::ExecResponse { url }))
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        let asked = request.into_inner();
        let streams = convert::streams::options(asked.stdin, asked.stdout, asked.stderr, asked.tty);
        let streams = streams.map_err(Status::invalid_argument)?;
        let container = self.running(&asked.container_id).await?.id;
        let url = self.streaming.url(Errand::Attach { container, streams }).await?;
        Ok(Response::new(v1::AttachResponse { url }))
    }

    async fn port_forward(&self, request: Request<v1::PortForwardRequest>) -> Answer<v1::PortForwardResponse> {
        let asked = request.into_inner();
        let ports = convert::streams::ports(&asked.port).map_err(Status::invalid_argument)?;
        let sandbox = self.sandbox(&asked.pod_sandbox_id).await?;
        if sandbox.state != SandboxState::Ready {
            return Err(Status::failed_precondition(format!("pod sandbox `{}` is not ready", sandbox.id)));
        }
        let pod = format!("{}, uid {}", sandbox.config.metadata.name, sandbox.config.metadata.uid);
        let url = self.streaming.url(Errand::PortForward { sandbox: sandbox.id, pod, ports }).await?;
        Ok(Response::new(v1::PortForwardResponse { url }))
    }

    async fn container_stats(&self, request: Request<v1::ContainerStatsRequest>) -> Answer<v1::ContainerStatsResponse> {
        let container = self.container(&request.into_inner().container_id).await?;
        let filter = v1::ContainerStatsFilter { id: container.id.clone(), ..Default::default() };
        let stats = self.stats(Some(filter)).await?.pop();
        let stats = stats.ok_or_else(|| Status::not_found(format!("container `{}` does not run", container.id)))?;
        Ok(Response::new(v1::ContainerStatsResponse { stats: Some(stats) }))
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Answer<v1::ListContainerStatsResponse> {
        let stats = self.stats(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListContainerStatsResponse { stats }))
    }

    type StreamContainerStatsStream = Messages<v1::StreamContainerStatsResponse>;

    async fn stream_container_stats(
        &self,
        request: Request<v1::StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        let stats = self.stats(request.into_inner().filter).await?;
        Ok(messages(stats, |one| v1::StreamContainerStatsResponse { container_stats: vec![one] }))
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<v1::PodSandboxStatsRequest>,
    ) -> Answer<v1::PodSandboxStatsResponse> {
        let sandbox = self.sandbox(&request.into_inner().pod_sandbox_id).await?;
        let filter = v1::PodSandboxStatsFilter { id: sandbox.id, ..Default::default() };
        let stats = self.sandbox_stats(Some(filter)).await?.pop();
        Ok(Response::new(v1::PodSandboxStatsResponse { stats }))
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Answer<v1::ListPodSandboxStatsResponse> {
        let stats = self.sandbox_stats(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListPodSandboxStatsResponse { stats }))
    }

    type StreamPodSandboxStatsStream = Messages<v1::StreamPodSandboxStatsResponse>;

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<v1::StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        let stats = self.sandbox_stats(request.into_inner().filter).await?;
        Ok(messages(stats, |one| v1::StreamPodSandboxStatsResponse { pod_sandbox_stats: vec![one] }))
    }

    /// A pod's network is made without the node's range of pod addresses.
    async fn update_runtime_config(
        &self,
        _: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Answer<v1::UpdateRuntimeConfigResponse> {
        Ok(Response::new(v1::UpdateRuntimeConfigResponse {}))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let condition = |r#type: &str, reason: &str, message: &str| v1::RuntimeCondition {
            r#type: r#type.to_owned(),
            status: reason.is_empty(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let network = match self.runtime().has_pod_network() {
            true => condition("NetworkReady", "", ""),
            false => condition("NetworkReady", "NoPodNetwork", "pods have the node's network only"),
        };
        let config = || json!({ "cgroupDriver": "cgroupfs", "root": self.site.layout.root() });
        let info = if request.into_inner().verbose {
            HashMap::from([("config".to_owned(), config().to_string())])
        } else {
            HashMap::new()
        };
        Ok(Response::new(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions: vec![condition("RuntimeReady", "", ""), network] }),
            info,
            runtime_handlers: vec![v1::RuntimeHandler { name: String::new(), features: Some(Default::default()) }],
            features: Some(v1::RuntimeFeatures::default()),
        }))
    }

    async fn checkpoint_container(
        &self,
        _: Request<v1::CheckpointContainerRequest>,
    ) -> Answer<v1::CheckpointContainerResponse> {
        Err(Status::unimplemented("this runtime makes no checkpoints"))
    }

    type GetContainerEventsStream = Messages<v1::ContainerEventResponse>;

    async fn get_container_events(&self, _: Request<v1::GetEventsRequest>) -> Answer<Self::GetContainerEventsStream> {
        Err(Status::unimplemented("this runtime tells no events: list the containers"))
    }

    /// There are none.
    async fn list_metric_descriptors(
        &self,
        _: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Answer<v1::ListMetricDescriptorsResponse> {
        Ok(Response::new(v1::ListMetricDescriptorsResponse::default()))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Answer<v1::ListPodSandboxMetricsResponse> {
        Ok(Response::new(v1::ListPodSandboxMetricsResponse::default()))
    }

    type StreamPodSandboxMetricsStream = Messages<v1::StreamPodSandboxMetricsResponse>;

    async fn stream_pod_sandbox_metrics(
        &self,
        _: Request<v1::StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        Ok(messages(Vec::<v1::StreamPodSandboxMetricsResponse>::new(), |one| one))
    }

    async fn runtime_config(&self, _: Request<v1::RuntimeConfigRequest>) -> Answer<v1::RuntimeConfigResponse> {
        let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: v1::CgroupDriver::Cgroupfs.into() };
        Ok(Response::new(v1::RuntimeConfigResponse { linux: Some(linux) }))
    }

    async fn update_pod_sandbox_resources(
        &self,
        _: Request<v1::UpdatePodSandboxResourcesRequest>,
    ) -> Answer<v1::UpdatePodSandboxResourcesResponse> {
        Err(Status::unimplemented("this runtime does not change a pod's own limits"))
    }
}

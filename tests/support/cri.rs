//! A client of the CRI's socket, as crictl and kubelets are one.

use bootstrap::layout::Layout;
use bootstrap::linux::socket::Address;
use bootstrap::runner::cri::v1::image_service_client::ImageServiceClient;
use bootstrap::runner::cri::v1::runtime_service_client::RuntimeServiceClient;
use bootstrap::runner::cri::v1::{self, NamespaceMode};
use tonic::transport::{Channel, Endpoint};

/// As crictl has it.
const MAX_MESSAGE: usize = 16 << 20;

async fn channel(layout: &Layout) -> Channel {
    // the instance's own path may be longer than a socket's may be
    let address = Address::of(&layout.cri_socket()).unwrap();
    let endpoint = Endpoint::from_shared(format!("unix://{}", address.path().display())).unwrap();
    endpoint.connect().await.unwrap()
}

pub(crate) async fn runtime(layout: &Layout) -> RuntimeServiceClient<Channel> {
    RuntimeServiceClient::new(channel(layout).await).max_decoding_message_size(MAX_MESSAGE)
}

pub(crate) async fn images(layout: &Layout) -> ImageServiceClient<Channel> {
    ImageServiceClient::new(channel(layout).await).max_decoding_message_size(MAX_MESSAGE)
}

/// A pod on the node's network.
pub(crate) fn sandbox() -> v1::PodSandboxConfig {
    let namespaces = v1::NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    };
    let security = v1::LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "mine".into(),
            uid: "mine-1".into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        labels: [("app".to_owned(), "mine".to_owned())].into(),
        linux: Some(v1::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn container(image: &str, script: &str) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() }),
        command: vec!["/bin/sh".into(), "-c".into(), script.to_owned()],
        ..Default::default()
    }
}

/// A sandbox with a started container, by their ids.
pub(crate) async fn run(layout: &Layout, config: v1::ContainerConfig) -> (String, String) {
    let mut runtime = runtime(layout).await;
    let request = v1::RunPodSandboxRequest { config: Some(sandbox()), runtime_handler: String::new() };
    let pod_sandbox_id = runtime.run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id;
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: pod_sandbox_id.clone(),
        config: Some(config),
        sandbox_config: Some(sandbox()),
    };
    let container_id = runtime.create_container(request).await.unwrap().into_inner().container_id;
    runtime.start_container(v1::StartContainerRequest { container_id: container_id.clone() }).await.unwrap();
    (pod_sandbox_id, container_id)
}

/// Ends a pod as its client does.
pub(crate) async fn remove(layout: &Layout, pod: &str) {
    let mut runtime = runtime(layout).await;
    let pod_sandbox_id = pod.to_owned();
    runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id }).await.unwrap();
}

/// `timeout` in seconds; 0 for ever.
pub(crate) fn command(container: &str, script: &str, timeout: i64) -> v1::ExecSyncRequest {
    let cmd = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    v1::ExecSyncRequest { container_id: container.to_owned(), cmd, timeout }
}

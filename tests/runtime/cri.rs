//! The CRI's socket, with a real client, on a runner over the real runtime.

use std::os::unix::fs::{PermissionsExt, symlink};

use bootstrap::runner::cri::v1::image_service_client::ImageServiceClient;
use bootstrap::runner::cri::v1::runtime_service_client::RuntimeServiceClient;
use bootstrap::runner::cri::v1::{self, NamespaceMode};
use serde_json::json;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::node::{Node, container};

async fn channel(node: &Node) -> Channel {
    // the instance's own path is longer than a socket's may be
    let short = node.case.path("run");
    if !short.exists() {
        symlink(node.layout().run(), &short).unwrap();
    }
    let address = format!("unix://{}", short.join("cri.sock").display());
    Endpoint::from_shared(address).unwrap().connect().await.unwrap()
}

async fn runtime(node: &Node) -> RuntimeServiceClient<Channel> {
    RuntimeServiceClient::new(channel(node).await)
}

fn sandbox_config() -> v1::PodSandboxConfig {
    let options = v1::NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    };
    let security = v1::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "mine".into(),
            uid: "mine-1".into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        linux: Some(v1::LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    }
}

fn creation(sandbox: &str) -> v1::CreateContainerRequest {
    let config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() }),
        command: vec!["/bin/sh".into(), "-c".into(), "trap 'exit 3' TERM; while :; do sleep 0.1; done".into()],
        ..Default::default()
    };
    v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.to_owned(),
        config: Some(config),
        sandbox_config: Some(sandbox_config()),
    }
}

fn command(container: &str, script: &str) -> v1::ExecSyncRequest {
    let cmd = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    v1::ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 60 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_makes_a_pod_that_outlives_the_runner() {
    let mut node = Node::new().await;
    let socket = std::fs::metadata(node.layout().cri_socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let mut client = runtime(&node).await;
    let version = client.version(v1::VersionRequest::default()).await.unwrap().into_inner();
    assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("bootstrap", "v1"));
    let status = client.status(v1::StatusRequest { verbose: true }).await.unwrap().into_inner();
    assert!(status.status.unwrap().conditions.iter().any(|one| one.r#type == "RuntimeReady" && one.status));

    let request = v1::RunPodSandboxRequest { config: Some(sandbox_config()), runtime_handler: String::new() };
    let sandbox = client.run_pod_sandbox(request.clone()).await.unwrap().into_inner().pod_sandbox_id;
    assert_eq!(client.run_pod_sandbox(request).await.unwrap_err().code(), Code::AlreadyExists);
    let id = client.create_container(creation(&sandbox)).await.unwrap().into_inner().container_id;
    client.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
    let said = client.exec_sync(command(&id, "echo out; exit 7")).await.unwrap().into_inner();
    assert_eq!((said.stdout.as_slice(), said.exit_code), (&b"out\n"[..], 7));

    node.restart().await;
    let mut client = runtime(&node).await;
    let pods = client.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap().into_inner().items;
    assert_eq!((pods.len(), pods[0].id == sandbox, pods[0].annotations.len()), (1, true, 0));
    assert_eq!(client.exec_sync(command(&id, "exit 0")).await.unwrap().into_inner().exit_code, 0);
    let stats = v1::ListContainerStatsRequest::default();
    assert_eq!(client.list_container_stats(stats).await.unwrap().into_inner().stats.len(), 1);

    for _ in 0..2 {
        client.stop_container(v1::StopContainerRequest { container_id: id.clone(), timeout: 30 }).await.unwrap();
    }
    // an id may be cut short
    let asked = v1::ContainerStatusRequest { container_id: id[..12].to_owned(), verbose: true };
    let status = client.container_status(asked.clone()).await.unwrap().into_inner().status.unwrap();
    assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 3));
    for _ in 0..2 {
        client.remove_container(v1::RemoveContainerRequest { container_id: id.clone() }).await.unwrap();
    }
    assert_eq!(client.container_status(asked).await.unwrap_err().code(), Code::NotFound);
    for _ in 0..2 {
        client.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await.unwrap();
    }
    for _ in 0..2 {
        client.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await.unwrap();
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manifest_owns_stays_with_its_worker() {
    let node = Node::new().await;
    node.apply("a", json!({ "containers": [container("main", "while :; do sleep 0.1; done")] }));
    let is_running = |restarts: u32| {
        move |pod: &bootstrap::control::PodStatus| {
            pod.phase == "Running" && pod.all_containers().all(|one| one.ready && one.restarts == restarts)
        }
    };
    node.pod("a", is_running(0)).await;
    let mut client = runtime(&node).await;
    let sandbox =
        client.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap().into_inner().items.remove(0).id;
    let found =
        client.list_containers(v1::ListContainersRequest::default()).await.unwrap().into_inner().containers.remove(0);

    let pod_sandbox_id = sandbox.clone();
    let refused = [
        client.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id }).await.unwrap_err(),
        client.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await.unwrap_err(),
        client.create_container(creation(&sandbox)).await.unwrap_err(),
        client.remove_container(v1::RemoveContainerRequest { container_id: found.id.clone() }).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
        assert!(error.message().contains("/a.json"), "{error:?}");
    }
    let mut images = ImageServiceClient::new(channel(&node).await);
    let image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
    let error = images.remove_image(v1::RemoveImageRequest { image: image.clone() }).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    let known = images.image_status(v1::ImageStatusRequest { image, verbose: false }).await.unwrap().into_inner();
    assert!(known.image.unwrap().pinned);

    assert_eq!(client.exec_sync(command(&found.id, "exit 4")).await.unwrap().into_inner().exit_code, 4);
    client.stop_container(v1::StopContainerRequest { container_id: found.id, timeout: 0 }).await.unwrap();
    node.pod("a", is_running(1)).await;
    node.finish().await;
}

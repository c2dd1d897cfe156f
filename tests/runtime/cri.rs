//! The CRI's socket, with a real client, on a runner over the real runtime.

mod client;
mod streams;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bootstrap::runner::cri::v1;
use serde_json::json;
use tonic::Code;

use super::case::until;
use super::node::{Node, container};
use crate::support::cri::{self, command};
use crate::support::registry::{Content, Registry};

#[tokio::test(flavor = "multi_thread")]
async fn case_136_a_client_learns_version_state_and_configuration() {
    let node = Node::new().await;
    let socket = fs::metadata(node.layout().cri_socket()).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let mut runtime = cri::runtime(node.layout()).await;
    let version = runtime.version(v1::VersionRequest { version: "0.1.0".into() }).await.unwrap().into_inner();
    assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("bootstrap", "v1"));
    let status = runtime.status(v1::StatusRequest { verbose: true }).await.unwrap().into_inner();
    assert!(status.status.unwrap().conditions.iter().any(|one| one.r#type == "RuntimeReady" && one.status));
    assert!(status.info["config"].contains("cgroupfs"));
    let config = runtime.runtime_config(v1::RuntimeConfigRequest {}).await.unwrap().into_inner();
    assert_eq!(config.linux.unwrap().cgroup_driver(), v1::CgroupDriver::Cgroupfs);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_runs_a_pod_from_its_sandbox_to_its_removal() {
    let node = Node::new().await;
    let (mut runtime, mut images) = (cri::runtime(node.layout()).await, cri::images(node.layout()).await);
    let listed = images.list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner().images;
    assert_eq!((listed.len(), listed[0].pinned), (1, false));
    assert_eq!(listed[0].repo_tags, ["docker.io/library/busybox:latest"]);
    let disk = images.image_fs_info(v1::ImageFsInfoRequest {}).await.unwrap().into_inner();
    assert!(disk.image_filesystems[0].used_bytes.as_ref().unwrap().value > 0);

    // a kubelet names images by their ids
    let (pod, id) = cri::run(node.layout(), cri::container(&listed[0].id, "echo hello; sleep 3600")).await;
    let twice = v1::RunPodSandboxRequest { config: Some(cri::sandbox()), runtime_handler: String::new() };
    assert_eq!(runtime.run_pod_sandbox(twice).await.unwrap_err().code(), Code::AlreadyExists);
    let filter = v1::PodSandboxFilter { label_selector: [("app".into(), "mine".into())].into(), ..Default::default() };
    let pods = runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await.unwrap().into_inner();
    assert_eq!((pods.items.len(), pods.items[0].id.as_str(), pods.items[0].annotations.len()), (1, pod.as_str(), 0));
    // the beginning of an id is enough
    let request = v1::ContainerStatusRequest { container_id: id[..12].to_owned(), verbose: true };
    let shown = runtime.container_status(request).await.unwrap().into_inner();
    let status = shown.status.unwrap();
    assert_eq!((status.id.as_str(), status.state()), (id.as_str(), v1::ContainerState::ContainerRunning));
    assert!(shown.info["info"].contains("\"pid\":"));

    let linux = v1::LinuxContainerResources { memory_limit_in_bytes: 64 << 20, ..Default::default() };
    let request =
        v1::UpdateContainerResourcesRequest { container_id: id.clone(), linux: Some(linux), ..Default::default() };
    runtime.update_container_resources(request).await.unwrap();
    let request = v1::ContainerStatusRequest { container_id: id.clone(), verbose: false };
    let status = runtime.container_status(request.clone()).await.unwrap().into_inner().status.unwrap();
    assert_eq!(status.resources.unwrap().linux.unwrap().memory_limit_in_bytes, 64 << 20);
    let stats = runtime.container_stats(v1::ContainerStatsRequest { container_id: id.clone() }).await.unwrap();
    assert!(stats.into_inner().stats.unwrap().memory.unwrap().usage_bytes.unwrap().value > 0);
    let stats = runtime.list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!(stats.stats[0].linux.as_ref().unwrap().containers.len(), 1);

    // `crictl logs` reads the file
    until(|| fs::read_to_string(&status.log_path).is_ok_and(|log| log.ends_with("stdout F hello\n"))).await;
    fs::rename(&status.log_path, format!("{}.old", status.log_path)).unwrap();
    runtime.reopen_container_log(v1::ReopenContainerLogRequest { container_id: id.clone() }).await.unwrap();
    assert!(fs::exists(&status.log_path).unwrap());

    for _ in 0..2 {
        let request = v1::StopContainerRequest { container_id: id.clone(), timeout: 0 };
        runtime.stop_container(request).await.unwrap();
    }
    let status = runtime.container_status(request.clone()).await.unwrap().into_inner().status.unwrap();
    assert_eq!(
        (status.state(), status.exit_code, status.reason.as_str()),
        (v1::ContainerState::ContainerExited, 137, "Error")
    );
    for _ in 0..2 {
        runtime.remove_container(v1::RemoveContainerRequest { container_id: id.clone() }).await.unwrap();
        runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: pod.clone() }).await.unwrap();
    }
    assert_eq!(runtime.container_status(request).await.unwrap_err().code(), Code::NotFound);
    for _ in 0..2 {
        runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: pod.clone() }).await.unwrap();
    }
    let image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
    for _ in 0..2 {
        images.remove_image(v1::RemoveImageRequest { image: image.clone() }).await.unwrap();
    }
    let absent = images.image_status(v1::ImageStatusRequest { image, verbose: false }).await.unwrap().into_inner();
    assert_eq!(absent.image, None);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_pod_outlives_the_runner() {
    let mut node = Node::new().await;
    let script = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    let (pod, id) = cri::run(node.layout(), cri::container("busybox", script)).await;
    node.restart().await;
    let mut runtime = cri::runtime(node.layout()).await;
    let pods = runtime.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap().into_inner().items;
    assert_eq!((pods.len(), pods[0].id == pod, pods[0].annotations.len()), (1, true, 0));
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.clone(), verbose: true };
    let status = runtime.pod_sandbox_status(request).await.unwrap().into_inner();
    assert_eq!(status.status.unwrap().state(), v1::PodSandboxState::SandboxReady);
    assert_eq!(status.containers_statuses.len(), 1);
    assert_eq!(runtime.exec_sync(command(&id, "exit 0", 60)).await.unwrap().into_inner().exit_code, 0);
    // it is stopped as gently as it would have been
    runtime.stop_container(v1::StopContainerRequest { container_id: id.clone(), timeout: 30 }).await.unwrap();
    let asked = v1::ContainerStatusRequest { container_id: id, verbose: false };
    let status = runtime.container_status(asked).await.unwrap().into_inner().status.unwrap();
    assert_eq!((status.state(), status.exit_code), (v1::ContainerState::ContainerExited, 3));
    cri::remove(node.layout(), &pod).await;
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
    let mut runtime = cri::runtime(node.layout()).await;
    let sandbox =
        runtime.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await.unwrap().into_inner().items.remove(0).id;
    let found =
        runtime.list_containers(v1::ListContainersRequest::default()).await.unwrap().into_inner().containers.remove(0);

    let pod_sandbox_id = sandbox.clone();
    let creation = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(cri::container("busybox", "true")),
        sandbox_config: Some(cri::sandbox()),
    };
    let refused = [
        runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id }).await.unwrap_err(),
        runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await.unwrap_err(),
        runtime.create_container(creation).await.unwrap_err(),
        runtime.remove_container(v1::RemoveContainerRequest { container_id: found.id.clone() }).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
        assert!(error.message().contains("/a.json`: change or remove that"), "{error:?}");
    }
    let mut images = cri::images(node.layout()).await;
    let image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
    let error = images.remove_image(v1::RemoveImageRequest { image: image.clone() }).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    let known = images.image_status(v1::ImageStatusRequest { image, verbose: false }).await.unwrap().into_inner();
    assert!(known.image.unwrap().pinned);

    assert_eq!(runtime.exec_sync(command(&found.id, "exit 4", 60)).await.unwrap().into_inner().exit_code, 4);
    runtime.stop_container(v1::StopContainerRequest { container_id: found.id, timeout: 0 }).await.unwrap();
    node.pod("a", is_running(1)).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_waited_for_with_its_output_and_its_errors() {
    let node = Node::new().await;
    let (pod, id) = cri::run(node.layout(), cri::container("busybox", "sleep 3600")).await;
    let mut runtime = cri::runtime(node.layout()).await;
    let said = runtime.exec_sync(command(&id, "echo out; echo err >&2; exit 7", 60)).await.unwrap().into_inner();
    assert_eq!((said.stdout.as_slice(), said.stderr.as_slice(), said.exit_code), (&b"out\n"[..], &b"err\n"[..], 7));

    // more than a message holds is cut, and the command sees nothing of it
    let flood = "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2; exit 3";
    let said = runtime.exec_sync(command(&id, flood, 0)).await.unwrap().into_inner();
    assert_eq!((said.stdout.len() + said.stderr.len(), said.exit_code), ((16 << 20) - 1024, 3));

    // nobody waits for what a command leaves behind, and a command that takes too long is ended with its children
    let late = runtime.exec_sync(command(&id, "sleep 1234 & sleep 1234", 1)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
    let processes = "cat /proc/[0-9]*/cmdline";
    let left = runtime.exec_sync(command(&id, processes, 60)).await.unwrap().into_inner();
    let left = String::from_utf8_lossy(&left.stdout).replace('\0', " ");
    assert!(left.contains("sleep 3600") && !left.contains("sleep 1234"), "{left:?}");
    let absent = v1::ExecSyncRequest { container_id: id.clone(), cmd: vec!["absent".into()], timeout: 0 };
    assert!(runtime.exec_sync(absent).await.unwrap_err().message().contains("not found in $PATH"));

    runtime.stop_container(v1::StopContainerRequest { container_id: id.clone(), timeout: 0 }).await.unwrap();
    assert!(runtime.exec_sync(command(&id, "true", 0)).await.unwrap_err().message().contains("does not run"));
    cri::remove(node.layout(), &pod).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_as_somebody_whom_the_registry_knows() {
    let registry = Registry::start_private("user", "hunter2");
    let pushed = tokio::task::spawn_blocking(move || {
        registry.push("app", "1", &Content::new(&["one"]));
        registry
    });
    let registry = pushed.await.unwrap();
    let mut node = Node::new().await;
    let etc = node.path("/etc/bootstrap");
    fs::create_dir_all(&etc).unwrap();
    fs::copy(registry.authority(), etc.join("ca.crt")).unwrap();
    fs::write(etc.join("registries.yaml"), "caFiles: [/etc/bootstrap/ca.crt]\n").unwrap();
    node.restart().await;

    let mut images = cri::images(node.layout()).await;
    let image = Some(v1::ImageSpec { image: format!("{}/app:1", registry.host), ..Default::default() });
    for (password, works) in [("hunter3", false), ("hunter2", true)] {
        let auth = v1::AuthConfig { username: "user".into(), password: password.into(), ..Default::default() };
        let request = v1::PullImageRequest { image: image.clone(), auth: Some(auth), sandbox_config: None };
        match images.pull_image(request).await {
            Ok(pulled) => assert!(works && pulled.into_inner().image_ref.starts_with("sha256:")),
            Err(error) => assert!(!works && !error.message().contains("hunter"), "{error:?}"),
        }
        let status = images.image_status(v1::ImageStatusRequest { image: image.clone(), verbose: false }).await;
        assert_eq!(status.unwrap().into_inner().image.is_some(), works);
    }
    // who is known once is not known for ever
    let request = v1::PullImageRequest { image, ..Default::default() };
    assert!(images.pull_image(request).await.is_err());
    tokio::time::timeout(Duration::from_secs(60), node.finish()).await.unwrap();
}

//! The floor: a sandbox and a container, asked of the runtime with nobody in between.

use std::path::Path;
use std::time::Duration;

use bootstrap::image::pull::Puller;
use bootstrap::layout::Layout;
use bootstrap::runner::runtime::embedded::{Embedded, Settings};
use bootstrap::runner::runtime::{
    ContainerConfig, ContainerState, NamespaceOptions, PodMetadata, PodSandboxConfig, Resources, Runtime,
    SecurityContext,
};
use jiff::Timestamp;

use crate::pods::{IMAGE, SECONDS};

/// From nothing until the container's process has been started. Both are gone at the end.
///
/// The store is that of `root`; all else is in a root directory of its own, since a runtime has one user.
pub(crate) fn start(root: &Path) -> Duration {
    let directory = tempfile::Builder::new().prefix("runtime-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let layout = Layout::new(directory.path());
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([root.join("var"), directory.path().join("var")])
        .status()
        .unwrap();
    assert!(status.success());
    let work = async {
        let settings = Settings { program: env!("CARGO_BIN_EXE_bootstrap").into(), ..Settings::default() };
        let runtime = Embedded::open(&layout, Puller::open(&layout).unwrap(), settings).await.unwrap();
        let begin = Timestamp::now();
        let sandbox = runtime.run_pod_sandbox(&sandbox(&layout)).await.unwrap();
        let container = runtime.create_container(&sandbox.id, &container()).await.unwrap();
        runtime.start_container(&container.id).await.unwrap();
        let status = runtime.container_status(&container.id).await.unwrap();
        let ContainerState::Running { started_at, .. } = status.state else { panic!("{status:?}") };
        runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        runtime.tear_down().unwrap();
        Duration::try_from(started_at.duration_since(begin)).unwrap()
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn sandbox(layout: &Layout) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: PodMetadata { name: "pod".into(), namespace: "default".into(), uid: "0123abcd".into() },
        attempt: 0,
        hostname: "node".into(),
        dns: None,
        log_directory: layout.pod_logs().join("default_pod_0123abcd"),
        namespaces: NamespaceOptions { host_network: true, host_pid: false, host_ipc: false, share_process: false },
        cgroup_parent: Default::default(),
        resources: Resources::default(),
        port_mappings: vec![],
        sysctls: Default::default(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

fn container() -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        attempt: 0,
        image: IMAGE.into(),
        command: vec![],
        args: vec![SECONDS.into()],
        working_dir: None,
        env: vec![],
        mounts: vec![],
        stdin: false,
        stdin_once: false,
        tty: false,
        log_path: "main/0.log".into(),
        resources: Resources::default(),
        security: SecurityContext::default(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

//! What the containers of a pod share, and what they share with nobody.

use std::fs;

use bootstrap::linux::cgroup::Cgroups;
use bootstrap::linux::pidfd::PidFd;
use bootstrap::runner::runtime::{Container, NamespaceOptions, PodSandbox, PodSandboxConfig, Runtime};
use nix::libc::SIGKILL;

use super::case::{Case, config, open, until};

/// A sandbox of another pod than that of the others.
async fn sandbox(case: &Case, uid: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> PodSandbox {
    let mut config = case.sandbox_config();
    config.metadata.uid = uid.to_owned();
    change(&mut config);
    case.runtime.run_pod_sandbox(&config).await.unwrap()
}

/// A container that runs `script`, in a sandbox that is there.
async fn run(case: &Case, sandbox: &PodSandbox, script: &str) -> Container {
    let mut config = config(script);
    let number = case.runtime.list_containers().await.unwrap().len();
    config.name = format!("c{number}");
    config.log_path = format!("{}/0.log", config.name).into();
    let container = case.runtime.create_container(&sandbox.id, &config).await.unwrap();
    case.runtime.start_container(&container.id).await.unwrap();
    container
}

/// What `script` prints in a container of its own.
async fn output(case: &Case, sandbox: &PodSandbox, script: &str) -> String {
    let container = run(case, sandbox, script).await;
    let exit = case.wait(&container).await;
    let text = case.text(&container);
    assert_eq!(exit.code, 0, "{script}: {text}");
    text.trim_end().to_owned()
}

/// What the kernel calls a namespace of this test's process.
fn of_the_machine(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_076_ipc_and_shared_memory_are_the_pods() {
    let case = Case::new().await;
    let (a, b) = (sandbox(&case, "a", |_| {}).await, sandbox(&case, "b", |_| {}).await);
    let host = sandbox(&case, "host", |config| config.namespaces.host_ipc = true).await;
    let ipc = "readlink /proc/self/ns/ipc";
    let first = output(&case, &a, &format!("echo x > /dev/shm/f; {ipc}")).await;
    assert_eq!(output(&case, &a, &format!("cat /dev/shm/f; {ipc}")).await, format!("x\n{first}"));
    let other = output(&case, &b, &format!("ls /dev/shm; {ipc}")).await;
    assert!(other.starts_with("ipc:") && other != first, "{other}");
    assert!(first != of_the_machine("ipc") && other != of_the_machine("ipc"));
    assert_eq!(output(&case, &host, ipc).await, of_the_machine("ipc"));
    let shm = output(&case, &a, "stat -c %a /dev/shm; grep ' /dev/shm ' /proc/mounts").await;
    assert!(shm.starts_with("1777\n") && shm.contains("size=65536k") && shm.contains("noexec"), "{shm}");
    // without a place in the sandbox's network its names are the node's
    assert_eq!(output(&case, &a, "readlink /proc/self/ns/uts").await, of_the_machine("uts"));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_076_processes_are_a_containers_own_or_the_pods() {
    let mut case = Case::new().await;
    let alone = case.sandbox().await;
    assert_eq!(output(&case, &alone, "echo $$").await, "1");
    let together = sandbox(&case, "together", |config| config.namespaces.share_process = true).await;
    let first = run(&case, &together, "sleep 600").await;
    let script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done | grep -E '^(/pause|sleep)'";
    let seen = output(&case, &together, script).await;
    assert_eq!(seen, "/pause \nsleep 600", "{seen}");
    // an orphan is reaped, by nobody of the container
    let reaped = "(sleep 0.1 &) ; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(output(&case, &together, reaped).await, "0");
    // one that may look into the others finds nothing in the first process
    let mut curious = config("readlink /proc/1/root; ls /proc/1/root/; ls /proc/1/fd/; echo x >> /proc/1/exe");
    curious.security.add_capabilities = vec!["SYS_PTRACE".into()];
    curious.log_path = "curious/0.log".into();
    let curious = case.runtime.create_container(&together.id, &curious).await.unwrap();
    case.runtime.start_container(&curious.id).await.unwrap();
    assert_eq!(case.wait(&curious).await.code, 1);
    let text = case.text(&curious);
    assert!(text.starts_with("/\n/bin/sh") && text.contains("/proc/1/exe"), "{text}");
    case.reopen().await;
    assert_eq!(output(&case, &together, script).await, seen, "the next runner's containers join the same");
    // without its first process the kernel ends a namespace; the next container gets another
    let cgroups = Cgroups::detect().unwrap();
    let group = cgroups.at(format!("{}/podtogether/{}", case.layout.instance(), together.id));
    let [pause] = group.processes()[..] else { panic!("{:?}", group.processes()) };
    let program = nix::sys::statvfs::statvfs(format!("/proc/{pause}/exe").as_str()).unwrap();
    assert!(program.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY), "also once nobody executes it");
    assert!(PidFd::open(pause).unwrap().signal(SIGKILL).unwrap());
    assert_eq!(case.wait(&first).await.code, 137);
    assert_eq!(output(&case, &together, "tr '\\0' ' ' < /proc/1/cmdline").await, "/pause");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_goes_with_the_sandbox() {
    let mut case = Case::new().await;
    let change = |config: &mut PodSandboxConfig| {
        config.namespaces = NamespaceOptions { share_process: true, ..config.namespaces };
    };
    let stopped = sandbox(&case, "a", change).await;
    let container = run(&case, &stopped, "sleep 600").await;
    case.runtime.stop_pod_sandbox(&stopped.id).await.unwrap();
    assert_eq!(case.wait(&container).await.code, 137);
    let directory = case.layout.run_pods().join(&stopped.id);
    let below = || {
        case.traces()
            .into_iter()
            .filter(|trace| trace.contains(&stopped.id) && !trace.starts_with("process"))
            .collect::<Vec<_>>()
    };
    until(|| below().is_empty()).await;
    assert!(directory.join("sandbox.json").exists());
    // made, and never told to anybody
    let lost = sandbox(&case, "b", change).await;
    run(&case, &lost, "sleep 600").await;
    fs::remove_file(case.layout.run_pods().join(&lost.id).join("sandbox.json")).unwrap();
    // nobody watches when it goes
    let other = tempfile::tempdir().unwrap();
    case.runtime = open(&bootstrap::layout::Layout::new(other.path()), &case.settings).await;
    case.reopen().await;
    let sandboxes = case.runtime.list_pod_sandboxes().await.unwrap();
    assert_eq!(sandboxes.len(), 1);
    until(|| !case.traces().iter().any(|trace| trace.contains(&lost.id))).await;
    case.finish().await;
}

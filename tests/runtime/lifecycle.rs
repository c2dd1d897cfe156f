//! Start, exit, stop, exec, remove.

use std::time::Duration;

use bootstrap::linux::cgroup::Cgroups;
use bootstrap::runner::runtime::log::file::Rotation;
use bootstrap::runner::runtime::{ContainerConfig, ContainerState, Mount, Runtime, RuntimeError, SandboxState};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::case::{Case, config, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_to_its_end() {
    let case = Case::new().await;
    let sandbox = case.sandbox().await;
    let container = case.runtime.create_container(&sandbox.id, &config("echo hello; exit 7")).await.unwrap();
    assert_eq!(container.state, ContainerState::Created);
    assert!(!case.text(&container).contains("hello"), "it waits for its start");
    case.runtime.start_container(&container.id).await.unwrap();
    let exit = case.wait(&container).await;
    assert_eq!((exit.code, exit.signal, exit.code_known, exit.oom_killed), (7, 0, true, false));
    let status = case.runtime.container_status(&container.id).await.unwrap();
    let ContainerState::Exited { started_at: Some(started_at), exit } = status.state else { panic!("{status:?}") };
    assert!(container.created_at <= started_at && started_at <= exit.finished_at);
    assert_eq!(case.text(&container), "hello\n");
    let again = case.runtime.start_container(&container.id).await.unwrap_err();
    assert!(again.to_string().contains("has exited"), "{again}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_from_a_file_system_that_is_mounted_noexec() {
    let case = Case::new().await;
    let state = case.layout.state();
    mount(Some(&state), &state, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(None::<&str>, &state, None::<&str>, flags, None::<&str>).unwrap();
    let (exit, text) = case.output_of(config("echo hello")).await;
    umount2(&state, MntFlags::MNT_DETACH).unwrap();
    case.finish().await;
    assert_eq!((exit.code, text.as_str()), (0, "hello\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_container() {
    let case = Case::new().await;
    let (exit, _) = case.output_of(config("kill -ABRT $$; exit 0")).await;
    // the first process of a PID namespace does not feel its own signals
    assert_eq!((exit.code, exit.signal), (0, 0), "{exit:?}");
    let mut host_pid = case.sandbox_config();
    host_pid.namespaces.host_pid = true;
    let sandbox = case.runtime.run_pod_sandbox(&host_pid).await.unwrap();
    let script = "ulimit -c 0; sleep 600 & kill -ABRT $$; sleep 60";
    let container = case.runtime.create_container(&sandbox.id, &config(script)).await.unwrap();
    case.runtime.start_container(&container.id).await.unwrap();
    let exit = case.wait(&container).await;
    assert_eq!((exit.code, exit.signal, exit.code_known), (134, 6, true));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_above_the_limit_is_an_oom_kill() {
    let case = Case::new().await;
    let mut config = config("head -c 200m /dev/zero | tail");
    config.command = ["/bin/busybox", "tail", "-c", "300m", "/dev/zero"].map(String::from).to_vec();
    config.resources.memory_limit = Some(32 << 20);
    config.resources.cpu_shares = Some(100);
    config.resources.pids_limit = Some(100);
    let (exit, _) = case.output_of(config).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, 9, true), "{exit:?}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_sends_the_images_signal_first() {
    let image = serde_json::json!({ "StopSignal": "SIGUSR1" });
    let case = Case::with(Rotation::default(), image).await;
    let container = case.run("trap 'echo asked; exit 3' USR1; echo ready; while true; do sleep 0.05; done").await;
    case.until_logged(&container, "ready").await;
    case.runtime.stop_container(&container.id, Duration::from_secs(60)).await.unwrap();
    let exit = case.wait(&container).await;
    assert_eq!((exit.code, exit.signal), (3, 0));
    assert_eq!(case.text(&container), "ready\nasked\n");
    case.runtime.stop_container(&container.id, Duration::from_secs(60)).await.unwrap();
    case.runtime.stop_container("unknown", Duration::from_secs(60)).await.unwrap();
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ignores_the_signal_is_killed_with_all_it_has_left_behind() {
    let case = Case::new().await;
    let mut sandbox = case.sandbox_config();
    // its children are not ended by the kernel with their namespace
    sandbox.namespaces.host_pid = true;
    let sandbox = case.runtime.run_pod_sandbox(&sandbox).await.unwrap();
    let script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 987 & sleep 986' &); echo ready; sleep 985 & wait; sleep 984";
    let mut config = config(script);
    config.command[2] = config.command[2].replace("setsid", "busybox setsid");
    let container = case.runtime.create_container(&sandbox.id, &config).await.unwrap();
    case.runtime.start_container(&container.id).await.unwrap();
    case.until_logged(&container, "ready").await;
    let cgroups = Cgroups::detect().unwrap();
    let cgroup = cgroups.at(format!("{}/pod0123abcd/{}", case.layout.instance(), container.id));
    until(|| cgroup.processes().len() >= 4).await;
    case.runtime.stop_container(&container.id, Duration::from_millis(200)).await.unwrap();
    assert_eq!(cgroup.processes(), Vec::<u32>::new());
    let exit = case.wait(&container).await;
    assert_eq!((exit.code, exit.signal), (137, 9));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_the_container_and_not_with_its_caller() {
    let case = Case::new().await;
    let container = case.run("read line < /tmp/never || sleep 600").await;
    let waiting = case.runtime.wait_container(&container.id);
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err(), "it runs");
    let runtime = case.runtime.clone();
    let id = container.id.clone();
    let waiting = tokio::spawn(async move { runtime.wait_container(&id).await.unwrap().code });
    case.runtime.stop_container(&container.id, Duration::ZERO).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 137);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_inside() {
    let case = Case::new().await;
    let mut config = config("echo ready; sleep 600");
    config.env = vec![("GREETING".into(), "hello".into())];
    config.security.run_as_user = Some(1000);
    let container = case.run_with(config).await;
    let exec = async |script: &str, timeout: u64| {
        let command = ["sh", "-c", script].map(String::from);
        case.runtime.exec_sync(&container.id, &command, Duration::from_millis(timeout)).await
    };
    let output = exec("echo $GREETING; echo err >&2; id -u; exit 5", 20_000).await.unwrap();
    assert_eq!((output.exit_code, output.output.as_slice()), (Some(5), &b"hello\nerr\n1000\n"[..]));
    let long = exec("yes | head -c 100000", 20_000).await.unwrap();
    assert_eq!((long.exit_code, long.output.len()), (Some(0), 10 * 1024));
    // what it leaves in the background does not hold it up
    let output = exec("sleep 600 & echo done", 20_000).await.unwrap();
    assert_eq!((output.exit_code, output.output.as_slice()), (Some(0), &b"done\n"[..]));
    let slow = exec("echo begun; sleep 611; echo ended", 400).await.unwrap();
    assert_eq!((slow.exit_code, slow.output.as_slice()), (None, &b"begun\n"[..]));
    let command = ["absent-program".to_owned()];
    let error = case.runtime.exec_sync(&container.id, &command, Duration::from_secs(20)).await.unwrap_err();
    assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
    // and it is confined as the container itself
    let ids = exec(
        "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; readlink /proc/self/ns/pid; readlink /proc/1/ns/pid",
        20_000,
    );
    let ids = String::from_utf8(ids.await.unwrap().output).unwrap();
    let namespaces: Vec<_> = ids.lines().skip(2).collect();
    assert!(ids.contains("CapEff:\t0000000000000000") && namespaces[0] == namespaces[1], "{ids}");
    case.runtime.stop_container(&container.id, Duration::ZERO).await.unwrap();
    let error = exec("true", 1000).await.unwrap_err();
    assert!(error.to_string().contains("does not run"), "{error}");
    assert_eq!(case.text(&container), "ready\n", "commands do not write to the log");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_ends_what_runs_and_keeps_the_log() {
    let case = Case::new().await;
    let container = case.run("echo kept; sleep 600").await;
    case.until_logged(&container, "kept").await;
    case.runtime.remove_container(&container.id).await.unwrap();
    case.runtime.remove_container(&container.id).await.unwrap();
    assert!(!case.state_directory(&container).exists());
    assert_eq!(case.text(&container), "kept\n");
    let error = case.runtime.container_status(&container.id).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound { kind: "container", .. }), "{error}");
    // one that was never started
    let sandbox = &container.sandbox_id;
    let created = case.runtime.create_container(sandbox, &config("sleep 600")).await.unwrap();
    case.runtime.remove_container(&created.id).await.unwrap();
    // a sandbox ends with everything in it
    let running = case.runtime.create_container(sandbox, &config("sleep 600")).await.unwrap();
    case.runtime.start_container(&running.id).await.unwrap();
    case.runtime.stop_pod_sandbox(sandbox).await.unwrap();
    case.runtime.stop_pod_sandbox(sandbox).await.unwrap();
    assert_eq!(case.wait(&running).await.code, 137);
    assert_eq!(case.runtime.list_pod_sandboxes().await.unwrap()[0].state, SandboxState::NotReady);
    let error = case.runtime.create_container(sandbox, &config("true")).await.unwrap_err();
    assert!(error.to_string().contains("not ready"), "{error}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let case = Case::new().await;
    let sandbox = case.sandbox().await;
    let create = async |change: fn(&mut ContainerConfig)| {
        let mut config = config("true");
        change(&mut config);
        case.runtime.create_container(&sandbox.id, &config).await.unwrap_err()
    };
    let error = create(|config| config.image = "absent".into()).await;
    assert!(matches!(error, RuntimeError::ImageNotPresent(_)), "{error}");
    type Change = fn(&mut ContainerConfig);
    let cases: [(Change, &str); 6] = [
        (|config| config.image = "Not A Name".into(), "not an image reference"),
        (|config| config.command = vec![], "no command specified"),
        (|config| config.security.run_as_user = Some(-1), "runAsUser `-1`"),
        (|config| config.security.run_as_non_root = true, "image will run as root"),
        (|config| config.log_path = "../../x.log".into(), "log path"),
        (|config| config.working_dir = Some("/etc/passwd/x".into()), "/etc/passwd/x"),
    ];
    for (change, expected) in cases {
        let error = create(change).await;
        let words = bootstrap::error::chain_of(&anyhow::Error::from(error));
        assert!(words.contains(expected), "{words}");
    }
    // a start that fails is a run of its own [3.43]
    let mut garbage = config("true");
    garbage.command = vec!["/data/program".into()];
    garbage.mounts.push(Mount {
        host_path: case.path("garbage"),
        container_path: "/data/program".into(),
        read_only: true,
        propagation: Default::default(),
        image: None,
    });
    std::fs::write(case.path("garbage"), [0u8; 64]).unwrap();
    std::os::unix::fs::chown(case.path("garbage"), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(case.path("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = |command: &str| ContainerConfig { command: vec![command.into()], ..config("true") };
    for (config, expected) in [
        (command("absent"), "exec \"absent\": executable file not found in $PATH"),
        (command("/etc/passwd"), "exec \"/etc/passwd\": Permission denied"),
        (garbage, "format error"),
    ] {
        let container = case.runtime.create_container(&sandbox.id, &config).await.unwrap();
        let error = case.runtime.start_container(&container.id).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let exit = case.wait(&container).await;
        assert_eq!(exit.code, 128);
        assert!(exit.message.unwrap().contains(expected));
    }
    // nothing is left of those that could not be created
    assert_eq!(case.runtime.list_containers().await.unwrap().len(), 3);
    assert_eq!(std::fs::read_dir(case.layout.pods().join("0123abcd/layers")).unwrap().count(), 3);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_instance_is_torn_down() {
    let case = Case::new().await;
    let container = case.run("sleep 600").await;
    let created = case.runtime.create_container(&container.sandbox_id, &config("sleep 600")).await.unwrap();
    let precious = case.path("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("file"), "x").unwrap();
    // left behind by somebody who died
    let mounted = case.layout.pods().join("0123abcd/volume");
    std::fs::create_dir_all(&mounted).unwrap();
    assert!(std::process::Command::new("mount").arg("--bind").args([&precious, &mounted]).status().unwrap().success());
    std::os::unix::fs::symlink(&precious, case.state_directory(&created).join("link")).unwrap();
    assert_eq!(case.runtime.tear_down().unwrap(), []);
    assert!(precious.join("file").exists());
    assert!(!case.layout.run_pods().exists() && !case.layout.pods().exists());
    until(|| case.traces().is_empty()).await;
    assert_eq!(bootstrap::runner::runtime::embedded::tear_down(&case.layout).unwrap(), [], "once more");
}

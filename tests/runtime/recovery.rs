//! Runners and shims that die, at any moment.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use bootstrap::image::pull::Puller;
use bootstrap::linux::cgroup::Cgroups;
use bootstrap::linux::pidfd::PidFd;
use bootstrap::runner::runtime::embedded::Embedded;
use bootstrap::runner::runtime::{ContainerState, Runtime};
use nix::libc::{SIGKILL, SIGTERM};

use super::case::{Case, config, until};

fn kill(pid: u32, signal: i32) {
    let process = PidFd::open(pid).unwrap();
    assert!(process.signal(signal).unwrap());
    if signal == SIGKILL {
        assert!(process.wait(Some(Duration::from_secs(30))).unwrap());
    }
}

/// Prints numbers until it is told to stop.
const COUNTER: &str = "trap 'echo last $i; exit 9' TERM; i=0; while true; do i=$((i+1)); echo $i; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_is_replaced_and_loses_nothing() {
    let case = Case::new().await;
    let container = case.run(COUNTER).await;
    let pid = case.pid_of(&container).await;
    let mut shim = case.shim_of(&container);
    for _ in 0..5 {
        let size = fs::metadata(case.log(&container)).unwrap().len();
        until(|| fs::metadata(case.log(&container)).unwrap().len() > size + 50_000).await;
        kill(shim, SIGKILL);
        let old = shim;
        let lock = case.state_directory(&container).join("shim.lock");
        until(|| fs::read_to_string(&lock).is_ok_and(|text| !text.is_empty() && !text.contains(&format!(":{old},"))))
            .await;
        shim = case.shim_of(&container);
        assert_ne!(shim, old);
    }
    assert_eq!(case.pid_of(&container).await, pid, "the container has not noticed");
    case.runtime.stop_container(&container.id, Duration::from_secs(60)).await.unwrap();
    let exit = case.wait(&container).await;
    if exit.code_known {
        assert_eq!((exit.code, exit.signal), (9, 0));
    } else {
        assert_eq!(exit.code, 137);
    }
    let text = case.text(&container);
    let mut numbers = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("last ") {
            None => numbers.push(line.parse::<u64>().unwrap()),
            // the signal may come between a number's making and its printing
            Some(last) => assert!(last.parse::<u64>().unwrap() <= numbers.iter().max().unwrap() + 1, "{last}"),
        }
    }
    assert!(text.lines().last().unwrap().starts_with("last "));
    // a shim killed between the log and the pipe writes a piece again: nothing is missing, some may stand twice
    let mut expected = 1;
    for number in numbers {
        assert!(number <= expected, "{expected} is missing before {number}");
        expected = expected.max(number + 1);
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_does_not_end_when_it_is_asked_to() {
    let case = Case::new().await;
    let container = case.run("echo one; sleep 600").await;
    let shim = case.shim_of(&container);
    for signal in [SIGTERM, nix::libc::SIGINT, nix::libc::SIGHUP] {
        kill(shim, signal);
    }
    let command = ["true".to_owned()];
    let output = case.runtime.exec_sync(&container.id, &command, Duration::from_secs(20)).await.unwrap();
    assert_eq!((output.exit_code, case.shim_of(&container)), (Some(0), shim));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_without_shim_is_recorded() {
    let case = Case::new().await;
    let container = case.run("sleep 600").await;
    let (shim, pid) = (case.shim_of(&container), case.pid_of(&container).await);
    // together, before anybody can adopt
    let (shim, init) = (PidFd::open(shim).unwrap(), PidFd::open(pid).unwrap());
    shim.signal(SIGKILL).unwrap();
    init.signal(SIGKILL).unwrap();
    let exit = case.wait(&container).await;
    assert_eq!(exit.code, 137);
    assert!(exit.code_known || exit.message.unwrap().contains("nobody saw"));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_runner_finds_everything() {
    let mut case = Case::new().await;
    let running = case.run("echo begun; sleep 600").await;
    let sandbox = running.sandbox_id.clone();
    let create = async |script: &str, name: &str| {
        let mut config = config(script);
        config.name = name.into();
        config.log_path = format!("{name}/0.log").into();
        case.runtime.create_container(&sandbox, &config).await.unwrap()
    };
    let created = create("echo started later", "created").await;
    let exited = create("exit 4", "exited").await;
    case.runtime.start_container(&exited.id).await.unwrap();
    case.wait(&exited).await;
    let orphaned = create("sleep 600", "orphaned").await;
    case.runtime.start_container(&orphaned.id).await.unwrap();
    let mut before = case.runtime.list_containers().await.unwrap();
    let sandboxes = case.runtime.list_pod_sandboxes().await.unwrap();
    let pid = case.pid_of(&running).await;
    let shim = case.shim_of(&orphaned);
    // nobody watches when this one goes
    let other = tempfile::tempdir().unwrap();
    case.runtime = super::case::open(&bootstrap::layout::Layout::new(other.path()), &case.settings).await;
    kill(shim, SIGKILL);
    case.reopen().await;
    let mut after = case.runtime.list_containers().await.unwrap();
    before.sort_by(|a, b| a.id.cmp(&b.id));
    after.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(before, after);
    assert_eq!(case.runtime.list_pod_sandboxes().await.unwrap(), sandboxes);
    assert_eq!(case.pid_of(&running).await, pid);
    assert_ne!(case.shim_of(&orphaned), shim, "adopted");
    case.runtime.start_container(&created.id).await.unwrap();
    assert_eq!(case.wait(&created).await.code, 0);
    assert_eq!(case.text(&created), "started later\n");
    case.runtime.stop_container(&running.id, Duration::ZERO).await.unwrap();
    let exit = case.wait(&running).await;
    assert_eq!((exit.code, exit.signal, exit.code_known), (137, 9, true), "its shim has seen it all");
    case.runtime.stop_container(&orphaned.id, Duration::ZERO).await.unwrap();
    let exit = case.wait(&orphaned).await;
    assert!(!exit.code_known || exit.signal == 9, "{exit:?}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_taken_for_garbage() {
    let mut case = Case::new().await;
    let container = case.run("sleep 600").await;
    let pid = case.pid_of(&container).await;
    let state = case.state_directory(&container);
    for file in [state.parent().unwrap().join("sandbox.json"), state.join("container.json")] {
        let aside = case.path("aside");
        fs::rename(&file, &aside).unwrap();
        // reading it fails, for root too
        fs::create_dir(&file).unwrap();
        let puller = Puller::open(&case.layout).unwrap();
        let refusal = Embedded::open(&case.layout, puller, case.settings.clone()).await.unwrap_err();
        assert!(format!("{refusal:#}").contains(file.to_str().unwrap()), "{refusal:#}");
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
        case.reopen().await;
        assert_eq!(case.pid_of(&container).await, pid, "it runs on");
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_container_survives_its_shim() {
    let case = Case::new().await;
    let sandbox = case.sandbox().await;
    let container = case.runtime.create_container(&sandbox.id, &config("echo hello; sleep 600")).await.unwrap();
    kill(case.shim_of(&container), SIGKILL);
    case.runtime.start_container(&container.id).await.unwrap();
    case.until_logged(&container, "hello").await;
    assert!(matches!(
        case.runtime.container_status(&container.id).await.unwrap().state,
        ContainerState::Running { .. }
    ));
    case.finish().await;
}

/// Creates by hand, as the runner does, and kills the shim at ever later moments.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_killed_while_it_creates_leaves_nothing() {
    let mut case = Case::new().await;
    let model = case.run("sleep 600").await;
    let record = fs::read_to_string(case.state_directory(&model).join("container.json")).unwrap();
    let cgroups = Cgroups::detect().unwrap();
    let ended = case.runtime.clone();
    for round in 0..30u32 {
        let id = format!("halfmade{round}");
        let directory = case.layout.run_pods().join(&model.sandbox_id).join(&id);
        fs::create_dir_all(directory.join("rootfs")).unwrap();
        fs::create_dir_all(case.layout.pods().join("0123abcd/layers").join(&id)).unwrap();
        fs::write(directory.join("container.json"), record.replace(&model.id, &id)).unwrap();
        cgroups.at(format!("{}/pod0123abcd/{id}", case.layout.instance())).create().unwrap();
        let mut first = Command::new(&case.settings.program)
            .args(["shim", "create"])
            .arg(&directory)
            .env_clear()
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        first.wait().unwrap();
        let lock = directory.join("shim.lock");
        until(|| fs::read_to_string(&lock).is_ok_and(|text| text.ends_with('}'))).await;
        // the moments themselves: from right after the lock to well after the end of the creation
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 1500)).await;
        let identity: serde_json::Value = serde_json::from_str(&fs::read_to_string(&lock).unwrap()).unwrap();
        kill(identity["pid"].as_u64().unwrap() as u32, SIGKILL);
    }
    case.reopen().await;
    drop(ended);
    for container in case.runtime.list_containers().await.unwrap() {
        // either it had been created in time, and was adopted, or it is gone
        assert!(container.id == model.id || container.state == ContainerState::Created, "{container:?}");
    }
    assert!(matches!(case.runtime.container_status(&model.id).await.unwrap().state, ContainerState::Running { .. }));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_whose_state_is_removed_ends_with_its_container() {
    let mut case = Case::new().await;
    let container = case.run("echo ready; sleep 600").await;
    case.until_logged(&container, "ready").await;
    let shim = PidFd::open(case.shim_of(&container)).unwrap();
    let init = PidFd::open(case.pid_of(&container).await).unwrap();
    fs::remove_dir_all(case.state_directory(&container)).unwrap();
    fs::remove_file(case.layout.run_pods().join(&container.sandbox_id).join("sandbox.json")).unwrap();
    assert!(!shim.wait(Some(Duration::from_millis(100))).unwrap(), "the container still needs it");
    init.signal(SIGKILL).unwrap();
    assert!(shim.wait(Some(Duration::from_secs(30))).unwrap());
    case.reopen().await;
    assert_eq!(case.runtime.list_containers().await.unwrap(), []);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shim_of_an_ended_container_ends_with_its_state() {
    let mut case = Case::new().await;
    let container = case.run("exit 3").await;
    assert_eq!(case.wait(&container).await.code, 3);
    let shim = PidFd::open(case.shim_of(&container)).unwrap();
    assert!(!shim.wait(Some(Duration::from_millis(100))).unwrap(), "it can still be asked");
    fs::remove_dir_all(case.state_directory(&container)).unwrap();
    assert!(shim.wait(Some(Duration::from_secs(30))).unwrap());
    case.reopen().await;
    assert_eq!(case.runtime.list_containers().await.unwrap(), []);
    case.finish().await;
}

/// A user has 128 of them by default: they would limit the node's containers.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_takes_no_inotify_instance() {
    let case = Case::new().await;
    let container = case.run("echo ready; sleep 600").await;
    case.until_logged(&container, "ready").await;
    let opened = fs::read_dir(format!("/proc/{}/fd", case.shim_of(&container))).unwrap();
    let opened: Vec<_> = opened.filter_map(|file| fs::read_link(file.unwrap().path()).ok()).collect();
    assert!(opened.iter().any(|file| file.ends_with("anon_inode:[eventpoll]")), "{opened:?}");
    assert!(!opened.iter().any(|file| file.to_string_lossy().contains("inotify")), "{opened:?}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_an_earlier_boot_is_removed() {
    let mut case = Case::new().await;
    let container = case.run("exit 0").await;
    case.wait(&container).await;
    let file = case.layout.run_pods().join(&container.sandbox_id).join("sandbox.json");
    let mut record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["boot_id"] = "another".into();
    kill(case.shim_of(&container), SIGKILL);
    fs::write(&file, record.to_string()).unwrap();
    // a sandbox that was never finished
    fs::create_dir_all(case.layout.run_pods().join("halfmade/x/rootfs")).unwrap();
    case.reopen().await;
    assert_eq!(case.runtime.list_pod_sandboxes().await.unwrap(), []);
    assert_eq!(case.runtime.list_containers().await.unwrap(), []);
    case.finish().await;
}

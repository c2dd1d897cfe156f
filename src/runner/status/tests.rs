use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::*;
use crate::runner::pod::RestartPolicy;
use crate::runner::testing;
use crate::runner::worker::machine::{Event, Live, Tag, step};

const TAG: Tag = Tag { generation: 1, container: 0, attempt: 0 };

fn clock() -> Clock {
    Clock { now: Instant::now(), wall: Timestamp::from_second(1_800_000_000).unwrap() }
}

fn after(policy: RestartPolicy, events: Vec<Event>, clock: Clock) -> PodStatus {
    let wanted = Arc::new(Pod { restart_policy: policy, ..testing::pod("a") });
    let mut state = State::default();
    step(&mut state, Event::Wanted(Some(wanted)), clock.now);
    for event in events {
        step(&mut state, event, clock.now);
    }
    pod(&state, &Layout::default(), clock).unwrap()
}

fn ready() -> Event {
    Event::SandboxReady { generation: 1, id: "s".to_owned(), ips: Vec::new(), attempts: vec![0] }
}

fn started(attempt: u32) -> Event {
    let live = Live {
        id: format!("id{attempt}"),
        pid: 7,
        image_id: "sha256:0".to_owned(),
        started_at: Timestamp::from_second(1_799_999_990).unwrap(),
    };
    Event::Started { tag: Tag { attempt, ..TAG }, live }
}

fn exited(attempt: u32, code: i32) -> Event {
    let exit = Exit {
        code,
        signal: 0,
        code_known: true,
        oom_killed: false,
        finished_at: Timestamp::from_second(1_800_000_000).unwrap(),
        message: Some("last words\n".to_owned()),
    };
    Event::Exited { tag: Tag { attempt, ..TAG }, exit }
}

fn pulled(attempt: u32) -> Event {
    Event::Pulled { tag: Tag { attempt, ..TAG } }
}

/// Reason of the only container's state and the pod's phase.
fn words(status: &PodStatus) -> (String, &str) {
    let reason = match &status.containers[0].state {
        ContainerState::Waiting { reason, .. } => reason.clone(),
        ContainerState::Running { .. } => "Running".to_owned(),
        ContainerState::Terminated(exit) => exit.reason.clone(),
    };
    (reason, &status.phase)
}

#[test]
fn case_145_states_and_phases_are_the_kubelets() {
    let why = |reason| Why::new(reason, "no".to_owned());
    let failed = Why { image: Some("image".to_owned()), ..why("ErrImagePull") };
    let pull_failed = Event::PullFailed { tag: TAG, why: failed };
    let start_failed = Event::StartFailed { tag: TAG, why: why("CreateContainerError"), dead: None };
    let always = RestartPolicy::Always;
    for (policy, events, expected) in [
        (always, vec![], ("ContainerCreating", "Pending")),
        (always, vec![ready()], ("ContainerCreating", "Pending")),
        (always, vec![ready(), pull_failed], ("ImagePullBackOff", "Pending")),
        (always, vec![ready(), pulled(0), start_failed], ("CreateContainerError", "Pending")),
        (always, vec![ready(), pulled(0), started(0)], ("Running", "Running")),
        (always, vec![ready(), pulled(0), started(0), exited(0, 1)], ("Error", "Running")),
        (
            always,
            vec![ready(), pulled(0), started(0), exited(0, 1), pulled(1), started(1), exited(1, 0)],
            ("CrashLoopBackOff", "Running"),
        ),
        (RestartPolicy::OnFailure, vec![ready(), pulled(0), started(0), exited(0, 0)], ("Completed", "Succeeded")),
        (RestartPolicy::Never, vec![ready(), pulled(0), started(0), exited(0, 3)], ("Error", "Failed")),
        (always, vec![ready(), pulled(0), started(0), Event::Wanted(None)], ("Running", "Running")),
    ] {
        let status = after(policy, events.clone(), clock());
        assert_eq!(words(&status), (expected.0.to_owned(), expected.1), "{events:?}");
    }
}

#[test]
fn a_waiting_container_tells_when_it_is_tried_again_and_how_it_ended() {
    let clock = clock();
    let events = vec![ready(), pulled(0), started(0), exited(0, 1), pulled(1), started(1), exited(1, 1)];
    let status = after(RestartPolicy::Always, events, clock);
    let container = &status.containers[0];
    assert_eq!(container.next_try, Some(clock.wall + Duration::from_secs(10)));
    assert_eq!(container.restarts, 1);
    let last = container.last_exit.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_str(), last.message.as_deref()), (1, "Error", Some("last words\n")));
    let log = container.log.as_ref().unwrap();
    assert!(log.ends_with("default_a-node_uid-a/a/1.log"), "{log:?}");
}

#[test]
fn a_replacement_shows_both_revisions() {
    let events = vec![ready(), pulled(0), started(0), Event::Wanted(Some(Arc::new(testing::pod("b"))))];
    let status = after(RestartPolicy::Always, events, clock());
    assert_eq!(status.revision_running.as_deref(), Some("revision-a"));
    assert_eq!(status.revision_wanted.as_deref(), Some("revision-b"));
    assert_eq!(status.message.as_deref(), Some("its containers are being stopped, then revision revision-b starts"));
}

#[test]
fn case_78_ends_have_the_kubelets_reasons() {
    let exit = |code, code_known, oom_killed| Exit {
        code,
        signal: 0,
        code_known,
        oom_killed,
        finished_at: Timestamp::UNIX_EPOCH,
        message: None,
    };
    for (exit, has_started, reason) in [
        (exit(0, true, false), true, "Completed"),
        (exit(143, true, false), true, "Error"),
        (exit(137, true, true), true, "OOMKilled"),
        (exit(137, false, false), true, "ContainerStatusUnknown"),
        (exit(128, true, false), false, "StartError"),
        (exit(128, true, false), true, "Error"),
    ] {
        assert_eq!(exit_reason(&exit, has_started), reason);
    }
}

#[test]
fn case_23_a_forgotten_init_container_of_an_initialised_pod_has_completed() {
    let mut wanted = testing::pod("a");
    let mut init = wanted.containers[0].clone();
    (init.kind, init.name) = (ContainerKind::Init, "init".to_owned());
    wanted.containers.insert(0, init);
    for (initialized, reason) in [(true, "Completed"), (false, "PodInitializing")] {
        let wanted = Arc::new(wanted.clone());
        let slots = (0..2).map(|_| Slot { run: Run::Done, ..Slot::new(0, clock().now) }).collect();
        let up = Up { initialized, ..Up::new(Arc::clone(&wanted), "s".to_owned(), slots) };
        let state = State { life: Life::Up(up), wanted: Some(wanted), ..State::default() };
        let status = pod(&state, &Layout::default(), clock()).unwrap();
        let found = match &status.init_containers[0].state {
            ContainerState::Terminated(exit) => exit.reason.clone(),
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } => "Running".to_owned(),
        };
        assert_eq!(found, reason);
    }
}

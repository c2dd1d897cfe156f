#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::runner::pod::{self, RestartPolicy};
use crate::runner::runtime::Exit;
use crate::runner::source::Origin;
use crate::runner::testing;
use crate::runner::worker::machine::{Drain, Event, Live, Tag, Why, step};

/// A second of the wall's clock for each step.
struct Story {
    state: State,
    clock: Clock,
    told: Option<api::PodStatus>,
}

impl Story {
    fn of(pod: Pod) -> Story {
        let clock = Clock { now: Instant::now(), wall: Timestamp::from_second(1_800_000_000).unwrap() };
        let mut story = Story { state: State::default(), clock, told: None };
        story.on(Event::Wanted(Some(Arc::new(pod))));
        story
    }

    fn on(&mut self, event: Event) -> &api::PodStatus {
        step(&mut self.state, event, self.clock.now);
        let pod = Arc::clone(super::super::shown(&self.state).unwrap());
        let told = pod_status(&pod, &self.state, &testing::node(), self.clock, self.told.as_ref());
        self.clock.now += Duration::from_secs(1);
        self.clock.wall += Duration::from_secs(1);
        self.told.insert(told)
    }

    fn all(&mut self, events: Vec<Event>) -> &api::PodStatus {
        events.into_iter().for_each(|event| {
            self.on(event);
        });
        self.told.as_ref().unwrap()
    }
}

fn tag(container: usize, attempt: u32) -> Tag {
    Tag { generation: 1, container, attempt }
}

fn ready(containers: usize) -> Event {
    Event::SandboxReady { generation: 1, id: "s".to_owned(), ips: Vec::new(), attempts: vec![0; containers] }
}

/// What it takes for a container to run.
fn runs(container: usize, attempt: u32) -> [Event; 2] {
    let live = Live {
        id: format!("id{container}{attempt}"),
        pid: 7,
        image_id: "sha256:0".to_owned(),
        started_at: "2027-01-15T08:00:00.7Z".parse().unwrap(),
    };
    let tag = tag(container, attempt);
    [Event::Pulled { tag }, Event::Started { tag, live }]
}

fn exit(code: i32, message: Option<&str>) -> Exit {
    Exit {
        code,
        signal: 0,
        code_known: true,
        oom_killed: false,
        finished_at: "2027-01-15T08:00:01.7Z".parse().unwrap(),
        message: message.map(str::to_owned),
    }
}

fn exits(container: usize, attempt: u32, code: i32) -> Event {
    Event::Exited { tag: tag(container, attempt), exit: exit(code, Some("last words")) }
}

fn with_policy(restart_policy: RestartPolicy) -> Pod {
    Pod { restart_policy, ..testing::pod("a") }
}

/// Containers `b` and `a`, after the init container `i` and the sidecar `s`.
fn large() -> Pod {
    let of = |name: &str, kind| pod::Container { kind, ..testing::container(name) };
    let containers = vec![
        of("i", ContainerKind::Init),
        of("s", ContainerKind::Sidecar),
        of("b", ContainerKind::Regular),
        of("a", ContainerKind::Regular),
    ];
    Pod { containers, ..testing::pod("a") }
}

/// `type=status reason: message` of each condition.
fn conditions(status: &api::PodStatus) -> Vec<String> {
    let text = |told: &api::PodCondition| {
        let reason = told.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
        let message = told.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}={}{reason}{message}", told.type_, told.status)
    };
    status.conditions.iter().flatten().map(text).collect()
}

fn container(status: &api::PodStatus, name: &str) -> Value {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    serde_json::to_value(all.into_iter().find(|status| status.name == name).unwrap()).unwrap()
}

#[test]
fn case_147_the_conditions_are_the_kubelets() {
    let mut story = Story::of(large());
    let unready =
        |kind: &str, names: &str| format!("{kind}=False ContainersNotReady: containers with unready status: [{names}]");
    let told = story.told.clone().unwrap();
    let incomplete = "Initialized=False ContainersNotInitialized: containers with incomplete status: [i s]".to_owned();
    let expected = [
        "PodReadyToStartContainers=False".to_owned(),
        incomplete.clone(),
        unready("Ready", "s b a"),
        unready("ContainersReady", "s b a"),
        "PodScheduled=True".to_owned(),
    ];
    assert_eq!(conditions(&told), expected);
    let told = story.on(ready(4));
    assert_eq!(conditions(told)[..2], ["PodReadyToStartContainers=True".to_owned(), incomplete]);
    story.all(runs(0, 0).into());
    let told = story.on(exits(0, 0, 0));
    let incomplete = "Initialized=False ContainersNotInitialized: containers with incomplete status: [s]";
    assert_eq!(conditions(told)[1], incomplete);
    let told = story.all(runs(1, 0).into());
    assert_eq!(conditions(told)[1..3], ["Initialized=True".to_owned(), unready("Ready", "b a")]);
    story.all(runs(2, 0).into());
    let told = story.all(runs(3, 0).into());
    let expected = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| format!("{kind}=True"));
    assert_eq!(conditions(told), expected);
    let told = story.on(Event::Drain(Drain { grace: None }));
    assert_eq!(conditions(told), expected, "it is ready until its containers have ended");
}

#[test]
fn case_88_without_its_volumes_a_pod_has_no_sandbox_and_is_initialized_only_where_nothing_has_to() {
    for (pod, initialized) in [(testing::pod("a"), "Initialized=True"), (large(), "Initialized=False")] {
        let mut story = Story::of(pod);
        let why = Why::new("FailedMount", "no such directory".to_owned());
        let told = conditions(story.on(Event::SandboxFailed { generation: 1, why }));
        assert_eq!(told[0], "PodReadyToStartContainers=False");
        assert!(told[1].starts_with(initialized), "{told:?}");
        assert_eq!(told[4], "PodScheduled=True");
    }
}

#[test]
fn a_gate_that_nobody_can_open_keeps_a_pod_from_being_ready() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  readinessGates: [{conditionType: x/y}]\n  \
                containers: [{name: a, image: a}]\n";
    let mut story = Story::of(pod::decode(text.as_bytes(), &Origin::File("/a.yaml".into()), "node").unwrap());
    story.on(ready(1));
    let told = conditions(story.all(runs(0, 0).into()));
    let gate = "corresponding condition of pod readiness gate \"x/y\" does not exist.";
    assert_eq!(told[2], format!("Ready=False ReadinessGatesNotReady: {gate}"));
    assert_eq!(told[3], "ContainersReady=True");
}

#[test]
fn what_has_ended_is_not_ready_because_it_has() {
    for (policy, code, phase, expected) in [
        (RestartPolicy::OnFailure, 0, "Succeeded", ["Initialized=True PodCompleted", "Ready=False PodCompleted"]),
        (RestartPolicy::Never, 3, "Failed", ["Initialized=True", "Ready=False PodFailed"]),
    ] {
        let mut story = Story::of(with_policy(policy));
        story.on(ready(1));
        story.all(runs(0, 0).into());
        let told = story.on(exits(0, 0, code));
        assert_eq!(told.phase.as_deref(), Some(phase));
        assert_eq!(conditions(told)[0], "PodReadyToStartContainers=False");
        assert_eq!(conditions(told)[1..3], expected);
        let told = story.on(Event::Wanted(None));
        assert_eq!(told.phase.as_deref(), Some(phase), "it stays so while it is cleared away");
    }
}

#[test]
fn a_time_changes_with_what_it_is_about_and_with_nothing_else() {
    let mut story = Story::of(with_policy(RestartPolicy::Always));
    story.on(ready(1));
    story.all(runs(0, 0).into());
    let times = |status: &api::PodStatus| -> Vec<i64> {
        let since =
            |told: &api::PodCondition| told.last_transition_time.as_ref().unwrap().0.as_second() - 1_800_000_000;
        status.conditions.iter().flatten().map(since).collect()
    };
    assert_eq!(times(story.told.as_ref().unwrap()), [1, 0, 3, 3, 0]);
    let told = story.on(exits(0, 0, 1));
    assert_eq!(times(told), [1, 0, 4, 4, 0]);
    assert_eq!(told.start_time.as_ref().unwrap().0.as_second(), 1_800_000_000);
    let told = story.all(runs(0, 1).into());
    assert_eq!(times(told), [1, 0, 6, 6, 0]);
    assert_eq!(told.start_time.as_ref().unwrap().0.as_second(), 1_800_000_000);
}

#[test]
fn case_145_container_statuses_have_the_kubelets_fields() {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "a" },
        "spec": {
            "hostNetwork": true,
            "volumes": [{ "name": "v", "hostPath": { "path": "/v" } }],
            "containers": [{
                "name": "a",
                "image": "nginx",
                "resources": { "limits": { "cpu": "200m" } },
                "volumeMounts": [{ "name": "v", "mountPath": "/v", "readOnly": true }, { "name": "v", "mountPath": "/w" }],
            }],
        },
    });
    let manifest = manifest.to_string();
    let origin = Origin::File("/a.yaml".into());
    let mut story = Story::of(pod::decode(manifest.as_bytes(), &origin, "n1").unwrap());
    let mounts = json!([
        { "name": "v", "mountPath": "/v", "readOnly": true, "recursiveReadOnly": "Disabled" },
        { "name": "v", "mountPath": "/w" },
    ]);
    let bare = json!({
        "name": "a", "image": "nginx", "imageID": "", "ready": false, "started": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ContainerCreating" } }, "lastState": {}, "volumeMounts": mounts,
    });
    assert_eq!(container(story.told.as_ref().unwrap(), "a"), bare);
    assert_eq!(container(story.on(ready(1)), "a"), bare);
    let told = story.all(runs(0, 0).into());
    let resources = json!({ "limits": { "cpu": "200m" }, "requests": { "cpu": "200m" } });
    let mut expected = json!({
        "name": "a", "image": "docker.io/library/nginx:latest", "imageID": "sha256:0", "containerID": "bootstrap://id00",
        "ready": true, "started": true, "restartCount": 0, "volumeMounts": mounts, "resources": resources,
        "allocatedResources": { "cpu": "200m" },
        "state": { "running": { "startedAt": "2027-01-15T08:00:00Z" } }, "lastState": {},
    });
    assert_eq!(container(told, "a"), expected);
    let ended = json!({ "terminated": {
        "containerID": "bootstrap://id00", "exitCode": 1, "reason": "Error", "message": "last words",
        "startedAt": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:00:01Z",
    } });
    let told = story.on(exits(0, 0, 1));
    for (name, value) in [("ready", json!(false)), ("started", json!(false)), ("state", ended.clone())] {
        expected[name] = value;
    }
    assert_eq!(container(told, "a"), expected, "the end is told once");
    let told = story.all(runs(0, 1).into());
    assert_eq!((&container(told, "a")["lastState"], &container(told, "a")["restartCount"]), (&ended, &json!(1)));
    let told = container(story.on(exits(0, 1, 1)), "a");
    assert_eq!(told["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let message = told["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=a pod=a-n1_default("), "{message}");
    assert_eq!(
        (&told["lastState"]["terminated"]["containerID"], &told["restartCount"]),
        (&json!("bootstrap://id01"), &json!(1))
    );
    assert_eq!(told["imageID"], "sha256:0");
}

#[test]
fn container_statuses_are_sorted_and_those_of_init_containers_are_not() {
    let mut story = Story::of(large());
    let names = |statuses: &Option<Vec<api::ContainerStatus>>| -> Vec<String> {
        statuses.iter().flatten().map(|status| status.name.clone()).collect()
    };
    let told = story.on(ready(4));
    assert_eq!(names(&told.container_statuses), ["a", "b"]);
    assert_eq!(names(&told.init_container_statuses), ["i", "s"]);
    assert_eq!(container(told, "i")["state"]["waiting"]["reason"], "PodInitializing");
    story.all(runs(0, 0).into());
    let told = container(story.on(exits(0, 0, 0)), "i");
    assert_eq!((&told["ready"], &told["started"]), (&json!(true), &json!(false)));
}

#[test]
fn a_pods_status_tells_the_addresses_and_the_quality_of_service() {
    let told = serde_json::to_value(Story::of(large()).told).unwrap();
    assert_eq!((&told["hostIP"], &told["podIP"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
    assert_eq!((&told["hostIPs"], &told["podIPs"]), (&json!([{ "ip": "127.0.0.1" }]), &json!([{ "ip": "127.0.0.1" }])));
    assert_eq!((&told["qosClass"], &told["phase"]), (&json!("BestEffort"), &json!("Pending")));
    assert_eq!(told["startTime"], "2027-01-15T08:00:00Z");
    assert!(told.get("observedGeneration").is_none());
}

#[test]
fn what_the_runner_knows_of_a_cause_is_not_in_a_message() {
    let mut story = Story::of(with_policy(RestartPolicy::Always));
    story.on(ready(1));
    story.all(runs(0, 0).into());
    story.on(Event::Kill { id: "id00".to_owned() });
    let told = story.on(Event::Exited { tag: tag(0, 0), exit: exit(143, None) });
    assert_eq!(container(told, "a")["state"]["terminated"].get("message"), None);
}

#[test]
fn a_start_that_failed_tells_the_runtimes_words() {
    let mut story = Story::of(with_policy(RestartPolicy::Always));
    story.all(vec![ready(1), Event::Pulled { tag: tag(0, 0) }]);
    let why = Why::new("RunContainerError", "no such program".to_owned());
    let failed = Event::StartFailed { tag: tag(0, 0), why, dead: Some(("id00".to_owned(), exit(128, None))) };
    let told = container(story.on(failed), "a");
    let ended = &told["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["message"]), (&json!("StartError"), &json!("no such program")));
}

#[test]
fn case_147_messages_share_what_a_status_may_hold() {
    let mut story = Story::of(large());
    story.on(ready(4));
    story.all(runs(0, 0).into());
    let words = "ä".repeat(4000);
    let told = story.on(Event::Exited { tag: tag(0, 0), exit: exit(0, Some(&words)) });
    let message = container(told, "i")["state"]["terminated"]["message"].as_str().unwrap().len();
    assert_eq!(message, 12288 / 4);
}

//! PURE: the events that an event of the machine is worth, told from the state after it, in the kubelet's reasons and
//! texts [3.60].

use super::machine::{Cause, Event, Life, Role, Run, State, Tag, Up, Why};
use crate::runner::event::Told;
use crate::runner::pod::{Pod, RestartPolicy};

/// Each with the container that it is about, or none for the pod.
pub fn events(state: &State, event: &Event) -> Vec<(Option<usize>, Told)> {
    match event {
        Event::SandboxFailed { why, .. } => match &state.life {
            Life::Retrying { .. } => vec![(None, sandbox_failed(why))],
            _ => Vec::new(),
        },
        Event::PullFailed { tag, why } => {
            of(state, *tag, |up| pull_failed(why, &up.pod.containers[tag.container].image))
        }
        Event::StartFailed { tag, why, .. } => {
            of(state, *tag, |_| vec![Told::warning("Failed", format!("Error: {}", why.message))])
        }
        Event::Exited { tag, .. } => of(state, *tag, |up| backing_off(up, *tag).into_iter().collect()),
        Event::Probed { tag, role, outcome: Err(message), .. } => {
            let told = Told::warning("Unhealthy", format!("{} probe failed: {message}", role.name()));
            of(state, *tag, |_| vec![told])
        }
        Event::PostStarted { tag, outcome: Err(_) } => {
            of(state, *tag, |_| vec![Told::warning("FailedPostStartHook", "PostStartHook failed")])
        }
        _ => Vec::new(),
    }
}

/// What is told when a container is asked to end [2.31].
pub fn killing(up: &Up, index: usize) -> Option<Told> {
    let Run::Killing { cause, .. } = &up.slots[index].run else { return None };
    let name = &up.pod.containers[index].name;
    let again = || match up.pod.containers[index].restart_policy.unwrap_or(up.pod.restart_policy) {
        RestartPolicy::Never => "",
        RestartPolicy::Always | RestartPolicy::OnFailure => ", will be restarted",
    };
    let message = match cause {
        Cause::Pod | Cause::Hand => format!("Stopping container {name}"),
        Cause::Probe(Role::Startup) => format!("Container {name} failed startup probe{}", again()),
        Cause::Probe(_) => format!("Container {name} failed liveness probe{}", again()),
        Cause::Hook(_) => "FailedPostStartHook".to_owned(),
    };
    Some(Told::normal("Killing", message))
}

/// The pod of an event, if it still is that one, and what there is to tell of the container.
fn of(state: &State, tag: Tag, told: impl FnOnce(&Up) -> Vec<Told>) -> Vec<(Option<usize>, Told)> {
    match state.up().filter(|up| state.generation == tag.generation && tag.container < up.slots.len()) {
        Some(up) => told(up).into_iter().map(|told| (Some(tag.container), told)).collect(),
        None => Vec::new(),
    }
}

fn sandbox_failed(why: &Why) -> Told {
    match why.reason {
        "FailedMount" => Told::warning("FailedMount", why.message.clone()),
        _ => Told::warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {}", why.message)),
    }
}

fn pull_failed(why: &Why, image: &str) -> Vec<Told> {
    let error = |reason: &str| Told::warning("Failed", format!("Error: {reason}"));
    let first = match why.reason {
        "ErrImagePull" => {
            return vec![
                Told::warning("Failed", format!("Failed to pull image \"{image}\": {}", why.message)),
                error("ErrImagePull"),
                Told::normal("BackOff", format!("Back-off pulling image \"{image}\"")),
                error("ImagePullBackOff"),
            ];
        }
        "ErrImageNeverPull" => Told::warning("ErrImageNeverPull", why.message.clone()),
        "ImageInspectError" => {
            Told::warning("InspectFailed", format!("Failed to inspect image \"{image}\": {}", why.message))
        }
        _ => Told::warning("InspectFailed", why.message.clone()),
    };
    vec![first, error(why.reason)]
}

/// A container that has ended and is held back [3.25].
fn backing_off(up: &Up, tag: Tag) -> Option<Told> {
    let Run::Waiting { why: Some(Why { reason: "CrashLoopBackOff", .. }), .. } = &up.slots[tag.container].run else {
        return None;
    };
    let Pod { name, namespace, uid, containers, .. } = up.pod.as_ref();
    let container = &containers[tag.container].name;
    let message = format!("Back-off restarting failed container {container} in pod {name}_{namespace}({uid})");
    Some(Told::warning("BackOff", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use jiff::Timestamp;

    use super::*;
    use crate::runner::runtime::Exit;
    use crate::runner::testing;
    use crate::runner::worker::machine::{Live, step};

    fn tag(attempt: u32) -> Tag {
        Tag { generation: 1, container: 0, attempt }
    }

    fn started(attempt: u32) -> Event {
        let at = Timestamp::UNIX_EPOCH;
        let live = Live { id: "i".to_owned(), pid: 7, image_id: "sha256:0".to_owned(), started_at: at };
        Event::Started { tag: tag(attempt), live }
    }

    fn exited(attempt: u32) -> Event {
        let exit = Exit {
            code: 1,
            signal: 0,
            code_known: true,
            oom_killed: false,
            finished_at: Timestamp::UNIX_EPOCH,
            message: None,
        };
        Event::Exited { tag: tag(attempt), exit }
    }

    fn why(reason: &'static str) -> Why {
        Why::new(reason, "no".to_owned())
    }

    /// `reason: message` of what the last event is worth.
    fn told(policy: RestartPolicy, all: Vec<Event>) -> (State, Vec<String>) {
        let now = Instant::now();
        let mut state = State::default();
        let pod = Pod { restart_policy: policy, ..testing::pod("a") };
        step(&mut state, Event::Wanted(Some(Arc::new(pod))), now);
        let mut last = Vec::new();
        for event in all {
            step(&mut state, event.clone(), now);
            last = events(&state, &event);
        }
        let texts = last.into_iter().map(|(_, told)| format!("{}: {}", told.reason, told.message)).collect();
        (state, texts)
    }

    #[test]
    fn events_have_the_kubelets_reasons_and_texts() {
        let ready = || Event::SandboxReady { generation: 1, id: "s".to_owned(), ips: Vec::new(), attempts: vec![0] };
        let pulled = |attempt| Event::Pulled { tag: tag(attempt) };
        let up = || vec![ready(), pulled(0), started(0)];
        let probed = |role, verdict| Event::Probed { tag: tag(0), role, outcome: Err("bad".to_owned()), verdict };
        let failed = |reason| Event::SandboxFailed { generation: 1, why: why(reason) };
        let pull = |reason| vec![ready(), Event::PullFailed { tag: tag(0), why: why(reason) }];
        let crashed = || [up(), vec![exited(0), pulled(1), started(1), exited(1)]].concat();
        let start =
            vec![ready(), pulled(0), Event::StartFailed { tag: tag(0), why: why("RunContainerError"), dead: None }];
        for (events, expected) in [
            (vec![failed("FailedMount")], &["FailedMount: no"][..]),
            (vec![failed("x")], &["FailedCreatePodSandBox: Failed to create pod sandbox: no"]),
            (
                pull("ErrImagePull"),
                &[
                    "Failed: Failed to pull image \"image\": no",
                    "Failed: Error: ErrImagePull",
                    "BackOff: Back-off pulling image \"image\"",
                    "Failed: Error: ImagePullBackOff",
                ],
            ),
            (pull("ErrImageNeverPull"), &["ErrImageNeverPull: no", "Failed: Error: ErrImageNeverPull"]),
            (start, &["Failed: Error: no"]),
            (up(), &[]),
            (crashed()[..4].to_vec(), &[]),
            (crashed(), &["BackOff: Back-off restarting failed container a in pod a-node_default(uid-a)"]),
            ([up(), vec![probed(Role::Readiness, None)]].concat(), &["Unhealthy: Readiness probe failed: bad"]),
        ] {
            assert_eq!(told(RestartPolicy::Always, events).1, expected);
        }
    }

    #[test]
    fn a_kill_tells_why_and_what_follows() {
        let ready = Event::SandboxReady { generation: 1, id: "s".to_owned(), ips: Vec::new(), attempts: vec![0] };
        let up = vec![ready, Event::Pulled { tag: tag(0) }, started(0)];
        let probed = |role| Event::Probed { tag: tag(0), role, outcome: Err("bad".to_owned()), verdict: Some(false) };
        for (policy, event, expected) in [
            (RestartPolicy::Always, Event::Wanted(None), "Stopping container a"),
            (RestartPolicy::Always, Event::Kill { id: "i".to_owned() }, "Stopping container a"),
            (RestartPolicy::Always, probed(Role::Liveness), "Container a failed liveness probe, will be restarted"),
            (RestartPolicy::Never, probed(Role::Liveness), "Container a failed liveness probe"),
        ] {
            let (state, _) = told(policy, [up.clone(), vec![event]].concat());
            assert_eq!(killing(state.up().unwrap(), 0), Some(Told::normal("Killing", expected)));
        }
        assert_eq!(killing(told(RestartPolicy::Always, up).0.up().unwrap(), 0), None);
    }
}

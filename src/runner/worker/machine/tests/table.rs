//! Every kind of state with every kind of event: what becomes of it, and what is asked for. The table is kept in
//! `tests/snapshots/worker-machine.txt`; `BLESS=1` rewrites it and fails the run, so that a change is looked at.

use std::fmt::Write;
use std::time::Instant;

use super::*;

fn slot_word(slot: &Slot) -> String {
    let word = match &slot.run {
        Run::Waiting { .. } => "Waiting",
        Run::Pulling { .. } => "Pulling",
        Run::Starting => "Starting",
        Run::Running(_) => "Running",
        Run::Killing { .. } => "Killing",
        Run::Done => "Done",
    };
    let marks = [(slot.started, "+started"), (slot.ready, "+ready")];
    marks.iter().filter(|(is_set, _)| *is_set).fold(word.to_owned(), |word, (_, mark)| word + mark)
}

fn state_word(state: &State) -> String {
    let word = match &state.life {
        Life::Absent => "Absent".to_owned(),
        Life::Making { pod, .. } => format!("Making {}", pod.revision),
        Life::Retrying { pod, .. } => format!("Retrying {}", pod.revision),
        Life::Up(up) => format!("Up {} {}", up.pod.revision, slot_word(&up.slots[0])),
        Life::Stopping(up) => format!("Stopping {} {}", up.pod.revision, slot_word(&up.slots[0])),
        Life::Clearing { up, due } => {
            format!("Clearing {}{}", up.pod.revision, if due.is_some() { " later" } else { "" })
        }
        Life::Finished(up) => format!("Finished {}", up.pod.revision),
    };
    if state.drain.is_some() { format!("{word} drained") } else { word }
}

fn command_word(command: &Command) -> String {
    match command {
        Command::MakeSandbox { pod, .. } => format!("MakeSandbox {}", pod.revision),
        Command::ClearSandbox { .. } => "ClearSandbox".to_owned(),
        Command::RestSandbox { .. } => "RestSandbox".to_owned(),
        Command::Pull { tag, .. } => format!("Pull #{}", tag.attempt),
        Command::Start { tag, .. } => format!("Start #{}", tag.attempt),
        Command::Watch { tag, .. } => format!("Watch #{}", tag.attempt),
        Command::Stop { tag, grace, .. } => format!("Stop #{} in {}s", tag.attempt, grace.as_secs()),
        Command::Probe { role, .. } => format!("Probe {}", role.name()),
        Command::Unprobe { roles, .. } if roles.len() == 3 => "Unprobe all".to_owned(),
        Command::Unprobe { roles, .. } => {
            format!("Unprobe {}", roles.iter().map(|role| role.name()).collect::<Vec<_>>().join("+"))
        }
        Command::Forget { attempt, .. } => format!("Forget #{attempt}"),
        Command::End => "End".to_owned(),
    }
}

const TAG: Tag = Tag { generation: 1, container: 0, attempt: 0 };

/// One state of each kind, all of revision `a`.
fn states(now: Instant, a: &Arc<Pod>) -> Vec<State> {
    let of = |life: Life| State { wanted: Some(Arc::clone(a)), drain: None, life, generation: 1 };
    let up = |run: Run, started: bool| {
        let mut slot = Slot { run, ..Slot::new(0, now) };
        (slot.started, slot.ready) = (started, started);
        Up { pod: Arc::clone(a), sandbox: "s1".to_owned(), slots: vec![slot] }
    };
    let later = now + Duration::from_secs(60);
    let killing = |cause| Run::Killing { live: live(TAG), cause, until: now + GRACE, retry: None };
    let retry = super::super::super::backoff::Retry::SANDBOX;
    vec![
        of(Life::Making { pod: Arc::clone(a), retry }),
        of(Life::Retrying { pod: Arc::clone(a), retry, due: later, why: why("FailedMount") }),
        of(Life::Up(up(Run::Waiting { due: later, after: Some(now), why: None }, false))),
        of(Life::Up(up(Run::Pulling { why: None }, false))),
        of(Life::Up(up(Run::Starting, false))),
        of(Life::Up(up(Run::Running(live(TAG)), false))),
        of(Life::Up(up(Run::Running(live(TAG)), true))),
        of(Life::Up(up(killing(Cause::Probe(Role::Liveness)), true))),
        of(Life::Stopping(up(Run::Starting, false))),
        of(Life::Stopping(up(killing(Cause::Pod), true))),
        of(Life::Clearing { up: up(Run::Done, false), due: None }),
        of(Life::Finished(up(Run::Done, false))),
    ]
}

fn events(a: &Arc<Pod>, b: &Arc<Pod>) -> Vec<(&'static str, Event)> {
    let probed = |role, verdict: bool| Event::Probed {
        tag: TAG,
        role,
        outcome: if verdict { Ok(()) } else { Err("no".to_owned()) },
        verdict: Some(verdict),
    };
    vec![
        ("Wanted a", Event::Wanted(Some(Arc::clone(a)))),
        ("Wanted b", Event::Wanted(Some(Arc::clone(b)))),
        ("Wanted none", Event::Wanted(None)),
        ("Drain 3s", Event::Drain(Drain { grace: Some(Duration::from_secs(3)) })),
        ("Kill", Event::Kill { id: live(TAG).id }),
        ("SandboxReady", Event::SandboxReady { generation: 1, id: "s1".to_owned(), attempts: vec![0] }),
        ("SandboxFailed", Event::SandboxFailed { generation: 1, why: why("FailedMount") }),
        ("SandboxGone", Event::SandboxGone { generation: 1 }),
        ("SandboxStuck", Event::SandboxStuck { generation: 1 }),
        ("Pulled", Event::Pulled { tag: TAG }),
        ("PullFailed", Event::PullFailed { tag: TAG, why: why("ErrImagePull") }),
        ("Started", Event::Started { tag: TAG, live: live(TAG) }),
        ("StartFailed, none", Event::StartFailed { tag: TAG, why: why("CreateContainerError"), dead: None }),
        (
            "StartFailed, dead",
            Event::StartFailed { tag: TAG, why: why("RunContainerError"), dead: Some(("x".to_owned(), exit(128))) },
        ),
        ("Exited 0", Event::Exited { tag: TAG, exit: exit(0) }),
        ("Exited 1", Event::Exited { tag: TAG, exit: exit(1) }),
        ("StopFailed", Event::StopFailed { tag: TAG }),
        ("Startup passes", probed(Role::Startup, true)),
        ("Startup fails", probed(Role::Startup, false)),
        ("Liveness fails", probed(Role::Liveness, false)),
        ("Readiness passes", probed(Role::Readiness, true)),
        ("Readiness fails", probed(Role::Readiness, false)),
        ("Due", Event::Due),
    ]
}

#[test]
fn the_table_is_the_one_that_was_agreed_to() {
    let now = Instant::now();
    let mut table = String::new();
    for (name, policy) in
        [("Always", RestartPolicy::Always), ("OnFailure", RestartPolicy::OnFailure), ("Never", RestartPolicy::Never)]
    {
        let a = pod("a", policy, vec![container("c", true)]);
        let b = pod("b", policy, vec![container("c", true)]);
        for state in states(now, &a) {
            let before = state_word(&state);
            for (event_name, event) in events(&a, &b) {
                // only ends of runs differ by the policy
                if policy != RestartPolicy::Always && !event_name.contains("xited") {
                    continue;
                }
                let mut after = state.clone();
                let commands = step(&mut after, event, now);
                let commands: Vec<_> = commands.iter().map(command_word).collect();
                let after = state_word(&after);
                if after == before && commands.is_empty() {
                    continue;
                }
                writeln!(table, "{name:9} | {before:27} | {event_name:17} | {after:27} | {}", commands.join(", "))
                    .unwrap();
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/worker-machine.txt");
    let heads = format!("{:9} | {:27} | {:17} | {:27} | commands", "policy", "state", "event", "state after");
    let table = format!("what is not listed changes nothing and asks for nothing\n\n{heads}\n{table}");
    let table: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
        panic!("`{path}` is written; look at the difference and run again without BLESS");
    }
    let agreed = std::fs::read_to_string(path).unwrap_or_default();
    for (line, (is, was)) in table.lines().zip(agreed.lines()).enumerate() {
        assert_eq!(is, was, "line {} of `{path}`; BLESS=1 rewrites it", line + 1);
    }
    assert_eq!(table.lines().count(), agreed.lines().count(), "`{path}`; BLESS=1 rewrites it");
}

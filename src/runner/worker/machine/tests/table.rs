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
    let word = match &slot.run {
        Run::Killing { stage: Stage::Hook, .. } => "Killing, hook",
        Run::Killing { stage: Stage::Turn, .. } => "Killing, turn",
        Run::Killing { stage: Stage::Retry(_), .. } => "Killing, again",
        _ => word,
    };
    let marks = [(slot.hooking, "+hooking"), (slot.started, "+started"), (slot.ready, "+ready")];
    marks.iter().filter(|(is_set, _)| *is_set).fold(word.to_owned(), |word, (_, mark)| word + mark)
}

fn state_word(state: &State) -> String {
    let word = match &state.life {
        Life::Absent => "Absent".to_owned(),
        Life::Making { pod, .. } => format!("Making {}", pod.revision),
        Life::Retrying { pod, .. } => format!("Retrying {}", pod.revision),
        Life::Up(up) => {
            let anew = if up.resetting.is_some() { ", all anew" } else { "" };
            format!("Up {} {}{anew}", up.pod.revision, slot_word(&up.slots[0]))
        }
        Life::Stopping(up) => format!("Stopping {} {}", up.pod.revision, slot_word(&up.slots[0])),
        Life::Clearing { up, due } => {
            format!("Clearing {}{}", up.pod.revision, if due.is_some() { " later" } else { "" })
        }
        Life::Finished(up) => format!("Finished {}", up.pod.revision),
    };
    let word = if state.failure.is_some() { format!("{word} failed") } else { word };
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
        Command::PostStart { tag, .. } => format!("PostStart #{}", tag.attempt),
        Command::PreStop { tag, .. } => format!("PreStop #{}", tag.attempt),
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
    let of = |life: Life| State { wanted: Some(Arc::clone(a)), life, generation: 1, ..State::default() };
    let up = |run: Run, started: bool| {
        let mut slot = Slot { run, ..Slot::new(0, now) };
        (slot.started, slot.ready) = (started, started);
        Up { initialized: true, ..Up::new(Arc::clone(a), "s1".to_owned(), vec![slot]) }
    };
    let later = now + Duration::from_secs(60);
    let killing = |cause| Run::Killing { live: live(TAG), cause, until: now + GRACE, stage: Stage::Signalled };
    let ending = |up: Up| Up { ending: Some(now + GRACE), ..up };
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
        of(Life::Stopping(ending(up(Run::Starting, false)))),
        of(Life::Stopping(ending(up(killing(Cause::Pod), true)))),
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
        ("Restart", Event::Restart { grace: None }),
        ("Restart 5s", Event::Restart { grace: Some(Duration::from_secs(5)) }),
        (
            "SandboxReady",
            Event::SandboxReady { generation: 1, id: "s1".to_owned(), ips: Vec::new(), attempts: vec![0] },
        ),
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

/// What differs for a container with hooks.
fn hooks(table: &mut String, now: Instant) {
    let hooked = |revision| {
        let own = Container { post_start: hook(), pre_stop: hook(), ..container("c", false) };
        pod(revision, RestartPolicy::Always, vec![own])
    };
    let (a, b) = (hooked("a"), hooked("b"));
    let up = |run: Run, hooking: bool| {
        let slot = Slot { run, hooking, started: !hooking, ready: !hooking, ..Slot::new(0, now) };
        Up { initialized: true, ..Up::new(Arc::clone(&a), "s1".to_owned(), vec![slot]) }
    };
    let of = |life: Life| State { wanted: Some(Arc::clone(&a)), life, generation: 1, ..State::default() };
    let killing = |stage| Run::Killing { live: live(TAG), cause: Cause::Pod, until: now + GRACE, stage };
    let stopping = Up { ending: Some(now + GRACE), ..up(killing(Stage::Hook), false) };
    let states = [
        of(Life::Up(Up { slots: vec![Slot { run: Run::Starting, ..Slot::new(0, now) }], ..up(Run::Done, false) })),
        of(Life::Up(up(Run::Running(live(TAG)), true))),
        of(Life::Up(up(Run::Running(live(TAG)), false))),
        of(Life::Stopping(stopping)),
    ];
    let events = [
        ("Started", Event::Started { tag: TAG, live: live(TAG) }),
        ("PostStarted", Event::PostStarted { tag: TAG, outcome: Ok(()) }),
        ("PostStart fails", Event::PostStarted { tag: TAG, outcome: Err("no".to_owned()) }),
        ("PreStopped", Event::PreStopped { tag: TAG }),
        ("Exited 0", Event::Exited { tag: TAG, exit: exit(0) }),
        ("Kill", Event::Kill { id: live(TAG).id }),
        ("Wanted b", Event::Wanted(Some(b))),
        ("Drain 3s", Event::Drain(Drain { grace: Some(Duration::from_secs(3)) })),
    ];
    for state in &states {
        for (name, event) in &events {
            row(table, "hooks", state, name, event.clone(), now);
        }
    }
}

/// What befalls a pod as a whole: one that may be there for a minute, of two containers, of which the first asks for the
/// restart of all with code 42.
fn wholes(table: &mut String, now: Instant) {
    let rule = RestartRule { action: RestartAction::RestartAllContainers, codes: vec![42], holds_within: true };
    let asking = Container { restart_rules: vec![rule], ..container("c", false) };
    let a = pod("a", RestartPolicy::Never, vec![asking, container("d", false)]);
    let a = Arc::new(Pod { active_deadline: Some(Duration::from_secs(60)), ..Pod::clone(&a) });
    let slots = |runs: [Run; 2]| runs.map(|run| Slot { run, ..Slot::new(0, now) }).to_vec();
    let up = |runs: [Run; 2]| Up { initialized: true, ..Up::new(Arc::clone(&a), "s1".to_owned(), slots(runs)) };
    let of = |life: Life| {
        let wanted = Some(Arc::clone(&a));
        State { wanted, life, generation: 1, began: now.checked_sub(GRACE * 2), ..State::default() }
    };
    let other = Tag { container: 1, ..TAG };
    let retry = super::super::super::backoff::Retry::SANDBOX;
    let killed = Run::Killing { live: live(other), cause: Cause::Pod, until: now + GRACE, stage: Stage::Signalled };
    let (ending, early) = (Some(now + GRACE), Some(now));
    let resetting = |runs| Up { resetting: Some(0), ending, ..up(runs) };
    let waiting = || Run::Waiting { due: now, after: None, why: None };
    let running = || [Run::Running(live(TAG)), Run::Running(live(other))];
    let over = Ended {
        id: "x".to_owned(),
        image_id: None,
        attempt: 0,
        at: now,
        started_at: None,
        exit: exit(42),
        cause: None,
    };
    let mut half = resetting([Run::Done, killed]);
    (half.slots[0].attempt, half.slots[0].last) = (1, Some(over));
    let late = [
        of(Life::Retrying { pod: Arc::clone(&a), retry, due: now, why: why("FailedMount") }),
        of(Life::Up(up(running()))),
        of(Life::Up(up([waiting(), Run::Running(live(other))]))),
        of(Life::Up(half.clone())),
        of(Life::Finished(up([Run::Done, Run::Done]))),
    ];
    for state in &late {
        row(table, "deadline", state, "Due", Event::Due, now);
    }
    let began = |state: State| State { began: early, ..state };
    for state in [began(of(Life::Up(up(running())))), began(of(Life::Up(half)))] {
        for (name, event) in [
            ("Exited 42", Event::Exited { tag: TAG, exit: exit(42) }),
            ("d exited 0", Event::Exited { tag: other, exit: exit(0) }),
            ("Wanted none", Event::Wanted(None)),
            ("Restart", Event::Restart { grace: None }),
        ] {
            row(table, "all anew", &state, name, event, now);
        }
    }
}

/// One line, unless nothing changes and nothing is asked for.
fn row(table: &mut String, policy: &str, state: &State, event_name: &str, event: Event, now: Instant) {
    let before = state_word(state);
    let mut after = state.clone();
    let commands = step(&mut after, event, now);
    let commands: Vec<_> = commands.iter().map(command_word).collect();
    let after = state_word(&after);
    if after != before || !commands.is_empty() {
        writeln!(table, "{policy:9} | {before:27} | {event_name:17} | {after:33} | {}", commands.join(", ")).unwrap();
    }
}

#[test]
fn case_143_146_the_table_is_the_one_that_was_agreed_to() {
    let now = Instant::now();
    let mut table = String::new();
    for (name, policy) in
        [("Always", RestartPolicy::Always), ("OnFailure", RestartPolicy::OnFailure), ("Never", RestartPolicy::Never)]
    {
        let a = pod("a", policy, vec![container("c", true)]);
        let b = pod("b", policy, vec![container("c", true)]);
        for state in states(now, &a) {
            for (event_name, event) in events(&a, &b) {
                // only ends of runs differ by the policy
                if policy != RestartPolicy::Always && !event_name.contains("xited") {
                    continue;
                }
                row(&mut table, name, &state, event_name, event, now);
            }
        }
    }
    hooks(&mut table, now);
    wholes(&mut table, now);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/worker-machine.txt");
    let heads = format!("{:9} | {:27} | {:17} | {:33} | commands", "policy", "state", "event", "state after");
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

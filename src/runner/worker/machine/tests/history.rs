//! Recorded histories: what a pod went through, told as events, with the moments that matter.

use super::world::{Happening, World};
use super::*;

fn one(policy: RestartPolicy, probes: bool) -> (Arc<Pod>, Arc<Pod>) {
    (pod("a", policy, vec![container("c", probes)]), pod("b", policy, vec![container("c", probes)]))
}

fn up(a: &Arc<Pod>, b: &Arc<Pod>) -> World {
    let mut world = World::new();
    world.send(Event::Wanted(Some(Arc::clone(a))));
    world.settle(a, b);
    world
}

fn slot(world: &World) -> &Slot {
    &world.state.up().unwrap().slots[0]
}

#[test]
fn a_container_that_always_fails_is_started_on_the_kubelets_schedule() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = up(&a, &b);
    let mut starts = vec![0];
    for _ in 0..6 {
        world.happen(Happening::FirstExits, &a, &b);
        world.settle(&a, &b);
        starts.push((world.now - world.begin).as_secs());
    }
    assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310]);
    assert_eq!(slot(&world).attempt, 6);
}

#[test]
fn a_waiting_container_says_so_in_the_kubelets_words() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = up(&a, &b);
    for _ in 0..5 {
        world.happen(Happening::FirstExits, &a, &b);
        world.settle(&a, &b);
    }
    world.happen(Happening::FirstExits, &a, &b);
    let Run::Waiting { why: Some(why), .. } = &slot(&world).run else { panic!("{:?}", slot(&world)) };
    assert_eq!(why.reason, "CrashLoopBackOff");
    assert_eq!(why.message, "back-off 2m40s restarting failed container=c pod=pod-node_default(uid-a)");
}

#[test]
fn case_102_probes_that_kill_do_not_count_their_own_end() {
    let (a, b) = one(RestartPolicy::Always, true);
    let mut world = up(&a, &b);
    // long runs between two kills: never a wait
    for attempt in 1..6 {
        world.now += Duration::from_secs(400);
        world.happen(Happening::LivenessFails, &a, &b);
        let before = world.now;
        world.settle(&a, &b);
        assert_eq!((slot(&world).attempt, world.now), (attempt, before));
    }
    let last = slot(&world).last.clone().unwrap();
    assert_eq!(last.cause.as_deref(), Some("Liveness probe failed: no"));
}

#[test]
fn case_36_143_an_edit_stops_the_old_before_the_new_starts_and_only_the_last_edit_runs() {
    let (a, b) = one(RestartPolicy::Always, false);
    let c = pod("c", RestartPolicy::Always, vec![container("c", false)]);
    let mut world = up(&a, &b);
    world.send(Event::Wanted(Some(Arc::clone(&b))));
    assert!(matches!(world.state.life, Life::Stopping(_)));
    world.send(Event::Wanted(Some(Arc::clone(&c))));
    world.send(Event::Wanted(Some(Arc::clone(&b))));
    world.settle(&a, &b);
    assert_eq!(world.state.up().unwrap().pod.revision, "b");
    assert_eq!(world.starts.len(), 2, "{:?}", world.starts);
}

#[test]
fn a_restart_is_no_crash_and_waits_for_no_back_off() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = up(&a, &b);
    for _ in 0..4 {
        world.happen(Happening::FirstExits, &a, &b);
        world.settle(&a, &b);
    }
    let (begin, before) = (world.now, world.state.generation);
    for restart in 1..4 {
        world.send(Event::Restart { grace: None });
        assert!(matches!(world.state.life, Life::Stopping(_)));
        world.settle(&a, &b);
        assert_eq!(world.state.generation, before + restart);
        assert!(matches!(slot(&world).run, Run::Running(_)));
        assert_eq!((world.now, slot(&world).backoff.entry()), (begin, None));
    }
}

#[test]
fn a_restart_brings_back_what_waits_for_its_back_off_and_what_is_finished() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = up(&a, &b);
    for _ in 0..3 {
        world.happen(Happening::FirstExits, &a, &b);
        while !matches!(slot(&world).run, Run::Waiting { .. } | Run::Running(_)) {
            world.happen(Happening::Succeeds, &a, &b);
        }
    }
    assert!(matches!(slot(&world).run, Run::Waiting { .. }), "{:?}", slot(&world));
    let begin = world.now;
    world.send(Event::Restart { grace: None });
    world.settle(&a, &b);
    assert!(matches!(slot(&world).run, Run::Running(_)) && world.now == begin);

    let (a, b) = one(RestartPolicy::Never, false);
    let mut world = up(&a, &b);
    world.happen(Happening::FirstExits, &a, &b);
    assert!(matches!(world.state.life, Life::Finished(_)));
    world.send(Event::Restart { grace: None });
    world.settle(&a, &b);
    assert!(matches!(slot(&world).run, Run::Running(_)));
}

#[test]
fn a_pod_that_may_not_restart_finishes_and_stays_listed() {
    let (a, b) = one(RestartPolicy::Never, false);
    let mut world = up(&a, &b);
    world.happen(Happening::FirstExits, &a, &b);
    assert!(matches!(world.state.life, Life::Finished(_)));
    world.send(Event::Wanted(Some(Arc::clone(&a))));
    assert!(matches!(world.state.life, Life::Finished(_)), "it is not run again");
    world.send(Event::Wanted(None));
    world.settle(&a, &b);
    assert!(world.over);
}

#[test]
fn an_image_that_cannot_be_fetched_is_asked_for_less_and_less() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = World::new();
    world.send(Event::Wanted(Some(Arc::clone(&a))));
    world.happen(Happening::Succeeds, &a, &b);
    let mut tries = Vec::new();
    for _ in 0..7 {
        tries.push((world.now - world.begin).as_secs());
        world.happen(Happening::Fails, &a, &b);
        world.happen(Happening::Later, &a, &b);
    }
    assert_eq!(tries, [0, 10, 30, 70, 150, 310, 610]);
}

#[test]
fn drain_shortens_a_stop_that_is_under_way() {
    let (a, b) = one(RestartPolicy::Always, false);
    let mut world = up(&a, &b);
    world.send(Event::Wanted(None));
    let commands = step(&mut world.state, Event::Drain(Drain { grace: Some(Duration::from_secs(3)) }), world.now);
    assert!(commands.iter().any(|command| matches!(command, Command::Stop { grace, .. } if grace.as_secs() == 3)));
    let commands = step(&mut world.state, Event::Drain(Drain { grace: Some(Duration::from_secs(9)) }), world.now);
    assert!(commands.is_empty(), "never longer again: {commands:?}");
}

#[test]
fn case_110_a_container_is_ready_only_when_its_probes_say_so() {
    let (a, b) = one(RestartPolicy::Always, true);
    let mut world = up(&a, &b);
    assert!(!slot(&world).started);
    world.happen(Happening::StartupPasses, &a, &b);
    assert!(slot(&world).started && !slot(&world).ready);
    let tag = Tag { generation: 1, container: 0, attempt: 0 };
    let readiness = |verdict| Event::Probed { tag, role: Role::Readiness, outcome: Ok(()), verdict: Some(verdict) };
    world.send(readiness(true));
    assert!(slot(&world).ready);
    world.send(readiness(false));
    assert!(!slot(&world).ready);
    world.happen(Happening::FirstExits, &a, &b);
    assert!(!slot(&world).started);
}

//! Every sequence of five happenings from every stage of a pod's life, held to the world's invariants; and from
//! wherever it ends: the pod that is wanted comes up, and the pod that is not wanted goes.

use super::world::{HAPPENINGS, Happening, World};
use super::*;

fn explore(world: &World, depth: usize, a: &Arc<Pod>, b: &Arc<Pod>, seen: &mut usize) {
    *seen += 1;
    let mut ended = world.clone();
    ended.send(Event::Wanted(None));
    ended.settle(a, b);
    assert!(ended.over, "a stop that does not end: {:?}", world.state);
    if depth == 0 {
        return;
    }
    for happening in HAPPENINGS {
        let mut next = world.clone();
        if next.happen(happening, a, b) && !next.over {
            explore(&next, depth - 1, a, b, seen);
        }
    }
}

fn regular(count: usize, probes: bool) -> Vec<Container> {
    (0..count).map(|index| container(&format!("c{index}"), probes)).collect()
}

/// An init container, a sidecar with hooks, another init container and a regular one with hooks.
fn ordered() -> Vec<Container> {
    let hooked = |container: Container| Container { post_start: hook(), pre_stop: hook(), ..container };
    vec![
        of_kind("i0", ContainerKind::Init),
        hooked(of_kind("s1", ContainerKind::Sidecar)),
        of_kind("i2", ContainerKind::Init),
        hooked(container("c3", false)),
    ]
}

fn explored(policy: RestartPolicy, containers: Vec<Container>) -> usize {
    let (a, b) = (pod("a", policy, containers.clone()), pod("b", policy, containers.clone()));
    let mut world = World::new();
    let mut seen = 0;
    // from the very beginning, with the sandbox there, and with every container up
    world.send(Event::Wanted(Some(Arc::clone(&a))));
    explore(&world, 5, &a, &b, &mut seen);
    world.happen(Happening::Succeeds, &a, &b);
    explore(&world, 4, &a, &b, &mut seen);
    world.settle(&a, &b);
    let lasting = containers.iter().filter(|container| container.kind != ContainerKind::Init);
    assert_eq!(world.containers.len(), lasting.count());
    explore(&world, 5, &a, &b, &mut seen);
    seen
}

#[test]
fn no_sequence_of_five_breaks_an_invariant() {
    assert!(explored(RestartPolicy::Always, regular(1, true)) > 10_000);
    assert!(explored(RestartPolicy::Always, regular(2, false)) > 10_000);
    assert!(explored(RestartPolicy::OnFailure, regular(2, false)) > 10_000);
    assert!(explored(RestartPolicy::Never, regular(1, true)) > 10_000);
}

#[test]
fn case_66_no_sequence_of_five_breaks_the_order() {
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        assert!(explored(policy, ordered()) > 10_000);
    }
}

#[test]
fn no_sequence_of_five_breaks_the_restart_of_all() {
    let rule = RestartRule { action: RestartAction::RestartAllContainers, codes: vec![1], holds_within: true };
    let mut containers = ordered();
    containers.iter_mut().for_each(|container| container.restart_rules = vec![rule.clone()]);
    assert!(explored(RestartPolicy::Never, containers) > 10_000);
}

#[test]
fn whatever_happened_the_wanted_revision_comes_up() {
    for containers in [regular(2, false), ordered()] {
        comes_up(containers);
    }
}

fn comes_up(containers: Vec<Container>) {
    let (a, b) = (pod("a", RestartPolicy::Always, containers.clone()), pod("b", RestartPolicy::Always, containers));
    let mut stack = vec![(World::new(), 0)];
    while let Some((world, depth)) = stack.pop() {
        let mut wanted = world.clone();
        wanted.send(Event::Wanted(Some(Arc::clone(&b))));
        if wanted.state.drain.is_none() {
            wanted.settle(&a, &b);
            let up = wanted.state.up().unwrap();
            assert_eq!(up.pod.revision, "b");
            let is_well = |(slot, spec): (&Slot, &Container)| match spec.kind {
                ContainerKind::Init => matches!(slot.run, Run::Done),
                ContainerKind::Sidecar | ContainerKind::Regular => matches!(slot.run, Run::Running(_)) && slot.ready,
            };
            assert!(up.slots.iter().zip(&up.pod.containers).all(is_well), "{up:?}");
        }
        if depth < 4 {
            for happening in HAPPENINGS {
                let mut next = world.clone();
                if next.happen(happening, &a, &b) && !next.over {
                    stack.push((next, depth + 1));
                }
            }
        }
    }
}

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

fn explored(policy: RestartPolicy, containers: usize, probes: bool) -> usize {
    let containers: Vec<_> = (0..containers).map(|index| container(&format!("c{index}"), probes)).collect();
    let (a, b) = (pod("a", policy, containers.clone()), pod("b", policy, containers.clone()));
    let mut world = World::new();
    let mut seen = 0;
    // from the very beginning, with the sandbox there, and with every container up
    world.send(Event::Wanted(Some(Arc::clone(&a))));
    explore(&world, 5, &a, &b, &mut seen);
    world.happen(Happening::Succeeds, &a, &b);
    explore(&world, 4, &a, &b, &mut seen);
    world.settle(&a, &b);
    assert_eq!(world.containers.len(), containers.len());
    explore(&world, 5, &a, &b, &mut seen);
    seen
}

#[test]
fn no_sequence_of_five_breaks_an_invariant() {
    assert!(explored(RestartPolicy::Always, 1, true) > 10_000);
    assert!(explored(RestartPolicy::Always, 2, false) > 10_000);
    assert!(explored(RestartPolicy::OnFailure, 2, false) > 10_000);
    assert!(explored(RestartPolicy::Never, 1, true) > 10_000);
}

#[test]
fn whatever_happened_the_wanted_revision_comes_up() {
    let containers = vec![container("c0", false), container("c1", false)];
    let (a, b) = (pod("a", RestartPolicy::Always, containers.clone()), pod("b", RestartPolicy::Always, containers));
    let mut stack = vec![(World::new(), 0)];
    while let Some((world, depth)) = stack.pop() {
        let mut wanted = world.clone();
        wanted.send(Event::Wanted(Some(Arc::clone(&b))));
        if wanted.state.drain.is_none() {
            wanted.settle(&a, &b);
            let up = wanted.state.up().unwrap();
            assert_eq!(up.pod.revision, "b");
            assert!(up.slots.iter().all(|slot| matches!(slot.run, Run::Running(_)) && slot.ready), "{up:?}");
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

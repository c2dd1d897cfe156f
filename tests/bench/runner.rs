//! What the runner adds to the runtime, and what 200 static pods cost: run it with `make bench`.
//!
//! The runtime alone and through the runner are measured in turn on the same machine, with the same image and the same
//! container. ROUNDS sets the number of rounds, PODS the number of pods that run at once in the end.
#![allow(clippy::unwrap_used)]

mod figures;
mod pods;
mod runtime;
/// Shared with the tests.
#[path = "../support"]
mod support {
    pub(crate) mod sweep;
}

use std::time::Duration;

use figures::{Figure, judge};
use pods::Machine;

const IDLE: Duration = Duration::from_secs(30);

fn main() {
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, count) = (number("ROUNDS", 5), number("PODS", 200));
    let (mut direct, mut first, mut replaced, mut noticed, mut again) =
        (Figure::default(), Figure::default(), Figure::default(), Figure::default(), Figure::default());
    let machine = Machine::new();
    for round in 1..=rounds {
        eprintln!("round {round}");
        direct.took(runtime::start(&machine.root));
        let pod = machine.start(round);
        first.took(pod.started_after);
        let crash = machine.crash(&pod.name);
        noticed.took(crash.noticed_after);
        again.took(crash.started_after);
        replaced.took(machine.replace(&pod.name));
        machine.remove(&pod.name);
    }
    let many = machine.many(count, IDLE);

    println!("\nfigures of {rounds} rounds, and of {count} pods");
    direct.print("runtime alone: sandbox and container", "s");
    first.print("manifest written: container started", "s");
    noticed.print("container killed: restart decided", "s");
    again.print("container killed: next one started", "s");
    replaced.print("manifest replaced: started after the old", "s");
    println!("  {count} manifests written: all started             {:>8.3} s", many.all_started.as_secs_f64());
    println!("  {count} pods, the runner while they start: CPU     {:>8.3} s", many.starting_cpu);

    println!("\nover the floor, against the targets");
    let none = Figure::single(0.0);
    judge("manifest written: container started", "s", &first, &direct, 0.1);
    judge("container killed: restart decided", "s", &noticed, &none, 0.02);
    judge("manifest replaced: started after the old", "s", &replaced, &none, 0.2);
    judge("runner at rest: CPU", "% of a core", &Figure::single(many.idle_cpu), &none, 1.0);
    judge("runner at rest: resident memory", "MiB", &Figure::single(many.resident_mib), &none, 60.0);
}

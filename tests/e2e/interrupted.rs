//! `kill -9` of init, at many moments: a second init always finishes the job.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::components::NAMES;
use crate::support::node::Node;
use crate::support::sweep;

/// Milliseconds after which init is killed: while it writes keys, while the runner starts, while it waits.
const EARLY: [u64; 6] = [20, 45, 80, 150, 300, 550];
const LATE: [u64; 4] = [900, 1500, 2500, 4000];

#[test]
fn an_init_killed_early_is_finished_by_the_next() {
    kill_and_finish(&EARLY);
}

#[test]
fn an_init_killed_late_is_finished_by_the_next() {
    kill_and_finish(&LATE);
}

fn kill_and_finish(moments: &[u64]) {
    let node = Node::new();
    for moment in moments {
        kill_after(node.init_command(), Duration::from_millis(*moment));
        let run = node.init();
        assert_eq!(run.code, 0, "after a kill at {moment} ms: {}", run.stderr);
        node.wait_until_ready();
        assert_eq!(sweep::runners(&node.root).len(), 1, "after a kill at {moment} ms");
        for component in NAMES {
            assert_eq!(node.processes(component).len(), 1, "{component} after a kill at {moment} ms");
        }
        node.run(&["reset", "--force", "--keep-images"]).succeeds();
    }
}

/// Starts it, and kills it without looking at how far it is.
fn kill_after(mut command: Command, moment: Duration) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
}

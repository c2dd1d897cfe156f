//! A second init converges: it changes what differs, and nothing else.

use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::picture;

#[test]
fn an_unchanged_configuration_changes_nothing() {
    let node = Node::new();
    node.init().succeeds();
    let (identities, files) = (node.identities(), picture(&node.path("etc")));
    let run = node.init().succeeds();
    assert!(run.stderr.contains("kept") && !run.stderr.contains("created"), "{}", run.stderr);
    assert_eq!(node.identities(), identities);
    assert_eq!(picture(&node.path("etc")), files);
}

#[test]
fn a_changed_component_is_replaced_and_the_others_go_on() {
    let node = Node::new();
    node.init().succeeds();
    let before = node.identities();
    let flag = "scheduler:\n  extraArgs:\n  - name: v\n    value: \"3\"\n";
    node.configure("", &format!("{ECDSA}{flag}"));
    node.init().succeeds();
    let scheduler = eventually("the new scheduler", || {
        node.running("kube-scheduler").filter(|now| before.iter().all(|old| old.id != now.id))
    });
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", scheduler.pid)).unwrap();
    assert!(command_line.split('\0').any(|argument| argument == "--v=3"), "{command_line}");
    let after = node.identities();
    assert_eq!(after[..3], before[..3]);
    assert_eq!(node.processes("kube-scheduler"), [scheduler.pid.cast_signed()]);
}

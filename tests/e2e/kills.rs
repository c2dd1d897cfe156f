//! `kill -9` of whatever runs.

use std::fs;

use crate::support::components::NAMES;
use crate::support::inspect::{Identity, eventually, is_alive, kill};
use crate::support::node::Node;
use crate::support::sweep;

#[test]
fn every_component_comes_back_with_the_data() {
    let node = Node::new();
    node.init().succeeds();
    node.ask(&["create", "configmap", "notes", "--from-literal=colour=blue"]);
    for component in NAMES {
        let before = node.running(component).unwrap();
        kill(before.pid);
        assert_ne!(restarted(&node, &before).pid, before.pid);
        node.wait_until_ready();
        let notes = node.kubectl(&["get", "configmap", "notes", "--output=jsonpath={.data.colour}"]);
        assert_eq!(notes.succeeds().stdout, "blue", "after the end of {component}");
    }
}

/// Waits for the next container of the component, which is the first after this one.
fn restarted(node: &Node, before: &Identity) -> Identity {
    let after = eventually("a restart", || node.running(&before.name).filter(|now| now.id != before.id));
    assert_eq!(after.restarts, before.restarts + 1);
    after
}

#[test]
fn containers_outlive_the_runner_and_the_next_one_adopts_them() {
    let node = Node::new();
    node.init().succeeds();
    let before = node.identities();
    let runner = node.runner();
    kill(runner);
    assert!(before.iter().all(|container| is_alive(container.pid.cast_signed())));
    node.wait_until_ready();

    node.init().succeeds();
    assert_ne!(node.runner(), runner);
    assert_eq!(node.identities(), before);
}

#[test]
fn a_container_without_its_shim_is_never_doubled_or_orphaned() {
    let node = Node::new();
    node.init().succeeds();
    let before = node.running("etcd").unwrap();
    kill(shim(before.pid));
    let after = eventually("one etcd, known to the runner", || {
        let now = node.running("etcd")?;
        (node.processes("etcd") == [now.pid.cast_signed()]).then_some(now)
    });
    assert!(after == before || after.restarts == before.restarts + 1, "{before:?} became {after:?}");
    node.wait_until_ready();

    // its last words are in the log, and stopping it works
    node.run(&["stop", &after.id]).succeeds();
    let next = restarted(&node, &after);
    assert!(logs(&node, "etcd").contains("shutting down"));
    node.wait_until_ready();
    assert_eq!(node.processes("etcd"), [next.pid.cast_signed()]);
}

#[test]
fn everything_killed_at_once_comes_back() {
    let node = Node::new();
    node.init().succeeds();
    node.ask(&["create", "namespace", "team"]);
    let before = node.identities();
    let groups = sweep::control_groups(&node.root);
    kill(node.runner());
    for pid in groups.iter().flat_map(|group| sweep::processes(group)) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    node.init().succeeds();
    assert!(node.ask(&["get", "namespaces", "--output=name"]).contains("namespace/team"));
    for (old, new) in before.iter().zip(node.identities()) {
        assert!(new.id != old.id && node.processes(&new.name) == [new.pid.cast_signed()], "{old:?} became {new:?}");
    }
}

/// The process that a container's process was started by.
fn shim(container: u32) -> i32 {
    procfs::process::Process::new(container.cast_signed()).unwrap().stat().unwrap().ppid
}

/// Everything that the containers of a component have written.
fn logs(node: &Node, component: &str) -> String {
    let mut text = String::new();
    for pod in fs::read_dir(node.path("var/log/pods")).unwrap().flatten() {
        for log in fs::read_dir(pod.path().join(component)).into_iter().flatten().flatten() {
            text.push_str(&fs::read_to_string(log.path()).unwrap());
        }
    }
    text
}

//! After a reboot: no process, no mount, no control group and nothing under /run is left, all else is.

use std::fs;

use crate::support::components::NAMES;
use crate::support::network::ADDRESS;
use crate::support::node::Node;
use crate::support::sweep;

fn reboot(node: &Node) {
    sweep::sweep(&node.root);
    fs::remove_dir_all(node.path("run")).unwrap();
    fs::create_dir(node.path("run")).unwrap();
}

fn control_plane_with_data() -> Node {
    let node = Node::new();
    node.init().succeeds();
    node.ask(&["create", "configmap", "notes", "--from-literal=colour=blue"]);
    node
}

#[track_caller]
fn assert_back(node: &Node) {
    node.wait_until_ready();
    assert_eq!(node.ask(&["get", "configmap", "notes", "--output=jsonpath={.data.colour}"]), "blue");
    for component in NAMES {
        assert_eq!(node.processes(component).len(), 1, "{component}");
    }
}

#[test]
fn a_runner_brings_everything_back() {
    let node = control_plane_with_data();
    reboot(&node);
    let ip = format!("--node-ip={ADDRESS}");
    let mut runner = node.command(&["runner", "--node-name=node", &ip]).spawn().unwrap();
    assert_back(&node);
    // the foreground runner is ours to wait for
    runner.kill().unwrap();
    runner.wait().unwrap();
}

#[test]
fn a_second_init_brings_everything_back() {
    let node = control_plane_with_data();
    reboot(&node);
    node.init().succeeds();
    assert_back(&node);
}

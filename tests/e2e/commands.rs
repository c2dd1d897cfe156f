//! The commands for the person at the machine.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::components::NAMES;
use crate::support::inspect::eventually;
use crate::support::node::Node;

#[test]
fn pods_containers_and_logs_are_shown_and_a_container_can_be_stopped() {
    let node = Node::new();
    node.init().succeeds();
    let (ps, status) = (node.run(&["ps"]).succeeds().stdout, node.run(&["status"]).succeeds().stdout);
    for container in node.identities() {
        assert!(ps.contains(&container.name) && status.contains(&container.name), "{ps}\n{status}");
        assert!(!node.run(&["logs", &container.name]).succeeds().stdout.is_empty(), "{}", container.name);
    }
    let before = node.running("kube-scheduler").unwrap();
    node.run(&["stop", &before.id]).succeeds();
    let after = eventually("a restart", || node.running("kube-scheduler").filter(|now| now.id != before.id));
    assert_eq!(after.restarts, before.restarts + 1);
    assert_eq!(node.processes("kube-scheduler"), [after.pid.cast_signed()]);
}

#[test]
fn status_and_logs_do_not_need_the_api() {
    let node = Node::new();
    node.init().succeeds();
    let server = Pid::from_raw(node.running("kube-apiserver").unwrap().pid.cast_signed());
    kill(server, Signal::SIGSTOP).unwrap();
    let status = node.status();
    let names: Vec<_> = status.pods.iter().flat_map(|pod| &pod.containers).map(|container| &*container.name).collect();
    for name in NAMES {
        assert!(names.contains(&name), "{names:?}");
        node.run(&["logs", name]).succeeds();
    }
    kill(server, Signal::SIGCONT).unwrap();
    node.wait_until_ready();
}

#[test]
fn exec_runs_a_command_without_the_api_and_passes_its_exit_code_on() {
    let node = Node::new();
    node.init().succeeds();
    let server = node.running("kube-apiserver").unwrap();
    kill(Pid::from_raw(server.pid.cast_signed()), Signal::SIGSTOP).unwrap();
    let version = node.run(&["exec", "etcd", "--", "etcd", "--version"]).succeeds();
    assert!(version.stdout.contains("etcd Version"), "{}", version.stdout);
    let wrong = node.run(&["exec", &server.id[..12], "--", "kube-apiserver", "--no-such-flag"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("no-such-flag"), "{}", wrong.stderr);
    let absent = node.run(&["exec", "etcd", "--", "absent-program"]);
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("executable file not found in $PATH"), "{}", absent.stderr);
    kill(Pid::from_raw(server.pid.cast_signed()), Signal::SIGCONT).unwrap();
}

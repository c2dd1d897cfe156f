//! A control plane that does not come up: which component, how it ended, what it said, what to do.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::support::Run;
use crate::support::components::{ECDSA, REPOSITORY};
use crate::support::node::Node;

#[test]
fn an_unknown_flag_is_told_with_the_components_own_words() {
    let node = Node::new();
    let flag = "apiServer:\n  extraArgs:\n  - name: no-such-flag\n    value: x\n";
    node.configure("", &format!("{ECDSA}{flag}"));
    node.init().fails(1, &["kube-apiserver", "exit code 1", "unknown flag: --no-such-flag", "hint: ", "extraArgs"]);
}

#[test]
fn an_image_that_cannot_be_had_is_named() {
    let node = Node::bare();
    let text = fs::read_to_string(node.config()).unwrap();
    fs::write(node.config(), text.replace(REPOSITORY, "127.0.0.1:9/nowhere")).unwrap();
    node.init().fails(1, &["127.0.0.1:9/nowhere/", "refused", "hint: "]);
}

#[test]
fn a_port_that_is_taken_after_all_is_told() {
    let node = Node::new();
    node.network.enter();
    let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 10259)).unwrap();
    let mut command = node.init_command();
    command.arg("--ignore-preflight-errors=Port-10259");
    Run::of(command).fails(1, &["kube-scheduler", "10259", "address already in use", "hint: ", "ss -ltnp"]);
}

//! Reset leaves the machine as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::node::Node;
use crate::support::{picture, sweep};

/// A node that is not quite empty, and the picture of it before it got its images.
fn node() -> (Node, BTreeMap<PathBuf, String>) {
    let node = Node::bare();
    fs::create_dir_all(node.path("var/lib")).unwrap();
    fs::create_dir_all(node.path("etc")).unwrap();
    fs::write(node.path("etc/hostname"), "node\n").unwrap();
    let picture = picture(&node.root);
    crate::support::images::give(&node.root);
    (node, picture)
}

/// Nothing of the node is in the kernel.
#[track_caller]
fn assert_gone(node: &Node) {
    assert!(sweep::runners(&node.root).is_empty());
    assert!(sweep::control_groups(&node.root).is_empty());
    assert!(sweep::mounts(&node.root).is_empty());
    assert_eq!(node.listeners(), "");
}

fn namespaces() -> Vec<PathBuf> {
    let mut names: Vec<_> =
        fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
}

#[test]
fn after_a_reset_the_machine_is_as_it_was_before_init() {
    let (node, before) = node();
    let namespaces_before = namespaces();
    node.init().succeeds();
    let run = node.run(&["reset", "--force"]).succeeds();
    for kind in ["processes", "mounts", "control groups", "sockets", "files"] {
        assert!(run.stdout.contains(kind), "{}", run.stdout);
    }
    assert_eq!(picture(&node.root), before);
    assert_eq!(namespaces(), namespaces_before);
    assert_gone(&node);

    node.run(&["reset", "--force"]).succeeds();
    assert_eq!(picture(&node.root), before);
}

#[test]
fn a_reset_where_init_never_ran_does_nothing() {
    let node = Node::bare();
    fs::create_dir_all(node.path("etc/kubernetes/manifests")).unwrap();
    fs::write(node.path("etc/kubernetes/manifests/mine.yaml"), "mine").unwrap();
    let before = picture(&node.root);
    node.run(&["reset", "--force"]).succeeds();
    assert_eq!(picture(&node.root), before);
    assert_gone(&node);
}

#[test]
fn a_reset_without_a_runner_takes_everything_away_too() {
    let (node, before) = node();
    node.init().succeeds();
    crate::support::inspect::kill(node.runner());
    node.run(&["reset", "--force"]).succeeds();
    assert_eq!(picture(&node.root), before);
    assert_gone(&node);
}

#[test]
fn files_of_the_user_stay_and_are_named() {
    let node = Node::new();
    node.init().succeeds();
    let mine = ["etc/kubernetes/manifests/notes.txt", "etc/kubernetes/pki/mine.pem"].map(|path| node.path(path));
    for path in &mine {
        fs::write(path, "mine").unwrap();
    }
    let run = node.run(&["reset", "--force"]).succeeds();
    for path in &mine {
        assert_eq!(fs::read_to_string(path).unwrap(), "mine");
        assert!(run.stdout.contains(&path.display().to_string()), "{}", run.stdout);
    }
    let left = picture(&node.path("etc/kubernetes"));
    let left: Vec<_> = left.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(left, ["manifests", "manifests/notes.txt", "pki", "pki/mine.pem"]);
    assert_gone(&node);
}

#[test]
fn kept_images_serve_the_next_init() {
    let node = Node::new();
    node.init().succeeds();
    let images = node.run(&["images", "list"]).succeeds().stdout;
    node.run(&["reset", "--force", "--keep-images"]).succeeds();
    assert_gone(&node);
    assert_eq!(node.run(&["images", "list"]).succeeds().stdout, images);
    for gone in ["etc", "var/lib/etcd", "var/lib/bootstrap/pods", "var/log", "run"] {
        assert!(!node.path(gone).exists(), "{gone}");
    }
    node.init().succeeds();
    node.wait_until_ready();
}

#[test]
fn nothing_is_deleted_through_a_mount() {
    let node = Node::new();
    node.init().succeeds();
    let precious = node.directory.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "precious").unwrap();
    let places = ["var/lib/etcd/mounted", "var/lib/bootstrap/pods/mounted"].map(|path| node.path(path));
    for place in &places {
        fs::create_dir_all(place).unwrap();
        mount(Some(&precious), place, None::<&Path>, MsFlags::MS_BIND, None::<&Path>).unwrap();
    }
    let run = node.run(&["reset", "--force"]).succeeds();
    assert!(run.stdout.contains(&places[0].display().to_string()), "{}", run.stdout);
    for place in &places {
        // what is mounted below the pods' directory is the runtime's, and is unmounted
        let _ = umount2(place, MntFlags::MNT_DETACH);
    }
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "precious");
    node.run(&["reset", "--force"]).succeeds();
    assert_gone(&node);
}

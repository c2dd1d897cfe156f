//! The dry run tells the truth, and touches nothing.

use std::fs;

use crate::support::node::Node;
use crate::support::{copy_tree, picture, sweep};

#[test]
fn init_writes_the_very_tree_that_the_dry_run_wrote() {
    let node = Node::new();
    let out = node.directory.path().join("out");
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "--dry-run", &config, &format!("--out={}", out.display())]).succeeds();
    let announced = picture(&out.join("etc/kubernetes"));
    // the same keys, and with them certificates and kubeconfigs; the rest is init's to write
    let given = node.directory.path().join("given");
    copy_tree(&out.join("etc"), &given);
    fs::remove_dir_all(given.join("kubernetes/manifests")).unwrap();
    copy_tree(&given, &node.path("etc"));
    node.init().succeeds();
    let made = picture(&node.path("etc/kubernetes"));
    assert_eq!(made.keys().collect::<Vec<_>>(), announced.keys().collect::<Vec<_>>());
    for (path, facts) in &announced {
        assert_eq!(made[path], *facts, "{}", path.display());
    }
}

#[test]
fn a_dry_run_changes_nothing_on_a_bare_machine() {
    let node = Node::bare();
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "--dry-run", &config]).succeeds();
    assert!(picture(&node.root).is_empty());
    assert!(sweep::runners(&node.root).is_empty());
    assert!(sweep::control_groups(&node.root).is_empty());
    assert!(sweep::mounts(&node.root).is_empty());
    assert_eq!(node.listeners(), "");
}

#[test]
fn a_dry_run_changes_nothing_where_a_control_plane_runs() {
    let node = Node::new();
    node.init().succeeds();
    let look = || {
        let files = ["etc", "var/lib/bootstrap/journal"].map(|path| picture(&node.path(path)));
        (files, sweep::mounts(&node.root), node.identities(), node.listeners())
    };
    let before = look();
    let out = format!("--out={}", node.directory.path().join("out").display());
    let config = format!("--config={}", node.config().display());
    node.run(&["init", "--dry-run", &config, &out]).succeeds();
    let run = node.run(&["reset", "--dry-run"]).succeeds();
    assert!(run.stdout.contains("Nothing was done"), "{}", run.stdout);
    assert_eq!(look(), before);
}

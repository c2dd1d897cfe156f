//! Bad input and a bad machine: nothing half done, and nothing that works is broken.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::support::components::ECDSA;
use crate::support::inspect::eventually;
use crate::support::node::Node;
use crate::support::picture;

#[test]
fn a_taken_port_is_refused_with_the_name_of_its_holder() {
    let node = Node::bare();
    node.network.enter();
    let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 10259)).unwrap();
    let run = node.init();
    run.fails(2, &["[Port-10259]", &format!("(pid {})", std::process::id()), "hint: "]);
    assert!(picture(&node.root).is_empty());
}

#[test]
fn a_name_that_does_not_resolve_is_told_when_all_is_done() {
    let node = Node::new();
    node.configure("", &format!("{ECDSA}controlPlaneEndpoint: no-such-name.invalid\n"));
    let run = node.init().succeeds();
    let lines: Vec<_> = run.stderr.lines().collect();
    let at = |sign: &str| lines.iter().position(|line| line.contains(sign)).unwrap_or_else(|| panic!("{}", run.stderr));
    let told = at("warning: [ControlPlaneEndpoint] controlPlaneEndpoint `no-such-name.invalid` does not resolve");
    assert!(told < at("done in "), "{}", run.stderr);
}

#[test]
fn a_full_disk_leaves_nothing_half_written_and_a_second_init_goes_on() {
    let node = Node::new();
    let kubernetes = node.path("etc/kubernetes");
    fs::create_dir_all(&kubernetes).unwrap();
    // room for some certificates, but not for all
    let tmpfs = |flags: MsFlags, size: &str| {
        mount(Some("tmpfs"), &kubernetes, Some("tmpfs"), flags, Some(size)).unwrap();
    };
    tmpfs(MsFlags::empty(), "size=64k,mode=0755");
    node.init().fails(1, &["No space left on device", "/etc/kubernetes/", "hint: "]);
    for (path, facts) in picture(&kubernetes) {
        let is_key_or_certificate = path.extension().is_some_and(|extension| extension == "key" || extension == "crt");
        assert!(!path.file_name().unwrap().to_string_lossy().starts_with('.'), "{}", path.display());
        assert!(!is_key_or_certificate || facts.ends_with("-----\n"), "{} is half written", path.display());
    }
    tmpfs(MsFlags::MS_REMOUNT, "size=10m");
    node.init().succeeds();
    node.wait_until_ready();
}

#[test]
fn a_file_that_is_no_pod_is_named_and_harms_nothing() {
    let node = Node::new();
    node.init().succeeds();
    let before = node.identities();
    let nonsense = node.path("etc/kubernetes/manifests/nonsense.yaml");
    fs::write(&nonsense, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n").unwrap();
    let rejected = rejected(&node, &nonsense);
    assert!(rejected.reason.contains("ConfigMap"), "{rejected:?}");
    let status = node.run(&["status"]);
    assert!(format!("{}{}", status.stdout, status.stderr).contains("nonsense.yaml"), "{status:?}");
    assert_eq!(node.identities(), before);
}

#[test]
fn a_broken_edit_keeps_the_last_good_version_running() {
    let node = Node::new();
    node.init().succeeds();
    let before = node.identities();
    let manifest = node.path("etc/kubernetes/manifests/kube-scheduler.yaml");
    let good = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, good.replace("containers:", "containers: {{")).unwrap();
    assert!(rejected(&node, &manifest).last_good_running);
    assert_eq!(node.identities(), before);
    fs::write(&manifest, good).unwrap();
    eventually("the repaired manifest", || node.status().rejected.is_empty().then_some(()));
    assert_eq!(node.identities(), before);
}

/// What the runner says of a file that it does not take.
fn rejected(node: &Node, path: &Path) -> bootstrap::control::Rejected {
    eventually("the rejection", || node.status().rejected.into_iter().find(|rejected| rejected.path == path))
}

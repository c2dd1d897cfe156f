//! RootlessControlPlane: the control plane runs as users of its own, and is a whole one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::components::ECDSA;
use crate::support::node::Node;
use crate::support::picture;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nsomebody:x:100:100::/:/bin/false\n";
const GROUP: &str = "root:x:0:\nsomebody:x:100:\n";

/// A node with users of its own, whose control plane is to be rootless.
fn node() -> Node {
    let node = Node::new();
    fs::create_dir_all(node.path("etc")).unwrap();
    fs::write(node.path("etc/passwd"), PASSWD).unwrap();
    fs::write(node.path("etc/group"), GROUP).unwrap();
    node.configure("", &format!("{ECDSA}featureGates:\n  RootlessControlPlane: true\n"));
    node
}

/// Ids by name, out of a file of users or groups.
fn ids(text: &str) -> BTreeMap<String, u32> {
    let entry = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        (fields[0].to_owned(), fields[2].parse().unwrap())
    };
    text.lines().map(entry).collect()
}

/// A line of `/proc/PID/status`, split.
fn status_of(pid: u32, field: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_component_runs_as_its_user_and_a_second_init_changes_nothing() {
    let node = node();
    let dry_run = node.run(&["init", "--dry-run", &format!("--config={}", node.config().display())]).succeeds().stdout;
    for line in ["make user kubeadm-etcd, user kubeadm-kas", "give /etc/kubernetes/pki/sa.key to root:kubeadm-sa-key"] {
        assert!(dry_run.contains(line), "{dry_run}");
    }
    assert_eq!(fs::read_to_string(node.path("etc/passwd")).unwrap(), PASSWD);

    node.init().succeeds();
    let passwd = fs::read_to_string(node.path("etc/passwd")).unwrap();
    let group = fs::read_to_string(node.path("etc/group")).unwrap();
    assert!(passwd.starts_with(PASSWD) && group.starts_with(GROUP), "{passwd}{group}");
    let (users, groups) = (ids(&passwd), ids(&group));
    let readers = groups["kubeadm-sa-key-readers"];
    for (component, user, shares_key, capabilities) in [
        ("etcd", "kubeadm-etcd", false, 0),
        ("kube-apiserver", "kubeadm-kas", true, 1 << 10),
        ("kube-controller-manager", "kubeadm-kcm", true, 0),
        ("kube-scheduler", "kubeadm-ks", false, 0),
    ] {
        let pid = node.running(component).unwrap().pid;
        let (uid, gid) = (vec![users[user].to_string(); 4], vec![groups[user].to_string(); 4]);
        assert_eq!(status_of(pid, "Uid:"), uid, "{component}");
        assert_eq!(status_of(pid, "Gid:"), gid, "{component}");
        assert_eq!(status_of(pid, "Groups:").contains(&readers.to_string()), shares_key, "{component}");
        assert_eq!(status_of(pid, "CapBnd:"), [format!("{capabilities:016x}")], "{component}");
        assert_eq!(status_of(pid, "NoNewPrivs:"), [if capabilities == 0 { "1" } else { "0" }], "{component}");
    }
    let key = fs::metadata(node.path("etc/kubernetes/pki/sa.key")).unwrap();
    assert_eq!((key.uid(), key.gid(), key.mode() & 0o7777), (0, readers, 0o640));
    let data = fs::metadata(node.path("var/lib/etcd/member")).unwrap();
    assert_eq!((data.uid(), data.gid()), (users["kubeadm-etcd"], groups["kubeadm-etcd"]));
    node.ask(&["create", "namespace", "team"]);

    let (identities, files) = (node.identities(), picture(&node.path("etc")));
    // what a renewal by hand does
    let stray = node.path("etc/kubernetes/pki/apiserver.key");
    std::os::unix::fs::chown(&stray, Some(0), Some(0)).unwrap();
    let run = node.init().succeeds();
    assert!(run.stderr.contains("kept") && !run.stderr.contains("created"), "{}", run.stderr);
    assert_eq!(node.identities(), identities);
    assert_eq!(picture(&node.path("etc")), files);
}

#[test]
fn a_reset_removes_its_users_and_groups_and_no_others() {
    let node = node();
    node.init().succeeds();
    let passwd = node.path("etc/passwd");
    let more = "later:x:1000:1000::/:/bin/sh\n";
    fs::write(&passwd, fs::read_to_string(&passwd).unwrap() + more).unwrap();
    let run = node.run(&["reset", "--force"]).succeeds();
    assert!(run.stdout.contains("users and groups"), "{}", run.stdout);
    let left: Vec<_> = picture(&node.path("etc")).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(left, [".pwd.lock", "group", "passwd"]);
    assert_eq!(fs::read_to_string(&passwd).unwrap(), format!("{PASSWD}{more}"));
    assert_eq!(fs::read_to_string(node.path("etc/group")).unwrap(), GROUP);
}

#[test]
fn an_account_that_does_not_fit_is_refused_before_anything_is_done() {
    let node = node();
    fs::write(node.path("etc/passwd"), format!("{PASSWD}kubeadm-etcd:x:1000:1000::/:/bin/sh\n")).unwrap();
    let before = picture(&node.path("etc"));
    node.init().fails(2, &["user `kubeadm-etcd` has id 1000", "the shell of user `kubeadm-etcd`", "hint: "]);
    assert_eq!(picture(&node.path("etc")), before);
}

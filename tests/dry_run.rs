//! `init --dry-run`: what it shows, what it writes, and that it does nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::golden;
use crate::support::{Bootstrap, copy_tree, picture};

/// Flags under which nothing depends on the machine.
fn fixed(root: &Path) -> Vec<String> {
    [
        "init",
        "--dry-run",
        "--node-name=n1",
        "--apiserver-advertise-address=10.0.0.5",
        "--token=abcdef.0123456789abcdef",
        "--skip-phases=preflight",
        &format!("--root={}", root.display()),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn write(root: &Path, out: &Path, more: &[&str]) {
    let mut args = fixed(root);
    args.push(format!("--out={}", out.display()));
    args.extend(more.iter().map(|flag| (*flag).to_owned()));
    Bootstrap::new(args).run().succeeds();
}

#[test]
fn the_plan_is_told_and_nothing_is_touched() {
    let root = tempfile::tempdir().unwrap();
    let run = Bootstrap::new(fixed(root.path())).run().succeeds();
    golden::check(&[("dry_run.txt".to_owned(), run.stdout)]);
    assert!(picture(root.path()).is_empty());
}

#[test]
fn no_root_is_needed() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = Bootstrap::new(fixed(root.path())).without_root().run().succeeds();
    assert!(run.stdout.contains("kube-apiserver"), "{}", run.stdout);
}

#[test]
fn the_tree_has_kubeadms_files_and_modes() {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), out.path(), &[]);
    assert!(picture(root.path()).is_empty(), "only --out is written to");
    let mut listing = String::new();
    for (path, facts) in picture(out.path()) {
        let mode = facts.split(' ').next().unwrap();
        listing.push_str(&format!("{mode} {}\n", path.display()));
    }
    golden::check(&[("dry_run_tree.txt".to_owned(), listing)]);
}

#[test]
fn what_a_dry_run_wrote_is_kept_by_the_next_one() {
    let (root, first, second) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), first.path(), &[]);
    copy_tree(first.path(), root.path());
    let run = Bootstrap::new(fixed(root.path())).run().succeeds();
    assert!(!run.stdout.contains("create") && !run.stdout.contains("replace"), "{}", run.stdout);
    write(root.path(), second.path(), &[]);
    let left = picture(second.path());
    assert!(left.keys().all(|path| !path.starts_with("etc/kubernetes/pki")), "kept files are not written: {left:?}");
}

#[test]
fn a_lone_key_gets_its_certificate() {
    let (root, first, second) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), first.path(), &[]);
    copy_tree(first.path(), root.path());
    // what a kill between the two writes leaves
    fs::remove_file(root.path().join("etc/kubernetes/pki/apiserver.crt")).unwrap();
    write(root.path(), second.path(), &[]);
    assert!(second.path().join("etc/kubernetes/pki/apiserver.crt").exists());
    assert!(!second.path().join("etc/kubernetes/pki/apiserver.key").exists());
}

#[test]
fn a_certificate_that_no_longer_covers_its_names_is_renewed() {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), out.path(), &[]);
    copy_tree(out.path(), root.path());
    let mut args = fixed(root.path());
    args.push("--apiserver-cert-extra-sans=api.example.com".to_owned());
    let run = Bootstrap::new(args).run().succeeds();
    assert!(run.stdout.contains("it does not cover `api.example.com`"), "{}", run.stdout);
}

#[test]
fn a_foreign_certificate_is_refused() {
    let (root, one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), one.path(), &[]);
    write(root.path(), other.path(), &[]);
    copy_tree(one.path(), root.path());
    let apiserver = "etc/kubernetes/pki/apiserver.crt";
    fs::copy(other.path().join(apiserver), root.path().join(apiserver)).unwrap();
    let before = picture(root.path());
    Bootstrap::new(fixed(root.path()))
        .run()
        .fails(2, &["certs/apiserver", "is not signed by its certificate authority", "hint: "]);
    assert_eq!(picture(root.path()), before);
}

#[test]
fn an_expired_authority_is_refused() {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = out.path().join("config.yaml");
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\ncaCertificateValidityPeriod: 1ns\n";
    fs::write(&config, text).unwrap();
    let tree = out.path().join("tree");
    let config = format!("--config={}", config.display());
    let root_flag = format!("--root={}", root.path().display());
    // five minutes of back-dating and one nanosecond: it ends as the run begins
    let out_flag = format!("--out={}", tree.display());
    let run =
        Bootstrap::new(["init", "phase", "certs/ca", "--dry-run", "--node-name=n1", &config, &root_flag, &out_flag]);
    run.run().succeeds();
    copy_tree(&tree, root.path());
    std::thread::sleep(std::time::Duration::from_secs(1));
    Bootstrap::new(fixed(root.path())).run().fails(2, &["certs/ca", "it expired at"]);
}

#[test]
fn somebody_elses_manifest_is_not_overwritten_unless_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let manifests = root.path().join("etc/kubernetes/manifests");
    fs::create_dir_all(&manifests).unwrap();
    fs::write(manifests.join("etcd.yaml"), "mine").unwrap();
    Bootstrap::new(fixed(root.path()))
        .run()
        .fails(2, &["etcd/local", "FileAvailable--etc-kubernetes-manifests-etcd.yaml"]);
    let mut args = fixed(root.path());
    args.push("--ignore-preflight-errors=FileAvailable--etc-kubernetes-manifests-etcd.yaml".to_owned());
    Bootstrap::new(args).run().succeeds();
}

#[test]
fn an_out_directory_with_something_in_it_is_refused() {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(out.path().join("mine"), "").unwrap();
    let mut args = fixed(root.path());
    args.push(format!("--out={}", out.path().display()));
    Bootstrap::new(args).run().fails(2, &["is not empty"]);
    assert_eq!(picture(out.path()).len(), 1);
}

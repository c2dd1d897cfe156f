//! `certs renew`, while no control plane runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use super::{Machine, unpack};
use crate::support::openssl::{run, say};
use crate::support::picture;

#[test]
fn a_renewal_keeps_all_but_the_key_and_the_dates() {
    let machine = Machine::made("kubernetesVersion: v1.28.0\napiServer: {certSANs: [api.example.com]}\n");
    let pki = machine.path("pki");
    // as rootless components need them, and as nobody should leave them
    chown(pki.join("apiserver.key"), Some(1234), Some(2345)).unwrap();
    fs::set_permissions(pki.join("apiserver.key"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(machine.path("admin.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    let kept = pki.join("elsewhere.crt");
    fs::rename(pki.join("front-proxy-client.crt"), &kept).unwrap();
    std::os::unix::fs::symlink("elsewhere.crt", pki.join("front-proxy-client.crt")).unwrap();

    // without the order of extensions
    let skipped = "no_header,no_version,no_serial,no_signame,no_validity,no_pubkey,no_sigdump";
    let look = |file: &str| {
        let text = say(&pki, &format!("x509 -noout -text -certopt {skipped} -in {file}"));
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        let of = |what: &str| say(&pki, &format!("x509 -noout -{what} -in {file}"));
        (lines, of("serial"), of("pubkey"))
    };
    let leaves = ["apiserver", "apiserver-kubelet-client", "front-proxy-client", "etcd/server", "etcd/peer"];
    let before: Vec<_> = leaves.map(|leaf| look(&format!("{leaf}.crt"))).into();
    let all = machine.files();
    // another version and other names: the certificates know better
    machine.init("kubernetesVersion: v1.36.2\n").succeeds();
    machine.run(&["certs", "renew", "all", &machine.config()]).succeeds();
    for (leaf, old) in leaves.iter().zip(before) {
        let new = look(&format!("{leaf}.crt"));
        assert_eq!(new.0, old.0, "{leaf}");
        assert!(new.1 != old.1 && new.2 != old.2, "{leaf}");
        let authority = if leaf.starts_with("etcd") {
            "etcd/ca"
        } else if leaf.starts_with("front") {
            "front-proxy-ca"
        } else {
            "ca"
        };
        run(&pki, ["verify", "-x509_strict", "-CAfile", &format!("{authority}.crt"), &format!("{leaf}.crt")])
            .succeeds();
        assert_eq!(say(&pki, &format!("pkey -pubout -in {leaf}.key")), new.2, "{leaf}");
    }
    let changed = machine.changed(&all);
    assert!(!changed.iter().any(|name| name.contains("ca.") || name.contains("sa.")), "{changed:?}");
    let facts = machine.files();
    assert!(
        facts[&PathBuf::from("pki/apiserver.key")].starts_with("100640 1234:2345 "),
        "its readers go on reading it"
    );
    assert!(
        facts[&PathBuf::from("admin.conf")].starts_with("100640 "),
        "what everybody could read nobody else can now"
    );
    assert!(pki.join("front-proxy-client.crt").is_symlink() && !all[&PathBuf::from("pki/elsewhere.crt")].is_empty());
    assert!(changed.contains(&"pki/elsewhere.crt".to_owned()));
}

#[test]
fn a_renewed_kubeconfig_trusts_the_authority_of_today() {
    let (machine, other) = (Machine::made(""), Machine::made(""));
    for name in ["ca.crt", "ca.key"] {
        fs::copy(other.path("pki").join(name), machine.path("pki").join(name)).unwrap();
    }
    let before = machine.files();
    machine.run(&["certs", "renew", "scheduler.conf", &machine.config()]).succeeds();
    assert_eq!(machine.changed(&before), ["scheduler.conf"]);
    let directory = tempfile::tempdir().unwrap();
    unpack(&machine.path("scheduler.conf"), directory.path());
    let authority = fs::read_to_string(directory.path().join("authority.crt")).unwrap();
    assert_eq!(authority, fs::read_to_string(machine.path("pki/ca.crt")).unwrap());
    run(directory.path(), ["verify", "-x509_strict", "-CAfile", "authority.crt", "client.crt"]).succeeds();
}

#[test]
fn a_key_of_another_certificate_is_made_good() {
    let machine = Machine::made("");
    // what a kill between the two files leaves
    fs::copy(machine.path("pki/sa.key"), machine.path("pki/apiserver.key")).unwrap();
    assert_eq!(machine.expiration("apiserver")["problems"].as_array().unwrap().len(), 1);
    machine.run(&["certs", "renew", "apiserver", &machine.config()]).succeeds();
    assert_eq!(machine.expiration("apiserver")["problems"].as_array().unwrap().len(), 0);
    fs::remove_file(machine.path("pki/etcd/server.key")).unwrap();
    machine.run(&["certs", "renew", "etcd-server", &machine.config()]).succeeds();
    assert_eq!(machine.expiration("etcd-server")["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn without_a_word_about_keys_the_new_one_is_of_the_old_kind() {
    for (algorithm, told) in [("ECDSA-P384", "(384 bit)"), ("RSA-3072", "(3072 bit)")] {
        let machine = Machine::made(&format!("encryptionAlgorithm: {algorithm}\n"));
        // a cluster that nobody can be asked about
        fs::remove_file(machine.path("admin.conf")).unwrap();
        fs::remove_file(machine.path("super-admin.conf")).unwrap();
        let run = machine.run(&["certs", "renew", "apiserver"]).succeeds();
        assert!(run.stderr.contains("kubeadm's defaults are assumed: there is no `admin.conf`"), "{}", run.stderr);
        let text = say(&machine.path("pki"), "x509 -noout -text -in apiserver.crt");
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn what_somebody_else_signs_is_told_and_no_failure() {
    let machine = Machine::made("");
    fs::remove_file(machine.path("pki/ca.key")).unwrap();
    let before = machine.files();
    let run = machine.run(&["certs", "renew", "apiserver", &machine.config()]).succeeds();
    assert!(run.stdout.contains(
        "apiserver (the API server's certificate as a server) is not renewed: `/etc/kubernetes/pki/ca.key` is not here"
    ));
    assert!(machine.changed(&before).is_empty());
    let run = machine.run(&["certs", "renew", "all", &machine.config()]).succeeds();
    assert!(
        run.stdout.contains("admin.conf")
            && run.stdout.contains("etcd-server (etcd's certificate as a server) renewed")
    );
    let changed = machine.changed(&before);
    assert!(changed.iter().all(|name| name.contains("etcd") || name.contains("front-proxy-client")), "{changed:?}");
}

#[test]
fn what_is_missing_is_told_and_by_name_a_failure() {
    let machine = Machine::made("");
    fs::remove_file(machine.path("pki/apiserver.crt")).unwrap();
    fs::remove_file(machine.path("kubelet.conf")).unwrap();
    machine
        .run(&["certs", "renew", "apiserver", &machine.config()])
        .fails(1, &["apiserver does not exist", "hint: ", "bootstrap init"]);
    let run = machine.run(&["certs", "renew", "all", &machine.config()]).succeeds();
    assert!(run.stdout.contains("!MISSING! apiserver") && run.stdout.contains("admin.conf"), "{}", run.stdout);
    assert!(!run.stdout.contains("kubelet.conf"), "{}", run.stdout);
}

#[test]
fn nothing_is_renewed_when_something_cannot_be() {
    let machine = Machine::made("");
    fs::copy(machine.path("pki/sa.key"), machine.path("pki/etcd/ca.key")).unwrap();
    fs::write(machine.path("pki/apiserver.crt"), "nonsense").unwrap();
    let before = machine.files();
    machine.run(&["certs", "renew", "all", &machine.config()]).fails(
        2,
        &[
            "renew/etcd-ca: cannot use `/etc/kubernetes/pki/etcd/ca.crt`: it and the private key beside it do not",
            "renew/apiserver: cannot renew `/etc/kubernetes/pki/apiserver.crt`: it holds no PEM certificate",
            "nothing was changed",
        ],
    );
    assert!(machine.changed(&before).is_empty());
    machine
        .run(&["certs", "renew", "nobody", &machine.config()])
        .fails(2, &["there is no certificate `nobody`", "all"]);
    let external = "etcd: {external: {endpoints: ['https://10.0.0.9:2379']}}\n";
    machine.init(external);
    machine.run(&["certs", "renew", "etcd-server", &machine.config()]).fails(2, &["has no `etcd-server`"]);
}

#[test]
fn a_dry_run_of_a_renewal_changes_nothing() {
    let machine = Machine::made("");
    let before = picture(&machine.root());
    let run = machine.run(&["certs", "renew", "all", "--dry-run", &machine.config()]).succeeds();
    assert!(
        run.stdout
            .contains("renew /etc/kubernetes/pki/apiserver.key and /etc/kubernetes/pki/apiserver.crt (ECDSA-P256")
    );
    assert!(run.stdout.ends_with("Nothing was done.\n"), "{}", run.stdout);
    assert_eq!(picture(&machine.root()), before);
}

#[test]
fn another_directory_is_renewed_when_it_is_named() {
    let machine = Machine::made("");
    let elsewhere = machine.root().join("opt/pki");
    fs::create_dir_all(&elsewhere).unwrap();
    crate::support::copy_tree(&machine.path("pki"), &elsewhere);
    let before = machine.files();
    machine.run(&["certs", "renew", "apiserver", "--cert-dir=/opt/pki", &machine.config()]).succeeds();
    assert!(machine.changed(&before).is_empty());
    let run = machine.run(&["certs", "check-expiration", "--cert-dir=/nowhere", &machine.config()]).succeeds();
    assert!(run.stdout.contains("!MISSING! apiserver"), "{}", run.stdout);
}

//! `certs check-expiration`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::Machine;
use crate::support::Bootstrap;
use crate::support::inspect::eventually;

#[test]
fn expirations_have_kubeadms_form_for_programs() {
    let machine = Machine::made("");
    let info = machine.expirations();
    assert_eq!(info["kind"], "CertificateExpirationInfo");
    assert_eq!(info["apiVersion"], "output.kubeadm.k8s.io/v1alpha3");
    let names = |list: &str| -> Vec<String> {
        info[list].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    let certificates = [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "kubelet.conf",
        "scheduler.conf",
        "super-admin.conf",
    ];
    assert_eq!(names("certificates"), certificates);
    assert_eq!(names("certificateAuthorities"), ["ca", "front-proxy-ca", "etcd-ca"]);
    for entry in info["certificates"].as_array().unwrap() {
        assert!(entry["expirationDate"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{entry}");
        let left = entry["residualTime"].as_i64().unwrap();
        assert!((8759 * 3600..=8760 * 3600).contains(&left), "{entry}");
        assert_eq!((&entry["externallyManaged"], &entry["missing"]), (&Value::Bool(false), &Value::Bool(false)));
        assert!(["ca", "etcd-ca", "front-proxy-ca"].contains(&entry["caName"].as_str().unwrap()), "{entry}");
        assert_eq!((&entry["state"], &entry["problems"]), (&Value::from("valid"), &Value::Array(Vec::new())));
    }
    let yaml = machine.run(&["certs", "check-expiration", "-o", "yaml", &machine.config()]).succeeds().stdout;
    assert!(yaml.starts_with("kind: CertificateExpirationInfo\n") && yaml.contains("- name: admin.conf\n"), "{yaml}");
}

#[test]
fn expirations_are_shown_in_kubeadms_columns() {
    let machine = Machine::made("certificateValidityPeriod: 8000h30m\ncaCertificateValidityPeriod: 80000h30m\n");
    fs::remove_file(machine.path("pki/etcd/peer.crt")).unwrap();
    fs::remove_file(machine.path("pki/front-proxy-ca.key")).unwrap();
    let text = machine.run(&["certs", "check-expiration", &machine.config()]).succeeds().stdout;
    let (certificates, authorities) = text.split_once("\n\n").unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = certificates.lines().map(words).collect();
    assert_eq!(rows[0].join(" "), "CERTIFICATE EXPIRES RESIDUAL TIME CERTIFICATE AUTHORITY EXTERNALLY MANAGED STATE");
    let row = |name: &str| rows.iter().find(|row| row.contains(&name.to_owned())).unwrap().join(" ");
    assert!(row("apiserver").ends_with(" UTC 333d ca no ok"), "{}", row("apiserver"));
    assert!(row("front-proxy-client").ends_with(" UTC 333d front-proxy-ca yes ok"), "{}", row("front-proxy-client"));
    assert_eq!(row("etcd-peer"), "!MISSING! etcd-peer");
    let rows: Vec<_> = authorities.lines().map(words).collect();
    assert_eq!(rows[0].join(" "), "CERTIFICATE AUTHORITY EXPIRES RESIDUAL TIME EXTERNALLY MANAGED STATE");
    assert!(rows[2].join(" ").starts_with("front-proxy-ca ") && rows[2].join(" ").ends_with(" 9y yes ok"));
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_its_expiration() {
    let (machine, other) = (Machine::made("certificateValidityPeriod: 24h\n"), Machine::made(""));
    for (name, state) in [("apiserver", "valid"), ("ca", "valid")] {
        assert_eq!(machine.expiration(name)["state"], state, "{name}");
    }
    let copy = |from: PathBuf, to: &str| fs::copy(from, machine.path(to)).unwrap();
    copy(other.path("pki/apiserver.crt"), "pki/apiserver.crt");
    copy(machine.path("pki/sa.key"), "pki/etcd/server.key");
    copy(other.path("admin.conf"), "admin.conf");
    copy(machine.path("pki/apiserver-etcd-client.crt"), "pki/etcd/ca.crt");
    fs::remove_file(machine.path("pki/front-proxy-client.key")).unwrap();
    fs::write(machine.path("scheduler.conf"), "nonsense").unwrap();
    for (name, problem) in [
        ("apiserver", "it is not signed by its certificate authority"),
        ("etcd-server", "it and the private key beside it do not belong together"),
        ("front-proxy-client", "its private key is missing"),
        ("admin.conf", "its cluster trusts another certificate authority"),
        ("scheduler.conf", "its current context `` does not exist"),
        ("etcd-ca", "it is no certificate authority"),
    ] {
        let entry = machine.expiration(name);
        let problems = entry["problems"].as_array().unwrap();
        assert!(problems.iter().any(|told| told == problem), "{name}: {problems:?}");
    }
}

#[test]
fn what_has_expired_or_will_soon_is_marked() {
    let machine = Machine::made("certificateValidityPeriod: 1s\ncaCertificateValidityPeriod: 1000h\n");
    let expired = eventually("the end of a second", || {
        Some(machine.expiration("apiserver")).filter(|entry| entry["state"] == "expired")
    });
    assert!(expired["residualTime"].as_i64().unwrap() < 0 && expired["problems"].as_array().unwrap().is_empty());
    let text = machine.run(&["certs", "check-expiration", &machine.config()]).succeeds().stdout;
    assert!(text.contains("<invalid>") && text.contains("expired"), "{text}");
    assert_eq!(machine.expiration("ca")["state"], "valid", "more than a third of its life is left");
}

#[test]
fn without_root_expirations_are_shown_as_far_as_they_can_be_and_nothing_is_renewed() {
    let machine = Machine::made("");
    let root = format!("--root={}", machine.root().display());
    fs::set_permissions(machine.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = |args: &[&str]| {
        let args = args.iter().copied().chain([root.as_str()]).map(str::to_owned).collect::<Vec<_>>();
        Bootstrap::new(args).without_root().run()
    };
    let run = user(&["certs", "check-expiration", &machine.config()]).succeeds();
    assert!(run.stdout.contains("it may not be read by this user"), "{}", run.stdout);
    let apiserver = run.stdout.lines().find(|line| line.starts_with("apiserver ")).unwrap();
    assert!(apiserver.ends_with("ok"), "{apiserver}");
    user(&["certs", "renew", "all", &machine.config()]).fails(2, &["not root", "--dry-run"]);
    let run = user(&["certs", "renew", "all", "--dry-run", &machine.config()]).succeeds();
    assert!(run.stdout.contains("renew the certificate in /etc/kubernetes/admin.conf"), "{}", run.stdout);
}

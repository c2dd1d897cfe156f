//! Files that somebody else made: kept in every form that kubeadm reads; renewed, or refused with the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Machine, unpack};
use crate::support::inspect::eventually;
use crate::support::openssl::{run, say};

/// An authority for `openssl req -x509`.
const AUTHORITY: &str = "\
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
C = DE
O = Example
0.OU = Operations
1.OU = Security
0.DC = example
1.DC = com
CN = Kubernetes of ours
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
";

/// Replaces an authority by one of openssl's, whose key is made by these words.
fn give_authority(machine: &Machine, key: &[&str]) {
    let pki = machine.path("pki");
    fs::create_dir_all(&pki).unwrap();
    fs::write(pki.join("authority.cnf"), AUTHORITY).unwrap();
    run(&pki, key).succeeds();
    say(&pki, "req -new -x509 -days 3650 -config authority.cnf -key ca.key -out ca.crt");
    fs::remove_file(pki.join("authority.cnf")).unwrap();
}

fn verify(pki: &Path, leaf: &Path) {
    let leaf = leaf.to_str().unwrap();
    run(pki, ["verify", "-x509_strict", "-CAfile", "ca.crt", leaf]).succeeds();
}

#[test]
fn an_authority_signs_whatever_its_key_and_its_name_are() {
    for key in [
        "genrsa -traditional -out ca.key 2048",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out ca.key",
        // an `EC PARAMETERS` block comes first
        "ecparam -genkey -name prime256v1 -out ca.key",
        "ecparam -genkey -noout -name secp384r1 -out ca.key",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ca.key",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out ca.key",
    ] {
        let machine = Machine::new();
        give_authority(&machine, &key.split_whitespace().collect::<Vec<_>>());
        machine.init("").succeeds();
        machine.take_over();
        let pki = machine.path("pki");
        verify(&pki, &pki.join("apiserver.crt"));
        let directory = tempfile::tempdir().unwrap();
        unpack(&machine.path("scheduler.conf"), directory.path());
        verify(&pki, &directory.path().join("client.crt"));
        let issuer = say(&pki, "x509 -noout -issuer -nameopt compat -in apiserver.crt");
        assert!(
            issuer.contains("/OU=Operations/OU=Security/DC=example/DC=com/CN=Kubernetes of ours"),
            "{key}: {issuer}"
        );
        machine.init("").succeeds();
        assert!(machine.written().is_empty(), "{key}: {:?}", machine.written());
    }
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    for (key, reason) in [
        ("genpkey -algorithm ED25519 -out ca.key", "neither RSA of 2048 bits or more nor ECDSA"),
        ("genrsa -out ca.key 1024", "neither RSA of 2048 bits or more nor ECDSA"),
    ] {
        let machine = Machine::new();
        give_authority(&machine, &key.split_whitespace().collect::<Vec<_>>());
        machine.init("").fails(2, &["certs/ca: cannot use `/etc/kubernetes/pki/ca.key`", reason]);
    }
    let machine = Machine::made("");
    say(&machine.path("pki"), "pkcs8 -topk8 -in ca.key -passout pass:secret -out locked.key");
    fs::rename(machine.path("pki/locked.key"), machine.path("pki/ca.key")).unwrap();
    machine.init("").fails(2, &["`/etc/kubernetes/pki/ca.key`: its private key is protected with a passphrase"]);
}

/// Makes `leaf.crt` for the key of the API server's certificate with these extensions, signed by `ca`.
fn forge(machine: &Machine, extensions: &str, ca: &str, days: u32) {
    let pki = machine.path("pki");
    fs::write(pki.join("forged.cnf"), extensions).unwrap();
    say(&pki, "req -new -key apiserver.key -subj /CN=kube-apiserver -out forged.csr");
    say(
        &pki,
        &format!(
            "x509 -req -in forged.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -days {days} -extfile forged.cnf \
             -out apiserver.crt"
        ),
    );
    for left in fs::read_dir(&pki).unwrap().flatten().map(|entry| entry.path()) {
        let name = left.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("forged") || name.ends_with(".srl") {
            fs::remove_file(left).unwrap();
        }
    }
}

const NAMES: &str = "subjectAltName = DNS:n1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
                     DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:10.0.0.5\n";

#[test]
fn a_certificate_of_others_is_kept_when_it_fits() {
    let machine = Machine::made("");
    forge(&machine, &format!("extendedKeyUsage = serverAuth\n{NAMES}"), "ca", 100);
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
    // a wildcard covers what a client would accept
    forge(&machine, &format!("{},DNS:*.example.com\n", NAMES.trim()), "ca", 100);
    machine.init("apiServer: {certSANs: [api.example.com]}\n").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
    let run = machine.init("apiServer: {certSANs: [api.eu.example.com]}\n").succeeds();
    assert_eq!(machine.written(), ["pki/apiserver.crt", "pki/apiserver.key"], "{}", run.stderr);
}

#[test]
fn a_certificate_that_does_not_fit_is_renewed_with_the_reason() {
    let machine = Machine::made("");
    let told = |machine: &Machine| {
        let root = format!("--root={}", machine.root().display());
        let args = ["init", "--dry-run", "--node-name=n1", "--apiserver-advertise-address=10.0.0.5", &root];
        crate::support::Bootstrap::new(args).run().succeeds().stdout
    };
    for (extensions, reason) in [
        (format!("extendedKeyUsage = clientAuth\n{NAMES}"), "its extended key usage does not allow what it is for"),
        ("extendedKeyUsage = serverAuth\n".to_owned(), "it does not cover `kubernetes`, `kubernetes.default`"),
        (format!("basicConstraints = critical,CA:TRUE\n{NAMES}"), "it cannot be used: CaUsedAsEndEntity"),
    ] {
        forge(&machine, &extensions, "ca", 100);
        let told = told(&machine);
        assert!(told.contains(&format!("apiserver: replace, because {reason}")), "{reason} is not in {told}");
    }
    forge(&machine, &format!("extendedKeyUsage = serverAuth\n{NAMES}"), "ca", 100);
    fs::copy(machine.path("pki/sa.key"), machine.path("pki/apiserver.key")).unwrap();
    let told = told(&machine);
    assert!(told.contains("replace, because it and the private key beside it do not belong together"), "{told}");
}

#[test]
fn a_chain_is_followed_through_the_intermediates_of_a_bundle() {
    let machine = Machine::made("");
    let pki = machine.path("pki");
    // an intermediate below the authority signs the API server's certificate
    fs::write(pki.join("ca.cnf"), "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n").unwrap();
    for line in [
        "ecparam -genkey -noout -name prime256v1 -out middle.key",
        "req -new -key middle.key -subj /CN=middle -out middle.csr",
        "x509 -req -in middle.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 100 -extfile ca.cnf -out middle.crt",
    ] {
        say(&pki, line);
    }
    forge(&machine, &format!("extendedKeyUsage = serverAuth\n{NAMES}"), "middle", 50);
    machine.init("").fails(2, &["certs/apiserver: ", "it is not signed by its certificate authority"]);
    let bundle =
        fs::read_to_string(pki.join("apiserver.crt")).unwrap() + &fs::read_to_string(pki.join("middle.crt")).unwrap();
    fs::write(pki.join("apiserver.crt"), bundle).unwrap();
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
}

#[test]
fn while_one_authority_replaces_another_both_count_and_the_first_signs() {
    let (machine, other) = (Machine::made(""), Machine::made(""));
    let read = |machine: &Machine| fs::read_to_string(machine.path("pki/ca.crt")).unwrap();
    let (old, new) = (read(&machine), read(&other));
    fs::write(machine.path("pki/ca.crt"), format!("{new}{old}")).unwrap();
    fs::copy(other.path("pki/ca.key"), machine.path("pki/ca.key")).unwrap();
    fs::remove_file(machine.path("scheduler.conf")).unwrap();
    machine.init("").succeeds();
    assert_eq!(machine.written(), ["scheduler.conf"]);
    let directory = tempfile::tempdir().unwrap();
    unpack(&machine.out().join("etc/kubernetes/scheduler.conf"), directory.path());
    assert_eq!(fs::read_to_string(directory.path().join("authority.crt")).unwrap(), new, "the first alone is embedded");
    verify(&other.path("pki"), &directory.path().join("client.crt"));

    machine.take_over();
    machine.run(&["certs", "renew", "all", &machine.config()]).succeeds();
    for leaf in ["apiserver.crt", "apiserver-kubelet-client.crt"] {
        verify(&other.path("pki"), &machine.path("pki").join(leaf));
    }
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
}

#[test]
fn an_authority_that_is_none_or_not_the_keys_is_refused() {
    let machine = Machine::made("");
    let copy = |from: &str, to: &str| fs::copy(machine.path(from), machine.path(to)).unwrap();
    copy("pki/apiserver.crt", "pki/front-proxy-ca.crt");
    copy("pki/ca.key", "pki/etcd/ca.key");
    fs::write(machine.path("pki/ca.crt"), "garbage").unwrap();
    machine.init("").fails(
        2,
        &[
            "certs/ca: cannot use `/etc/kubernetes/pki/ca.crt`: it holds no PEM certificate",
            "certs/front-proxy-ca: cannot use `/etc/kubernetes/pki/front-proxy-ca.crt`: it is no certificate authority",
            "certs/etcd-ca: cannot use `/etc/kubernetes/pki/etcd/ca.crt`: it and the private key beside it do not belong",
        ],
    );
}

#[test]
fn service_accounts_keep_their_older_public_keys() {
    let (machine, other) = (Machine::made(""), Machine::made(""));
    let public = machine.path("pki/sa.pub");
    let (own, older) = (fs::read_to_string(&public).unwrap(), fs::read_to_string(other.path("pki/sa.pub")).unwrap());
    fs::write(&public, format!("{older}{own}")).unwrap();
    machine.init("").succeeds();
    assert!(machine.written().is_empty());
    fs::write(&public, older).unwrap();
    machine.init("").succeeds();
    assert_eq!(machine.written(), ["pki/sa.pub"]);
    assert_eq!(fs::read_to_string(machine.out().join("etc/kubernetes/pki/sa.pub")).unwrap(), own);
}

#[test]
fn what_is_kept_and_may_surprise_is_told() {
    let machine = Machine::made("caCertificateValidityPeriod: 1000h\n");
    for name in ["pki/apiserver.key", "admin.conf"] {
        fs::set_permissions(machine.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let text = fs::read_to_string(machine.path("scheduler.conf")).unwrap();
    fs::write(machine.path("scheduler.conf"), text.replace("10.0.0.5:6443", "10.0.0.6:6443")).unwrap();
    let run = machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
    for warning in [
        "`/etc/kubernetes/pki/ca.crt` expires at",
        "`/etc/kubernetes/pki/etcd/ca.crt` expires at",
        "`/etc/kubernetes/pki/apiserver.key` holds a private key and everybody may read or write it",
        "`/etc/kubernetes/admin.conf` holds a private key",
        "`/etc/kubernetes/scheduler.conf`: its server is `https://10.0.0.6:6443` instead of `https://10.0.0.5:6443`",
    ] {
        assert!(run.stderr.contains(&format!("warning: {warning}")), "{warning} is not in {}", run.stderr);
    }
}

#[test]
fn without_the_authoritys_key_another_subject_is_kept_and_told() {
    let machine = Machine::made("kubernetesVersion: v1.28.0\n");
    fs::remove_file(machine.path("pki/ca.key")).unwrap();
    fs::remove_file(machine.path("pki/etcd/ca.key")).unwrap();
    // v1.28 has no `super-admin.conf`, and v1.36 wants another subject in three certificates and one kubeconfig
    fs::copy(machine.path("admin.conf"), machine.path("super-admin.conf")).unwrap();
    let run = machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
    for (file, found) in [
        ("pki/apiserver-kubelet-client.crt", "O=system:masters, CN=kube-apiserver-kubelet-client"),
        ("pki/apiserver-etcd-client.crt", "O=system:masters, CN=kube-apiserver-etcd-client"),
        ("admin.conf", "O=system:masters, CN=kubernetes-admin"),
    ] {
        let warning = format!("warning: `/etc/kubernetes/{file}`: its subject is `{found}` instead of");
        assert!(run.stderr.contains(&warning), "{warning} is not in {}", run.stderr);
    }
}

#[test]
fn kubeconfigs_of_others_are_kept_when_they_trust_the_authority() {
    let machine = Machine::made("");
    let directory = tempfile::tempdir().unwrap();
    unpack(&machine.path("kubelet.conf"), directory.path());
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                contexts: [{name: c, context: {cluster: k, user: u}}]\n\
                clusters: [{name: k, cluster: {server: 'https://10.0.0.5:6443', certificate-authority: pki/ca.crt}}]\n\
                users: [{name: u, user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem}}]\n";
    fs::write(machine.path("kubelet.conf"), text).unwrap();
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
    for (from, to, reason) in [
        ("pki/ca.crt", "pki/etcd/ca.crt", "its cluster trusts another certificate authority"),
        ("pki/ca.crt", "nowhere.crt", "that its cluster trusts cannot be read"),
        (", certificate-authority: pki/ca.crt", "", "its cluster trusts no certificate authority"),
        ("current-context: c", "current-context: d", "its current context `d` does not exist"),
    ] {
        fs::write(machine.path("kubelet.conf"), text.replace(from, to)).unwrap();
        machine.init("").fails(2, &["kubeconfig/kubelet: cannot use `/etc/kubernetes/kubelet.conf`", reason]);
    }
}

#[test]
fn what_has_expired_is_renewed() {
    let machine = Machine::made("certificateValidityPeriod: 1s\n");
    let written = eventually("the end of a second", || {
        machine.init("").succeeds();
        Some(machine.written()).filter(|written| written.len() == 7 * 2 + 5)
    });
    assert!(!written.iter().any(|name| name.contains("ca.") || name.contains("sa.")), "{written:?}");
    machine.take_over();
    machine.init("").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
}

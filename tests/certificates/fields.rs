//! Every certificate that init makes, field by field, for every algorithm.

use std::path::Path;

use super::{Machine, unpack};
use crate::golden;
use crate::support::openssl::{run, say};

/// Certificate without `.crt`, its authority, and what it is verified for.
const LEAVES: &[(&str, &str, &[&str])] = &[
    ("apiserver", "ca", &["sslserver"]),
    ("apiserver-kubelet-client", "ca", &["sslclient"]),
    ("front-proxy-client", "front-proxy-ca", &["sslclient"]),
    ("etcd/server", "etcd/ca", &["sslserver", "sslclient"]),
    ("etcd/peer", "etcd/ca", &["sslserver", "sslclient"]),
    ("etcd/healthcheck-client", "etcd/ca", &["sslclient"]),
    ("apiserver-etcd-client", "etcd/ca", &["sslclient"]),
];
const AUTHORITIES: &[&str] = &["ca", "front-proxy-ca", "etcd/ca"];
const KUBECONFIGS: &[&str] = &["admin", "super-admin", "kubelet", "controller-manager", "scheduler"];

#[test]
fn rsa_2048() {
    check("RSA-2048", "rsaEncryption", "2048 bit", "sha256WithRSAEncryption");
}

#[test]
fn rsa_3072() {
    check("RSA-3072", "rsaEncryption", "3072 bit", "sha256WithRSAEncryption");
}

#[test]
fn rsa_4096() {
    check("RSA-4096", "rsaEncryption", "4096 bit", "sha256WithRSAEncryption");
}

#[test]
fn ecdsa_p256() {
    check("ECDSA-P256", "id-ecPublicKey", "256 bit", "ecdsa-with-SHA256");
}

#[test]
fn ecdsa_p384() {
    check("ECDSA-P384", "id-ecPublicKey", "384 bit", "ecdsa-with-SHA384");
}

fn check(algorithm: &str, key: &str, bits: &str, signature: &str) {
    let machine = Machine::made(&format!("encryptionAlgorithm: {algorithm}\n"));
    let pki = machine.path("pki");
    let mut told = String::new();
    let mut look = |name: &str, directory: &Path, file: &str, hours: i64| {
        let text = say(directory, &format!("x509 -noout -text -dates -dateopt iso_8601 -pubkey -in {file}"));
        told += &format!("\n# {name}\n{}", fields(&text));
        for expected in ["Version: 3 (0x2)", key, bits, signature] {
            assert!(text.contains(expected), "{name}: no `{expected}` in {text}");
        }
        assert_eq!(lifetime(&text), hours * 3600 + 300, "{name}");
        let private = file.replace(".crt", ".key");
        let public = say(directory, &format!("pkey -pubout -in {private}"));
        assert!(text.contains(&public), "{name}: {public} is not in {text}");
    };
    for authority in AUTHORITIES {
        look(authority, &pki, &format!("{authority}.crt"), 87600);
        verify(&pki, &format!("{authority}.crt"), &format!("{authority}.crt"), "any");
    }
    for (leaf, authority, purposes) in LEAVES {
        look(leaf, &pki, &format!("{leaf}.crt"), 8760);
        for purpose in *purposes {
            verify(&pki, &format!("{authority}.crt"), &format!("{leaf}.crt"), purpose);
        }
    }
    for kubeconfig in KUBECONFIGS {
        let directory = tempfile::tempdir().unwrap();
        unpack(&machine.path(&format!("{kubeconfig}.conf")), directory.path());
        look(kubeconfig, directory.path(), "client.crt", 8760);
        verify(directory.path(), "authority.crt", "client.crt", "sslclient");
        let (authority, ca) = (directory.path().join("authority.crt"), pki.join("ca.crt"));
        assert_eq!(std::fs::read(authority).unwrap(), std::fs::read(ca).unwrap());
    }
    let public = std::fs::read_to_string(pki.join("sa.pub")).unwrap();
    assert_eq!(say(&pki, "pkey -pubout -in sa.key"), public);
    golden::check(&[("certificates.txt".to_owned(), told)]);
}

#[track_caller]
fn verify(directory: &Path, authority: &str, file: &str, purpose: &str) {
    let args = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", authority, file];
    run(directory, args).succeeds();
}

/// What is the same for every algorithm and in every run: names and extensions.
fn fields(text: &str) -> String {
    let is_hex = |line: &str| line.contains(':') && line.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    let names = text.lines().filter(|line| line.trim().starts_with("Subject: ") || line.trim().starts_with("Issuer: "));
    let extensions = text.lines().skip_while(|line| line.trim() != "X509v3 extensions:");
    let extensions = extensions.take_while(|line| !line.trim().starts_with("Signature Algorithm"));
    let line = |line: &str| match line.trim() {
        hexadecimal if is_hex(hexadecimal) => "    (hexadecimal)\n".to_owned(),
        // newer versions write names without spaces
        line => format!("{}\n", line.replace(" = ", "=")),
    };
    names.chain(extensions).map(line).collect()
}

/// Seconds from the first valid moment to the last.
fn lifetime(text: &str) -> i64 {
    let moment = |field: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        value.replace(' ', "T").parse::<jiff::Timestamp>().unwrap().as_second()
    };
    moment("notAfter=") - moment("notBefore=")
}

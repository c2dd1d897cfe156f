//! `certs generate-csr` and `certificate-key`, `kubeconfig user`.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Machine, unpack};
use crate::support::openssl::say;
use crate::support::picture;

#[test]
fn requests_are_made_for_everything_that_is_no_authoritys() {
    let machine = Machine::new();
    machine.init("apiServer: {certSANs: [api.example.com]}\ncontrolPlaneEndpoint: api.example.com\n").succeeds();
    let args = ["certs", "generate-csr", "--cert-dir=/csr/pki", "--kubeconfig-dir=/csr", &machine.config()];
    machine.run(&args).succeeds();
    let made = machine.root().join("csr");
    let names: Vec<_> = picture(&made)
        .into_iter()
        .filter(|(_, facts)| !facts.starts_with("40"))
        .inspect(|(path, facts)| assert!(facts.starts_with("100600 "), "{}", path.display()))
        .map(|(path, _)| path.to_string_lossy().into_owned())
        .collect();
    let mut expected = Vec::new();
    for base in [
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "etcd/healthcheck-client",
        "etcd/peer",
        "etcd/server",
    ] {
        expected.extend([format!("pki/{base}.csr"), format!("pki/{base}.key")]);
    }
    for file in ["admin", "controller-manager", "kubelet", "scheduler", "super-admin"] {
        expected.extend([format!("{file}.conf"), format!("{file}.conf.csr")]);
    }
    expected.sort();
    assert_eq!(names, expected);
    for name in names.iter().filter(|name| name.ends_with(".csr")) {
        let text = say(&made, &format!("req -verify -noout -text -in {name}"));
        assert!(!text.contains("Extended Key Usage") && !text.contains("Basic Constraints"), "{name}: {text}");
    }
    let text = say(&made, "req -noout -text -in pki/apiserver.csr").replace(" = ", "=");
    assert!(text.contains("Subject: CN=kube-apiserver") && text.contains("DNS:api.example.com"), "{text}");
    let text = say(&made, "req -noout -text -in admin.conf.csr").replace(" = ", "=");
    assert!(text.contains("Subject: O=kubeadm:cluster-admins, CN=kubernetes-admin"), "{text}");

    let kubelet = fs::read_to_string(made.join("kubelet.conf")).unwrap();
    assert!(kubelet.contains("server: https://api.example.com:6443"), "{kubelet}");
    assert!(kubelet.contains("client-key-data: ") && !kubelet.contains("certificate-authority-data"), "{kubelet}");
    // signed, and put where they belong, they are what init keeps
    let before = picture(&made);
    machine
        .run(&args)
        .fails(2, &["exists already", "request/apiserver", "request/scheduler.conf", "nothing was changed"]);
    assert_eq!(picture(&made), before);
}

#[test]
fn a_certificate_key_is_64_hexadecimal_digits_of_chance() {
    let machine = Machine::new();
    let key = || machine.run(&["certs", "certificate-key"]).succeeds().stdout;
    let (one, other) = (key(), key());
    assert!(one.trim_end().len() == 64 && one.trim_end().chars().all(|c| c.is_ascii_hexdigit()) && one != other);
}

#[test]
fn a_user_gets_a_kubeconfig_with_a_certificate_or_a_token() {
    let machine = Machine::made("clusterName: prod\n");
    let before = machine.files();
    let user = |more: &[&str]| machine.run(&[&["kubeconfig", "user", "--client-name=jane"][..], more].concat());
    let run = user(&["--org=team:b", "--org=team:a", "--validity-period=48h", &machine.config()]).succeeds();
    assert_eq!(run.stderr, "");
    assert!(run.stdout.ends_with("\n\n") && run.stdout.contains("server: https://10.0.0.5:6443"), "{}", run.stdout);
    assert!(run.stdout.contains("current-context: jane@prod"), "{}", run.stdout);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jane.conf");
    fs::write(&path, &run.stdout).unwrap();
    unpack(&path, directory.path());
    let args = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "authority.crt", "client.crt"];
    crate::support::openssl::run(directory.path(), args).succeeds();
    let text = say(directory.path(), "x509 -noout -subject -nameopt RFC2253 -startdate -in client.crt");
    let start = say(&machine.path("pki"), "x509 -noout -startdate -in ca.crt");
    assert!(text.contains("CN=jane,O=team:") && text.contains("team:a") && text.contains("team:b"), "{text}");
    assert!(text.contains(&start), "it begins when its authority does: {text}");

    // the administrator's kubeconfig knows where the cluster is
    let run = user(&["--token=abcdef"]).succeeds();
    assert!(run.stdout.contains("token: abcdef") && !run.stdout.contains("client-key-data"), "{}", run.stdout);
    assert!(
        run.stdout.contains("server: https://10.0.0.5:6443") && run.stdout.contains("name: prod"),
        "{}",
        run.stdout
    );
    let run = user(&["--validity-period=100000h", &machine.config()]).succeeds();
    assert!(run.stderr.contains("longer than kubeadm's 8760h0m0s") && run.stderr.contains("outlives its authority"));
    user(&["--validity-period=0s", &machine.config()]).fails(2, &["longer than zero"]);
    user(&["--token=a", "--org=b", &machine.config()]).fails(2, &["--token", "--org"]);
    assert!(machine.changed(&before).is_empty());
    fs::remove_file(machine.path("pki/ca.key")).unwrap();
    user(&[&machine.config()]).fails(1, &["`/etc/kubernetes/pki/ca.key` does not exist"]);
}

#[test]
fn what_somebody_else_has_signed_is_all_that_init_needs() {
    let (machine, authorities) = (Machine::new(), Machine::made(""));
    machine.init("").succeeds();
    machine.run(&["certs", "generate-csr", &machine.config()]).succeeds();
    let (pki, keys) = (machine.path("pki"), authorities.path("pki"));
    fs::write(pki.join("usage.cnf"), "extendedKeyUsage = serverAuth,clientAuth\n").unwrap();
    let sign = |request: &str, authority: &str, certificate: &str| {
        let ca = keys.join(authority).display().to_string();
        say(
            &pki,
            &format!(
                "x509 -req -days 100 -in {request} -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -copy_extensions copy \
                 -extfile usage.cnf -out {certificate}"
            ),
        );
    };
    for base in ["apiserver", "apiserver-kubelet-client"] {
        sign(&format!("{base}.csr"), "ca", &format!("{base}.crt"));
    }
    sign("front-proxy-client.csr", "front-proxy-ca", "front-proxy-client.crt");
    for base in ["etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"] {
        sign(&format!("{base}.csr"), "etcd/ca", &format!("{base}.crt"));
    }
    let encoded = |path: &std::path::Path| STANDARD.encode(fs::read(path).unwrap());
    for name in ["admin", "super-admin", "kubelet", "controller-manager", "scheduler"] {
        sign(&format!("../{name}.conf.csr"), "ca", "client.crt");
        let path = machine.path(&format!("{name}.conf"));
        let (authority, client) = (encoded(&keys.join("ca.crt")), encoded(&pki.join("client.crt")));
        let text = fs::read_to_string(&path).unwrap();
        let text = text
            .replace("- cluster:\n", &format!("- cluster:\n    certificate-authority-data: {authority}\n"))
            .replace("    client-key-data:", &format!("    client-certificate-data: {client}\n    client-key-data:"));
        fs::write(&path, text).unwrap();
    }
    // only certificates of authorities ever come here
    for authority in ["ca", "front-proxy-ca", "etcd/ca"] {
        fs::copy(keys.join(format!("{authority}.crt")), pki.join(format!("{authority}.crt"))).unwrap();
    }
    let run = machine.init("").succeeds();
    assert_eq!(machine.written(), ["pki/sa.key", "pki/sa.pub"], "{}", run.stderr);
    let manifest = machine.out().join("etc/kubernetes/manifests/kube-controller-manager.yaml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains("--cluster-signing-cert-file=\n") && manifest.contains("--cluster-signing-key-file=\n"));
    let info = machine.expirations();
    for entry in info["certificates"].as_array().unwrap() {
        assert_eq!(
            (&entry["externallyManaged"], &entry["problems"]),
            (&true.into(), &serde_json::json!([])),
            "{entry}"
        );
    }
}

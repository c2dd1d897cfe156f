//! An external etcd: the real one, asked over TLS with the configured certificates.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bootstrap::release::Version;

use super::{Machine, Verdicts, on_a_machine};
use crate::support::components::{COMPONENTS, ECDSA};
use crate::support::inspect::eventually;

const URL: &str = "https://127.0.0.1:2379";

/// A running etcd that wants certificates; ended with the value.
struct Etcd(Child);

impl Etcd {
    /// With the certificates that init would make for its own.
    fn start(machine: &Machine) -> Etcd {
        let config = format!("{HEAD}{ECDSA}");
        let config = format!("--config={}", machine.write("local.yaml", &config).display());
        let out = machine.directory.path().join("out");
        let words = ["phase", "certs", "--dry-run", &config, &format!("--out={}", out.display())];
        machine.init(&words).run().succeeds();
        fs::rename(out.join("etc/kubernetes/pki"), machine.path("srv").join("pki")).unwrap();
        let pki = machine.root().join("srv/pki/etcd");
        let file = |name: &str| pki.join(name).display().to_string();
        let mut command = Command::new(COMPONENTS.binary("etcd"));
        command.arg(format!("--data-dir={}", machine.directory.path().join("etcd").display()));
        command.args(["--listen-client-urls", URL, "--advertise-client-urls", URL, "--client-cert-auth"]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:12380"]);
        command.args(["--trusted-ca-file", &file("ca.crt"), "--cert-file", &file("server.crt")]);
        command.args(["--key-file", &file("server.key")]);
        let etcd = Etcd(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually("etcd", || TcpStream::connect((Ipv4Addr::LOCALHOST, 2379)).ok());
        etcd
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HEAD: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

fn ask(machine: &Machine, version: &str, external: &str) -> Verdicts {
    let text = format!("{HEAD}kubernetesVersion: {version}\netcd:\n  external:\n{external}");
    let config = format!("--config={}", machine.write("config.yaml", &text).display());
    Verdicts::of(machine.init(&["phase", "preflight", "--output=json", &config]).run())
}

fn endpoint(url: &str) -> String {
    format!("    endpoints: ['{url}']\n")
}

/// Paths of the node.
fn certificates(client: &str) -> String {
    let pki = Path::new("/srv/pki/etcd");
    let file = |name: &str| pki.join(name).display().to_string();
    format!(
        "    caFile: {}\n    certFile: {}\n    keyFile: {}\n",
        file("ca.crt"),
        file(&format!("{client}.crt")),
        file(&format!("{client}.key"))
    )
}

#[test]
fn a_real_etcd_is_measured_against_what_kubernetes_needs() {
    on_a_machine(|machine| {
        let _etcd = Etcd::start(machine);
        let external = format!("{}{}", endpoint(URL), certificates("healthcheck-client"));
        let found = semver::Version::parse(&COMPONENTS.etcd_version).unwrap();
        for version in ["v1.20.2", "v1.36.2"] {
            let minimum = version.parse::<Version>().unwrap().minimum_external_etcd();
            let is_enough = found >= semver::Version::parse(minimum).unwrap();
            let verdicts = ask(machine, version, &external);
            let (severity, code) = if is_enough { ("ok", 0) } else { ("error", 2) };
            verdicts.ends(code).says("ExternalEtcdVersion", severity, &[URL, &COMPONENTS.etcd_version]);
            verdicts.says("ExternalEtcdClientCertificates", "ok", &[]);
            assert!(verdicts.list.iter().all(|(check, ..)| check != "EtcdDisk" && !check.starts_with("Port-23")));
        }
    });
}

#[test]
fn an_etcd_that_does_not_answer_is_told_with_the_reason() {
    on_a_machine(|machine| {
        let _etcd = Etcd::start(machine);
        let check = "ExternalEtcdVersion";
        // without a certificate of the client's
        let bare = format!("{}    caFile: /srv/pki/etcd/ca.crt\n", endpoint(URL));
        ask(machine, "v1.20.2", &bare).ends(2).says(check, "error", &[URL, "ertificate"]);
        // nobody listens at the second
        let two = format!("    endpoints: ['{URL}', 'https://127.0.0.1:9']\n{}", certificates("healthcheck-client"));
        let verdicts = ask(machine, "v1.20.2", &two);
        verdicts.ends(2).says(check, "ok", &[URL]).says(check, "error", &["https://127.0.0.1:9", "refused"]);
        // another authority than the one that has signed
        let foreign = format!("{}    caFile: /srv/pki/ca.crt\n", endpoint(URL));
        ask(machine, "v1.20.2", &foreign).ends(2).says(check, "error", &["UnknownIssuer"]);
    });
}

#[test]
fn files_that_are_missing_are_named_and_nobody_is_asked() {
    on_a_machine(|machine| {
        let external = format!("{}{}", endpoint(URL), certificates("nobody"));
        let verdicts = ask(machine, "v1.36.2", &external);
        for file in ["/srv/pki/etcd/ca.crt", "/srv/pki/etcd/nobody.crt", "/srv/pki/etcd/nobody.key"] {
            verdicts.ends(2).says("ExternalEtcdClientCertificates", "error", &[file]);
        }
        assert!(verdicts.list.iter().all(|(check, ..)| check != "ExternalEtcdVersion"), "{verdicts:?}");
    });
}

#[test]
fn a_dry_run_asks_nobody() {
    on_a_machine(|machine| {
        let text = format!("{HEAD}etcd:\n  external:\n{}", endpoint("http://127.0.0.1:9"));
        let config = format!("--config={}", machine.write("config.yaml", &text).display());
        let run = machine.init(&["--dry-run", "-v", &config]).run().succeeds();
        assert!(!run.stdout.contains("[ExternalEtcdVersion]"), "{}", run.stdout);
    });
}

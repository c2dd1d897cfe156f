//! How verdicts are told, and what they hold up.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use super::on_a_machine;
use crate::support::picture;

#[test]
fn good_verdicts_are_told_only_when_asked_for() {
    on_a_machine(|machine| {
        let quiet = machine.init(&["phase", "preflight"]).run().succeeds();
        assert!(!quiet.stderr.contains("ok: "), "{}", quiet.stderr);
        assert!(quiet.stdout.starts_with("This machine can run the control plane: "), "{}", quiet.stdout);
        let loud = machine.init(&["phase", "preflight", "-v"]).run().succeeds();
        let told = loud.stderr.lines().filter(|line| line.starts_with("ok: [")).count();
        assert!(told > 20, "{}", loud.stderr);
        assert!(loud.stderr.contains("ok: [Port-6443] port 6443 is free"), "{}", loud.stderr);
        assert!(picture(&machine.root()).is_empty(), "it changes nothing");
    });
}

#[test]
fn every_verdict_has_a_line_of_its_own_and_one_hint_ignores_them_all() {
    on_a_machine(|machine| {
        let _listeners = [10257, 10259].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let run =
            machine.init(&[]).run().fails(2, &["error: preflight refused because of 2 errors; nothing was changed"]);
        for port in [10257, 10259] {
            let line = format!("error: [Port-{port}] port {port} is in use by ");
            assert_eq!(run.stderr.lines().filter(|told| told.starts_with(&line)).count(), 1, "{}", run.stderr);
        }
        let hint = "hint: `--ignore-preflight-errors=Port-10259,Port-10257` goes on all the same";
        assert!(run.stderr.lines().any(|line| line == hint), "{}", run.stderr);
        assert!(picture(&machine.root()).is_empty());
        machine.preflight(&["--ignore-preflight-errors=ALL"]).ends(0).says("Port-10257", "warning", &[]);
    });
}

#[test]
fn a_dry_run_tells_and_does_not_refuse() {
    on_a_machine(|machine| {
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 10259)).unwrap();
        let run = machine.init(&["--dry-run"]).run().succeeds();
        let section = run.stdout.split("\n\n").find(|section| section.starts_with("preflight: ")).unwrap();
        assert!(section.contains("\n  error: [Port-10259] port 10259 is in use by "), "{section}");
        let skipped = machine.init(&["--dry-run", "--skip-phases=preflight"]).run().succeeds();
        assert!(!skipped.stdout.contains("preflight"), "{}", skipped.stdout);
        let out = machine.directory.path().join("out");
        let written = machine.init(&["--dry-run", &format!("--out={}", out.display())]).run().succeeds();
        assert!(written.stderr.contains("error: [Port-10259]"), "{}", written.stderr);
        assert!(picture(&machine.root()).is_empty());
    });
}

#[test]
fn without_root_the_user_is_all_that_is_told_and_a_dry_run_tells_the_rest() {
    on_a_machine(|machine| {
        fs::set_permissions(machine.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let run = machine
            .init(&["phase", "preflight"])
            .without_root()
            .run()
            .fails(2, &["[IsPrivilegedUser]", "hint: run it as root"]);
        assert_eq!(run.stderr.lines().filter(|line| line.contains(": [")).count(), 1, "{}", run.stderr);
        let run = machine.init(&["--dry-run", "-v"]).without_root().run().succeeds();
        assert!(run.stdout.contains("  error: [IsPrivilegedUser]") && run.stdout.contains("  ok: [Port-6443]"));
    });
}

#[test]
fn a_version_that_is_not_known_yet_has_to_be_asked_for() {
    on_a_machine(|machine| {
        let newer = "--kubernetes-version=v1.99.0";
        machine.preflight(&[newer]).ends(2).says("KubernetesVersion", "error", &["v1.99.0", "v1.36"]);
        let ignored = machine.preflight(&[newer, "--ignore-preflight-errors=kubernetesversion"]);
        ignored.ends(0).says("KubernetesVersion", "warning", &[]);
    });
}

#[test]
fn proxies_between_the_components_are_told() {
    on_a_machine(|machine| {
        let flags = ["phase", "preflight", "--output=json", "--pod-network-cidr=10.244.0.0/16"];
        let proxied =
            machine.init(&flags).env("HTTPS_PROXY", "http://me:secret@proxy:3128").env("NO_PROXY", "10.244.0.0/16");
        let verdicts = super::Verdicts::of(proxied.run());
        verdicts.ends(0).says("HTTPProxy", "warning", &["10.80.0.2", "http://proxy:3128"]);
        verdicts.says("HTTPProxyCIDR", "warning", &["10.96.0.0/12"]).says("HTTPProxyCIDR", "ok", &["10.244.0.0/16"]);
        assert!(!verdicts.run.stdout.contains("secret"), "{verdicts:?}");
    });
}

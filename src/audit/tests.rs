//! The list as a whole: its numbers, and what the program's own manifests get.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::facts::{FileFact, Processes};
use super::*;
use crate::config::facts::{Facts as MachineFacts, TokenSeed};
use crate::config::file::FileInput;
use crate::config::flags::Flags;
use crate::config::profile::{AUDIT_POLICY, ENCRYPTION, Profile};
use crate::config::resolve::resolve;
use crate::desired::manifest::{Component, manifests};
use crate::desired::{encryption, profile as files};
use crate::phase::manifest_path;
use crate::release::SUPPORTED_MINORS;

/// What an instance of this configuration would look like, all of it up.
fn facts(profile: Profile, version: &str, fields: &str) -> Facts {
    let machine = MachineFacts {
        hostname: "n1".to_owned(),
        default_address: Some("10.0.0.5".parse().unwrap()),
        loopback_address: None,
        ca_directories: Vec::new(),
        external_ca: false,
        systemd_resolved: false,
        accounts: None,
        identities: None,
        proxy_environment: Vec::new(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        token_seed: TokenSeed::new([0; 32]),
    };
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {version}\n{fields}"
    );
    let file = FileInput { name: "config.yaml".to_owned(), text };
    let config = resolve(&Flags { profile, ..Flags::default() }, Some(file), &machine).unwrap();
    let mut facts = Facts { version: Some(config.kubernetes_version.clone()), ..Facts::default() };
    for manifest in manifests(&config, &machine).unwrap() {
        let container = manifest.pod.spec.unwrap().containers.remove(0);
        facts.processes.insert(manifest.component, container.command.unwrap().split_off(1));
        facts.files.insert(manifest_path(manifest.component), file_of(0o600, "root:root"));
    }
    let kubernetes = PathBuf::from("/etc/kubernetes");
    for name in ["admin.conf", "super-admin.conf", "scheduler.conf", "controller-manager.conf", "kubelet.conf"] {
        facts.files.insert(kubernetes.join(name), file_of(0o600, "root:root"));
    }
    for (name, mode) in [("pki", 0o755), ("pki/ca.crt", 0o644), ("pki/ca.key", 0o600)] {
        facts.files.insert(kubernetes.join(name), file_of(mode, "root:root"));
    }
    let owner = if profile == Profile::Cis { "etcd:etcd" } else { "root:root" };
    facts.files.insert("/var/lib/etcd".into(), file_of(0o700, owner));
    let key = encryption::configuration(&[1; encryption::KEY_BYTES]).unwrap();
    for (path, text) in [
        ("/etc/kubernetes/pki/ca.crt", "kubernetes"),
        ("/etc/kubernetes/pki/etcd/ca.crt", "etcd"),
        (AUDIT_POLICY, &files::audit_policy().unwrap()),
        (ENCRYPTION, key.reveal()),
    ] {
        facts.texts.insert(path.into(), text.as_bytes().to_vec());
    }
    facts
}

fn file_of(mode: u32, owner: &str) -> FileFact {
    FileFact { mode, owner: owner.to_owned() }
}

fn failed(facts: &Facts) -> Vec<&'static str> {
    audit(facts).ids(Status::Fail)
}

#[test]
fn the_numbers_are_the_benchmarks() {
    let numbers: Vec<_> = items().map(|item| item.id).collect();
    let section = |prefix: &str, last: u32| (1..=last).map(|n| format!("{prefix}.{n}")).collect::<Vec<_>>();
    let sections = [("1.1", 21), ("1.2", 30), ("1.3", 7), ("1.4", 2), ("2", 7), ("3.1", 3), ("3.2", 2)];
    let sections = sections.into_iter().chain([("4.1", 10), ("4.2", 14), ("4.3", 1)]);
    assert_eq!(numbers, sections.flat_map(|(prefix, last)| section(prefix, last)).collect::<Vec<_>>());
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}

#[test]
fn by_default_only_what_kubeadm_leaves_open_fails() {
    for minor in SUPPORTED_MINORS {
        let facts = facts(Profile::None, &format!("v1.{minor}.0"), "");
        let open = ["1.1.12", "1.2.5", "1.2.15", "1.2.16", "1.2.17", "1.2.18", "1.2.19", "1.2.30", "1.3.2", "1.4.1"];
        assert_eq!(failed(&facts), open, "v1.{minor}");
    }
}

#[test]
fn with_the_profile_nothing_fails_in_any_version() {
    for minor in SUPPORTED_MINORS {
        let report = audit(&facts(Profile::Cis, &format!("v1.{minor}.0"), ""));
        assert!(report.ids(Status::Fail).is_empty(), "v1.{minor}: {report:#?}");
        assert_eq!(report.ids(Status::Warn), ["1.2.1", "1.2.11", "3.1.1", "3.1.2", "3.1.3"], "v1.{minor}");
        assert_eq!(report.ids(Status::NotApplicable).contains(&"1.2.3"), minor < 21, "v1.{minor}");
    }
}

#[test]
fn every_flag_of_the_profile_decides_an_item() {
    let without = audit(&facts(Profile::None, "v1.36.2", ""));
    let with = audit(&facts(Profile::Cis, "v1.36.2", ""));
    let better: Vec<_> = without.items.iter().zip(&with.items).filter(|(a, b)| a.status != b.status).collect();
    for (before, after) in &better {
        assert_eq!(after.status, Status::Pass, "{after:?}");
        assert!(before.fix.as_ref().unwrap().contains("--profile=cis"), "{before:?}");
    }
    // NodeRestriction is kubeadm's already
    let covered = items().filter(|item| Profile::Cis.covers(item.id) && item.id != "1.2.14").count();
    assert_eq!(better.len(), covered);
}

/// docs/hardening.md says how every item stands, in the words and the order of the list.
#[test]
fn the_page_has_every_item_as_it_stands() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hardening.md");
    let page = std::fs::read_to_string(page).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit());
    let told: Vec<&str> = page.lines().filter(is_row).collect();
    let (without, with) = (facts(Profile::None, "v1.36.2", ""), facts(Profile::Cis, "v1.36.2", ""));
    let rows: Vec<String> = audit(&without)
        .items
        .iter()
        .zip(&audit(&with).items)
        .map(|(before, after)| {
            let kind = if before.kind == Kind::Manual { "manual" } else { "automated" };
            format!(
                "| {} | {} | {kind} | {} | {} |",
                before.id,
                before.title,
                before.status.word(),
                after.status.word()
            )
        })
        .collect();
    assert_eq!(told, rows, "the table should be:\n{}", rows.join("\n"));
}

#[test]
fn what_was_tampered_with_is_told_and_nothing_else() {
    let mut facts = facts(Profile::Cis, "v1.36.2", "");
    facts.files.insert(manifest_path(Component::Scheduler), file_of(0o644, "root:root"));
    facts.files.insert("/etc/kubernetes/pki/ca.key".into(), file_of(0o640, "root:1000"));
    facts.processes.get_mut(&Component::ApiServer).unwrap().retain(|word| word != "--profiling=false");
    facts.processes.get_mut(&Component::Scheduler).unwrap().push("--bind-address=0.0.0.0".to_owned());
    let report = audit(&facts);
    assert_eq!(report.ids(Status::Fail), ["1.1.5", "1.1.19", "1.2.15", "1.4.2"]);
    assert!(report.ids(Status::Warn).contains(&"1.1.21"));
    let of = |id: &str| report.items.iter().find(|finding| finding.id == id).unwrap();
    assert_eq!(of("1.1.5").fix.as_deref(), Some("`chmod 600 /etc/kubernetes/manifests/kube-scheduler.yaml`"));
    assert_eq!(of("1.1.19").found, "`/etc/kubernetes/pki/ca.key` has owner root:1000");
    assert_eq!(of("1.2.15").found, "`--profiling` is not set");
}

#[test]
fn a_component_that_is_down_fails_and_one_that_is_elsewhere_does_not() {
    let mut facts = facts(Profile::Cis, "v1.36.2", "");
    facts.processes.remove(&Component::Scheduler);
    let report = audit(&facts);
    assert_eq!(report.ids(Status::Fail), ["1.4.1", "1.4.2"]);
    let external = "etcd:\n  external:\n    endpoints: ['https://10.0.0.9:2379']\n    caFile: /e/ca.crt\n    \
                    certFile: /e/a.crt\n    keyFile: /e/a.key\n";
    let report = audit(&self::facts(Profile::Cis, "v1.36.2", external));
    assert!(report.ids(Status::Fail).is_empty());
    for id in ["1.1.7", "1.1.8", "1.1.11", "1.1.12", "2.1", "2.7"] {
        assert!(report.ids(Status::NotApplicable).contains(&id), "{id}");
    }
    assert!(!Facts::default().is_control_plane());
    assert!(Facts { processes: Processes::new(), ..facts }.is_control_plane());
}

#[test]
fn what_files_say_decides_where_flags_only_name_them() {
    let replaced = |path: &str, text: &str| {
        let mut facts = facts(Profile::Cis, "v1.36.2", "");
        facts.texts.insert(path.into(), text.as_bytes().to_vec());
        audit(&facts).ids(Status::Warn)
    };
    assert!(replaced(ENCRYPTION, "secret: 1").contains(&"1.2.28"));
    assert!(replaced(AUDIT_POLICY, "kind: Policy").contains(&"3.2.2"));
    assert!(replaced("/etc/kubernetes/pki/etcd/ca.crt", "kubernetes").contains(&"2.7"));
    let file = "apiServer:\n  extraArgs:\n  - {name: authorization-config, value: /etc/authz.yaml}\n";
    let report = audit(&facts(Profile::Cis, "v1.36.2", file));
    assert!(report.ids(Status::Fail).is_empty());
    assert!(["1.2.6", "1.2.7", "1.2.8"].iter().all(|id| report.ids(Status::Warn).contains(id)));
}

#[test]
fn older_versions_must_have_their_open_ports_closed() {
    let mut facts = facts(Profile::Cis, "v1.20.2", "");
    for component in [Component::ControllerManager, Component::Scheduler] {
        facts.processes.get_mut(&component).unwrap().retain(|word| word != "--port=0");
    }
    assert_eq!(failed(&facts), ["1.3.7", "1.4.2"]);
}

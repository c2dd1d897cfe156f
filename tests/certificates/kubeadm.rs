//! There and back: files of a real kubeadm are taken over, and a real kubeadm takes ours over.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Machine;
use crate::support::Run;
use crate::support::components::COMPONENTS;
use crate::support::network::Network;

/// Runs phases of the control plane's kubeadm on this directory of certificates, without a network.
fn kubeadm(phase: &str, directory: &Path, more: &[&str]) -> Run {
    let config = tempfile::NamedTempFile::new().unwrap();
    let version = &COMPONENTS.kubernetes_version;
    let api = if minor() < 22 { "v1beta2" } else { "v1beta3" };
    let text = format!(
        "apiVersion: kubeadm.k8s.io/{api}\nkind: InitConfiguration\n\
         localAPIEndpoint: {{advertiseAddress: 10.0.0.5}}\nnodeRegistration: {{name: n1}}\n---\n\
         apiVersion: kubeadm.k8s.io/{api}\nkind: ClusterConfiguration\nkubernetesVersion: {version}\n\
         certificatesDir: {}\n",
        directory.join("pki").display()
    );
    fs::write(&config, text).unwrap();
    let _network = Network::new();
    let mut command = Command::new(COMPONENTS.binary("kubeadm"));
    command.args(["init", "phase", phase, "all", "--config"]).arg(config.path()).args(more);
    Run::of(command).succeeds()
}

/// Of the control plane's version.
fn minor() -> u64 {
    COMPONENTS.kubernetes_version.split('.').nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_kubeadm_made_is_kept_and_a_newer_version_renews_what_it_wants_otherwise() {
    let machine = Machine::new();
    let directory = machine.path("");
    fs::create_dir_all(&directory).unwrap();
    kubeadm("certs", &directory, &[]);
    kubeadm("kubeconfig", &directory, &[&format!("--kubeconfig-dir={}", directory.display())]);
    machine.init(&format!("kubernetesVersion: {}\n", COMPONENTS.kubernetes_version)).succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());

    machine.init("kubernetesVersion: v1.36.2\n").succeeds();
    let renewed = machine.written();
    assert_eq!(renewed.contains(&"admin.conf".to_owned()), minor() < 29, "{renewed:?}");
    for kept in ["pki/ca.crt", "pki/apiserver.crt", "pki/etcd/server.crt", "pki/sa.key", "scheduler.conf"] {
        assert!(!renewed.contains(&kept.to_owned()), "{renewed:?}");
    }
    machine.take_over();
    machine.init("kubernetesVersion: v1.36.2\n").succeeds();
    assert!(machine.written().is_empty(), "{:?}", machine.written());
}

#[test]
fn kubeadm_keeps_what_was_made_here() {
    for algorithm in ["RSA-2048", "ECDSA-P256"] {
        let version = &COMPONENTS.kubernetes_version;
        let machine = Machine::made(&format!("kubernetesVersion: {version}\nencryptionAlgorithm: {algorithm}\n"));
        let (directory, before) = (machine.path(""), crate::support::picture(&machine.path("")));
        let certs = kubeadm("certs", &directory, &[]);
        assert!(certs.stdout.contains("Using existing") && !certs.stdout.contains("Generating"), "{}", certs.stdout);
        let into = format!("--kubeconfig-dir={}", directory.display());
        let kubeconfigs = kubeadm("kubeconfig", &directory, &[&into]);
        assert!(!kubeconfigs.stdout.contains("Writing"), "{}", kubeconfigs.stdout);
        assert_eq!(crate::support::picture(&machine.path("")), before);
    }
}

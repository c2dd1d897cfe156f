//! Ports and addresses.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::Command;

use super::on_a_machine;
use crate::support::network::{ADDRESS, Network, ip};

#[test]
fn a_port_is_held_on_whatever_address_and_its_holder_is_named() {
    on_a_machine(|machine| {
        let _six = TcpListener::bind((Ipv6Addr::LOCALHOST, 10257)).unwrap();
        let _other = TcpListener::bind((ADDRESS, 10259)).unwrap();
        let holder = format!("(pid {})", std::process::id());
        let verdicts = machine.preflight(&[]);
        verdicts.ends(2).says("Port-10257", "error", &["10257 is in use by", &holder]);
        verdicts.says("Port-10259", "error", &[&holder]).says("Port-6443", "ok", &["free"]);
        // as kubeadm: whatever the case
        machine.preflight(&["--ignore-preflight-errors=port-10257,PORT-10259"]).ends(0).says(
            "Port-10257",
            "warning",
            &[],
        );
    });
}

#[test]
fn a_port_in_another_network_is_free() {
    on_a_machine(|machine| {
        let other = Network::new();
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| {
                other.enter();
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, 6443)).unwrap()
            });
            let _listener = listener.join().unwrap();
            machine.preflight(&[]).ends(0).says("Port-6443", "ok", &[]);
        });
        machine.network.enter();
    });
}

#[test]
fn a_holder_that_cannot_be_seen_is_told_as_such() {
    on_a_machine(|machine| {
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 2379)).unwrap();
        // a PID namespace with a /proc of its own does not show this process
        let root = format!("--root={}", machine.root().display());
        let mut command = Command::new("unshare");
        command.args([
            "--pid",
            "--fork",
            "--mount-proc",
            env!("CARGO_BIN_EXE_bootstrap"),
            "init",
            "phase",
            "preflight",
        ]);
        let output = command.args(["--node-name=localhost", &root]).output().expect("`unshare` of util-linux");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("error: [Port-2379] port 2379 is in use by a process that cannot be seen"), "{stderr}");
    });
}

#[test]
fn without_loopback_nothing_begins() {
    on_a_machine(|machine| {
        ip("link set lo down");
        let verdicts = machine.preflight(&[]);
        verdicts.ends(2).says("Loopback", "error", &["etcd", "127.0.0.1", "timed out", "`lo` up"]);
        verdicts.says("AdvertiseAddress", "ok", &[]);
        ip("link set lo up");
        machine.preflight(&[]).ends(0).says("Loopback", "ok", &[]);
    });
}

#[test]
fn another_machines_address_cannot_be_advertised() {
    on_a_machine(|machine| {
        let flag = "--apiserver-advertise-address=10.80.0.77";
        machine.preflight(&[flag]).ends(2).says("AdvertiseAddress", "error", &["etcd", "10.80.0.77", "Cannot assign"]);
        ip("address add 10.80.0.77/32 dev lo");
        machine.preflight(&[flag]).ends(0).says("AdvertiseAddress", "ok", &["10.80.0.77"]);
    });
}

#[test]
fn a_machine_without_ipv6_is_told_of_ipv6_subnets() {
    on_a_machine(|machine| {
        let dual = "--service-cidr=10.96.0.0/16,fd00:1::/112";
        machine.preflight(&[dual]).ends(0).says("AddressFamilies", "ok", &[]);
        // the thread's own network's
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let verdicts = machine.preflight(&[dual]);
        verdicts.ends(0).says("AddressFamilies", "warning", &["networking.serviceSubnet", "no IPv6"]);
        machine.preflight(&[]).says("AddressFamilies", "ok", &[]);
        let six = ["--apiserver-advertise-address=fd00:80::2", "--service-cidr=fd00:1::/112"];
        machine.preflight(&six).ends(2).says("Loopback", "error", &["`::1`"]).says("AdvertiseAddress", "error", &[]);
    });
}

#[test]
fn families_that_do_not_go_together_are_refused_as_the_api_server_would() {
    on_a_machine(|machine| {
        let six = "--service-cidr=fd00:1::/112";
        machine.preflight(&[six]).ends(2).says("AddressFamilies", "error", &["of two families"]);
        let old = "--kubernetes-version=v1.20.2";
        machine.preflight(&[six, old]).ends(0).says("AddressFamilies", "warning", &["of two families"]);
    });
}

#[test]
fn forwarding_is_only_worth_a_warning() {
    on_a_machine(|machine| {
        let (file, check) = ("/proc/sys/net/ipv4/ip_forward", "FileContent--proc-sys-net-ipv4-ip_forward");
        fs::write(file, "0").unwrap();
        machine.preflight(&[]).ends(0).says(check, "warning", &[]);
        fs::write(file, "1").unwrap();
        machine.preflight(&[]).ends(0).says(check, "ok", &[]);
        let dual = "--pod-network-cidr=10.244.0.0/16,fd00:2::/48";
        let check = "FileContent--proc-sys-net-ipv6-conf-default-forwarding";
        machine.preflight(&[dual, "--service-cidr=10.96.0.0/16,fd00:1::/112"]).says(check, "warning", &[]);
    });
}

#[test]
fn names_that_do_not_resolve_are_told_and_nobody_waits_for_ever() {
    on_a_machine(|machine| {
        let verdicts = machine.preflight(&["--control-plane-endpoint=no-such-name.invalid"]);
        verdicts.ends(0).says("ControlPlaneEndpoint", "warning", &["no-such-name.invalid", "does not resolve"]);
        verdicts.says("Hostname", "ok", &["127.0.0.1"]);
    });
}

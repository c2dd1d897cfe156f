//! Programs that are in the way: they are known by their names, so an idler with the name does.

use super::{Machine, Verdicts, idler, on_a_machine};
use crate::support::Bootstrap;
use crate::support::network::Network;

#[test]
fn a_firewalld_of_this_network_is_told() {
    on_a_machine(|machine| {
        machine.preflight(&[]).says("Firewalld", "ok", &[]);
        let mut firewalld = idler(machine.directory.path(), "firewalld");
        let pid = format!("(pid {})", firewalld.id());
        machine.preflight(&[]).ends(0).says("Firewalld", "warning", &[&pid, "6443"]);
        let port = machine.preflight(&["--apiserver-bind-port=7443"]);
        port.says("Firewalld", "warning", &["7443"]);
        // it filters another network than this one
        let other = Network::new();
        other.enter();
        machine.preflight(&["--apiserver-advertise-address=10.80.0.2"]).says("Firewalld", "ok", &[]);
        machine.network.enter();
        firewalld.kill().unwrap();
        firewalld.wait().unwrap();
    });
}

/// Under the machine's own root, with what preflight looks at there covered up.
fn at_the_real_root(machine: &Machine) -> Verdicts {
    for path in ["/var/lib", "/var/log", "/run"] {
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=2g")).unwrap();
    }
    machine.network.enter();
    let words = ["init", "phase", "preflight", "--output=json", "--node-name=localhost"];
    Verdicts::of(Bootstrap::new(words).run())
}

#[test]
fn a_kubelet_is_in_the_way_of_the_machines_own_instance_alone() {
    on_a_machine(|machine| {
        let mut kubelet = idler(machine.directory.path(), "kubelet");
        let pid = format!("(pid {})", kubelet.id());
        machine.preflight(&[]).says("KubeletRunning", "ok", &[]);
        at_the_real_root(machine).ends(2).says("KubeletRunning", "error", &[&pid]);
        kubelet.kill().unwrap();
        kubelet.wait().unwrap();
    });
}

//! Other programs in the way: who holds a port, a firewall, a kubelet.

use super::Given;
use super::verdict::Finding;
use crate::desired::Desired;
use crate::layout::port;

/// The ports that the control plane will listen on.
pub fn ports(desired: &Desired) -> Vec<u16> {
    let endpoint = desired.config.local_api_endpoint;
    let mut ports = vec![endpoint.bind_port, port::SCHEDULER, port::CONTROLLER_MANAGER];
    if desired.config.etcd.local().is_some() {
        ports.extend([port::ETCD_CLIENT, port::ETCD_PEER, port::ETCD_METRICS]);
    }
    ports
}

/// As kubeadm, a listener on any address counts [6.2]; what listens for this instance does not.
pub(super) fn held_ports(given: &Given) -> Vec<Finding> {
    let judge = |port: u16| {
        let mut listeners = given.machine.listeners.iter().filter(|listener| listener.port == port).peekable();
        let finding = match (listeners.peek().is_some(), listeners.find(|listener| !listener.ours)) {
            (false, _) => Finding::ok(format!("port {port} is free")),
            (true, None) => Finding::ok(format!("port {port} is held by this control plane")),
            (true, Some(listener)) => {
                let holder = match &listener.process {
                    Some((pid, name)) => format!("by `{name}` (pid {pid})"),
                    None => "by a process that cannot be seen from here".to_owned(),
                };
                Finding::error(format!("port {port} is in use {holder}"))
            }
        };
        finding.about(port.to_string())
    };
    ports(given.desired).into_iter().map(judge).collect()
}

pub(super) fn firewalld(given: &Given) -> Vec<Finding> {
    let port = given.desired.config.local_api_endpoint.bind_port;
    vec![match given.machine.firewalld {
        None => Finding::ok("no firewalld runs"),
        Some(pid) => Finding::warning(format!(
            "firewalld runs (pid {pid}): other machines reach the API server only if it opens TCP port {port}"
        )),
    }]
}

pub(super) fn kubelet(given: &Given) -> Vec<Finding> {
    vec![match given.machine.kubelet {
        None => Finding::ok("no kubelet runs"),
        Some(pid) => {
            Finding::error(format!("a kubelet runs (pid {pid}): it would run the same manifests a second time"))
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::super::machine::Listener;
    use super::super::testing::{Scene, told};

    const EXTERNAL: &str = "etcd:\n  external:\n    endpoints: ['http://10.0.0.9:2379']\n";

    #[test]
    fn the_holder_of_a_port_is_named_unless_it_is_ours() {
        let mut scene = Scene::new("");
        let listener = |port, process: Option<&str>, ours| Listener {
            port,
            process: process.map(|name| (42, name.to_owned())),
            ours,
        };
        scene.machine.listeners = vec![
            listener(6443, Some("nginx"), false),
            listener(10259, None, false),
            listener(2379, Some("etcd"), true),
            listener(2380, Some("etcd"), true),
            listener(2380, Some("other"), false),
        ];
        let expected = [
            "error: port 6443 is in use by `nginx` (pid 42)",
            "error: port 10259 is in use by a process that cannot be seen from here",
            "ok: port 10257 is free",
            "ok: port 2379 is held by this control plane",
            "error: port 2380 is in use by `other` (pid 42)",
            "ok: port 2381 is free",
        ];
        assert_eq!(told(super::held_ports(&scene.given())), expected);
    }

    #[test]
    fn only_ports_that_will_be_listened_on_are_looked_at() {
        let scene = Scene::new(EXTERNAL);
        assert_eq!(super::ports(&scene.desired), [6443, 10259, 10257]);
    }

    #[test]
    fn programs_in_the_way_are_told() {
        let mut scene = Scene::new("");
        assert_eq!(told(super::firewalld(&scene.given())), ["ok: no firewalld runs"]);
        assert_eq!(told(super::kubelet(&scene.given())), ["ok: no kubelet runs"]);
        scene.machine.firewalld = Some(7);
        scene.machine.kubelet = Some(8);
        let firewalld = told(super::firewalld(&scene.given()));
        assert!(firewalld[0].starts_with("warning: firewalld runs (pid 7)") && firewalld[0].contains("6443"));
        assert!(told(super::kubelet(&scene.given()))[0].starts_with("error: a kubelet runs (pid 8)"));
    }
}

//! Addresses: is there what the components will listen on, and do families go together?

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Given;
use super::verdict::{Finding, or_ok};
use crate::desired::Desired;
use crate::desired::manifest::{Component, Manifest};

/// The addresses that matter: those that a component will listen on, and the one that is advertised.
pub fn listening(desired: &Desired) -> BTreeSet<IpAddr> {
    let mut addresses: BTreeSet<_> = listeners(desired).into_keys().collect();
    addresses.insert(desired.config.local_api_endpoint.advertise_address);
    addresses
}

/// Who will listen on which address. "All addresses" is none.
fn listeners(desired: &Desired) -> BTreeMap<IpAddr, Vec<Component>> {
    let mut listeners: BTreeMap<IpAddr, Vec<Component>> = BTreeMap::new();
    for manifest in &desired.manifests {
        let flags: &[&str] = match manifest.component {
            Component::Etcd => &["--listen-client-urls=", "--listen-metrics-urls=", "--listen-peer-urls="],
            _ => &["--bind-address="],
        };
        let values = flags.iter().filter_map(|flag| last(manifest, flag)).flat_map(|value| value.split(','));
        for address in values.filter_map(address).filter(|address| !address.is_unspecified()) {
            let components = listeners.entry(address).or_default();
            if !components.contains(&manifest.component) {
                components.push(manifest.component);
            }
        }
    }
    listeners
}

/// The value of a flag that counts.
fn last<'a>(manifest: &'a Manifest, flag: &str) -> Option<&'a str> {
    let container = manifest.pod.spec.as_ref().and_then(|spec| spec.containers.first())?;
    let words = container.command.iter().flatten().chain(container.args.iter().flatten());
    words.filter_map(|word| word.strip_prefix(flag)).next_back()
}

/// `10.0.0.5`, `https://10.0.0.5:2379`, `http://[::1]:2381`. A name is nothing that could be judged here.
fn address(text: &str) -> Option<IpAddr> {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    host.parse().ok().or_else(|| host.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

pub(super) fn own(given: &Given) -> Vec<Finding> {
    let advertised = given.desired.config.local_api_endpoint.advertise_address;
    let listeners = listeners(given.desired);
    let mut findings = Vec::new();
    for (address, reason) in &given.machine.network.unusable {
        match listeners.get(address) {
            _ if address.is_loopback() => {}
            Some(components) => findings.push(Finding::error(format!(
                "{} cannot listen on `{address}`: {reason}; is it an address of this machine?",
                names(components)
            ))),
            None => findings.push(Finding::warning(format!(
                "the advertise address `{address}` is none of this machine: others reach it only if something forwards"
            ))),
        }
    }
    or_ok(findings, || format!("`{advertised}` is an address of this machine"))
}

pub(super) fn loopback(given: &Given) -> Vec<Finding> {
    let listeners = listeners(given.desired);
    let unusable = given.machine.network.unusable.iter().filter(|(address, _)| address.is_loopback());
    let judge = |(address, reason): (&IpAddr, &String)| {
        let components = listeners.get(address).map(Vec::as_slice).unwrap_or_default();
        Finding::error(format!(
            "{} cannot be reached at `{address}`: {reason}; is the interface `lo` up?",
            names(components)
        ))
    };
    or_ok(unusable.map(judge).collect(), || "the loopback interface works".to_owned())
}

fn names(components: &[Component]) -> String {
    components.iter().map(|component| component.name()).collect::<Vec<_>>().join(", ")
}

pub(super) fn families(given: &Given) -> Vec<Finding> {
    let config = &given.desired.config;
    let advertised = config.local_api_endpoint.advertise_address;
    let mut findings = Vec::new();
    if let Some(service) =
        config.networking.service_subnets.first().filter(|subnet| is_ipv4(subnet) != advertised.is_ipv4())
    {
        let clash =
            format!("the advertise address `{advertised}` and the service subnet `{service}` are of two families");
        findings.push(match config.kubernetes_version.wants_one_family() {
            true => Finding::error(format!("{clash}: kube-apiserver does not start with that")),
            false => Finding::warning(format!("{clash}: the service `kubernetes` reaches no API server")),
        });
    }
    let subnets = [
        ("networking.serviceSubnet", &config.networking.service_subnets),
        ("networking.podSubnet", &config.networking.pod_subnets),
    ];
    for (field, subnets) in subnets {
        if !given.machine.network.has_ipv6 && subnets.iter().any(|subnet| !is_ipv4(subnet)) {
            findings.push(Finding::warning(format!("{field} has IPv6 addresses, and this machine has no IPv6")));
        }
    }
    or_ok(findings, || "addresses and subnets go together".to_owned())
}

fn is_ipv4(subnet: &IpNet) -> bool {
    matches!(subnet, IpNet::V4(_))
}

pub(super) fn forwarding4(given: &Given) -> Vec<Finding> {
    forwarding(given, IpAddr::is_ipv4, "/proc/sys/net/ipv4/ip_forward", given.machine.network.forwards_ipv4)
}

pub(super) fn forwarding6(given: &Given) -> Vec<Finding> {
    let file = "/proc/sys/net/ipv6/conf/default/forwarding";
    forwarding(given, IpAddr::is_ipv6, file, given.machine.network.forwards_ipv6)
}

/// An error of kubeadm's. Here every pod uses the node's own network, and nothing is forwarded.
fn forwarding(given: &Given, family: fn(&IpAddr) -> bool, file: &str, is_on: Option<bool>) -> Vec<Finding> {
    let config = &given.desired.config;
    let subnets = config.networking.service_subnets.iter().chain(&config.networking.pod_subnets);
    let mut addresses = subnets.map(IpNet::addr).chain([config.local_api_endpoint.advertise_address]);
    if !addresses.any(|address| family(&address)) {
        return Vec::new();
    }
    let consequence = "the control plane can do without, pods with addresses of their own could not";
    vec![match is_on {
        Some(true) => Finding::ok(format!("`{file}` is 1")),
        Some(false) => Finding::warning(format!("`{file}` is not 1: {consequence}")),
        None => Finding::warning(format!("`{file}` does not exist: {consequence}")),
    }]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::{Scene, told};
    use super::*;

    const IPV6: &str = "networking:\n  serviceSubnet: fd00:1::/112\n";
    const DUAL: &str = "networking:\n  serviceSubnet: 10.96.0.0/12,fd00:1::/112\n  podSubnet: 10.244.0.0/16\n";
    const EXTERNAL: &str = "etcd:\n  external:\n    endpoints: ['http://10.0.0.9:2379']\n";

    #[test]
    fn addresses_are_found_in_flags() {
        for (text, expected) in [
            ("10.0.0.5", Some("10.0.0.5")),
            ("::1", Some("::1")),
            ("https://10.0.0.5:2379", Some("10.0.0.5")),
            ("http://[::1]:2381/", Some("::1")),
            ("https://name:2379", None),
            ("", None),
        ] {
            assert_eq!(address(text), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        let listening = |fields: &str| {
            let found = super::listening(&Scene::new(fields).desired);
            found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(listening(""), "10.0.0.5 127.0.0.1");
        let moved = "etcd:\n  local:\n    extraArgs:\n    - {name: listen-peer-urls, value: 'https://10.0.0.7:2380'}\n";
        assert_eq!(listening(moved), "10.0.0.5 10.0.0.7 127.0.0.1");
        let everywhere = "scheduler:\n  extraArgs:\n  - {name: bind-address, value: 0.0.0.0}\n";
        assert_eq!(listening(everywhere), "10.0.0.5 127.0.0.1");
    }

    fn with_unusable(fields: &str, address: &str) -> Scene {
        let mut scene = Scene::new(fields);
        let reason = "Cannot assign requested address".to_owned();
        scene.machine.network.unusable.insert(address.parse().unwrap(), reason);
        scene
    }

    #[test]
    fn an_address_of_another_machine_is_an_error_only_if_somebody_listens_on_it() {
        let scene = with_unusable("", "10.0.0.5");
        let found = told(own(&scene.given()));
        assert!(found[0].starts_with("error: etcd cannot listen on `10.0.0.5`: Cannot assign"), "{found:?}");
        assert!(told(loopback(&scene.given()))[0].starts_with("ok: "));
        let found = told(own(&with_unusable(EXTERNAL, "10.0.0.5").given()));
        assert!(found[0].starts_with("warning: the advertise address `10.0.0.5`"), "{found:?}");
        assert_eq!(told(own(&Scene::new("").given())), ["ok: `10.0.0.5` is an address of this machine"]);
    }

    #[test]
    fn without_loopback_nothing_goes() {
        let scene = with_unusable("", "127.0.0.1");
        let found = told(loopback(&scene.given()));
        let who = "etcd, kube-controller-manager, kube-scheduler";
        assert!(found[0].starts_with(&format!("error: {who} cannot be reached at `127.0.0.1`")), "{found:?}");
        assert!(told(own(&scene.given()))[0].starts_with("ok: "));
    }

    #[test]
    fn families_that_do_not_go_together_are_told() {
        let found = |fields: &str, has_ipv6| {
            let mut scene = Scene::new(fields);
            scene.machine.network.has_ipv6 = has_ipv6;
            told(families(&scene.given()))
        };
        assert_eq!(found("", false), ["ok: addresses and subnets go together"]);
        assert_eq!(found(DUAL, true), ["ok: addresses and subnets go together"]);
        let none = "warning: networking.serviceSubnet has IPv6 addresses, and this machine has no IPv6";
        assert_eq!(found(DUAL, false), [none]);
        assert!(found(IPV6, true)[0].starts_with("error: the advertise address `10.0.0.5` and the service subnet"));
        let old = format!("kubernetesVersion: v1.23.0\n{IPV6}");
        assert!(found(&old, true)[0].starts_with("warning: the advertise address"));
    }

    #[test]
    fn forwarding_is_looked_at_for_the_families_in_use() {
        let mut scene = Scene::new("");
        assert!(told(forwarding4(&scene.given()))[0].starts_with("ok: "));
        assert!(forwarding6(&scene.given()).is_empty());
        scene.machine.network.forwards_ipv4 = Some(false);
        assert!(told(forwarding4(&scene.given()))[0].starts_with("warning: `/proc/sys/net/ipv4/ip_forward` is not 1"));
        let mut dual = Scene::new(DUAL);
        dual.machine.network.forwards_ipv6 = None;
        assert!(told(forwarding6(&dual.given()))[0].contains("does not exist"));
    }
}

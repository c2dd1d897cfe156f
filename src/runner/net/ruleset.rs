//! PURE: the packet filter's rules for pods behind the node's bridge.
//!
//! ```text
//! to an address of the node ──► its port is a pod's? ──► the pod
//! from a pod, leaving the bridge ──► as the node
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;

use super::nftables::{At, Chain, Hook, Table, Term};
use crate::runner::runtime::{PortMapping, Protocol};

/// Ports of the node that lead to pods.
const PORTS: &str = "ports";

/// The table of an instance; `pods` are addresses with the node's ports that lead there.
pub(super) fn table<'a>(
    name: &str,
    bridge: &str,
    subnet: Ipv4Net,
    pods: impl IntoIterator<Item = (Ipv4Addr, &'a [PortMapping])>,
) -> Table {
    let rules = pods.into_iter().flat_map(|(ip, ports)| ports.iter().filter_map(move |port| forward(ip, port)));
    let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let of_bridge = || Term::ToInterface(bridge.to_owned());
    let base = |name, kind, at, priority, rules| Chain { name, hook: Some(Hook { kind, at, priority }), rules };
    let to_ports = || vec![vec![Term::ToMachine, Term::Jump(PORTS)]];
    let leaving = vec![
        vec![Term::From(subnet), Term::NotTo(subnet), Term::Masquerade],
        // the answer must come back this way, also where it could go straight from pod to pod
        vec![Term::From(subnet), Term::To(subnet), Term::Redirected, Term::Masquerade],
        vec![Term::From(loopback), of_bridge(), Term::Masquerade],
    ];
    // the bridge lets what the node sends from its loopback address pass; nothing else may use that
    let guard = vec![vec![Term::FromInterface(bridge.to_owned()), Term::To(loopback), Term::Drop]];
    Table {
        name: name.to_owned(),
        chains: vec![
            Chain { name: PORTS, hook: None, rules: rules.collect() },
            base("guard", "filter", At::Prerouting, -300, guard),
            base("prerouting", "nat", At::Prerouting, -100, to_ports()),
            base("output", "nat", At::Output, -100, to_ports()),
            base("postrouting", "nat", At::Postrouting, 100, leaving),
        ],
    }
}

/// `None` for a port that is only the container's, or on an address of another family.
fn forward(ip: Ipv4Addr, port: &PortMapping) -> Option<Vec<Term>> {
    let address = match port.host_ip {
        None => None,
        Some(std::net::IpAddr::V4(address)) => (!address.is_unspecified()).then_some(address),
        Some(std::net::IpAddr::V6(address)) if address.is_unspecified() => None,
        Some(std::net::IpAddr::V6(_)) => return None,
    };
    let address = address.map(|address| Term::To(Ipv4Net::new_assert(address, 32)));
    let protocol = Term::Protocol(match port.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    });
    let to = Term::Redirect(SocketAddrV4::new(ip, port.container_port));
    Some(address.into_iter().chain([protocol, Term::ToPort(port.host_port), to]).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_port_of_the_node_leads_to_its_pod() {
        let mapping = |protocol, host_ip: Option<&str>| PortMapping {
            protocol,
            container_port: 80,
            host_port: 8080,
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        };
        let ip = Ipv4Addr::new(10, 0, 0, 2);
        let to = Term::Redirect("10.0.0.2:80".parse().unwrap());
        let cases = [
            (mapping(Protocol::Tcp, None), Some(vec![Term::Protocol(6), Term::ToPort(8080), to.clone()])),
            (
                mapping(Protocol::Udp, Some("127.0.0.1")),
                Some(vec![
                    Term::To("127.0.0.1/32".parse().unwrap()),
                    Term::Protocol(17),
                    Term::ToPort(8080),
                    to.clone(),
                ]),
            ),
            (mapping(Protocol::Sctp, Some("0.0.0.0")), Some(vec![Term::Protocol(132), Term::ToPort(8080), to])),
            (mapping(Protocol::Tcp, Some("::1")), None),
        ];
        for (mapping, expected) in cases {
            assert_eq!(forward(ip, &mapping), expected, "{mapping:?}");
        }
        let ports = [mapping(Protocol::Tcp, None), mapping(Protocol::Udp, None)];
        let table = table("t", "br", "10.0.0.0/24".parse().unwrap(), [(ip, ports.as_slice()), (ip, &[])]);
        assert_eq!(table.chains[0].rules.len(), 2);
    }
}

//! PURE: what a pod asks of its node besides resources: labels, a system, free ports [9.11, 9.13].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// `os.name`
    pub os: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    /// The terms of the required node affinity, of which one must hold; `None` where nothing is required.
    pub affinity: Option<Vec<Term>>,
    pub host_ports: Vec<HostPort>,
}

/// Holds when all of its requirements do; one without any never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub labels: Vec<Requirement>,
    pub fields: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

impl Operator {
    pub(super) const NAMES: [&'static str; 6] = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

    fn named(name: &str) -> Option<Self> {
        let all = [Self::In, Self::NotIn, Self::Exists, Self::DoesNotExist, Self::Gt, Self::Lt];
        Self::NAMES.iter().position(|known| *known == name).map(|index| all[index])
    }
}

impl Requirement {
    /// `value` is what the node has under the key.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let is_among = |value: &str| self.values.iter().any(|known| known == value);
        let compared = || {
            let value: i64 = value?.parse().ok()?;
            let bound: i64 = self.values.first()?.parse().ok()?;
            Some(value.cmp(&bound))
        };
        match self.operator {
            Operator::In => value.is_some_and(is_among),
            Operator::NotIn => !value.is_some_and(is_among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compared().is_some_and(std::cmp::Ordering::is_gt),
            Operator::Lt => compared().is_some_and(std::cmp::Ordering::is_lt),
        }
    }
}

/// A port of the node that a container is reached by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    pub protocol: String,
    /// Empty: every address.
    pub ip: String,
    pub port: i32,
}

impl HostPort {
    /// The two cannot be had at once.
    pub fn clashes(&self, other: &HostPort) -> bool {
        let is_every = |ip: &str| ["", "0.0.0.0", "::"].contains(&ip);
        let meets = self.ip == other.ip || is_every(&self.ip) || is_every(&other.ip);
        meets && self.port == other.port && self.protocol == other.protocol
    }
}

impl Placement {
    pub(super) fn of(spec: &api::PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
        // a port of an init container is free again before the others start
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
        Placement {
            os: spec.os.as_ref().map(|os| os.name.clone()),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            affinity: required.map(|required| required.node_selector_terms.iter().map(term).collect()),
            host_ports: ports.filter_map(host_port).collect(),
        }
    }
}

fn term(term: &api::NodeSelectorTerm) -> Term {
    let requirements = |list: &Option<Vec<api::NodeSelectorRequirement>>| {
        let requirement = |from: &api::NodeSelectorRequirement| {
            // validation has seen the operators
            let operator = Operator::named(&from.operator)?;
            Some(Requirement { key: from.key.clone(), operator, values: from.values.clone().unwrap_or_default() })
        };
        list.iter().flatten().filter_map(requirement).collect()
    };
    Term { labels: requirements(&term.match_expressions), fields: requirements(&term.match_fields) }
}

fn host_port(port: &api::ContainerPort) -> Option<HostPort> {
    Some(HostPort {
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        ip: port.host_ip.clone().unwrap_or_default(),
        port: port.host_port.filter(|number| *number != 0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_their_operators_say() {
        let of = |operator, values: &[&str]| Requirement {
            key: "k".to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        for (requirement, value, expected) in [
            (of(Operator::In, &["a", "b"]), Some("b"), true),
            (of(Operator::In, &["a"]), None, false),
            (of(Operator::NotIn, &["a"]), Some("a"), false),
            (of(Operator::NotIn, &["a"]), None, true),
            (of(Operator::Exists, &[]), Some(""), true),
            (of(Operator::DoesNotExist, &[]), Some("x"), false),
            (of(Operator::Gt, &["5"]), Some("6"), true),
            (of(Operator::Gt, &["5"]), Some("5"), false),
            (of(Operator::Lt, &["5"]), Some("4"), true),
            (of(Operator::Lt, &["5"]), Some("four"), false),
            (of(Operator::Lt, &["5"]), None, false),
        ] {
            assert_eq!(requirement.holds(value), expected, "{requirement:?} {value:?}");
        }
    }

    #[test]
    fn ports_clash_on_addresses_that_meet() {
        let of = |protocol: &str, ip: &str, port| HostPort { protocol: protocol.to_owned(), ip: ip.to_owned(), port };
        let every = of("TCP", "", 80);
        assert!(every.clashes(&of("TCP", "127.0.0.1", 80)) && of("TCP", "10.0.0.1", 80).clashes(&every));
        assert!(!of("TCP", "127.0.0.1", 80).clashes(&of("TCP", "10.0.0.1", 80)));
        assert!(!every.clashes(&of("UDP", "", 80)) && !every.clashes(&of("TCP", "", 81)));
    }
}

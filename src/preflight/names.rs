//! Names that others will look up: the node's, and the control plane endpoint's.

use std::net::IpAddr;

use super::Given;
use super::machine::Lookup;
use super::verdict::Finding;
use crate::desired::Desired;

/// The names that matter.
pub fn looked_up(desired: &Desired) -> Vec<String> {
    let node = desired.config.node.name.clone();
    std::iter::once(node).chain(endpoint_name(desired).map(str::to_owned)).collect()
}

fn endpoint_name(desired: &Desired) -> Option<&str> {
    let host = desired.config.control_plane_endpoint.as_ref().map(|endpoint| endpoint.host.as_str());
    host.filter(|host| host.parse::<IpAddr>().is_err())
}

pub(super) fn node(given: &Given) -> Vec<Finding> {
    let consequence = "who uses it does not find this machine: put it into DNS or /etc/hosts";
    judge(given, &given.desired.config.node.name, "the node's name", consequence)
}

pub(super) fn endpoint(given: &Given) -> Vec<Finding> {
    let Some(name) = endpoint_name(given.desired) else { return Vec::new() };
    let consequence = "kubeconfigs name it, and who uses them does not find the API server";
    judge(given, name, "controlPlaneEndpoint", consequence)
}

fn judge(given: &Given, name: &str, what: &str, consequence: &str) -> Vec<Finding> {
    let finding = match given.machine.lookups.get(name) {
        None => return Vec::new(),
        Some(Lookup::Found(addresses)) => {
            let shown: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            Finding::ok(format!("{what} `{name}` is {}", shown.join(", ")))
        }
        Some(Lookup::Failed(reason)) => {
            Finding::warning(format!("{what} `{name}` does not resolve ({reason}); {consequence}"))
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::machine::Lookup;
    use super::super::testing::{Scene, told};

    #[test]
    fn only_names_are_looked_up() {
        let names = |fields: &str| super::looked_up(&Scene::new(fields).desired);
        assert_eq!(names(""), ["n1"]);
        assert_eq!(names("controlPlaneEndpoint: 10.0.0.100:6443\n"), ["n1"]);
        assert_eq!(names("controlPlaneEndpoint: cp.example.com\n"), ["n1", "cp.example.com"]);
    }

    #[test]
    fn a_name_without_an_address_is_a_warning() {
        let mut scene = Scene::new("controlPlaneEndpoint: cp.example.com\n");
        assert_eq!(told(super::node(&scene.given())), ["ok: the node's name `n1` is 10.0.0.5"]);
        assert!(super::endpoint(&scene.given()).is_empty(), "no answer yet");
        let failed = Lookup::Failed("no such host".into());
        scene.machine.lookups = [("n1".to_owned(), failed.clone()), ("cp.example.com".to_owned(), failed)].into();
        let node = told(super::node(&scene.given()));
        assert!(node[0].starts_with("warning: the node's name `n1` does not resolve (no such host); "), "{node:?}");
        assert!(told(super::endpoint(&scene.given()))[0].starts_with("warning: controlPlaneEndpoint `cp.example.com`"));
    }
}

//! PURE: the ports that containers declare [1.60, 1.62, 1.63].

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::Found;

/// Characters of a port's name.
const MAX_NAME: usize = 15;

impl Found {
    pub(super) fn ports(&mut self, spec: &PodSpec) {
        for (index, container) in spec.init_containers.iter().flatten().enumerate() {
            let path = format!("spec.initContainers[{index}].ports");
            self.ports_of(container, &path);
            // they run one after the other, and so share nothing with each other
            self.host_ports(container, &path, &mut BTreeSet::new());
        }
        let mut taken = BTreeSet::new();
        for (index, container) in spec.containers.iter().enumerate() {
            let path = format!("spec.containers[{index}].ports");
            self.ports_of(container, &path);
            self.host_ports(container, &path, &mut taken);
            for (index, port) in container.ports.iter().flatten().enumerate() {
                let host_port = port.host_port.unwrap_or(0);
                let is_met = spec.host_network != Some(true) || host_port == port.container_port;
                self.unless(is_met, &format!("{path}[{index}].hostPort"), || {
                    format!("Invalid value: {host_port}: must match `containerPort` when `hostNetwork` is true")
                });
            }
        }
    }

    fn ports_of(&mut self, container: &Container, path: &str) {
        let mut names = BTreeSet::new();
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                let path = format!("{path}.name");
                match problem_of_name(name) {
                    Some(problem) => self.add(&path, format!("Invalid value: `{name}`: {problem}")),
                    None => self.unless(names.insert(name), &path, || format!("Duplicate value: `{name}`")),
                }
            }
            self.unless(port.container_port != 0, &format!("{path}.containerPort"), || "Required value".to_owned());
            let host_port = port.host_port.unwrap_or(0);
            for (field, number) in [("containerPort", port.container_port), ("hostPort", host_port)] {
                self.unless((0..=65535).contains(&number), &format!("{path}.{field}"), || {
                    format!("Invalid value: {number}: must be between 1 and 65535")
                });
            }
            self.one_of(&port.protocol, &format!("{path}.protocol"), &["SCTP", "TCP", "UDP"]);
        }
    }

    /// `taken` is what containers before it have.
    fn host_ports<'a>(&mut self, container: &'a Container, path: &str, taken: &mut BTreeSet<HostPort<'a>>) {
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let Some(key) = host_port(port) else { continue };
            self.unless(taken.insert(key), &format!("{path}[{index}].hostPort"), || {
                format!("Duplicate value: `{}`", key.2)
            });
        }
    }
}

/// Protocol, address and number.
type HostPort<'a> = (&'a str, &'a str, i32);

fn host_port(port: &ContainerPort) -> Option<HostPort<'_>> {
    let number = port.host_port.filter(|number| *number != 0)?;
    Some((port.protocol.as_deref().unwrap_or("TCP"), port.host_ip.as_deref().unwrap_or_default(), number))
}

fn problem_of_name(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        Some("must be no more than 15 characters")
    } else if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        Some("must contain only lower-case letters, digits and `-`")
    } else if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Some("must contain at least one letter")
    } else if name.contains("--") {
        Some("must not contain consecutive hyphens")
    } else if name.starts_with('-') || name.ends_with('-') {
        Some("must not begin or end with a hyphen")
    } else {
        None
    }
}

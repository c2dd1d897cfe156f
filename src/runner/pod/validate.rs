//! PURE: the API's validation of a new pod, as far as it bites a static one [1.G].
//!
//! Problems are told all at once, each as `<field>: <what is wrong>` in the API's words.

mod lifecycle;
mod metadata;
mod names;
mod placement;
mod ports;
mod security;
mod sources;
mod volumes;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Container, EnvVarSource, Pod, PodSpec, Probe, ResourceFieldSelector, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::quantity::Quantity;
use crate::runner::env;

/// `pod` is defaulted and has its suffixed name and its namespace.
pub(crate) fn problems(pod: &Pod) -> Vec<String> {
    let mut found = Found(Vec::new());
    found.metadata(&pod.metadata);
    match &pod.spec {
        Some(spec) => found.spec(spec),
        None => found.add("spec", "Required value".to_owned()),
    }
    found.0
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || byte == b'-')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && ends(part.bytes().next())
                && ends(part.bytes().last())
        })
}

fn has_parent_step(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// How many sources a variable has.
fn sources_of(from: &EnvVarSource) -> usize {
    let EnvVarSource { config_map_key_ref, field_ref, file_key_ref, resource_field_ref, secret_key_ref } = from;
    let all = [
        config_map_key_ref.is_some(),
        field_ref.is_some(),
        file_key_ref.is_some(),
        resource_field_ref.is_some(),
        secret_key_ref.is_some(),
    ];
    all.into_iter().filter(|is_set| *is_set).count()
}

struct Found(Vec<String>);

impl Found {
    fn add(&mut self, path: &str, problem: String) {
        self.0.push(format!("{path}: {problem}"));
    }

    fn unless(&mut self, holds: bool, path: &str, problem: impl FnOnce() -> String) {
        if !holds {
            self.add(path, problem());
        }
    }

    fn one_of(&mut self, value: &Option<String>, path: &str, allowed: &[&str]) {
        if let Some(value) = value {
            self.unless(allowed.contains(&value.as_str()), path, || {
                format!("Unsupported value: `{value}`: one of {}", allowed.join(", "))
            });
        }
    }

    fn spec(&mut self, spec: &PodSpec) {
        self.unless(!spec.containers.is_empty(), "spec.containers", || "Required value".to_owned());
        self.one_of(&spec.restart_policy, "spec.restartPolicy", &["Always", "OnFailure", "Never"]);
        if let Some(grace) = spec.termination_grace_period_seconds {
            self.unless(grace >= 0, "spec.terminationGracePeriodSeconds", || {
                format!("Invalid value: {grace}: must not be negative")
            });
        }
        if let Some(context) = &spec.security_context {
            self.pod_security(context);
        }
        let has_two_kinds = spec.share_process_namespace == Some(true) && spec.host_pid == Some(true);
        self.unless(!has_two_kinds, "spec.shareProcessNamespace", || {
            "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled".to_owned()
        });
        self.names(spec);
        self.placement(spec);
        let volumes = self.volumes(spec);
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let all: Vec<_> = init.iter().chain(&spec.containers).map(|container| container.name.as_str()).collect();
        let mut names = BTreeSet::new();
        for (index, container) in init.iter().enumerate() {
            let path = format!("spec.initContainers[{index}]");
            self.unless(names.insert(container.name.as_str()), &format!("{path}.name"), || {
                format!("Duplicate value: `{}`", container.name)
            });
            self.container(container, &path, &all, &volumes);
            self.lifecycle(container, &path, spec);
            if container.restart_policy.as_deref() != Some("Always") {
                self.only_of_sidecars(container, &path);
            }
        }
        for (index, container) in spec.containers.iter().enumerate() {
            let path = format!("spec.containers[{index}]");
            self.unless(names.insert(container.name.as_str()), &format!("{path}.name"), || {
                format!("Duplicate value: `{}`", container.name)
            });
            self.container(container, &path, &all, &volumes);
            self.lifecycle(container, &path, spec);
        }
        self.ports(spec);
        self.file_key_volumes(spec);
    }

    fn resource_field(&mut self, of: &ResourceFieldSelector, path: &str, containers: &[&str]) {
        self.unless(env::RESOURCES.contains(&of.resource.as_str()), &format!("{path}.resource"), || {
            format!("Unsupported value: `{}`: one of {}", of.resource, env::RESOURCES.join(", "))
        });
        let divisor = of.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
        self.unless(Quantity::parse(divisor).is_some(), &format!("{path}.divisor"), || {
            format!("Invalid value: `{divisor}`: not a quantity")
        });
        let named = of.container_name.as_deref().unwrap_or_default();
        self.unless(named.is_empty() || containers.contains(&named), &format!("{path}.containerName"), || {
            format!("Not found: `{named}`")
        });
    }

    fn container(&mut self, container: &Container, path: &str, containers: &[&str], volumes: &BTreeSet<&str>) {
        self.unless(is_label(&container.name), &format!("{path}.name"), || {
            format!("Invalid value: `{}`: not a DNS label", container.name)
        });
        let image = container.image.as_deref().unwrap_or_default();
        self.unless(!image.is_empty(), &format!("{path}.image"), || "Required value".to_owned());
        self.unless(image.trim() == image, &format!("{path}.image"), || {
            format!("Invalid value: `{image}`: must not have leading or trailing blanks")
        });
        let policies = ["Always", "IfNotPresent", "Never"];
        self.one_of(&container.image_pull_policy, &format!("{path}.imagePullPolicy"), &policies);
        let policies = ["File", "FallbackToLogsOnError"];
        self.one_of(&container.termination_message_policy, &format!("{path}.terminationMessagePolicy"), &policies);
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let path = format!("{path}.env[{index}]");
            let is_name = env::file::is_name(&variable.name);
            self.unless(is_name, &format!("{path}.name"), || format!("Invalid value: `{}`", variable.name));
            let literal = variable.value.as_deref().is_some_and(|value| !value.is_empty());
            self.unless(!(literal && variable.value_from.is_some()), &format!("{path}.valueFrom"), || {
                "Invalid value: may not be specified when `value` is not empty".to_owned()
            });
            let from = variable.value_from.as_ref();
            self.unless(from.is_none_or(|from| sources_of(from) == 1), &format!("{path}.valueFrom"), || {
                "Invalid value: must specify exactly one source".to_owned()
            });
            if let Some(field) = from.and_then(|from| from.field_ref.as_ref()) {
                let field = field.field_path.as_str();
                self.unless(env::is_field(field), &format!("{path}.valueFrom.fieldRef.fieldPath"), || {
                    format!("Unsupported value: `{field}`")
                });
            }
            if let Some(of) = from.and_then(|from| from.resource_field_ref.as_ref()) {
                self.resource_field(of, &format!("{path}.valueFrom.resourceFieldRef"), containers);
            }
            if let Some(file) = from.and_then(|from| from.file_key_ref.as_ref()) {
                self.file_key(file, &format!("{path}.valueFrom.fileKeyRef"), volumes);
            }
        }
        self.mounts(container, path, volumes);
        self.security(container, path);
        if let Some(resources) = &container.resources {
            self.resources(resources, &format!("{path}.resources"));
        }
        self.probe(&container.startup_probe, &format!("{path}.startupProbe"), container, false);
        self.probe(&container.liveness_probe, &format!("{path}.livenessProbe"), container, false);
        self.probe(&container.readiness_probe, &format!("{path}.readinessProbe"), container, true);
    }

    fn resources(&mut self, resources: &ResourceRequirements, path: &str) {
        let lists = [("limits", &resources.limits), ("requests", &resources.requests)];
        for (list, quantities) in lists {
            for (resource, quantity) in quantities.iter().flatten() {
                let is_valid = Quantity::parse(&quantity.0).is_some_and(|quantity| quantity.milli() >= 0);
                self.unless(is_valid, &format!("{path}.{list}[{resource}]"), || {
                    format!("Invalid value: `{}`: not a quantity", quantity.0)
                });
            }
        }
        for (resource, limit) in resources.limits.iter().flatten() {
            let request = resources.requests.as_ref().and_then(|requests| requests.get(resource));
            let (request, limit) = (request.and_then(|request| Quantity::parse(&request.0)), Quantity::parse(&limit.0));
            if let (Some(request), Some(limit)) = (request, limit) {
                self.unless(request <= limit, &format!("{path}.requests[{resource}]"), || {
                    "Invalid value: must be less than or equal to the limit".to_owned()
                });
            }
        }
    }

    fn probe(&mut self, probe: &Option<Probe>, path: &str, container: &Container, is_readiness: bool) {
        let Some(probe) = probe else { return };
        let handlers =
            [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
        let count = handlers.into_iter().filter(|is_set| *is_set).count();
        self.unless(count == 1, path, || "Required value: must specify exactly one handler".to_owned());
        let numbers = [
            ("initialDelaySeconds", probe.initial_delay_seconds, 0),
            ("timeoutSeconds", probe.timeout_seconds, 1),
            ("periodSeconds", probe.period_seconds, 1),
            ("successThreshold", probe.success_threshold, 1),
            ("failureThreshold", probe.failure_threshold, 1),
        ];
        for (field, value, least) in numbers {
            self.unless(value.is_none_or(|value| value >= least), &format!("{path}.{field}"), || {
                format!("Invalid value: must be at least {least}")
            });
        }
        if is_readiness {
            self.unless(
                probe.termination_grace_period_seconds.is_none(),
                &format!("{path}.terminationGracePeriodSeconds"),
                || "Invalid value: must not be set for readiness probes".to_owned(),
            );
        } else {
            self.unless(
                probe.success_threshold.is_none_or(|count| count == 1),
                &format!("{path}.successThreshold"),
                || "Invalid value: must be 1".to_owned(),
            );
            let grace = probe.termination_grace_period_seconds;
            self.unless(grace.is_none_or(|grace| grace >= 1), &format!("{path}.terminationGracePeriodSeconds"), || {
                "Invalid value: must be at least 1".to_owned()
            });
        }
        if let Some(http) = &probe.http_get {
            self.one_of(&http.scheme, &format!("{path}.httpGet.scheme"), &["HTTP", "HTTPS"]);
            self.port(&http.port, &format!("{path}.httpGet.port"), container);
        }
        if let Some(tcp) = &probe.tcp_socket {
            self.port(&tcp.port, &format!("{path}.tcpSocket.port"), container);
        }
        if let Some(grpc) = &probe.grpc {
            self.port(&IntOrString::Int(grpc.port), &format!("{path}.grpc.port"), container);
        }
        if let Some(exec) = &probe.exec {
            let is_empty = exec.command.as_ref().is_none_or(Vec::is_empty);
            self.unless(!is_empty, &format!("{path}.exec.command"), || "Required value".to_owned());
        }
    }

    /// The kubelet takes an unknown port name and fails every probe; a probe that can never succeed is told here.
    fn port(&mut self, port: &IntOrString, path: &str, container: &Container) {
        match port {
            IntOrString::Int(number) => self.unless((1..=65535).contains(number), path, || {
                format!("Invalid value: {number}: must be between 1 and 65535")
            }),
            IntOrString::String(name) => {
                let is_known = name.parse::<u16>().is_ok_and(|number| number > 0)
                    || container.ports.iter().flatten().any(|port| port.name.as_deref() == Some(name.as_str()));
                self.unless(is_known, path, || format!("Not found: the container has no port named `{name}`"));
            }
        }
    }
}

#[cfg(test)]
mod tests;

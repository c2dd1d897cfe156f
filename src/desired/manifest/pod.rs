//! The values of one static pod, in the words of its template.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};
use serde::Serialize;

use super::Component;
use super::rootless::{self, Security};
use super::volume::Volume;
use crate::config::Config;
use crate::config::facts::Facts;

/// Above every pod that a user can make.
const PRIORITY: i64 = 2_000_001_000;
/// The name of the probed port, where it has one.
const PROBE_PORT: &str = "probe-port";
/// Seconds between two startup probes.
const STARTUP_PERIOD: u64 = 10;

#[derive(Debug, Serialize)]
pub(super) struct StaticPod {
    #[serde(skip)]
    pub(super) component: Component,
    name: &'static str,
    annotation: Option<Annotation>,
    creation_timestamp: bool,
    command: Vec<String>,
    env: Vec<Variable>,
    image: String,
    probes: Probes,
    ports: Option<ContainerPort>,
    requests: Vec<Request>,
    priority: Option<i64>,
    seccomp_profile: Option<&'static str>,
    rootless: Option<Security>,
    mounts: Vec<Volume>,
    volumes: Vec<Volume>,
}

#[derive(Debug, Serialize)]
struct Annotation {
    key: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<EnvVarSource>,
}

#[derive(Debug, Serialize)]
struct ContainerPort {
    container_port: u16,
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct Request {
    resource: &'static str,
    quantity: &'static str,
}

#[derive(Debug, Serialize)]
struct Probes {
    host: Option<String>,
    scheme: &'static str,
    port: Port,
    liveness: &'static str,
    readiness: Option<&'static str>,
    startup: &'static str,
    startup_failures: u64,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Port {
    Name(&'static str),
    Number(u16),
}

/// Where a component answers, and at which paths.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// `None` means the pod's own address.
    pub(super) host: Option<String>,
    pub(super) scheme: &'static str,
    pub(super) port: u16,
    pub(super) liveness: &'static str,
    pub(super) readiness: Option<&'static str>,
    pub(super) startup: &'static str,
}

/// What differs between the components.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) component: Component,
    pub(super) annotation: Option<(&'static str, String)>,
    pub(super) command: Vec<String>,
    pub(super) env: Vec<EnvVar>,
    pub(super) endpoint: Endpoint,
    pub(super) requests: Vec<(&'static str, &'static str)>,
    pub(super) mounts: Vec<Volume>,
    pub(super) volumes: Vec<Volume>,
}

impl StaticPod {
    pub(super) fn new(config: &Config, facts: &Facts, parts: Parts) -> Self {
        let version = &config.kubernetes_version;
        let identities = facts.identities.as_ref().filter(|_| config.rootless());
        let Parts { component, annotation, command, env, endpoint, requests, mounts, volumes } = parts;
        let named_port = version.has_named_probe_port();
        StaticPod {
            component,
            name: component.name(),
            annotation: annotation.map(|(key, value)| Annotation { key, value }),
            creation_timestamp: version.has_null_creation_timestamp(),
            command,
            env: env
                .into_iter()
                .map(|EnvVar { name, value, value_from }| Variable { name, value, value_from })
                .collect(),
            image: super::image(config, component),
            probes: Probes {
                host: endpoint.host,
                scheme: endpoint.scheme,
                port: if named_port { Port::Name(PROBE_PORT) } else { Port::Number(endpoint.port) },
                liveness: endpoint.liveness,
                readiness: endpoint.readiness,
                startup: endpoint.startup,
                startup_failures: startup_failures(config.timeouts.control_plane_component_health_check),
            },
            ports: named_port.then_some(ContainerPort { container_port: endpoint.port, name: PROBE_PORT }),
            requests: requests.into_iter().map(|(resource, quantity)| Request { resource, quantity }).collect(),
            priority: version.has_numeric_priority().then_some(PRIORITY),
            seccomp_profile: version.has_seccomp_profile().then_some("RuntimeDefault"),
            rootless: identities.and_then(|identities| rootless::security(component, identities)),
            mounts,
            volumes,
        }
    }
}

/// As many probes as the timeout has room for, the last one begun included.
fn startup_failures(timeout: Duration) -> u64 {
    let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    seconds.div_ceil(STARTUP_PERIOD).max(1)
}

/// The environment of a component: the host's proxy variables and the user's over them, sorted by name [3.1].
pub(super) fn environment(facts: &Facts, extra: &[EnvVar]) -> Vec<EnvVar> {
    merged_environment(proxy_environment(facts), extra)
}

/// One variable of each name, the last one, sorted by name.
pub(super) fn merged_environment(defaults: Vec<EnvVar>, extra: &[EnvVar]) -> Vec<EnvVar> {
    let all = defaults.into_iter().chain(extra.iter().cloned());
    let by_name: BTreeMap<String, EnvVar> = all.map(|variable| (variable.name.clone(), variable)).collect();
    by_name.into_values().collect()
}

/// The node's variables about HTTP proxies, sorted by name, for a pod that may have to go through one.
pub fn proxy_environment(facts: &Facts) -> Vec<EnvVar> {
    let variable =
        |(name, value): &(String, String)| EnvVar { name: name.clone(), value: Some(value.clone()), value_from: None };
    merged_environment(facts.proxy_environment.iter().map(variable).collect(), &[])
}

/// The host of a component that listens on `127.0.0.1` unless its `bind-address` says otherwise; an unspecified
/// address, in its usual form, is the pod's own.
pub(super) fn bind_host(bind_address: Option<&str>) -> Option<String> {
    let address = bind_address.unwrap_or("127.0.0.1");
    (!["", "0.0.0.0", "::"].contains(&address)).then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_probes_cover_the_timeout() {
        for (millis, failures) in [(240_000, 24), (241_000, 25), (10_001, 2), (10_000, 1), (1, 1)] {
            assert_eq!(startup_failures(Duration::from_millis(millis)), failures);
        }
    }

    #[test]
    fn unspecified_addresses_are_the_pods_own() {
        assert_eq!(bind_host(None).as_deref(), Some("127.0.0.1"));
        assert_eq!(bind_host(Some("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(bind_host(Some("0.0.0.0")), None);
        assert_eq!(bind_host(Some("::")), None);
    }
}

//! PURE: from the API's types, defaulted and validated, to the runner's own.
//!
//! Nothing is decided here that a manifest could get wrong without `validate` or `unsupported` having told it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::object::{CONFIG_HASH, CONFIG_SOURCE, Identity, Object, source_word};
use super::placement::Placement;
use super::quantity::Quantity;
use super::{
    Check, Container, ContainerKind, DnsOption, DnsPolicy, EnvValue, EnvVar, Hook, HostAlias, HostPathType, HttpGet,
    Medium, Pod, PodDns, PodNetwork, Probe, ResourceRequirements, RestartAction, RestartPolicy, RestartRule, SubPath,
    TerminationMessage, Volume, VolumeFile, VolumeMount, VolumeSource,
};
use crate::error::{Context, Result};
use crate::image::policy::PullPolicy;
use crate::runner::hostname;
use crate::runner::runtime::{PortMapping, Propagation, Protocol, SeccompProfile, SecurityContext};
use crate::runner::source::Origin;

pub(super) fn pod(pod: &api::Pod, spec: &api::PodSpec, revision: String, node: &str, source: &Origin) -> Result<Pod> {
    let uid = pod.metadata.uid.clone().filter(|uid| !uid.is_empty()).unwrap_or_else(|| revision.clone());
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    annotations.insert(CONFIG_HASH.to_owned(), uid.clone());
    annotations.insert(CONFIG_SOURCE.to_owned(), source_word(source.kind()).to_owned());
    let object = Object::new(pod, Identity { uid: &uid, node, source: source.kind() })?;
    let init = spec.init_containers.iter().flatten().map(|own| match own.restart_policy.as_deref() {
        Some("Always") => container(own, spec, ContainerKind::Sidecar),
        _ => container(own, spec, ContainerKind::Init),
    });
    let containers = init.chain(spec.containers.iter().map(|own| container(own, spec, ContainerKind::Regular)));
    Ok(Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        uid,
        revision,
        source: source.clone(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        annotations,
        host_pid: spec.host_pid == Some(true),
        host_ipc: spec.host_ipc == Some(true),
        share_process: spec.share_process_namespace == Some(true),
        network: network(pod, spec),
        sysctls: sysctls(spec),
        restart_policy: restart_policy(spec.restart_policy.as_deref().unwrap_or_default()),
        grace: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
        active_deadline: spec.active_deadline_seconds.map(seconds),
        node_critical: spec.priority_class_name.as_deref() == Some("system-node-critical"),
        dns: dns(spec),
        host_aliases: spec.host_aliases.iter().flatten().map(host_alias).collect(),
        fs_group: spec.security_context.as_ref().and_then(|context| context.fs_group),
        volumes: spec.volumes.iter().flatten().filter_map(volume).collect(),
        placement: Placement::of(spec),
        containers: containers.collect::<Result<_>>()?,
        remarks: Vec::new(),
        object: Some(object),
    })
}

fn network(pod: &api::Pod, spec: &api::PodSpec) -> Option<PodNetwork> {
    if spec.host_network == Some(true) {
        return None;
    }
    let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    let overriding = name(&spec.hostname_override);
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    Some(PodNetwork {
        ports: sidecars
            .chain(&spec.containers)
            .flat_map(|own| own.ports.iter().flatten().filter_map(port_mapping))
            .collect(),
        subdomain: name(&spec.subdomain).filter(|_| overriding.is_none()),
        hostname: overriding.or(name(&spec.hostname)).unwrap_or_else(|| hostname::truncated(own)),
        is_qualified: spec.set_hostname_as_fqdn == Some(true),
    })
}

fn port_mapping(port: &api::ContainerPort) -> Option<PortMapping> {
    Some(PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
        container_port: u16::try_from(port.container_port).ok()?,
        host_port: u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?,
        host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
    })
}

fn sysctls(spec: &api::PodSpec) -> BTreeMap<String, String> {
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    sysctls.map(|sysctl| (super::sysctls::canonical(&sysctl.name), sysctl.value.clone())).collect()
}

fn restart_policy(name: &str) -> RestartPolicy {
    match name {
        "Never" => RestartPolicy::Never,
        "OnFailure" => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

fn restart_rule(rule: &api::ContainerRestartRule) -> Option<RestartRule> {
    let codes = rule.exit_codes.as_ref()?;
    let action = match rule.action.as_str() {
        "RestartAllContainers" => RestartAction::RestartAllContainers,
        _ => RestartAction::Restart,
    };
    let values = codes.values.clone().unwrap_or_default();
    Some(RestartRule { action, codes: values, holds_within: codes.operator == "In" })
}

fn seconds(seconds: impl TryInto<u64>) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

/// `None`: as the node does.
fn dns(spec: &api::PodSpec) -> Option<PodDns> {
    let policy = match spec.dns_policy.as_deref() {
        Some("None") => DnsPolicy::None,
        Some("ClusterFirstWithHostNet") => DnsPolicy::Cluster,
        Some("ClusterFirst") if spec.host_network != Some(true) => DnsPolicy::Cluster,
        _ => DnsPolicy::Node,
    };
    if policy == DnsPolicy::Node && spec.dns_config.is_none() {
        return None;
    }
    let config = spec.dns_config.clone().unwrap_or_default();
    let options = config.options.into_iter().flatten();
    Some(PodDns {
        policy,
        servers: config.nameservers.unwrap_or_default(),
        searches: config.searches.unwrap_or_default(),
        options: options
            .map(|option| DnsOption { name: option.name.unwrap_or_default(), value: option.value })
            .collect(),
    })
}

fn host_alias(alias: &api::HostAlias) -> HostAlias {
    HostAlias { ip: alias.ip.clone(), names: alias.hostnames.clone().unwrap_or_default() }
}

fn volume(volume: &api::Volume) -> Option<Volume> {
    let source = if let Some(host_path) = &volume.host_path {
        let kind = HostPathType::named(host_path.type_.as_deref().unwrap_or_default())?;
        VolumeSource::HostPath { path: PathBuf::from(&host_path.path), kind }
    } else if let Some(empty_dir) = &volume.empty_dir {
        let size_limit = empty_dir.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0));
        VolumeSource::EmptyDir {
            medium: Medium::named(empty_dir.medium.as_deref().unwrap_or_default())?,
            size_limit: size_limit.map(Quantity::value),
        }
    } else if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode;
        VolumeSource::DownwardApi { files: downward.items.iter().flatten().map(|item| file(item, mode)).collect() }
    } else if let Some(image) = &volume.image {
        let pull = pull_policy(image.pull_policy.as_deref());
        VolumeSource::Image { image: image.reference.clone().unwrap_or_default(), pull }
    } else {
        let projected = volume.projected.as_ref()?;
        let sources = projected.sources.iter().flatten().filter_map(|source| source.downward_api.as_ref());
        let items = sources.flat_map(|downward| downward.items.iter().flatten());
        VolumeSource::DownwardApi { files: items.map(|item| file(item, projected.default_mode)).collect() }
    };
    Some(Volume { name: volume.name.clone(), source })
}

fn file(item: &api::DownwardAPIVolumeFile, default_mode: Option<i32>) -> VolumeFile {
    let value = match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), _) => EnvValue::Field(field.field_path.clone()),
        (None, Some(resource)) => resource_value(resource, ""),
        (None, None) => EnvValue::Literal(String::new()),
    };
    let mode = item.mode.or(default_mode).and_then(|mode| u32::try_from(mode).ok());
    VolumeFile { path: PathBuf::from(&item.path), value, mode: mode.unwrap_or(0o644) }
}

/// `container` is meant where the manifest names none.
fn resource_value(resource: &api::ResourceFieldSelector, container: &str) -> EnvValue {
    let of = resource.container_name.clone().filter(|name| !name.is_empty());
    EnvValue::Resource {
        container: of.unwrap_or_else(|| container.to_owned()),
        resource: resource.resource.clone(),
        divisor: resource.divisor.as_ref().map(|divisor| divisor.0.clone()).unwrap_or_default(),
    }
}

fn container(container: &api::Container, spec: &api::PodSpec, kind: ContainerKind) -> Result<Container> {
    let hook = |hook: fn(&api::Lifecycle) -> Option<&api::LifecycleHandler>| {
        container.lifecycle.as_ref().and_then(hook).map(|hook| self::hook(hook, container)).transpose()
    };
    let probe = |probe: &Option<api::Probe>| probe.as_ref().map(|probe| self::probe(probe, container)).transpose();
    Ok(Container {
        name: container.name.clone(),
        kind,
        restart_policy: container.restart_policy.as_deref().map(restart_policy),
        restart_rules: container.restart_policy_rules.iter().flatten().filter_map(restart_rule).collect(),
        post_start: hook(|lifecycle| lifecycle.post_start.as_ref())?,
        pre_stop: hook(|lifecycle| lifecycle.pre_stop.as_ref())?,
        image: container.image.clone().unwrap_or_default(),
        pull: pull_policy(container.image_pull_policy.as_deref()),
        command: container.command.clone().unwrap_or_default(),
        args: container.args.clone().unwrap_or_default(),
        working_dir: container.working_dir.clone().filter(|directory| !directory.is_empty()),
        env: container.env.iter().flatten().map(|variable| env(variable, container)).collect(),
        mounts: container.volume_mounts.iter().flatten().map(mount).collect(),
        resources: container.resources.as_ref().map(resources).unwrap_or_default(),
        security: security(container.security_context.as_ref(), spec.security_context.as_ref()),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        termination_message: container.termination_message_path.as_ref().filter(|path| !path.is_empty()).map(|path| {
            TerminationMessage {
                path: PathBuf::from(path),
                fallback_to_logs: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
            }
        }),
        startup: probe(&container.startup_probe)?,
        liveness: probe(&container.liveness_probe)?,
        readiness: probe(&container.readiness_probe)?,
    })
}

fn pull_policy(name: Option<&str>) -> PullPolicy {
    match name {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

fn env(variable: &api::EnvVar, container: &api::Container) -> EnvVar {
    let from = variable.value_from.as_ref();
    let value = if let Some(field) = from.and_then(|from| from.field_ref.as_ref()) {
        EnvValue::Field(field.field_path.clone())
    } else if let Some(resource) = from.and_then(|from| from.resource_field_ref.as_ref()) {
        resource_value(resource, &container.name)
    } else if let Some(file) = from.and_then(|from| from.file_key_ref.as_ref()) {
        EnvValue::FileKey {
            volume: file.volume_name.clone(),
            path: PathBuf::from(&file.path),
            key: file.key.clone(),
            optional: file.optional == Some(true),
        }
    } else {
        EnvValue::Literal(variable.value.clone().unwrap_or_default())
    };
    EnvVar { name: variable.name.clone(), value }
}

fn mount(mount: &api::VolumeMount) -> VolumeMount {
    VolumeMount {
        volume: mount.name.clone(),
        // a relative mount path starts at the container's root
        path: Path::new("/").join(&mount.mount_path),
        read_only: mount.read_only == Some(true),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
        sub_path: match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(SubPath::Plain(path.clone())),
            (_, Some(text)) if !text.is_empty() => Some(SubPath::Expression(text.clone())),
            _ => None,
        },
    }
}

fn resources(resources: &api::ResourceRequirements) -> ResourceRequirements {
    fn named(list: &Option<BTreeMap<String, ApiQuantity>>, resource: &str) -> Option<Quantity> {
        Quantity::parse(&list.as_ref()?.get(resource)?.0)
    }
    ResourceRequirements {
        cpu_request: named(&resources.requests, "cpu").map(Quantity::milli),
        cpu_limit: named(&resources.limits, "cpu").map(Quantity::milli),
        memory_request: named(&resources.requests, "memory").map(Quantity::value),
        memory_limit: named(&resources.limits, "memory").map(Quantity::value),
    }
}

/// The container's settings win over the pod's [3.77]; a privileged container is never confined [3.75].
fn security(own: Option<&api::SecurityContext>, pod: Option<&api::PodSecurityContext>) -> SecurityContext {
    let privileged = own.is_some_and(|own| own.privileged == Some(true));
    let capabilities = own.and_then(|own| own.capabilities.as_ref());
    let list = |names: Option<&Vec<String>>| -> Vec<String> {
        let plain = |name: &String| {
            let upper = name.to_uppercase();
            upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
        };
        names.into_iter().flatten().map(plain).collect()
    };
    let profile =
        own.and_then(|own| own.seccomp_profile.as_ref()).or_else(|| pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    let mut groups = pod.and_then(|pod| pod.supplemental_groups.clone()).unwrap_or_default();
    groups.extend(pod.and_then(|pod| pod.fs_group));
    SecurityContext {
        privileged,
        add_capabilities: list(capabilities.and_then(|capabilities| capabilities.add.as_ref())),
        drop_capabilities: list(capabilities.and_then(|capabilities| capabilities.drop.as_ref())),
        run_as_user: own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user)),
        run_as_group: own.and_then(|own| own.run_as_group).or_else(|| pod.and_then(|pod| pod.run_as_group)),
        supplemental_groups: groups,
        strict_groups: pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict"),
        run_as_non_root: own
            .and_then(|own| own.run_as_non_root)
            .or_else(|| pod.and_then(|pod| pod.run_as_non_root))
            .unwrap_or(false),
        read_only_root_filesystem: own.is_some_and(|own| own.read_only_root_filesystem == Some(true)),
        no_new_privileges: own.is_some_and(|own| own.allow_privilege_escalation == Some(false)),
        // refused by validation: it needs a user namespace
        unmasked_proc: false,
        seccomp: match profile.map(|profile| (profile.type_.as_str(), &profile.localhost_profile)) {
            None => SeccompProfile::Unspecified,
            Some(("RuntimeDefault", _)) => SeccompProfile::RuntimeDefault,
            Some(("Localhost", Some(path))) => SeccompProfile::Localhost(path.into()),
            Some(_) => SeccompProfile::Unconfined,
        },
    }
}

/// Every field by name: one that a later API adds is not passed over.
fn probe(probe: &api::Probe, container: &api::Container) -> Result<Probe> {
    let api::Probe {
        exec,
        failure_threshold,
        grpc,
        http_get,
        initial_delay_seconds,
        period_seconds,
        success_threshold,
        tcp_socket,
        termination_grace_period_seconds,
        timeout_seconds,
    } = probe;
    let check = if let Some(http) = http_get {
        Check::Http(self::http_get(http, container)?)
    } else if let Some(tcp) = tcp_socket {
        Check::Tcp { host: tcp.host.clone().unwrap_or_default(), port: port(&tcp.port, container)? }
    } else if let Some(grpc) = grpc {
        let port = port(&IntOrString::Int(grpc.port), container)?;
        Check::Grpc { port, service: grpc.service.clone().unwrap_or_default() }
    } else {
        let exec = exec.as_ref().context("a probe without a handler")?;
        Check::Exec { command: exec.command.clone().unwrap_or_default() }
    };
    Ok(Probe {
        check,
        initial_delay: seconds(initial_delay_seconds.unwrap_or(0)),
        period: seconds(period_seconds.unwrap_or(10)),
        timeout: seconds(timeout_seconds.unwrap_or(1)),
        success_threshold: success_threshold.unwrap_or(1).unsigned_abs(),
        failure_threshold: failure_threshold.unwrap_or(3).unsigned_abs(),
        grace: termination_grace_period_seconds.map(seconds),
    })
}

fn http_get(get: &api::HTTPGetAction, container: &api::Container) -> Result<HttpGet> {
    let headers = get.http_headers.iter().flatten();
    Ok(HttpGet {
        https: get.scheme.as_deref() == Some("HTTPS"),
        host: get.host.clone().unwrap_or_default(),
        port: port(&get.port, container)?,
        path: get.path.clone().unwrap_or_default(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

fn hook(hook: &api::LifecycleHandler, container: &api::Container) -> Result<Hook> {
    if let Some(get) = &hook.http_get {
        return http_get(get, container).map(Hook::Http);
    }
    if let Some(sleep) = &hook.sleep {
        return Ok(Hook::Sleep(seconds(sleep.seconds)));
    }
    let exec = hook.exec.as_ref().context("a hook without a handler")?;
    Ok(Hook::Exec { command: exec.command.clone().unwrap_or_default() })
}

fn port(port: &IntOrString, container: &api::Container) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name.as_str()))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number.and_then(|number| u16::try_from(number).ok()).with_context(|| format!("no port `{port:?}`"))
}

//! PURE: the defaults that the API applies while it decodes a pod [1.F], as far as they matter on a node.
//!
//! They come before the hash, so that a manifest that spells a default out is the same pod as one that does not.

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, HTTPGetAction, Pod, Probe, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

pub(crate) fn apply(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    spec.restart_policy.get_or_insert_with(|| "Always".to_owned());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".to_owned());
    spec.scheduler_name.get_or_insert_with(|| "default-scheduler".to_owned());
    spec.enable_service_links.get_or_insert(true);
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.host_network.get_or_insert(false);
    spec.host_pid.get_or_insert(false);
    spec.host_ipc.get_or_insert(false);
    let host_network = spec.host_network == Some(true);
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        default_container(container, host_network);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        default_volume(volume);
        if let Some(host_path) = &mut volume.host_path {
            host_path.type_.get_or_insert_default();
        }
    }
}

/// A volume without any source is an emptyDir [1.54].
fn default_volume(volume: &mut Volume) {
    let bare = Volume { name: volume.name.clone(), ..Volume::default() };
    if *volume == bare {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(image) = &mut volume.image {
        let reference = image.reference.as_deref().unwrap_or_default();
        image.pull_policy.get_or_insert_with(|| pull_policy(reference).to_owned());
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(0o644);
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(0o644);
    }
}

fn default_container(container: &mut Container, host_network: bool) {
    container.termination_message_path.get_or_insert_with(|| "/dev/termination-log".to_owned());
    container.termination_message_policy.get_or_insert_with(|| "File".to_owned());
    let image = container.image.as_deref().unwrap_or_default();
    container.image_pull_policy.get_or_insert_with(|| pull_policy(image).to_owned());
    for port in container.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
        if host_network && port.host_port.unwrap_or(0) == 0 {
            port.host_port = Some(port.container_port);
        }
    }
    if let Some(resources) = &mut container.resources
        && let Some(limits) = &resources.limits
    {
        let requests = resources.requests.get_or_insert_default();
        for (resource, limit) in limits {
            requests.entry(resource.clone()).or_insert_with(|| Quantity(limit.0.clone()));
        }
    }
    for variable in container.env.iter_mut().flatten() {
        if let Some(field) = variable.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
            field.api_version.get_or_insert_with(|| "v1".to_owned());
        }
    }
    if let Some(lifecycle) = &mut container.lifecycle {
        for hook in [&mut lifecycle.post_start, &mut lifecycle.pre_stop] {
            hook.iter_mut().filter_map(|hook| hook.http_get.as_mut()).for_each(default_http_get);
        }
    }
    for probe in [&mut container.startup_probe, &mut container.liveness_probe, &mut container.readiness_probe] {
        probe.iter_mut().for_each(default_probe);
    }
}

/// `Always` for `latest`, written or not; `IfNotPresent` for every other tag and for digests [1.50].
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once('@') {
        Some(_) => "IfNotPresent",
        None => match name.split_once(':') {
            Some((_, tag)) if tag != "latest" => "IfNotPresent",
            _ => "Always",
        },
    }
}

fn default_probe(probe: &mut Probe) {
    fn unless_set(field: &mut Option<i32>, default: i32) {
        if field.unwrap_or(0) == 0 {
            *field = Some(default);
        }
    }
    unless_set(&mut probe.timeout_seconds, 1);
    unless_set(&mut probe.period_seconds, 10);
    unless_set(&mut probe.success_threshold, 1);
    unless_set(&mut probe.failure_threshold, 3);
    probe.initial_delay_seconds.get_or_insert(0);
    probe.http_get.iter_mut().for_each(default_http_get);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn default_http_get(get: &mut HTTPGetAction) {
    if get.path.as_deref().unwrap_or_default().is_empty() {
        get.path = Some("/".to_owned());
    }
    get.scheme.get_or_insert_with(|| "HTTP".to_owned());
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn only_latest_is_always_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("localhost:5000/nginx", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("localhost:5000/nginx:1.27", "IfNotPresent"),
            ("nginx@sha256:00", "IfNotPresent"),
            ("nginx:latest@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}

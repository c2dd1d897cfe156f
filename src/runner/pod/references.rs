//! PURE: references to API objects, which a static pod may not have [1.H].
//!
//! The words and their order are the kubelet's; only the first reference is told. A reference with an empty name is
//! none, whatever holds it; a volume that is made of an object counts by its kind then [1.70, 1.71].

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodSpec, Volume, VolumeProjection};

/// The resource that the pod refers to, or `None`. `Err`: a volume is of no kind that anybody knows.
pub(crate) fn first(spec: &PodSpec) -> Result<Option<&'static str>, String> {
    if named(&spec.service_account_name) || named(&spec.service_account) {
        return Ok(Some("serviceaccounts"));
    }
    let volumes = || spec.volumes.iter().flatten();
    let pull_secrets = spec.image_pull_secrets.iter().flatten();
    if pull_secrets.into_iter().any(|secret| !secret.name.is_empty())
        || refers_to(spec, Kind::Secret)
        || volumes().any(has_secret)
    {
        return Ok(Some("secrets"));
    }
    if refers_to(spec, Kind::ConfigMap) || volumes().any(has_config_map) {
        return Ok(Some("configmaps"));
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Ok(Some("resourceclaims"));
    }
    for volume in volumes() {
        if let Some(resource) = by_volume(volume)? {
            return Ok(Some(resource));
        }
    }
    Ok(None)
}

#[derive(Clone, Copy)]
enum Kind {
    Secret,
    ConfigMap,
}

fn named(name: &Option<String>) -> bool {
    name.as_deref().is_some_and(|name| !name.is_empty())
}

/// Any container of the pod does, of any kind.
fn refers_to(spec: &PodSpec, kind: Kind) -> bool {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    containers
        .map(|container| (&container.env, &container.env_from))
        .chain(ephemeral.map(|container| (&container.env, &container.env_from)))
        .any(|(env, from)| {
            env.iter().flatten().any(|variable| variable_refers_to(variable, kind))
                || from.iter().flatten().any(|source| source_refers_to(source, kind))
        })
}

fn source_refers_to(source: &EnvFromSource, kind: Kind) -> bool {
    match kind {
        Kind::Secret => source.secret_ref.as_ref().is_some_and(|secret| !secret.name.is_empty()),
        Kind::ConfigMap => source.config_map_ref.as_ref().is_some_and(|map| !map.name.is_empty()),
    }
}

fn variable_refers_to(variable: &EnvVar, kind: Kind) -> bool {
    let Some(source) = &variable.value_from else { return false };
    match kind {
        Kind::Secret => source.secret_key_ref.as_ref().is_some_and(|secret| !secret.name.is_empty()),
        Kind::ConfigMap => source.config_map_key_ref.as_ref().is_some_and(|map| !map.name.is_empty()),
    }
}

fn has_secret(volume: &Volume) -> bool {
    volume.secret.as_ref().is_some_and(|source| named(&source.secret_name))
        || projections(volume)
            .any(|projection| projection.secret.as_ref().is_some_and(|secret| !secret.name.is_empty()))
        || volume.azure_file.as_ref().is_some_and(|source| !source.secret_name.is_empty())
        || volume.scale_io.as_ref().is_some_and(|source| !source.secret_ref.name.is_empty())
        || [
            volume.cephfs.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.cinder.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.flex_volume.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.rbd.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.iscsi.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.storageos.as_ref().and_then(|source| source.secret_ref.as_ref()),
            volume.csi.as_ref().and_then(|source| source.node_publish_secret_ref.as_ref()),
        ]
        .into_iter()
        .flatten()
        .any(|secret| !secret.name.is_empty())
}

fn has_config_map(volume: &Volume) -> bool {
    volume.config_map.as_ref().is_some_and(|map| !map.name.is_empty())
        || projections(volume).any(|projection| projection.config_map.as_ref().is_some_and(|map| !map.name.is_empty()))
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

/// What a volume of this kind refers to, be it by name or not.
fn by_volume(volume: &Volume) -> Result<Option<&'static str>, String> {
    for (is_set, resource) in [
        (volume.config_map.is_some(), "configmaps (via configmap volumes)"),
        (volume.secret.is_some(), "secrets (via secret volumes)"),
        (volume.csi.is_some(), "csidrivers (via CSI volumes)"),
        (volume.glusterfs.is_some(), "endpoints (via glusterFS volumes)"),
        (volume.persistent_volume_claim.is_some(), "persistentvolumeclaims"),
        (volume.ephemeral.is_some(), "persistentvolumeclaims (via ephemeral volumes)"),
        (volume.azure_file.is_some(), "secrets (via azureFile volumes)"),
    ] {
        if is_set {
            return Ok(Some(resource));
        }
    }
    for projection in projections(volume) {
        if let Some(resource) = by_projection(projection, &volume.name)? {
            return Ok(Some(resource));
        }
    }
    if *volume == (Volume { name: volume.name.clone(), ..Volume::default() }) {
        return Err(format!("unknown volume type for volume  {:?}", volume.name));
    }
    Ok(None)
}

fn by_projection(projection: &VolumeProjection, volume: &str) -> Result<Option<&'static str>, String> {
    for (is_set, resource) in [
        (projection.config_map.is_some(), Some("configmaps (via projected volumes)")),
        (projection.secret.is_some(), Some("secrets (via projected volumes)")),
        (projection.service_account_token.is_some(), Some("serviceaccounts (via projected volumes)")),
        (projection.cluster_trust_bundle.is_some(), Some("clustertrustbundles")),
        (projection.pod_certificate.is_some(), Some("podcertificates")),
        (projection.downward_api.is_some(), None),
    ] {
        if is_set {
            return Ok(resource);
        }
    }
    Err(format!("unknown source for projected volume {volume:?}"))
}

#[cfg(test)]
mod tests;

//! PURE: references to API objects, which a static pod may not have [1.H].
//!
//! The words and their order are the kubelet's; only the first reference is told.

use k8s_openapi::api::core::v1::{Container, PodSpec, ProjectedVolumeSource, Volume};

/// The resource that the pod refers to, or `None`.
pub(crate) fn first(spec: &PodSpec) -> Option<&'static str> {
    let named = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    if named(&spec.service_account_name) || named(&spec.service_account) {
        return Some("serviceaccounts");
    }
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let volumes = || spec.volumes.iter().flatten();
    if spec.image_pull_secrets.iter().flatten().any(|secret| !secret.name.is_empty())
        || containers().any(|container| refers_to(container, Kind::Secret))
        || volumes().any(has_secret)
    {
        return Some("secrets");
    }
    if containers().any(|container| refers_to(container, Kind::ConfigMap)) || volumes().any(has_config_map) {
        return Some("configmaps");
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    volumes().find_map(by_volume)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Secret,
    ConfigMap,
}

fn refers_to(container: &Container, kind: Kind) -> bool {
    let from = container.env_from.iter().flatten().any(|source| match kind {
        Kind::Secret => source.secret_ref.as_ref().is_some_and(|secret| !secret.name.is_empty()),
        Kind::ConfigMap => source.config_map_ref.as_ref().is_some_and(|map| !map.name.is_empty()),
    });
    from || container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()).any(
        |source| match kind {
            Kind::Secret => source.secret_key_ref.as_ref().is_some_and(|secret| !secret.name.is_empty()),
            Kind::ConfigMap => source.config_map_key_ref.as_ref().is_some_and(|map| !map.name.is_empty()),
        },
    )
}

fn has_secret(volume: &Volume) -> bool {
    volume.secret.as_ref().is_some_and(|secret| secret.secret_name.is_some())
        || projections(volume).any(|source| source.secret.is_some())
        || volume.azure_file.is_some()
        || volume.cephfs.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.scale_io.is_some()
        || volume.iscsi.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.storageos.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.csi.as_ref().is_some_and(|source| source.node_publish_secret_ref.is_some())
}

fn has_config_map(volume: &Volume) -> bool {
    volume.config_map.as_ref().is_some_and(|map| !map.name.is_empty())
        || projections(volume).any(|source| source.config_map.is_some())
}

fn projections(volume: &Volume) -> impl Iterator<Item = &k8s_openapi::api::core::v1::VolumeProjection> {
    volume.projected.iter().flat_map(|projected: &ProjectedVolumeSource| projected.sources.iter().flatten())
}

fn by_volume(volume: &Volume) -> Option<&'static str> {
    if volume.config_map.is_some() {
        return Some("configmaps (via configmap volumes)");
    }
    if volume.secret.is_some() {
        return Some("secrets (via secret volumes)");
    }
    if volume.csi.is_some() {
        return Some("csidrivers (via CSI volumes)");
    }
    if volume.glusterfs.is_some() {
        return Some("endpoints (via glusterFS volumes)");
    }
    if volume.persistent_volume_claim.is_some() {
        return Some("persistentvolumeclaims");
    }
    if volume.ephemeral.is_some() {
        return Some("persistentvolumeclaims (via ephemeral volumes)");
    }
    projections(volume).find_map(|source| {
        if source.service_account_token.is_some() {
            Some("serviceaccounts (via projected volumes)")
        } else if source.cluster_trust_bundle.is_some() {
            Some("clustertrustbundles")
        } else if source.pod_certificate.is_some() {
            Some("podcertificates")
        } else {
            None
        }
    })
}

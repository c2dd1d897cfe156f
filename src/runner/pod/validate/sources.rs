//! PURE: what a volume is made of: one source, no more [1.67].

use k8s_openapi::api::core::v1::{Volume, VolumeProjection};

use super::Found;

impl Found {
    /// A volume without any source is an emptyDir by now [1.54]. Of several, all but the first are told, in the order
    /// of the API's validation; none is ever ignored.
    pub(super) fn sources(&mut self, volume: &Volume, path: &str) {
        for source in sources_of(volume).into_iter().skip(1) {
            self.add(&format!("{path}.{source}"), "Forbidden: may not specify more than one volume type".to_owned());
        }
        for (index, projection) in volume.projected.iter().flat_map(|own| own.sources.iter().flatten()).enumerate() {
            self.unless(count_of(projection) <= 1, &format!("{path}.projected.sources[{index}]"), || {
                "Forbidden: may not specify more than 1 volume type per source".to_owned()
            });
        }
    }
}

/// As manifests name them.
fn sources_of(volume: &Volume) -> Vec<&'static str> {
    let Volume {
        name: _,
        aws_elastic_block_store,
        azure_disk,
        azure_file,
        cephfs,
        cinder,
        config_map,
        csi,
        downward_api,
        empty_dir,
        ephemeral,
        fc,
        flex_volume,
        flocker,
        gce_persistent_disk,
        git_repo,
        glusterfs,
        host_path,
        image,
        iscsi,
        nfs,
        persistent_volume_claim,
        photon_persistent_disk,
        portworx_volume,
        projected,
        quobyte,
        rbd,
        scale_io,
        secret,
        storageos,
        vsphere_volume,
    } = volume;
    let all = [
        ("emptyDir", empty_dir.is_some()),
        ("hostPath", host_path.is_some()),
        ("gitRepo", git_repo.is_some()),
        ("gcePersistentDisk", gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", aws_elastic_block_store.is_some()),
        ("secret", secret.is_some()),
        ("nfs", nfs.is_some()),
        ("iscsi", iscsi.is_some()),
        ("glusterfs", glusterfs.is_some()),
        ("flocker", flocker.is_some()),
        ("persistentVolumeClaim", persistent_volume_claim.is_some()),
        ("rbd", rbd.is_some()),
        ("cinder", cinder.is_some()),
        ("cephfs", cephfs.is_some()),
        ("quobyte", quobyte.is_some()),
        ("downwardAPI", downward_api.is_some()),
        ("fc", fc.is_some()),
        ("flexVolume", flex_volume.is_some()),
        ("configMap", config_map.is_some()),
        ("azureFile", azure_file.is_some()),
        ("vsphereVolume", vsphere_volume.is_some()),
        ("photonPersistentDisk", photon_persistent_disk.is_some()),
        ("portworxVolume", portworx_volume.is_some()),
        ("azureDisk", azure_disk.is_some()),
        ("storageos", storageos.is_some()),
        ("scaleIO", scale_io.is_some()),
        ("csi", csi.is_some()),
        ("projected", projected.is_some()),
        ("ephemeral", ephemeral.is_some()),
        ("image", image.is_some()),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

fn count_of(projection: &VolumeProjection) -> usize {
    let VolumeProjection {
        cluster_trust_bundle,
        config_map,
        downward_api,
        pod_certificate,
        secret,
        service_account_token,
    } = projection;
    let all = [
        cluster_trust_bundle.is_some(),
        config_map.is_some(),
        downward_api.is_some(),
        pod_certificate.is_some(),
        secret.is_some(),
        service_account_token.is_some(),
    ];
    all.into_iter().filter(|is_set| *is_set).count()
}

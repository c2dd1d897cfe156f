#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::first;

fn of(spec: Value) -> Result<Option<&'static str>, String> {
    let mut whole = json!({"containers": [{"name": "c", "image": "i"}]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    first(&serde_json::from_value(whole).unwrap())
}

fn volume(source: &Value) -> Value {
    let mut volume = json!({"name": "v"});
    volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
    json!({"volumes": [volume]})
}

fn projected(source: &Value) -> Value {
    volume(&json!({"projected": {"sources": [source]}}))
}

/// In a container of one kind.
fn container(kind: &str, fields: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({kind: [container]})
}

/// Case 142 of the reference: every place where a reference can stand, with the word for it [1.70].
#[test]
fn case_142_every_reference_has_its_word() {
    let named = json!({"name": "x"});
    let env = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    let secret_key = env(json!({"secretKeyRef": {"name": "x", "key": "k", "optional": true}}));
    let map_key = env(json!({"configMapKeyRef": {"name": "x", "key": "k", "optional": true}}));
    let from_secret = json!({"envFrom": [{"secretRef": {"name": "x", "optional": true}}]});
    let from_map = json!({"envFrom": [{"configMapRef": {"name": "x"}}]});
    let claims = json!([{"name": "a", "resourceClaimName": "b"}]);
    let token = json!({"serviceAccountToken": {"path": "t"}});
    for (spec, expected) in [
        (json!({}), None),
        (json!({"serviceAccountName": "x"}), Some("serviceaccounts")),
        (json!({"serviceAccount": "x"}), Some("serviceaccounts")),
        (json!({"imagePullSecrets": [named]}), Some("secrets")),
        (container("containers", &from_secret), Some("secrets")),
        (container("initContainers", &from_secret), Some("secrets")),
        (container("ephemeralContainers", &from_secret), Some("secrets")),
        (container("containers", &secret_key), Some("secrets")),
        (container("initContainers", &secret_key), Some("secrets")),
        (container("ephemeralContainers", &secret_key), Some("secrets")),
        (container("containers", &from_map), Some("configmaps")),
        (container("initContainers", &from_map), Some("configmaps")),
        (container("ephemeralContainers", &from_map), Some("configmaps")),
        (container("containers", &map_key), Some("configmaps")),
        (container("initContainers", &map_key), Some("configmaps")),
        (container("ephemeralContainers", &map_key), Some("configmaps")),
        (volume(&json!({"secret": {"secretName": "x", "optional": true}})), Some("secrets")),
        (projected(&json!({"secret": named})), Some("secrets")),
        (volume(&json!({"azureFile": {"secretName": "x", "shareName": "s"}})), Some("secrets")),
        (volume(&json!({"cephfs": {"monitors": [], "secretRef": named}})), Some("secrets")),
        (volume(&json!({"cinder": {"volumeID": "i", "secretRef": named}})), Some("secrets")),
        (volume(&json!({"flexVolume": {"driver": "d", "secretRef": named}})), Some("secrets")),
        (volume(&json!({"rbd": {"monitors": [], "image": "i", "secretRef": named}})), Some("secrets")),
        (volume(&json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": named}})), Some("secrets")),
        (volume(&json!({"iscsi": {"targetPortal": "p", "iqn": "q", "lun": 0, "secretRef": named}})), Some("secrets")),
        (volume(&json!({"storageos": {"secretRef": named}})), Some("secrets")),
        (volume(&json!({"csi": {"driver": "d", "nodePublishSecretRef": named}})), Some("secrets")),
        (volume(&json!({"configMap": named})), Some("configmaps")),
        (projected(&json!({"configMap": named})), Some("configmaps")),
        (json!({"resourceClaims": claims}), Some("resourceclaims")),
        (volume(&json!({"csi": {"driver": "d"}})), Some("csidrivers (via CSI volumes)")),
        (volume(&json!({"glusterfs": {"endpoints": "e", "path": "p"}})), Some("endpoints (via glusterFS volumes)")),
        (volume(&json!({"persistentVolumeClaim": {"claimName": "x"}})), Some("persistentvolumeclaims")),
        (volume(&json!({"ephemeral": {}})), Some("persistentvolumeclaims (via ephemeral volumes)")),
        (projected(&token), Some("serviceaccounts (via projected volumes)")),
        (projected(&json!({"clusterTrustBundle": {"name": "x", "path": "p"}})), Some("clustertrustbundles")),
        (projected(&json!({"podCertificate": {"signerName": "s", "keyType": "k"}})), Some("podcertificates")),
        (projected(&json!({"downwardAPI": {}})), None),
        (volume(&json!({"emptyDir": {}})), None),
        (volume(&json!({"hostPath": {"path": "/"}})), None),
        (volume(&json!({"downwardAPI": {}})), None),
        (volume(&json!({"image": {"reference": "r"}})), None),
        (volume(&json!({"nfs": {"server": "s", "path": "/"}})), None),
        (volume(&json!({"iscsi": {"targetPortal": "p", "iqn": "q", "lun": 0}})), None),
        (volume(&json!({"fc": {}})), None),
    ] {
        assert_eq!(of(spec.clone()), Ok(expected), "{spec}");
    }
}

/// They pass the checks by name; a volume then counts by its kind [1.71].
#[test]
fn case_142_references_without_a_name_do_not_count() {
    let unnamed = json!({"name": ""});
    let env = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    for (spec, expected) in [
        (json!({"serviceAccountName": "", "serviceAccount": ""}), None),
        (json!({"imagePullSecrets": [unnamed, {}]}), None),
        (json!({"resourceClaims": []}), None),
        (container("containers", &json!({"envFrom": [{"secretRef": unnamed}, {"configMapRef": unnamed}]})), None),
        (container("containers", &env(json!({"secretKeyRef": {"name": "", "key": "k"}}))), None),
        (container("containers", &env(json!({"configMapKeyRef": {"name": "", "key": "k"}}))), None),
        (volume(&json!({"secret": {}})), Some("secrets (via secret volumes)")),
        (volume(&json!({"secret": {"secretName": ""}})), Some("secrets (via secret volumes)")),
        (volume(&json!({"configMap": {}})), Some("configmaps (via configmap volumes)")),
        (volume(&json!({"azureFile": {"secretName": "", "shareName": "s"}})), Some("secrets (via azureFile volumes)")),
        (projected(&json!({"secret": unnamed})), Some("secrets (via projected volumes)")),
        (projected(&json!({"configMap": {}})), Some("configmaps (via projected volumes)")),
        (
            volume(&json!({"csi": {"driver": "d", "nodePublishSecretRef": unnamed}})),
            Some("csidrivers (via CSI volumes)"),
        ),
        (volume(&json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": unnamed}})), None),
        (volume(&json!({"rbd": {"monitors": [], "image": "i", "secretRef": unnamed}})), None),
    ] {
        assert_eq!(of(spec.clone()), Ok(expected), "{spec}");
    }
}

#[test]
fn the_first_in_the_kubelets_order_is_told() {
    let (secret, map) =
        (json!({"name": "s", "secret": {"secretName": "x"}}), json!({"name": "m", "configMap": {"name": "x"}}));
    let (csi, claim) = (
        json!({"name": "c", "csi": {"driver": "d"}}),
        json!({"name": "p", "persistentVolumeClaim": {"claimName": "x"}}),
    );
    let claims = json!([{"name": "a"}]);
    for (spec, expected) in [
        (json!({"serviceAccountName": "x", "volumes": [secret]}), "serviceaccounts"),
        (json!({"resourceClaims": claims, "volumes": [csi, map, secret]}), "secrets"),
        (json!({"resourceClaims": claims, "volumes": [csi, map]}), "configmaps"),
        (json!({"resourceClaims": claims, "volumes": [csi]}), "resourceclaims"),
        (json!({"volumes": [csi, claim]}), "csidrivers (via CSI volumes)"),
        (json!({"volumes": [claim, csi]}), "persistentvolumeclaims"),
    ] {
        assert_eq!(of(spec.clone()), Ok(Some(expected)), "{spec}");
    }
}

#[test]
fn what_nobody_knows_is_no_volume() {
    assert_eq!(of(projected(&json!({}))), Err("unknown source for projected volume \"v\"".to_owned()));
    assert_eq!(of(volume(&json!({}))), Err("unknown volume type for volume  \"v\"".to_owned()));
}

//! Patches do what kubectl does with them.

use std::fs;
use std::process::Command;

use bootstrap::desired::manifest::Component;
use bootstrap::desired::patch::{self, PatchFile, Target};
use serde_json::Value;

use crate::manifests::{self, config, facts, without_nothing};
use crate::support::Run;
use crate::support::components::COMPONENTS;

/// For the manifest of kube-apiserver.
const OF_A_POD: &[&str] = &[
    r#"{"metadata": {"labels": {"a": "b", "tier": null}, "annotations": {"$patch": "replace", "c": "d"}}}"#,
    r#"{"metadata": {"finalizers": ["x/b", "x/a"]}}"#,
    r#"{"spec": {"containers": [{"name": "sidecar", "image": "s"}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "image": "i", "command": ["x"], "env": [{"name": "A", "value": "b"}, {"name": "HTTPS_PROXY", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "volumeMounts": [{"mountPath": "/new", "name": "n"}, {"mountPath": "/etc/kubernetes/pki", "readOnly": null}]}], "volumes": [{"name": "n", "emptyDir": {}}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "volumeMounts": [{"mountPath": "/etc/ssl/certs", "$patch": "delete"}]}], "volumes": [{"name": "ca-certs", "$patch": "delete"}]}}"#,
    r#"{"spec": {"volumes": [{"name": "k8s-certs", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}}"#,
    r#"{"spec": {"volumes": [{"$patch": "replace"}, {"name": "only", "emptyDir": {}}]}}"#,
    r#"{"spec": {"$setElementOrder/volumes": [{"name": "k8s-certs"}, {"name": "ca-certs"}, {"name": "n"}], "volumes": [{"name": "n", "emptyDir": {}}]}}"#,
    r#"{"spec": {"tolerations": [{"operator": "Exists"}], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}], "imagePullSecrets": [{"name": "p"}]}}"#,
    r#"{"spec": {"securityContext": {"$patch": "delete"}, "priorityClassName": null, "dnsConfig": {"nameservers": ["1.1.1.1"]}}}"#,
    r#"{"spec": {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}}"#,
    r#"{"spec": {"containers": [{"name": "kube-apiserver", "ports": [{"containerPort": 6443, "hostPort": 6443}, {"containerPort": 1, "name": "one"}], "livenessProbe": {"httpGet": {"path": "/x"}, "initialDelaySeconds": null}}]}}"#,
];

fn kubectl(patch: &str, object: &Value) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("object.json");
    fs::write(&file, object.to_string()).unwrap();
    let own = COMPONENTS.binary("kubectl");
    let mut command = Command::new(if own.exists() { own } else { "kubectl".into() });
    command.args(["patch", "--local", "--type=strategic", "--output=json", "--patch", patch, "--filename"]).arg(file);
    serde_json::from_str(&Run::of(command).succeeds().stdout).unwrap()
}

fn ours(target: Target, patch: &str, object: &Value) -> Value {
    let mut value = object.clone();
    let file = PatchFile { path: format!("{}.json", target.name()).into(), text: patch.to_owned() };
    let applied = patch::apply(target, &mut value, &[file], |_| Ok(())).unwrap();
    assert_eq!(applied.len(), 1);
    value
}

#[test]
fn a_strategic_merge_of_a_pod_is_kubectls() {
    let manifests = bootstrap::desired::manifest::manifests(&config("v1.36.2", ""), &facts()).unwrap();
    let manifest = manifests.iter().find(|manifest| manifest.component == Component::ApiServer).unwrap();
    let pod = serde_json::to_value(&manifest.pod).unwrap();
    for patch in OF_A_POD {
        let outcome = ours(Component::ApiServer.into(), patch, &pod);
        assert_eq!(without_nothing(outcome), without_nothing(kubectl(patch, &pod)), "{patch}");
    }
}

#[test]
fn a_strategic_merge_of_a_deployment_is_kubectls() {
    let objects = bootstrap::desired::object::objects(&config("v1.36.2", ""), &manifests::late()).unwrap();
    let deployment = &objects.iter().find(|object| object.kind == "Deployment").unwrap().value;
    for patch in [
        r#"{"spec": {"replicas": 3, "strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}"#,
        r#"{"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}, "tolerations": null, "containers": [{"name": "coredns", "args": ["-x"], "resources": {"limits": {"memory": "1Gi"}}}]}}}}"#,
        r#"{"spec": {"template": {"spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}, "volumes": [{"name": "v", "emptyDir": {}}]}}}}"#,
    ] {
        let outcome = ours(Target::CoreDnsDeployment, patch, deployment);
        assert_eq!(without_nothing(outcome), without_nothing(kubectl(patch, deployment)), "{patch}");
    }
}

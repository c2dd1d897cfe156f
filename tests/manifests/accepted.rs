//! Whatever a configuration says: it is refused with reasons, or it arrives. What arrives is read back from the
//! manifest as the runner reads it.

use bootstrap::config::Config;
use bootstrap::config::file::FileInput;
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use bootstrap::desired::Desired;
use bootstrap::desired::manifest::{Component, Manifest};
use k8s_openapi::api::core::v1::{Container, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{facts, hostile, without_nothing};

/// A value that the field accepts, mostly, and any other text.
fn field(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(good).prop_map(str::to_owned), 1 => hostile()]
}

fn args() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((field(&["v", "profiling", "feature-gates", "x-y"]), hostile()), 0..4)
}

fn named(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

prop_compose! {
    /// A ClusterConfiguration with every free text that a manifest takes up.
    fn cluster()(
        version in field(&["v1.20.2", "v1.28.15", "v1.31.4", "v1.34.1", "v1.36.2"]),
        name in hostile(),
        domain in field(&["cluster.local", "corp.internal"]),
        repository in field(&["registry.k8s.io", "mirror.example.com:5000/k8s"]),
        directory in field(&["/etc/kubernetes/pki", "/opt/pki"]),
        endpoint in field(&["", "api.example.com", "api.example.com:443", "[fd00::1]:6443"]),
        data_dir in field(&["/var/lib/etcd", "/data/etcd"]),
        volume in (field(&["a", "b-c"]), field(&["/a", "/a b"]), field(&["/x", "/y"]), field(&["", "File", "DirectoryOrCreate"])),
        arguments in prop::array::uniform4(args()),
        variables in prop::array::uniform4(prop::collection::vec((field(&["A", "HTTPS_PROXY", "b.c-d"]), hostile()), 0..3)),
    ) -> Value {
        let [etcd_args, server_args, manager_args, scheduler_args] = arguments.each_ref().map(|pairs| named(pairs));
        let [etcd_envs, server_envs, manager_envs, scheduler_envs] = variables.each_ref().map(|pairs| named(pairs));
        let (volume, host_path, mount_path, path_type) = volume;
        json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
            "clusterName": name,
            "networking": {"dnsDomain": domain},
            "imageRepository": repository,
            "certificatesDir": directory,
            "controlPlaneEndpoint": endpoint,
            "etcd": {"local": {"dataDir": data_dir, "extraArgs": etcd_args, "extraEnvs": etcd_envs}},
            "apiServer": {"extraArgs": server_args, "extraEnvs": server_envs},
            "controllerManager": {"extraArgs": manager_args, "extraEnvs": manager_envs},
            "scheduler": {
                "extraArgs": scheduler_args,
                "extraEnvs": scheduler_envs,
                "extraVolumes": [
                    {"name": volume, "hostPath": host_path, "mountPath": mount_path, "pathType": path_type},
                ],
            },
        })
    }
}

fn accepted(cluster: &Value) -> Option<(Config, Vec<Manifest>)> {
    let text = cluster.to_string();
    match resolve(&Flags::default(), Some(FileInput { name: "config.yaml".into(), text }), &facts()) {
        Ok(config) => {
            let desired = Desired::new(config, &facts(), &[]).unwrap();
            Some((desired.config, desired.manifests))
        }
        Err(problems) => {
            assert!(problems.iter().count() > 0);
            None
        }
    }
}

/// The container that a manifest's text means.
fn container(manifests: &[Manifest], component: Component) -> Container {
    let manifest = manifests.iter().find(|manifest| manifest.component == component).unwrap();
    let pod: Pod = serde_yaml::from_str(&manifest.yaml).unwrap();
    pod.spec.unwrap().containers.remove(0)
}

/// Names and values in their order; a name that comes again takes the place of the earlier one.
fn last_of_each(pairs: &Value) -> Vec<(&str, &str)> {
    let pairs = pairs.as_array().into_iter().flatten();
    let pairs: Vec<_> = pairs.map(|pair| (pair["name"].as_str().unwrap(), pair["value"].as_str().unwrap())).collect();
    let is_last =
        |(index, (name, _)): &(usize, &(&str, &str))| pairs[index + 1..].iter().all(|(other, _)| other != name);
    pairs.iter().enumerate().filter(is_last).map(|(_, pair)| *pair).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_accepted_configuration_arrives_in_manifests_that_read_back(cluster in cluster()) {
        let Some((config, manifests)) = accepted(&cluster) else { return Ok(()) };
        for manifest in &manifests {
            let read: Value = serde_yaml::from_str(&manifest.yaml).unwrap();
            let pod = serde_json::to_value(&manifest.pod).unwrap();
            prop_assert_eq!(without_nothing(read), without_nothing(pod), "{}", manifest.component);
        }
        for (component, given) in [
            (Component::Etcd, &cluster["etcd"]["local"]),
            (Component::ApiServer, &cluster["apiServer"]),
            (Component::ControllerManager, &cluster["controllerManager"]),
            (Component::Scheduler, &cluster["scheduler"]),
        ] {
            let container = container(&manifests, component);
            let command = container.command.unwrap();
            for (name, value) in last_of_each(&given["extraArgs"]){
                let word = format!("--{name}={value}");
                prop_assert!(command.contains(&word), "{component}: {word:?} is not in {command:?}");
            }
            let env = container.env.unwrap_or_default();
            for (name, value) in last_of_each(&given["extraEnvs"]) {
                let arrived = env
                    .iter()
                    .any(|variable| variable.name == name && variable.value.as_deref().unwrap_or_default() == value);
                prop_assert!(arrived, "{component}: {name:?} is not {value:?} in {env:?}");
            }
        }
        let manager = container(&manifests, Component::ControllerManager).command.unwrap();
        // an empty name is the default
        prop_assert!(manager.contains(&format!("--cluster-name={}", config.cluster_name)), "{manager:?}");
        let name = cluster["clusterName"].as_str().unwrap();
        prop_assert!(name.is_empty() || name == config.cluster_name);
    }
}

/// The property above would hold of a program that refuses everything.
#[test]
fn an_odd_configuration_is_accepted() {
    let odd = "{{ x }}\"'\n: #\u{2028}ä";
    let cluster = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": "v1.36.2",
        "clusterName": odd,
        "scheduler": {"extraArgs": [{"name": "a", "value": odd}], "extraEnvs": [{"name": "A", "value": odd}]},
    });
    let (_, manifests) = accepted(&cluster).unwrap();
    let scheduler = container(&manifests, Component::Scheduler);
    assert_eq!(scheduler.command.unwrap().last().unwrap(), &format!("--a={odd}"));
    let env = scheduler.env.unwrap();
    assert_eq!(env.iter().find(|variable| variable.name == "A").unwrap().value.as_deref(), Some(odd));
}

//! Static pod manifests and API objects: golden files for each shape that a Kubernetes version can have, no unknown
//! keys, and no string that could break out of its place.

mod accepted;

use bootstrap::config::facts::{Facts, Identities, TokenSeed};
use bootstrap::config::file::FileInput;
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use bootstrap::config::{Arg, Config, Etcd, HostPathMount};
use bootstrap::desired::manifest::rootless;
use bootstrap::desired::manifest::{self, Component, Manifest};
use bootstrap::desired::object::{self, Late};
use bootstrap::desired::ownership::Reach;
use bootstrap::release::SUPPORTED_MINORS;
use k8s_openapi::api::core::v1::EnvVar;
use proptest::prelude::*;
use serde_json::Value;

use crate::golden;

pub(crate) fn facts() -> Facts {
    Facts {
        hostname: "n1".to_owned(),
        default_address: Some("10.0.0.5".parse().unwrap()),
        loopback_address: None,
        ca_directories: vec!["/etc/ca-certificates".into()],
        external_ca: false,
        accounts: None,
        identities: None,
        systemd_resolved: false,
        proxy_environment: vec![("HTTPS_PROXY".to_owned(), "http://proxy:3128".to_owned())],
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        token_seed: TokenSeed::new([0; 32]),
    }
}

pub(crate) fn config(version: &str, fields: &str) -> Config {
    config_with(&Flags::default(), version, fields)
}

pub(crate) fn config_with(flags: &Flags, version: &str, fields: &str) -> Config {
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {version}\n{fields}---\n\
         apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nbootstrapTokens:\n- token: abcdef.0123456789abcdef\n"
    );
    resolve(flags, Some(FileInput { name: "config.yaml".into(), text }), &facts())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn late() -> Late {
    Late {
        ca_certificate_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        now: facts().now,
        proxy_environment: manifest::proxy_environment(&facts()),
        patches: Vec::new(),
        uploaded: Default::default(),
        live: Default::default(),
    }
}

/// The ids that a rootless control plane has: those of users from 101 on, those of groups from 201 on.
fn identities() -> Identities {
    let numbered = |names: Vec<&str>, from: u32| names.into_iter().map(str::to_owned).zip(from..).collect();
    Identities {
        users: numbered(rootless::ACCOUNTS.users.to_vec(), 101),
        groups: numbered(rootless::ACCOUNTS.groups.iter().map(|group| group.name).collect(), 201),
    }
}

/// The manifests of a configuration, in one text.
fn manifests_of(config: &Config, facts: &Facts) -> String {
    let manifests = manifest::manifests(config, facts).unwrap();
    manifests.iter().map(|manifest| format!("# {}\n{}", manifest.component.file_name(), manifest.yaml)).collect()
}

/// All that is made for a configuration, in one text.
fn everything(config: &Config) -> String {
    let mut text = manifests_of(config, &facts());
    for (index, object) in object::objects(config, &late()).unwrap().iter().enumerate() {
        text += &format!("# {}\n{}", object.file_stem(index), object.to_yaml().unwrap());
    }
    text
}

const POD_NETWORK: &str = "networking:\n  podSubnet: 10.244.0.0/16\n";

#[test]
fn every_shape_has_its_golden_file() {
    let versions = ["v1.20.2", "v1.24.17", "v1.28.15", "v1.31.4", "v1.34.1", "v1.36.2"];
    golden::check(
        &versions.map(|version| (format!("desired-{version}.yaml"), everything(&config(version, POD_NETWORK)))),
    );
}

#[test]
fn customised_control_plane() {
    let fields = "\
controlPlaneEndpoint: api.example.com
clusterName: prod
certificatesDir: /opt/pki
imageRepository: mirror.example.com:5000/k8s
apiServer:
  certSANs: [api.example.com, 203.0.113.9]
  extraArgs:
  - {name: authorization-config, value: /etc/authz.yaml}
  - {name: tls-sni-cert-key, value: '/b.crt,/b.key'}
  - {name: tls-sni-cert-key, value: '/a.crt,/a.key'}
  extraVolumes:
  - {name: authz, hostPath: /etc/authz.yaml, mountPath: /etc/authz.yaml, readOnly: true, pathType: File}
  - {name: k8s-certs, hostPath: /other, mountPath: /opt/pki}
  extraEnvs:
  - {name: HTTPS_PROXY, value: ''}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
controllerManager:
  extraArgs: [{name: bind-address, value: '::'}]
scheduler:
  extraArgs: [{name: bind-address, value: 10.0.0.5}]
etcd:
  local:
    dataDir: /data/etcd
    imageTag: 3.5.24-0
    extraArgs:
    - {name: listen-metrics-urls, value: 'https://[::1]:9999'}
    - {name: advertise-client-urls, value: 'https://etcd.example.com:2379'}
networking:
  dnsDomain: corp.internal
";
    golden::check(&[("desired-customised.yaml".to_owned(), everything(&config("v1.36.2", fields)))]);
}

#[test]
fn a_rootless_control_plane_has_a_user_for_each_component() {
    let config = config("v1.36.2", "featureGates: {RootlessControlPlane: true}\n");
    let facts = Facts { identities: Some(identities()), ..facts() };
    golden::check(&[("manifests-rootless.yaml".to_owned(), manifests_of(&config, &facts))]);
    let unknown = Facts { identities: None, ..facts.clone() };
    let manifests = manifest::manifests(&config, &unknown).unwrap();
    assert!(manifests.iter().all(|manifest| !manifest.yaml.contains("runAsUser")), "no ids before there are users");
    let owned: Vec<String> = manifests
        .iter()
        .flat_map(|manifest| &manifest.ownerships)
        .map(|own| format!("{} {}:{} {:?}", own.path.display(), own.user, own.group, own.reach))
        .collect();
    let owner_only = Reach::File(0o600);
    let own = |path: &str, user: &str| format!("{path} {user}:{user} {owner_only:?}");
    let readers = format!("/etc/kubernetes/pki/sa.key root:kubeadm-sa-key-readers {:?}", Reach::File(0o640));
    assert_eq!(
        owned,
        [
            format!("/var/lib/etcd kubeadm-etcd:kubeadm-etcd {:?}", Reach::Tree),
            own("/etc/kubernetes/pki/etcd/server.key", "kubeadm-etcd"),
            own("/etc/kubernetes/pki/etcd/peer.key", "kubeadm-etcd"),
            own("/etc/kubernetes/pki/sa.pub", "kubeadm-kas"),
            own("/etc/kubernetes/pki/apiserver.key", "kubeadm-kas"),
            own("/etc/kubernetes/pki/apiserver-kubelet-client.key", "kubeadm-kas"),
            own("/etc/kubernetes/pki/front-proxy-client.key", "kubeadm-kas"),
            own("/etc/kubernetes/pki/apiserver-etcd-client.key", "kubeadm-kas"),
            readers.clone(),
            own("/etc/kubernetes/controller-manager.conf", "kubeadm-kcm"),
            readers,
            own("/etc/kubernetes/pki/ca.key", "kubeadm-kcm"),
            own("/etc/kubernetes/scheduler.conf", "kubeadm-ks"),
        ]
    );
}

/// The Pod type drops keys that it does not know: what it writes has to be what was rendered.
#[test]
fn no_manifest_has_a_key_that_a_pod_does_not_have() {
    let rootless = format!("{POD_NETWORK}featureGates: {{RootlessControlPlane: true}}\n");
    let facts = Facts { identities: Some(identities()), ..facts() };
    for (minor, fields) in SUPPORTED_MINORS.flat_map(|minor| [(minor, POD_NETWORK), (minor, rootless.as_str())]) {
        for Manifest { component, pod, yaml, .. } in
            manifest::manifests(&config(&format!("v1.{minor}.0"), fields), &facts).unwrap()
        {
            let rendered: Value = serde_yaml::from_str(&yaml).unwrap();
            let kept = serde_json::to_value(pod).unwrap();
            assert_eq!(without_nothing(rendered), without_nothing(kept), "v1.{minor} {component}");
        }
    }
}

/// Drops what means nothing: null and `{}`.
pub(crate) fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_nothing(value)))
            .filter(|(_, value)| !value.is_null() && *value != serde_json::json!({}))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        other => other,
    }
}

#[test]
fn the_images_are_those_of_the_manifests() {
    let config = config("v1.36.2", "");
    let images = manifest::images(&config);
    assert_eq!(images[0], "registry.k8s.io/etcd:3.6.8-0");
    assert_eq!(images[3], "registry.k8s.io/kube-scheduler:v1.36.2");
    let used: Vec<_> = manifest::manifests(&config, &facts())
        .unwrap()
        .into_iter()
        .map(|manifest| manifest.pod.spec.unwrap().containers[0].image.clone().unwrap())
        .collect();
    assert_eq!(images, used);
}

#[test]
fn an_external_authority_signs_nothing_here() {
    let facts = Facts { external_ca: true, ..facts() };
    let manifests = manifest::manifests(&config("v1.36.2", ""), &facts).unwrap();
    let command = command_of(&manifests, Component::ControllerManager);
    assert!(command.contains(&"--cluster-signing-cert-file=".to_owned()), "{command:?}");
    assert!(command.contains(&"--cluster-signing-key-file=".to_owned()), "{command:?}");
}

#[test]
fn ipv6_addresses_have_their_brackets() {
    let facts = Facts { default_address: Some("fd77::10".parse().unwrap()), ..facts() };
    let config = resolve(&Flags::default(), None, &facts).unwrap();
    let manifests = manifest::manifests(&config, &facts).unwrap();
    let etcd = command_of(&manifests, Component::Etcd);
    for flag in [
        "--listen-client-urls=https://[::1]:2379,https://[fd77::10]:2379",
        "--listen-metrics-urls=http://[::1]:2381",
        "--initial-cluster=n1=https://[fd77::10]:2380",
    ] {
        assert!(etcd.contains(&flag.to_owned()), "{etcd:?}");
    }
    let api_server = command_of(&manifests, Component::ApiServer);
    assert!(api_server.contains(&"--etcd-servers=https://[::1]:2379".to_owned()), "{api_server:?}");
    let annotations = manifests[1].pod.metadata.annotations.clone().unwrap();
    assert_eq!(annotations.values().next().unwrap(), "[fd77::10]:6443");
}

fn command_of(manifests: &[Manifest], component: Component) -> Vec<String> {
    let manifest = manifests.iter().find(|manifest| manifest.component == component).unwrap();
    manifest.pod.spec.as_ref().unwrap().containers[0].command.clone().unwrap()
}

/// Strings that mean something to YAML or to the template engine, and any others.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-?:,\\[\\]{}#&*!|>'\"%@`~ \\n\\t\\\\a0]{1,10}",
        Just("\"\nhostPID: true #".to_owned()),
        Just("{{ name }}{% if x %}{# c #}".to_owned()),
        Just("a: b".to_owned()),
        Just("\u{2028}\u{85}\u{feff}\u{1f600}ä".to_owned()),
        Just("---\n...".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_strings_arrive_unchanged(text in hostile()) {
        let mut config = config("v1.36.2", "");
        config.cluster_name = text.clone();
        config.node.name = text.clone();
        config.image_repository = text.clone();
        config.networking.dns_domain = text.clone();
        config.networking.service_subnet = text.clone();
        config.networking.pod_subnet = text.clone();
        config.certificates_dir = text.clone().into();
        let variable = EnvVar { name: text.clone(), value: Some(text.clone()), value_from: None };
        let Etcd::Local(etcd) = &mut config.etcd else { unreachable!("etcd is local unless it is asked for") };
        etcd.data_dir = text.clone().into();
        etcd.extra_envs = vec![variable.clone()];
        config.api_server.component.extra_args = vec![Arg { name: text.clone(), value: text.clone() }];
        config.api_server.component.extra_volumes = vec![HostPathMount {
            name: text.clone(),
            host_path: text.clone(),
            mount_path: text.clone(),
            read_only: false,
            path_type: text.clone(),
        }];
        config.scheduler.extra_envs = vec![variable.clone()];
        config.bootstrap_tokens[0].description = text.clone();

        let manifests = manifest::manifests(&config, &facts()).unwrap();
        let specs: Vec<_> = manifests.iter().map(|manifest| manifest.pod.spec.clone().unwrap()).collect();
        prop_assert!(specs.iter().all(|spec| spec.host_pid.is_none() && spec.containers.len() == 1));
        let etcd = command_of(&manifests, Component::Etcd);
        let etcd_name = format!("--name={text}");
        prop_assert!(etcd.contains(&etcd_name));
        let api_server = command_of(&manifests, Component::ApiServer);
        prop_assert_eq!(api_server.last().unwrap(), &format!("--{text}={text}"));
        let cluster_name = format!("--cluster-name={text}");
        prop_assert!(command_of(&manifests, Component::ControllerManager).contains(&cluster_name));
        let volume = specs[1].volumes.as_ref().unwrap().iter().find(|volume| volume.name == text).unwrap();
        let host_path = volume.host_path.as_ref().unwrap();
        prop_assert_eq!(&host_path.path, &text);
        prop_assert_eq!(host_path.type_.as_ref(), Some(&text));
        prop_assert_eq!(specs[3].containers[0].image.clone().unwrap(), format!("{text}/kube-scheduler:v1.36.2"));
        let env = specs[3].containers[0].env.as_ref().unwrap();
        let expected = EnvVar { value: Some(text.clone()).filter(|text| !text.is_empty()), ..variable };
        prop_assert!(env.contains(&expected), "{env:?}");

        // the objects carry it too: nested YAML in YAML
        let objects = object::objects(&config, &late()).unwrap();
        let recorded = objects.iter().find(|object| object.name == "kubeadm-config").unwrap();
        let recorded: Value =
            serde_yaml::from_str(recorded.value["data"]["ClusterConfiguration"].as_str().unwrap()).unwrap();
        prop_assert_eq!(recorded["apiServer"]["extraArgs"][0]["value"].as_str(), Some(text.as_str()));
        for object in &objects {
            let read: Value = serde_yaml::from_str(&object.to_yaml().unwrap()).unwrap();
            prop_assert_eq!(&read, &object.value);
        }
    }
}

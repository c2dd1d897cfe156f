//! Whole files through `resolve`: defaults, every refusal, all at once.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::facts::TokenSeed;
use crate::config::{TokenExpiry, problem};
use crate::release::DEFAULT_VERSION;
use proptest::prelude::*;

fn facts() -> Facts {
    Facts {
        hostname: "N1".to_owned(),
        default_address: Some("10.77.0.10".parse().unwrap()),
        loopback_address: None,
        ca_directories: Vec::new(),
        external_ca: false,
        accounts: None,
        identities: None,
        systemd_resolved: false,
        proxy_environment: Vec::new(),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        token_seed: TokenSeed::new([0; 32]),
    }
}

fn file(text: &str) -> Option<FileInput> {
    Some(FileInput { name: "config.yaml".to_owned(), text: text.to_owned() })
}

fn cluster(fields: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{fields}")
}

fn init(fields: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n{fields}")
}

fn resolved(text: &str) -> Config {
    resolve(&Flags::default(), file(text), &facts()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(text: &str) -> Vec<String> {
    let problems = resolve(&Flags::default(), file(text), &facts()).expect_err("a refusal");
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_at_all_is_a_valid_configuration() {
    let config = resolve(&Flags::default(), None, &facts()).unwrap();
    assert_eq!(config.kubernetes_version.to_string(), DEFAULT_VERSION);
    assert_eq!(config.cluster_name, "kubernetes");
    assert_eq!(config.node.name, "n1");
    assert_eq!(config.server(), "https://10.77.0.10:6443");
    assert_eq!(config.networking.service_subnet, "10.96.0.0/12");
    assert_eq!(config.networking.pod_subnet, "");
    assert_eq!(config.certificates_dir, Path::new("/etc/kubernetes/pki"));
    assert_eq!(config.etcd.local().unwrap().data_dir, Path::new("/var/lib/etcd"));
    assert_eq!(config.image_repository, "registry.k8s.io");
    assert_eq!(config.encryption_algorithm, EncryptionAlgorithm::Rsa2048);
    assert_eq!(config.node.cri_socket, "unix:///var/run/containerd/containerd.sock");
    assert_eq!(config.node.taints.len(), 1);
    assert_eq!(config.node.taints[0].key, "node-role.kubernetes.io/control-plane");
    assert_eq!(config.node.taints[0].effect, "NoSchedule");
    assert!(config.certificate_key.is_none() && !config.rootless());
    assert_eq!(config.bootstrap_tokens.len(), 1);
    assert_eq!(config.bootstrap_tokens[0].expires, TokenExpiry::After(defaults::TOKEN_TTL));
    assert_eq!(config.bootstrap_tokens[0].groups, [defaults::TOKEN_GROUP]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn what_kubeadm_prints_as_defaults_is_accepted_without_a_word() {
    let text = init(
        "bootstrapTokens:\n- groups:\n  - system:bootstrappers:kubeadm:default-node-token\n  \
         token: abcdef.0123456789abcdef\n  ttl: 24h0m0s\n  usages:\n  - signing\n  - authentication\n\
         localAPIEndpoint:\n  advertiseAddress: 1.2.3.4\n  bindPort: 6443\n\
         nodeRegistration:\n  criSocket: unix:///var/run/containerd/containerd.sock\n  \
         imagePullPolicy: IfNotPresent\n  imagePullSerial: true\n  name: node\n  taints: null\n\
         timeouts:\n  controlPlaneComponentHealthCheck: 4m0s\n  discovery: 5m0s\n  etcdAPICall: 2m0s\n  \
         kubeletHealthCheck: 4m0s\n  kubernetesAPICall: 1m0s\n  tlsBootstrap: 5m0s\n  upgradeManifests: 5m0s\n",
    ) + "---\n"
        + &cluster(
            "apiServer: {}\ncaCertificateValidityPeriod: 87600h0m0s\ncertificateValidityPeriod: 8760h0m0s\n\
             certificatesDir: /etc/kubernetes/pki\nclusterName: kubernetes\ncontrollerManager: {}\ndns: {}\n\
             encryptionAlgorithm: RSA-2048\netcd:\n  local:\n    dataDir: /var/lib/etcd\n\
             imageRepository: registry.k8s.io\nkubernetesVersion: 1.36.0\nnetworking:\n  dnsDomain: cluster.local\n  \
             serviceSubnet: 10.96.0.0/12\nproxy: {}\nscheduler: {}\n",
        );
    let config = resolved(&text);
    assert_eq!(config.kubernetes_version.to_string(), "v1.36.0");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn each_refusal_names_its_field() {
    for (text, expected) in [
        (cluster("kubernetesVersion: one.two\n"), "kubernetesVersion: Invalid value: \"one.two\""),
        (cluster("kubernetesVersion: stable-1.35\n"), "name a version such as `v1.35.0`"),
        (cluster("kubernetesVersion: ci/latest\n"), "name a release such as `v1.36.2`"),
        (
            cluster("kubernetesVersion: 1.36\n"),
            "kubernetesVersion: expected a string, found a number; put it in quotes",
        ),
        (cluster("kubernetesVersion: v2.0.0\n"), "outside the supported range"),
        (cluster("encryptionAlgorithm: RSA-1024\n"), "must be one of ECDSA-P256, ECDSA-P384, RSA-2048"),
        (cluster("certificatesDir: pki\n"), "certificatesDir: Invalid value: \"pki\": path is not absolute"),
        (cluster("certificatesDir: /a/../b\n"), "contains `..`"),
        (cluster("imageRepository: 'a b'\n"), "imageRepository: Invalid value"),
        (cluster("certificateValidityPeriod: ten years\n"), "certificateValidityPeriod: Invalid value: \"ten years\""),
        (cluster("caCertificateValidityPeriod: 0s\n"), "must be longer than zero"),
        (cluster("controlPlaneEndpoint: bad_host!:6443\n"), "controlPlaneEndpoint: Invalid value: \"bad_host!:6443\""),
        (cluster("networking:\n  dnsDomain: UPPER_case\n"), "networking.dnsDomain: Invalid value: \"UPPER_case\""),
        (cluster("networking:\n  serviceSubnet: 10.96.0.0\n"), "networking.serviceSubnet: Invalid value"),
        (cluster("networking:\n  serviceSubnet: 10.96.0.0/30\n"), "4 address(es) is too small, the minimum is 10"),
        (cluster("networking:\n  serviceSubnet: 10.0.0.0/8\n"), "32-bit addresses, the mask must be >= 12"),
        (cluster("networking:\n  serviceSubnet: fd00::/64\n"), "128-bit addresses, the mask must be >= 108"),
        (cluster("networking:\n  serviceSubnet: 10.0.0.0/16,10.1.0.0/16\n"), "one IPv4 and one IPv6"),
        (cluster("networking:\n  podSubnet: 10.244.0.0/33\n"), "networking.podSubnet: Invalid value"),
        (cluster("networking:\n  podSubnet: 10.244.0.0/25\n"), "leaves no room"),
        (cluster("networking:\n  podSubnet: fd00::/40\n"), "differ by more than 16"),
        (cluster("etcd:\n  local: {}\n  external:\n    endpoints: [https://a:1]\n"), "mutually exclusive"),
        (cluster("etcd:\n  external:\n    endpoints: []\n"), "etcd.external.endpoints: Required value"),
        (cluster("etcd:\n  external:\n    endpoints: [a:1]\n"), "etcd.external.endpoints[0]: Invalid value"),
        (cluster("etcd:\n  external:\n    endpoints: [http://a:1]\n    caFile: /a\n"), "must be HTTPS"),
        (
            cluster("etcd:\n  external:\n    endpoints: [https://a:1]\n    caFile: /a\n    keyFile: /k\n"),
            "stand together",
        ),
        (
            cluster("etcd:\n  external:\n    endpoints: [https://a:1]\n    certFile: /a\n    keyFile: /k\n"),
            "etcd.external.caFile: Required value",
        ),
        (cluster("etcd:\n  external:\n    endpoints: [https://a:1]\n    caFile: a\n"), "path is not absolute"),
        (cluster("etcd:\n  local:\n    imageTag: 'a b'\n"), "etcd.local.imageTag: Invalid value: \"a b\""),
        (cluster("etcd:\n  local:\n    dataDir: x\n"), "etcd.local.dataDir: Invalid value"),
        (cluster("etcd:\n  local:\n    peerCertSANs: [a_b]\n"), "etcd.local.peerCertSANs[0]: Invalid value"),
        (cluster("apiServer:\n  certSANs: ['*']\n"), "apiServer.certSANs[0]: Invalid value"),
        (cluster("apiServer:\n  extraArgs: [{value: x}]\n"), "apiServer.extraArgs[0].name: Required value"),
        (cluster("scheduler:\n  extraArgs: [{name: --v, value: x}]\n"), "goes without its dashes"),
        (
            cluster("scheduler:\n  extraArgs: {v: '4'}\n"),
            "scheduler.extraArgs: expected a list, found a mapping; write each",
        ),
        (
            cluster("apiServer:\n  extraVolumes: [{name: x, mountPath: /x}]\n"),
            "extraVolumes[0].hostPath: Required value",
        ),
        (
            cluster("apiServer:\n  extraVolumes: [{name: x, hostPath: /x}]\n"),
            "extraVolumes[0].mountPath: Invalid value",
        ),
        (
            cluster("apiServer:\n  extraVolumes: [{name: x, hostPath: /x, mountPath: /x, pathType: Dir}]\n"),
            "extraVolumes[0].pathType: Invalid value: \"Dir\"",
        ),
        (
            cluster("apiServer:\n  extraEnvs: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"),
            "apiServer.extraEnvs[0].valueFrom: Forbidden",
        ),
        (cluster("featureGates:\n  X: true\n"), "featureGates.X: Invalid value: \"X\": X is not a valid feature name"),
        (cluster("dns:\n  imageTag: 'a b'\n"), "dns.imageTag: Invalid value"),
        (init("certificateKey: abc\n"), "certificateKey: Invalid value: must be 64 hexadecimal digits"),
        (init(&format!("certificateKey: {}\n", "ab".repeat(31))), "certificateKey: Invalid value"),
        (init("nodeRegistration:\n  kubeletExtraArgs: [{value: x}]\n"), "kubeletExtraArgs[0].name: Required value"),
        (init("nodeRegistration:\n  taints: [{effect: NoExecute}]\n"), "taints[0].key: Required value"),
        (init("nodeRegistration:\n  taints: [{key: a, effect: x}]\n"), "taints[0].effect: Invalid value: \"x\""),
        (
            init("nodeRegistration:\n  taints: [{key: a, effect: NoExecute, valu: x}]\n"),
            "taints[0].valu: unknown field",
        ),
        (init("localAPIEndpoint:\n  bindPort: 70000\n"), "localAPIEndpoint.bindPort: Invalid value: 70000"),
        (
            init("localAPIEndpoint:\n  advertiseAddress: 999.1.1.1\n"),
            "localAPIEndpoint.advertiseAddress: Invalid value",
        ),
        (init("localAPIEndpoint:\n  advertiseAddress: 127.0.0.1\n"), "loopback"),
        (init("localAPIEndpoint:\n  advertiseAddress: fe80::1\n"), "global unicast"),
        (init("nodeRegistration:\n  name: ' '\n"), "nodeRegistration.name: Invalid value: \"\""),
        (init("nodeRegistration:\n  criSocket: unixx:///a\n"), "nodeRegistration.criSocket: Invalid value"),
        (init("nodeRegistration:\n  name: a_b\n"), "nodeRegistration.name: Invalid value: \"a_b\""),
        (init("nodeRegistration:\n  imagePullPolicy: Sometimes\n"), "nodeRegistration.imagePullPolicy: Invalid value"),
        (init("nodeRegistration:\n  ignorePreflightErrors: [all, Mem]\n"), "`all` cannot stand beside"),
        (init("bootstrapTokens:\n- token: short.token\n"), "bootstrapTokens[0].token: Invalid value: must be six"),
        (init("bootstrapTokens:\n- groups: [admins]\n"), "bootstrapTokens[0].groups: Invalid value: \"admins\""),
        (init("bootstrapTokens:\n- usages: [x]\n"), "bootstrapTokens[0].usages: Invalid value: \"x\""),
        (init("bootstrapTokens:\n- ttl: -1h\n"), "bootstrapTokens[0].ttl: Invalid value"),
        (init("bootstrapTokens:\n- ttl: 1h\n  expires: 2030-01-01T00:00:00Z\n"), "may not stand beside `expires`"),
        (init("timeouts:\n  kubernetesAPICall: soon\n"), "timeouts.kubernetesAPICall: Invalid value: \"soon\""),
    ] {
        let found = refused(&text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}\nexpected {expected}\nfound {found:#?}");
        assert!(found[0].starts_with("config.yaml:"), "no line: {found:?}");
    }
}

#[test]
fn repositories_are_those_of_image_references() {
    for repository in [
        "a",
        "a.b.c",
        "a.b.c/repository",
        "a:5000",
        "127.0.0.1:5000/repository",
        "localhost:5000/x_y/z__w.v",
        "'[fd00::1]:5000/x'",
        "Registry.example.com/x",
    ] {
        resolved(&cluster(&format!("imageRepository: {repository}\n")));
    }
    for repository in ["' '", "'a '", "-a", "a/B", "'a/&b'", "https://a", "a/b:1", "a/", "/a", "a@sha256"] {
        let found = refused(&cluster(&format!("imageRepository: {repository}\n")));
        assert!(found.len() == 1 && found[0].contains(": imageRepository: Invalid value"), "{found:?}");
    }
}

#[test]
fn a_token_is_never_shown() {
    let text = init(
        "bootstrapTokens:\n- token: abcdef.0123456789abcdeX\n- token: abcdef.0123456789abcdef\n- token: abcdef.1123456789abcdef\n",
    );
    let found = refused(&text).join("\n");
    assert!(found.contains("a second token `abcdef`") && !found.contains("123456789"), "{found}");
}

#[test]
fn all_problems_come_together_in_the_order_of_the_file() {
    let text = cluster("clusterNam: x\nnetworking:\n  podSubnet: x\nkubernetesVersion: v2\n")
        + "---\n"
        + &init("dryRun: maybe\n");
    assert_eq!(
        refused(&text),
        [
            "config.yaml:3: clusterNam: unknown field; did you mean `clusterName`?",
            "config.yaml:5: networking.podSubnet: Invalid value: \"x\": couldn't parse subnet; write it as in `10.96.0.0/12`",
            "config.yaml:6: kubernetesVersion: Invalid value: \"v2\": `v2` is not a version of the form `v1.36.2`",
            "config.yaml:10: dryRun: expected a boolean, found a string",
        ]
    );
}

#[test]
fn uploaded_certificates_have_a_key_and_an_end() {
    let uploading = Flags { upload_certs: true, ..Flags::default() };
    let config = resolve(&uploading, None, &facts()).unwrap();
    let owner = config.upload_certs.unwrap();
    assert_eq!(owner.expires, TokenExpiry::After(defaults::UPLOADED_CERTIFICATES_TTL));
    assert!(owner.usages.is_empty() && owner.groups.is_empty());
    assert_ne!(owner.id, config.bootstrap_tokens[0].id);
    let key = config.certificate_key.unwrap();
    assert_eq!(hex::decode(key.reveal()).unwrap().len(), 32);
    let other = Facts { token_seed: TokenSeed::new([1; 32]), ..facts() };
    assert_ne!(resolve(&uploading, None, &other).unwrap().certificate_key.unwrap(), key);
    // a key of the user's stays
    let given = "0A".repeat(32);
    let config = resolve(&uploading, file(&init(&format!("certificateKey: {given}\n"))), &facts()).unwrap();
    assert_eq!(config.certificate_key.unwrap().reveal(), given);
    assert!(resolve(&Flags::default(), None, &facts()).unwrap().upload_certs.is_none());
}

#[test]
fn what_a_kubelet_is_told_is_kept() {
    let text = init(&format!(
        "certificateKey: {}\nnodeRegistration:\n  criSocket: not/absolute\n  taints: []\n  \
         kubeletExtraArgs: [{{name: v, value: '3'}}, {{name: v, value: ''}}]\n",
        "0A".repeat(32)
    )) + "---\n"
        + &cluster("featureGates: {RootlessControlPlane: true}\n");
    let config = resolved(&text);
    assert!(config.rootless() && config.certificate_key.is_some());
    assert_eq!(config.node.cri_socket, "unix://not/absolute");
    assert!(config.node.taints.is_empty());
    assert_eq!(config.node.kubelet_extra_args.len(), 2);
    for taints in ["", "  taints: null\n", "  taints:\n"] {
        assert_eq!(resolved(&init(&format!("nodeRegistration:\n  name: a\n{taints}"))).node.taints.len(), 1);
    }
    let own = resolved(&init("nodeRegistration:\n  taints: [{key: a, value: b, effect: NoExecute}]\n"));
    assert_eq!(own.node.taints[0].value.as_deref(), Some("b"));
}

#[test]
fn what_has_no_effect_is_said() {
    let text = init("nodeRegistration:\n  criSocket: /run/crio/crio.sock\ntimeouts:\n  discovery: 1m\n")
        + "---\n"
        + &cluster("certificateValidityPeriod: 100000h\n");
    let config = resolved(&text);
    let fields: Vec<&str> = config.warnings.iter().filter_map(|warning| warning.split(':').next()).collect();
    assert_eq!(
        fields,
        ["nodeRegistration.criSocket", "certificateValidityPeriod", "certificateValidityPeriod", "timeouts.discovery",]
    );
}

fn cluster_v1beta3(fields: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n{fields}")
}

#[test]
fn the_older_version_is_resolved_with_a_warning() {
    let config = resolved(&cluster_v1beta3(
        "apiServer:\n  timeoutForControlPlane: 5m0s\n  extraArgs:\n    v: '4'\n    audit-log-path: /var/log/audit.log\n\
         etcd:\n  local:\n    extraArgs: {b: '1', a: '2'}\n",
    ));
    assert_eq!(config.timeouts.control_plane_component_health_check.as_secs(), 300);
    let names = |args: &[crate::config::Arg]| args.iter().map(|arg| arg.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&config.api_server.component.extra_args), ["audit-log-path", "v"]);
    assert_eq!(names(&config.etcd.local().unwrap().extra_args), ["a", "b"]);
    assert_eq!(
        config.warnings,
        ["config.yaml:1: `kubeadm.k8s.io/v1beta3` is deprecated; `bootstrap config migrate` writes the newer version"]
    );
}

#[test]
fn findings_keep_the_names_of_the_older_version() {
    let text = cluster_v1beta3(
        "apiServer:\n  timeoutForControlPlane: soon\n  extraArgs:\n    a: b\n    '--v': '4'\n\
         controllerManager:\n  extraArgs: {x: 4}\n",
    );
    assert_eq!(
        refused(&text),
        [
            "config.yaml:4: apiServer.timeoutForControlPlane: Invalid value: \"soon\": not a duration; write it as in \
             `1h30m`, `90s` or `500ms`",
            "config.yaml:7: apiServer.extraArgs.--v: Invalid value: \"--v\": the flag's name goes without its dashes",
            "config.yaml:9: controllerManager.extraArgs.x: expected a string, found a number; put it in quotes",
        ]
    );
}

#[test]
fn foreign_documents_are_ignored_with_a_warning() {
    let config = resolved(&(init("") + "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nx: [\n]\n"));
    assert_eq!(config.warnings, ["config.yaml:4: JoinConfiguration is not for `init`; the document is ignored"]);
}

#[test]
fn what_is_odd_but_valid_is_said() {
    for (text, expected) in [
        (
            cluster("kubernetesVersion: stable-1\n"),
            "kubernetesVersion: `stable-1` is not looked up in the network; v1.36.2",
        ),
        (
            cluster("kubernetesVersion: release/stable-1.36\n"),
            "kubernetesVersion: `release/stable-1.36` is not looked up",
        ),
        (cluster("featureGates: {PublicKeysECDSA: true}\n"), "featureGates.PublicKeysECDSA: deprecated"),
        (cluster("featureGates: {NodeLocalCRISocket: false}\n"), "featureGates.NodeLocalCRISocket: no effect"),
        (
            cluster("networking:\n  podSubnet: 10.244.0.0/16,fec0::/56\n  serviceSubnet: 10.96.0.0/16,fd00::/112\n"),
            "fec0::/56",
        ),
        (cluster("networking:\n  podSubnet: fd00::/56\n"), "networking.podSubnet: of a family"),
        (
            cluster("networking:\n  serviceSubnet: fd00::/112\n"),
            "networking.serviceSubnet: not of the advertise address's",
        ),
        (init("bootstrapTokens: [{expires: 2025-01-01T00:00:00Z}]\n"), "bootstrapTokens[0].expires: in the past"),
    ] {
        let config = resolved(&text);
        assert!(config.warnings.len() == 1 && config.warnings[0].contains(expected), "{text}: {:?}", config.warnings);
    }
}

#[test]
fn what_go_reads_is_read() {
    let config = resolved(
        &(init("localAPIEndpoint: {advertiseAddress: 010.077.0.10, bindPort: 0}\nbootstrapTokens: [{token: ''}]\n")
            + "---\n"
            + &cluster(
                "kubernetesVersion: release/v1.36.2\ncontrolPlaneEndpoint: 'api.example.com:'\n\
                 apiServer: {certSANs: [010.0.0.1, '*.EXAMPLE.com']}\n\
                 networking: {serviceSubnet: 010.96.0.12/024}\n\
                 controllerManager: {extraArgs: [{name: node-cidr-mask-size-ipv4, value: ''}]}\n\
                 etcd: {external: {endpoints: [HTTPS://etcd.example.com:2379]}}\n",
            )),
    );
    assert_eq!(config.local_api_endpoint.to_string(), "10.77.0.10:6443");
    assert_eq!(config.server(), "https://api.example.com:6443");
    assert_eq!(config.api_server.cert_sans, ["10.0.0.1", "*.example.com"]);
    assert_eq!(config.networking.service_subnets[0].trunc().to_string(), "10.96.0.0/24");
}

#[test]
fn flags_mean_what_their_fields_mean() {
    let flags = Flags {
        pod_network_cidr: Some("10.244.0.0/16".into()),
        apiserver_bind_port: Some(7443),
        control_plane_endpoint: Some("api.example.com".into()),
        apiserver_cert_extra_sans: Some(vec!["API.example.com".into()]),
        feature_gates: Some("PublicKeysECDSA=true".into()),
        token: Some(crate::secret::Secret::new("abcdef.0123456789abcdef")),
        token_ttl: Some("0".into()),
        ..Flags::default()
    };
    let config = resolve(&flags, None, &facts()).unwrap();
    assert_eq!(config.networking.pod_subnet, "10.244.0.0/16");
    assert_eq!(config.server(), "https://api.example.com:7443");
    assert_eq!(config.api_server.cert_sans, ["api.example.com"]);
    assert_eq!(config.encryption_algorithm, EncryptionAlgorithm::EcdsaP256);
    assert_eq!(config.bootstrap_tokens[0].id, "abcdef");
    assert_eq!(config.bootstrap_tokens[0].expires, TokenExpiry::Never);
}

#[test]
fn a_flag_at_fault_is_named() {
    let flags = Flags { pod_network_cidr: Some("x".into()), ..Flags::default() };
    let problems = resolve(&flags, None, &facts()).unwrap_err().to_string();
    assert!(problems.starts_with("--pod-network-cidr: networking.podSubnet: Invalid value"), "{problems}");
}

#[test]
fn flags_beside_a_file() {
    let flags = Flags { cert_dir: Some("/x".into()), token_ttl: Some("1h".into()), ..Flags::default() };
    let problems = resolve(&flags, file(&cluster("")), &facts()).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().message, "cannot mix `--config` with `--cert-dir`, `--token-ttl`");
    assert!(matches!(problems.iter().next(), Some(problem::Problem { origin: None, .. })));

    let flags = Flags {
        node_name: Some("Other".into()),
        ignore_preflight_errors: Some(vec!["Mem".into(), "NumCPU".into()]),
        skip_phases: Some(vec!["certs".into()]),
        dry_run: Some(true),
        ..Flags::default()
    };
    let text = init("skipPhases: [etcd]\nnodeRegistration:\n  name: n2\n  ignorePreflightErrors: [mem]\n");
    let config = resolve(&flags, file(&text), &facts()).unwrap();
    assert_eq!(config.node.name, "other");
    assert_eq!(config.ignore_preflight_errors, ["mem", "numcpu"]);
    assert_eq!(config.skip_phases, ["certs"]);
    assert!(config.dry_run);
}

#[test]
fn addresses_come_from_the_machine_when_nobody_names_one() {
    let without_route = Facts { default_address: None, ..facts() };
    let problems = resolve(&Flags::default(), None, &without_route).unwrap_err().to_string();
    assert!(problems.contains("no default route"), "{problems}");
    let anycast = Facts { loopback_address: Some("10.1.1.1".parse().unwrap()), ..facts() };
    let flags = Flags { apiserver_advertise_address: Some("127.0.0.1".into()), ..Flags::default() };
    assert_eq!(resolve(&flags, None, &anycast).unwrap().server(), "https://10.1.1.1:6443");
}

/// Every rule at its limit: what is just within it, and what is just beyond.
#[test]
fn limits() {
    let subnets = |service: &str, pod: &str| {
        cluster(&format!("networking: {{serviceSubnet: '{service}', podSubnet: '{pod}'}}\n"))
    };
    let masks = |pod: &str, args: &str| {
        cluster(&format!("networking: {{podSubnet: '{pod}'}}\ncontrollerManager: {{extraArgs: [{args}]}}\n"))
    };
    let name = |name: String| init(&format!("nodeRegistration: {{name: {name}}}\n"));
    let port = |port: &str| init(&format!("localAPIEndpoint: {{bindPort: {port}}}\n"));
    let group = |length: usize| {
        init(&format!("bootstrapTokens: [{{groups: ['system:bootstrappers:{}']}}]\n", "a".repeat(length)))
    };
    let allocate_not = "{name: allocate-node-cidrs, value: 'false'}";
    for (within, beyond) in [
        (port("65535"), port("65536")),
        (port("1"), port("-1")),
        (subnets("10.96.0.0/12", ""), subnets("10.96.0.0/11", "")),
        (subnets("10.96.0.0/28", ""), subnets("10.96.0.0/29", "")),
        (subnets("fd00::/108", ""), subnets("fd00::/107", "")),
        (subnets("fd00::/124", ""), subnets("fd00::/125", "")),
        (subnets("fd00::/112,10.96.0.0/16", ""), subnets("fd00::/112,10.96.0.0/16,10.97.0.0/16", "")),
        (subnets("10.96.0.0/16,fd00::/112", ""), subnets("10.96.0.0/16, fd00::/112", "")),
        (subnets("10.96.0.0/16", "10.0.0.0/8"), subnets("10.96.0.0/16", "10.0.0.0/7")),
        (subnets("10.96.0.0/16", "10.244.0.0/24"), subnets("10.96.0.0/16", "10.244.0.0/25")),
        (subnets("fd00::/112", "fd00:1::/48"), subnets("fd00::/112", "fd00::/47")),
        (subnets("fd00::/112", "fd00:1::/64"), subnets("fd00::/112", "fd00:1::/65")),
        (masks("10.244.0.0/28", allocate_not), masks("10.244.0.0/29", allocate_not)),
        (
            masks("10.244.0.0/16", "{name: node-cidr-mask-size-ipv4, value: '32'}"),
            masks("10.244.0.0/16", "{name: node-cidr-mask-size-ipv4, value: '33'}"),
        ),
        (
            masks(
                "10.244.0.0/26",
                "{name: node-cidr-mask-size, value: '20'}, {name: node-cidr-mask-size, value: '26'}",
            ),
            masks(
                "10.244.0.0/26",
                "{name: node-cidr-mask-size, value: '26'}, {name: node-cidr-mask-size, value: '20'}",
            ),
        ),
        (name("a".repeat(253)), name("a".repeat(254))),
        (group(256), group(257)),
        (
            init(&format!("certificateKey: {}\n", "0F".repeat(32))),
            init(&format!("certificateKey: {}\n", "0F".repeat(33))),
        ),
        (init("timeouts: {discovery: 1ns}\n"), init("timeouts: {discovery: 0s}\n")),
        (init("bootstrapTokens: [{ttl: 0s}]\n"), init("bootstrapTokens: [{ttl: -1ns}]\n")),
        (cluster("kubernetesVersion: v1.20.0\n"), cluster("kubernetesVersion: v1.19.99\n")),
        (cluster("kubernetesVersion: v1.99.0\n"), cluster("kubernetesVersion: v2.0.0\n")),
    ] {
        resolved(&within);
        assert_eq!(refused(&beyond).len(), 1, "{beyond}");
    }
}

#[test]
fn dual_stack_and_one_node_mask() {
    let config = resolved(&cluster(
        "networking:\n  podSubnet: 10.244.0.0/16,fd00:10:244::/56\n  serviceSubnet: 10.96.0.0/16,fd00:10:96::/112\n",
    ));
    assert_eq!(config.networking.pod_subnets.len(), 2);
    assert!(config.warnings.is_empty());
    resolved(&cluster(
        "networking:\n  podSubnet: 10.244.0.0/26\ncontrollerManager:\n  extraArgs: [{name: node-cidr-mask-size, value: '28'}]\n",
    ));
}

/// Lines that look like a configuration, with whatever may stand where a value should.
fn lines() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "etcd",
        "local",
        "networking",
        "podSubnet",
        "serviceSubnet",
        "apiServer",
        "extraArgs",
        "extraEnvs",
        "valueFrom",
        "name",
        "certSANs",
        "featureGates",
        "bootstrapTokens",
        "token",
        "ttl",
        "expires",
        "controlPlaneEndpoint",
        "x",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec!["", "{}", "[]", "[{name: a}]", "*a", "&a 1", "10.0.0.0/8,::/0"])
            .prop_map(str::to_owned),
        "\\PC{0,12}",
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    let line = (0usize..4, prop::bool::ANY, key, value).prop_map(|(depth, item, key, value)| {
        format!("{}{}{key}: {value}\n", "  ".repeat(depth), if item { "- " } else { "" })
    });
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in lines(), other in any::<String>()) {
        for text in [cluster(&text), init(&text), cluster_v1beta3(&text), other] {
            if let Err(problems) = resolve(&Flags::default(), file(&text), &facts()) {
                prop_assert!(problems.iter().count() > 0);
            }
        }
    }
}

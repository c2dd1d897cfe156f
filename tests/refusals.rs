//! Wrong input: a clear error, exit code 2, and nothing changed.

use std::fs;

use crate::support::{Bootstrap, picture};

const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
const INIT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
const CLUSTER_V1BETA3: &str = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n";
const INIT_V1BETA3: &str = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: InitConfiguration\n";

/// The beginning of a document, its fields, and what the refusal says.
const CONFIGURATIONS: &[(&str, &str, &[&str])] = &[
    // what kubeadm takes, or warns of: a slip of the finger
    (CLUSTER, "clusterNam: x\n", &["config.yaml:3: clusterNam: unknown field; did you mean `clusterName`?"]),
    (CLUSTER, "clusterName: a\nclusterName: b\n", &["config.yaml:4: clusterName: given twice, first on line 3"]),
    (CLUSTER, "kubernetesVersion: v1.19.0\n", &["kubernetesVersion", "v1.20", "v1.36"]),
    (CLUSTER, "apiServer: {extraVolumes: [{name: x, mountPath: /x}]}\n", &["apiServer.extraVolumes[0].hostPath"]),
    // what kubeadm refuses
    (INIT, "localAPIEndpoint: {advertiseAddress: 999.1.1.1}\n", &["localAPIEndpoint.advertiseAddress"]),
    (INIT, "localAPIEndpoint: {advertiseAddress: 224.0.0.1}\n", &["localAPIEndpoint.advertiseAddress"]),
    (INIT, "localAPIEndpoint: {bindPort: 70000}\n", &["localAPIEndpoint.bindPort: Invalid value: 70000"]),
    (INIT, "localAPIEndpoint: {bindPort: -1}\n", &["localAPIEndpoint.bindPort: Invalid value: -1"]),
    (INIT, "nodeRegistration: {name: a_b}\n", &["nodeRegistration.name: Invalid value: \"a_b\""]),
    (INIT, "nodeRegistration: {criSocket: 'unix'}\n", &["nodeRegistration.criSocket"]),
    (INIT, "nodeRegistration: {imagePullPolicy: always}\n", &["nodeRegistration.imagePullPolicy"]),
    (INIT, "nodeRegistration: {kubeletExtraArgs: [{value: a}]}\n", &["nodeRegistration.kubeletExtraArgs[0].name"]),
    (INIT, "nodeRegistration: {ignorePreflightErrors: [all, Mem]}\n", &["nodeRegistration.ignorePreflightErrors"]),
    (INIT, "bootstrapTokens: [{token: short.token}]\n", &["bootstrapTokens[0].token"]),
    (INIT, "bootstrapTokens: [{groups: [admins]}]\n", &["bootstrapTokens[0].groups", "system:bootstrappers:"]),
    (INIT, "bootstrapTokens: [{usages: [x]}]\n", &["bootstrapTokens[0].usages"]),
    (INIT, "bootstrapTokens: [{ttl: 1h, expires: '2030-01-01T00:00:00Z'}]\n", &["bootstrapTokens[0].ttl", "`expires`"]),
    (INIT, "certificateKey: abcd\n", &["certificateKey: Invalid value"]),
    (INIT, "timeouts: {kubernetesAPICall: soon}\n", &["timeouts.kubernetesAPICall"]),
    (CLUSTER, "certificateValidityPeriod: ten years\n", &["certificateValidityPeriod", "not a duration"]),
    (CLUSTER, "encryptionAlgorithm: RSA-1024\n", &["encryptionAlgorithm", "RSA-2048"]),
    (CLUSTER, "networking: {dnsDomain: UPPER_case}\n", &["networking.dnsDomain: Invalid value: \"UPPER_case\""]),
    (CLUSTER, "networking: {podSubnet: 10.244.0.0/33}\n", &["networking.podSubnet", "couldn't parse subnet"]),
    (CLUSTER, "networking: {podSubnet: 10.244.0.0/28}\n", &["networking.podSubnet", "leaves no room"]),
    (
        CLUSTER,
        "networking: {podSubnet: '10.0.0.0/16,10.1.0.0/16'}\n",
        &["networking.podSubnet", "one IPv4 and one IPv6"],
    ),
    (CLUSTER, "networking: {podSubnet: 10.244.0.0/29}\n", &["networking.podSubnet", "the minimum is 14"]),
    (CLUSTER, "networking: {serviceSubnet: 10.96.0.0}\n", &["networking.serviceSubnet", "couldn't parse subnet"]),
    (CLUSTER, "networking: {serviceSubnet: 10.96.0.0/30}\n", &["networking.serviceSubnet", "the minimum is 10"]),
    (CLUSTER, "networking: {serviceSubnet: 10.0.0.0/8}\n", &["networking.serviceSubnet", "the mask must be >= 12"]),
    (CLUSTER, "networking: 7\n", &["networking: expected a mapping, found a number"]),
    (CLUSTER, "controlPlaneEndpoint: bad_host!:6443\n", &["controlPlaneEndpoint", "bad_host!"]),
    (CLUSTER, "controlPlaneEndpoint: a:0\n", &["controlPlaneEndpoint", "port `0`"]),
    (CLUSTER, "certificatesDir: pki\n", &["certificatesDir: Invalid value: \"pki\": path is not absolute"]),
    (CLUSTER, "imageRepository: 'a b'\n", &["imageRepository"]),
    (CLUSTER, "dns: {imageRepository: 'a b'}\n", &["dns.imageRepository"]),
    (CLUSTER, "kubernetesVersion: one.two\n", &["kubernetesVersion: Invalid value: \"one.two\""]),
    (CLUSTER, "kubernetesVersion: ci/latest\n", &["kubernetesVersion", "`v1.36.2`"]),
    (CLUSTER, "featureGates: {NoSuchGate: true}\n", &["featureGates", "NoSuchGate is not a valid feature name"]),
    (CLUSTER, "apiServer: {certSANs: ['not a name']}\n", &["apiServer.certSANs"]),
    (CLUSTER, "apiServer: {extraArgs: [{value: a}]}\n", &["apiServer.extraArgs[0].name"]),
    (CLUSTER, "etcd: {local: {}, external: {endpoints: ['https://a:1']}}\n", &["etcd: ", "mutually exclusive"]),
    (CLUSTER, "etcd: {local: {dataDir: data}}\n", &["etcd.local.dataDir"]),
    (CLUSTER, "etcd: {local: {serverCertSANs: [UPPER]}}\n", &["etcd.local.serverCertSANs"]),
    (CLUSTER, "etcd: {external: {endpoints: []}}\n", &["etcd.external.endpoints"]),
    (CLUSTER, "etcd: {external: {endpoints: ['10.0.0.9:2379']}}\n", &["etcd.external.endpoints"]),
    (CLUSTER, "etcd: {external: {endpoints: ['http://a'], caFile: /a}}\n", &["etcd.external.endpoints", "HTTPS"]),
    (
        CLUSTER,
        "etcd: {external: {endpoints: ['https://a'], caFile: /a, keyFile: /a}}\n",
        &["etcd.external", "`certFile`"],
    ),
    (CLUSTER, "etcd: {external: {endpoints: ['https://a'], certFile: /a, keyFile: /a}}\n", &["etcd.external.caFile"]),
    (CLUSTER, "etcd: {external: {endpoints: ['https://a'], caFile: a}}\n", &["etcd.external.caFile"]),
    // the older version, in its own words
    (CLUSTER_V1BETA3, "apiServer: {timeoutForControlPlane: soon}\n", &["apiServer.timeoutForControlPlane"]),
    (CLUSTER_V1BETA3, "scheduler: {extraArgs: {v: 4}}\n", &["config.yaml:3: scheduler.extraArgs.v: expected a string"]),
    (CLUSTER_V1BETA3, "proxy: {disabled: true}\n", &["proxy: unknown field; it is one of v1beta4"]),
    (INIT_V1BETA3, "nodeRegistration: {kubeletExtraArgs: {--v: '4'}}\n", &["nodeRegistration.kubeletExtraArgs.--v"]),
    // the file as a whole
    ("", "", &["config.yaml: holds neither InitConfiguration nor ClusterConfiguration"]),
    (CLUSTER, "  - broken: [\n", &["config.yaml:3: not valid YAML"]),
    (CLUSTER, "---\nkind: InitConfiguration\n", &["config.yaml:4: apiVersion: Required value"]),
    (
        "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n---\n",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n",
        &["config.yaml:4: a second ClusterConfiguration, the first is on line 1"],
    ),
    ("apiVersion: kubeadm.k8s.io/v1beta2\n", "kind: ClusterConfiguration\n", &["apiVersion", "kubeadm v1.22"]),
    ("apiVersion: kubeadm.k8s.io/v9\n", "kind: ClusterConfiguration\n", &["apiVersion", "`kubeadm.k8s.io/v9`"]),
    ("apiVersion: kubeadm.k8s.io/v1beta4\n", "kind: ClusterConfig\n", &["kind: unknown kind `ClusterConfig`"]),
    (
        "apiVersion: kubeadm.k8s.io/v1beta4\n",
        "kind: JoinConfiguration\n",
        &["holds neither InitConfiguration nor ClusterConfiguration", "JoinConfiguration is not for `init`"],
    ),
];

#[test]
fn a_wrong_configuration_is_refused_by_field() {
    for (head, fields, says) in CONFIGURATIONS {
        let root = tempfile::tempdir().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        fs::write(&config, format!("{head}{fields}")).unwrap();
        let config = format!("--config={}", config.display());
        let root_flag = format!("--root={}", root.path().display());
        // what is accepted by mistake should not run
        let run = Bootstrap::new(["init", "--dry-run", &config, &root_flag]).run();
        assert_eq!(run.code, 2, "{head}{fields}");
        run.fails(2, says);
        assert!(picture(root.path()).is_empty(), "{fields}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root_flag = format!("--root={}", root.path().display());
    let cases: &[(&[&str], &[&str])] = &[
        (&["init", "--apiserver-advertise-address=10.0.0.256"], &["--apiserver-advertise-address"]),
        (&["init", "--apiserver-bind-port=70000"], &["--apiserver-bind-port"]),
        (&["init", "--service-cidr=nonsense"], &["--service-cidr"]),
        (&["init", "--feature-gates=X"], &["--feature-gates: featureGates", "write `Name=true`"]),
        (&["init", "--feature-gates=X=true"], &["--feature-gates: featureGates", "X is not a valid feature name"]),
        (&["init", "--kubernetes-version=stable-1.30"], &["--kubernetes-version", "`v1.30.0`"]),
        (&["init", "--token-ttl=soon"], &["--token-ttl: bootstrapTokens[0].ttl"]),
        (&["init", "--no-such-flag"], &["--no-such-flag"]),
        (&["init", "--skip-phases=cert"], &["invalid phase name: `cert`; did you mean `certs`?", "bootstrap phases"]),
        (&["init", "phase", "etcd/remote"], &["invalid phase name: `etcd/remote`"]),
        (&["init", "--out=/nowhere"], &["--dry-run"]),
        (&["init", "--profile=pci"], &["--profile", "cis"]),
        (&["init", "--profile=cis", "--feature-gates=RootlessControlPlane=true"], &["--feature-gates", "CIS 1.1.19"]),
        (&["init", "--config=/no/such/file"], &["/no/such/file"]),
        (
            &["init", "--config=/dev/null", "--cert-dir=/x", "--patches=/y"],
            &["cannot mix `--config` with", "--patches"],
        ),
        (&["inti"], &["init"]),
        (&["config"], &["Usage: bootstrap config"]),
    ];
    for (args, says) in cases {
        Bootstrap::new(args.iter().copied().chain([root_flag.as_str()])).run().fails(2, says);
        assert!(picture(root.path()).is_empty(), "{args:?}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let text = format!(
        "{CLUSTER}clusterNam: x\nkubernetesVersion: v1.1.0\ncertificatesDir: pki\nnetworking: {{podSubnet: x}}\n---\n\
         {INIT}localAPIEndpoint: {{bindPort: 70000}}\ntimeouts: {{discovery: soon}}\n---\n\
         apiVersion: kubelet.config.k8s.io/v1\nkind: KubeletConfiguration\n"
    );
    fs::write(&config, text).unwrap();
    let run = Bootstrap::new(["init", "--dry-run", "--node-name=a_b", &format!("--config={}", config.display())]).run();
    assert_eq!(run.code, 2, "{}", run.stderr);
    let places: Vec<_> = run.stderr.lines().map(|line| line.trim_start_matches("error: ")).collect();
    let places: Vec<_> = places.iter().map(|line| line.replace(&config.display().to_string(), "config.yaml")).collect();
    for (line, expected) in places.iter().zip([
        "--node-name: nodeRegistration.name: ",
        "config.yaml:3: clusterNam: ",
        "config.yaml:4: kubernetesVersion: ",
        "config.yaml:5: certificatesDir: ",
        "config.yaml:6: networking.podSubnet: ",
        "config.yaml:10: localAPIEndpoint.bindPort: ",
        "config.yaml:11: timeouts.discovery: ",
        "config.yaml:13: apiVersion: ",
    ]) {
        assert!(line.starts_with(expected), "{expected}: {places:#?}");
    }
    assert_eq!(places.len(), 8, "{places:#?}");
}

#[test]
fn a_token_or_a_key_is_in_no_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let text = format!(
        "{INIT}certificateKey: 0123456789\nbootstrapTokens:\n- token: abcdef.0123456789ABCDEF\n\
         - token: [abcdef.0123456789abcdef]\n- token: abcdef.0123456789abcdef\n- token: abcdef.0123456789abcdef\n"
    );
    fs::write(&config, text).unwrap();
    let run = Bootstrap::new(["init", "--dry-run", &format!("--config={}", config.display())]).run();
    let run = run.fails(2, &["certificateKey", "bootstrapTokens[0].token", "a second token `abcdef`"]);
    assert!(!run.stderr.contains("0123456789"), "{}", run.stderr);
    let flags = ["init", "--dry-run", "--token=abcdef.0123456789ABCDEF", "--certificate-key=0123456789"];
    let run = Bootstrap::new(flags).run().fails(2, &["--token", "--certificate-key"]);
    assert!(!run.stderr.contains("0123456789"), "{}", run.stderr);
}

#[test]
fn without_root_only_the_dry_run_works() {
    let root = tempfile::tempdir().unwrap();
    let root_flag = format!("--root={}", root.path().display());
    let user = |args: &[&str]| Bootstrap::new(args.iter().copied().chain([root_flag.as_str()])).without_root().run();
    user(&["init", "--ignore-preflight-errors=NumCPU,Mem"]).fails(2, &["[IsPrivilegedUser]", "hint: "]);
    user(&["reset", "--force"]).fails(2, &["not root"]);
    assert!(picture(root.path()).is_empty());
}

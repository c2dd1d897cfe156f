//! Wrong input: a clear error, exit code 2, and nothing changed.

use std::fs;

use crate::support::{Bootstrap, picture};

const HEAD: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

/// The configuration's text and what the refusal says.
const CONFIGURATIONS: &[(&str, &[&str])] = &[
    ("clusterNam: x\n", &["clusterNam", "clusterName"]),
    ("clusterName: a\nclusterName: b\n", &["clusterName: given twice"]),
    ("networking: 7\n", &["networking"]),
    ("networking:\n  serviceSubnet: 10.96.0.0/40\n", &["networking.serviceSubnet"]),
    ("kubernetesVersion: v1.19.0\n", &["v1.20", "v1.36"]),
    ("kubernetesVersion: latest-please\n", &["kubernetesVersion"]),
    ("encryptionAlgorithm: RSA-1024\n", &["encryptionAlgorithm", "RSA-2048"]),
    ("certificatesDir: pki\n", &["certificatesDir"]),
    ("etcd:\n  local:\n    dataDir: data\n", &["etcd.local.dataDir"]),
    ("apiServer:\n  certSANs: ['not a name']\n", &["apiServer.certSANs"]),
    ("  - broken: [\n", &["config.yaml"]),
];

#[test]
fn a_wrong_configuration_is_refused_by_field() {
    for (text, says) in CONFIGURATIONS {
        let root = tempfile::tempdir().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        fs::write(&config, format!("{HEAD}{text}")).unwrap();
        let config = format!("--config={}", config.display());
        Bootstrap::new(["init", &config, &format!("--root={}", root.path().display())]).run().fails(2, says);
        assert!(picture(root.path()).is_empty(), "{text}");
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
        (&["init", "--no-such-flag"], &["--no-such-flag"]),
        (&["init", "--skip-phases=cert"], &["there is no phase `cert`", "bootstrap phases"]),
        (&["init", "phase", "etcd/remote"], &["there is no phase `etcd/remote`"]),
        (&["init", "--out=/nowhere"], &["--dry-run"]),
        (&["init", "--config=/no/such/file"], &["/no/such/file"]),
        (&["inti"], &["init"]),
    ];
    for (args, says) in cases {
        Bootstrap::new(args.iter().copied().chain([root_flag.as_str()])).run().fails(2, says);
        assert!(picture(root.path()).is_empty(), "{args:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    fs::write(&config, format!("{HEAD}clusterNam: x\nkubernetesVersion: v1.1.0\ncertificatesDir: pki\n")).unwrap();
    Bootstrap::new(["init", "--dry-run", &format!("--config={}", config.display())])
        .run()
        .fails(2, &["clusterNam", "kubernetesVersion", "certificatesDir"]);
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

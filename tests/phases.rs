//! The phases of init: kubeadm's list and ours, what may be left out, and how single ones are run.

use std::fs;
use std::path::Path;

use bootstrap::config::flags::Flags;
use bootstrap::config::profile::Profile;
use bootstrap::desired::Desired;
use bootstrap::error;
use bootstrap::host::found;
use bootstrap::layout::Layout;
use bootstrap::phase::{self, PHASES, PREFLIGHT, Selection};
use bootstrap::plan::Plan;

use crate::manifests::{config, config_with, facts};
use crate::support::{Bootstrap, picture};
use crate::{golden, hardening};

const EXTERNAL_ETCD: &str = "etcd:\n  external:\n    endpoints: ['http://10.0.0.9:2379']\n";

fn desired(fields: &str) -> Desired {
    Desired::new(config("v1.36.2", fields), &facts(), &[]).unwrap()
}

/// With `--upload-certs`.
fn uploading(fields: &str) -> Desired {
    let flags = Flags { upload_certs: true, ..Flags::default() };
    Desired::new(config_with(&flags, "v1.36.2", fields), &facts(), &[]).unwrap()
}

fn plan(root: &Path, desired: &Desired) -> Plan {
    let found = found::look(&Layout::new(root), desired, facts().now).unwrap();
    phase::plan(desired, &found)
}

/// kubeadm v1.36's phases in their order, with the steps of ours that differ and why.
const KUBEADM: &[(&str, &[&str])] = &[
    ("preflight", &[]),
    (
        "certs",
        &[
            "ca",
            "apiserver",
            "apiserver-kubelet-client",
            "front-proxy-ca",
            "front-proxy-client",
            "etcd-ca",
            "etcd-server",
            "etcd-peer",
            "etcd-healthcheck-client",
            "apiserver-etcd-client",
            "sa",
        ],
    ),
    ("kubeconfig", &["admin", "super-admin", "kubelet", "controller-manager", "scheduler"]),
    ("etcd", &["local"]),
    ("control-plane", &["apiserver", "controller-manager", "scheduler"]),
    ("kubelet-start", &[]),
    ("wait-control-plane", &[]),
    ("upload-config", &["kubeadm", "kubelet"]),
    ("upload-certs", &[]),
    ("mark-control-plane", &[]),
    ("bootstrap-token", &[]),
    ("kubelet-finalize", &["enable-client-cert-rotation"]),
    ("addon", &["coredns", "kube-proxy"]),
    ("show-join-command", &[]),
];

/// Phases of ours that kubeadm does not have, and phases whose steps it does not have.
const OURS: &[&str] = &[
    // a profile is ours
    "hardening",
    // kubeadm pulls images in preflight; here preflight changes nothing
    "images",
    // what the kubelet is to kubeadm
    "runner-start",
    // kubeadm waits as a whole; here each wait is a step, so that what needs one component waits for no other
    "wait-control-plane",
];

#[test]
fn names_and_order_are_kubeadms() {
    let ours: Vec<_> = std::iter::once(PREFLIGHT.name).chain(PHASES.iter().map(|phase| phase.name)).collect();
    let shared: Vec<_> = ours.iter().filter(|name| KUBEADM.iter().any(|(phase, _)| phase == *name)).collect();
    let theirs: Vec<_> = KUBEADM.iter().map(|(phase, _)| phase).collect();
    assert_eq!(shared, theirs);
    for phase in PHASES {
        let items: Vec<_> = phase.items.iter().map(|item| item.name).collect();
        match KUBEADM.iter().find(|(name, _)| *name == phase.name) {
            Some((_, steps)) if !OURS.contains(&phase.name) => assert_eq!(items, *steps, "{}", phase.name),
            _ => assert!(OURS.contains(&phase.name), "{} is neither kubeadm's nor ours", phase.name),
        }
    }
}

#[test]
fn every_step_is_in_the_list_and_needs_what_is_in_the_list() {
    let root = tempfile::tempdir().unwrap();
    let listed = |name: &str| {
        PHASES.iter().any(|phase| match name.split_once('/') {
            Some((of, step)) => phase.name == of && phase.items.iter().any(|item| item.name == step),
            None => phase.name == name && phase.items.is_empty(),
        })
    };
    let mut made: Vec<String> = Vec::new();
    let profile = hardening::desired(Profile::Cis, "v1.36.2", "");
    for desired in [desired(""), desired(EXTERNAL_ETCD), uploading(""), profile] {
        for step in plan(root.path(), &desired).steps {
            assert!(listed(&step.name()), "{} is not in the list", step.name());
            for need in &step.needs {
                assert!(listed(need), "{} needs {need}, which is not in the list", step.name());
            }
            made.push(step.name());
        }
    }
    for phase in PHASES {
        assert!(made.iter().any(|name| name.split('/').next() == Some(phase.name)), "{} has no step", phase.name);
        for item in phase.items {
            assert!(made.contains(&format!("{}/{}", phase.name, item.name)), "{}/{}", phase.name, item.name);
        }
        for needed in phase.depends_on {
            assert!(PHASES.iter().any(|other| other.name == *needed), "{needed}");
        }
    }
}

/// What is on the machine: nothing, or these files of what an init writes.
#[derive(Clone, Copy)]
enum Machine {
    Bare,
    With(&'static [&'static str]),
}

/// Machine, `init phase`, `--skip-phases`, and what is told; nothing where all is well.
type Case = (Machine, Option<&'static str>, &'static [&'static str], &'static [&'static str]);

#[test]
fn what_is_left_out_and_needed_is_told_before_anything_is_done() {
    use Machine::{Bare, With};
    let all_pki = &["etc/kubernetes/pki"][..];
    let cases: &[Case] = &[
        // a whole init, and parts of one on a bare machine
        (Bare, None, &[], &[]),
        (Bare, None, &["certs"], &["missing certs, needed by kubeconfig, etcd, control-plane"]),
        (Bare, None, &["certs/sa"], &["missing certs/sa, needed by control-plane"]),
        (
            Bare,
            None,
            &["certs/ca", "kubeconfig/admin"],
            &[
                "missing certs/ca, needed by certs/apiserver, certs/apiserver-kubelet-client",
                "missing kubeconfig/admin, needed by wait-control-plane/kube-apiserver",
            ],
        ),
        (Bare, None, &["kubeconfig/super-admin"], &[]),
        (Bare, None, &["etcd"], &["missing etcd, needed by wait-control-plane/etcd"]),
        (Bare, None, &["control-plane/scheduler"], &["missing control-plane/scheduler, needed by"]),
        (Bare, None, &["control-plane", "etcd", "wait-control-plane"], &[]),
        (Bare, None, &["images", "kubelet-start", "runner-start", "wait-control-plane", "addon", "preflight"], &[]),
        (Bare, Some("certs"), &[], &[]),
        (Bare, Some("certs/ca"), &[], &[]),
        (Bare, Some("certs/apiserver"), &[], &["missing certs/ca, needed by certs/apiserver"]),
        (Bare, Some("kubeconfig"), &[], &["missing certs/ca, needed by kubeconfig"]),
        (Bare, Some("kubelet-start"), &[], &[]),
        (Bare, Some("upload-config"), &[], &["missing kubeconfig/admin, needed by upload-config"]),
        // what is there satisfies
        (With(all_pki), None, &["certs"], &[]),
        (With(all_pki), Some("kubeconfig"), &[], &[]),
        (With(&["etc/kubernetes/pki/ca.crt"]), Some("certs/apiserver"), &[], &[]),
        (With(&["etc/kubernetes/pki/sa.key"]), Some("control-plane/scheduler"), &[], &["missing certs/sa"]),
        (With(&["etc/kubernetes/admin.conf"]), Some("upload-config"), &[], &[]),
        (With(&["etc/kubernetes/admin.conf", "etc/kubernetes/manifests"]), Some("wait-control-plane"), &[], &[]),
        (With(&["etc/kubernetes"]), None, &["certs", "kubeconfig", "etcd", "control-plane"], &[]),
    ];
    let whole = tempfile::tempdir().unwrap();
    let out = whole.path().join("out");
    let flags = ["--node-name=n1", "--apiserver-advertise-address=10.0.0.5", "--token=abcdef.0123456789abcdef"];
    Bootstrap::new(["init", "--dry-run"].into_iter().chain(flags).chain([format!("--out={}", out.display()).as_str()]))
        .run()
        .succeeds();
    let desired = desired("");
    for (machine, only, skip, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        if let With(paths) = machine {
            for path in *paths {
                fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
                let status =
                    std::process::Command::new("cp").arg("-a").arg(out.join(path)).arg(root.path().join(path)).status();
                assert!(status.unwrap().success());
            }
        }
        let found = found::look(&Layout::new(root.path()), &desired, facts().now).unwrap();
        let everything = phase::plan(&desired, &found);
        let skip: Vec<_> = skip.iter().map(|name| (*name).to_owned()).collect();
        let selection = Selection::new(*only, &skip).unwrap();
        let outcome = phase::check_dependencies(&desired, &found, &everything, &selection, &[]);
        let case = format!("{only:?} without {skip:?}");
        match (outcome, expected.is_empty()) {
            (Ok(_), true) => {}
            (Ok(_), false) => panic!("{case}: nothing is missing"),
            (Err(refusal), _) => {
                assert_eq!(error::exit_of(&refusal) as u8, 2, "{case}");
                let told = refusal.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|text| told.contains(text)), "{case}: {told}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_and_is_left_out_is_told_and_used() {
    let root = tempfile::tempdir().unwrap();
    let manifests = root.path().join("etc/kubernetes/manifests");
    fs::create_dir_all(&manifests).unwrap();
    fs::write(manifests.join("kube-scheduler.yaml"), "mine").unwrap();
    let run = Bootstrap::new([
        "init",
        "--dry-run",
        "--node-name=n1",
        "--apiserver-advertise-address=10.0.0.5",
        "--skip-phases=control-plane/scheduler",
        &format!("--root={}", root.path().display()),
    ])
    .run()
    .succeeds();
    assert!(
        run.stderr.contains("warning: control-plane/scheduler is left out, and what is there is used"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_phases_are_listed_with_their_steps() {
    let text = Bootstrap::new(["phases"]).run().succeeds().stdout;
    golden::check(&[("phases.txt".to_owned(), text)]);
    let json = Bootstrap::new(["phases", "-o", "json"]).run().succeeds().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["phases"][0]["name"], "preflight");
    assert_eq!(json["phases"].as_array().unwrap().len(), PHASES.len() + 1);
    let certs = &json["phases"][1];
    assert_eq!((&certs["name"], &certs["steps"][1]["name"]), (&"certs".into(), &"apiserver".into()));
}

/// A dry run of one phase, and what it wrote.
fn written(arguments: &[&str]) -> Vec<String> {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let flags = [
        "--dry-run".to_owned(),
        "--node-name=n1".to_owned(),
        "--apiserver-advertise-address=10.0.0.5".to_owned(),
        format!("--root={}", root.path().display()),
        format!("--out={}", out.path().display()),
    ];
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    Bootstrap::new(["init".to_owned(), "phase".to_owned()].into_iter().chain(arguments).chain(flags)).run().succeeds();
    let files = picture(out.path()).into_iter().filter(|(_, facts)| facts.starts_with("100"));
    files.map(|(path, _)| path.display().to_string()).collect()
}

#[test]
fn a_phase_can_be_named_in_every_way() {
    let ca = ["etc/kubernetes/pki/ca.crt", "etc/kubernetes/pki/ca.key"];
    for arguments in [&["certs", "ca"][..], &["certs/ca"]] {
        assert_eq!(written(arguments), ca, "{arguments:?}");
    }
    let certs = written(&["certs", "all"]);
    assert_eq!(certs.len(), 22);
    assert_eq!(written(&["certs"]), certs, "kubeadm wants a step or `all` here");
    assert_eq!(written(&["kubelet-start"]).len(), 3);
    assert_eq!(written(&["pre-flight"]), [""; 0]);
}

#[test]
fn what_needs_more_than_there_is_ends_before_anything_is_done() {
    let root = tempfile::tempdir().unwrap();
    let root_flag = format!("--root={}", root.path().display());
    let node = ["--node-name=n1", "--apiserver-advertise-address=10.0.0.5", root_flag.as_str()];
    for (arguments, says) in [
        (
            &["init", "--skip-phases=certs"][..],
            &["unresolved dependencies: missing certs, needed by ", "hint: ", "--skip-phases"][..],
        ),
        (
            &["init", "phase", "upload-config"],
            &[
                "missing kubeconfig/admin, needed by upload-config",
                "hint: run `bootstrap init phase kubeconfig admin` before",
            ],
        ),
        (&["init", "phase", "etcd", "remote"], &["invalid phase name: `etcd/remote`"]),
        (&["init", "phase", "certs", "--print-manifest"], &["--print-manifest"]),
        (&["init", "phase", "control-plane", "--scheduler-extra-args=v"], &["scheduler.extraArgs", "name=value"]),
        (&["init", "phase", "control-plane", "--scheduler-extra-args=v=1", "--config=/x"], &[]),
    ] {
        Bootstrap::new(arguments.iter().copied().chain(node)).run().fails(2, says);
        assert!(picture(root.path()).is_empty(), "{arguments:?}");
    }
}

#[test]
fn addons_can_be_printed_for_somebody_else_to_apply() {
    let flags = ["--print-manifest", "--node-name=n1", "--apiserver-advertise-address=10.0.0.5"];
    let objects = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let run =
            Bootstrap::new(["init", "phase"].iter().chain(arguments).chain(&flags)).without_root().run().succeeds();
        serde_yaml::from_multiple(&run.stdout).unwrap()
    };
    let (all, dns) = (objects(&["addon"]), objects(&["addon", "coredns"]));
    assert!(all.iter().any(|object| object["kind"] == "DaemonSet"));
    assert!(dns.iter().any(|object| object["kind"] == "Deployment") && dns.len() < all.len());
}

#[test]
fn flags_of_a_phase_reach_its_manifests() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let (given, root_flag) = (root.path().join("root"), format!("--root={}", root.path().join("root").display()));
    let node = ["--dry-run", "--node-name=n1", "--apiserver-advertise-address=10.0.0.5", root_flag.as_str()];
    Bootstrap::new(["init"].iter().chain(&node).copied().chain([format!("--out={}", given.display()).as_str()]))
        .run()
        .succeeds();
    fs::remove_dir_all(given.join("etc/kubernetes/manifests")).unwrap();
    let phase = [
        "init",
        "phase",
        "control-plane",
        "all",
        "--apiserver-extra-args=v=4,profiling=false",
        "--scheduler-extra-args=v=2",
    ];
    Bootstrap::new(phase.iter().chain(&node).copied().chain([format!("--out={}", out.display()).as_str()]))
        .run()
        .succeeds();
    let manifest = |name: &str| fs::read_to_string(out.join("etc/kubernetes/manifests").join(name)).unwrap();
    assert!(manifest("kube-apiserver.yaml").contains("- --v=4\n    - --profiling=false\n"));
    assert!(manifest("kube-scheduler.yaml").contains("- --v=2\n"));
    assert!(!out.join("etc/kubernetes/manifests/etcd.yaml").exists());
}

#[test]
fn the_kubeconfig_of_a_kubelet_that_took_over_names_its_own_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (root, out) = (directory.path().join("root"), directory.path().join("out"));
    let init = |arguments: &[&str], out: &Path| {
        let flags = ["--dry-run", "--node-name=n1", "--apiserver-advertise-address=10.0.0.5"].map(str::to_owned);
        let places = [format!("--root={}", root.display()), format!("--out={}", out.display())];
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        Bootstrap::new(["init".to_owned()].into_iter().chain(arguments).chain(flags).chain(places)).run().succeeds()
    };
    init(&[], &root);
    let phase = ["phase", "kubelet-finalize", "enable-client-cert-rotation"];
    init(&phase, &out);
    assert!(!out.exists(), "no kubelet has been here");
    let certificate = "var/lib/kubelet/pki/kubelet-client-current.pem";
    fs::create_dir(root.join("var/lib/kubelet/pki")).unwrap();
    fs::write(root.join(certificate), "").unwrap();
    init(&phase, &out);
    let kubeconfig = fs::read_to_string(out.join("etc/kubernetes/kubelet.conf")).unwrap();
    assert!(kubeconfig.contains(&format!("client-certificate: /{certificate}\n")), "{kubeconfig}");
    assert!(!kubeconfig.contains("client-key-data"), "{kubeconfig}");
    assert_eq!(picture(&out).len(), 3);
}

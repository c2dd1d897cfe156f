//! `init --profile cis`: what becomes of the profile's files, and of a key that must never be lost.

use std::collections::BTreeMap;

use bootstrap::config::file::FileInput;
use bootstrap::config::flags::Flags;
use bootstrap::config::profile::{AUDIT_POLICY, ENCRYPTION, Profile};
use bootstrap::config::resolve::resolve;
use bootstrap::desired::Desired;
use bootstrap::desired::manifest::Component;
use bootstrap::phase::{self, manifest_path};
use bootstrap::plan::found::{Found, FoundFile};
use bootstrap::plan::{Decision, Plan};

use crate::manifests::facts;
use crate::support::Bootstrap;

pub(crate) fn desired(profile: Profile, version: &str, fields: &str) -> Desired {
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {version}\n\
         encryptionAlgorithm: ECDSA-P256\n{fields}"
    );
    let file = FileInput { name: "config.yaml".into(), text };
    let config = resolve(&Flags { profile, ..Flags::default() }, Some(file), &facts()).unwrap();
    Desired::new(config, &facts(), &[]).unwrap()
}

fn found(files: &[(&str, &str)], written: &[&str]) -> Found {
    let content = |text: &str| FoundFile::Content(text.as_bytes().to_vec());
    Found {
        files: files.iter().map(|(path, text)| ((*path).into(), content(text))).collect(),
        written: written.iter().map(|path| ((*path).into(), "another".to_owned())).collect::<BTreeMap<_, _>>(),
        ..Found::at(facts().now)
    }
}

fn decision(desired: &Desired, found: &Found, step: &str) -> Option<Decision> {
    let Plan { steps } = phase::plan(desired, found);
    steps.into_iter().find(|candidate| candidate.name() == step).map(|step| step.decision)
}

fn api_server_yaml(desired: &Desired) -> String {
    let manifest = desired.manifests.iter().find(|manifest| manifest.component == Component::ApiServer);
    manifest.unwrap().yaml.clone()
}

#[track_caller]
fn refused(decision: Option<Decision>, says: &str) {
    assert!(matches!(&decision, Some(Decision::Refuse(reason)) if reason.contains(says)), "{decision:?}");
}

const KEYS: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
                    - {resources: [secrets], providers: [{aescbc: {keys: []}}]}\n";

#[test]
fn a_key_is_made_once_and_kept_as_the_user_edits_it() {
    let desired = desired(Profile::Cis, "v1.36.2", "");
    let decide =
        |files: &[(&str, &str)], written: &[&str]| decision(&desired, &found(files, written), "hardening/encryption");
    assert_eq!(decide(&[], &[]), Some(Decision::Create));
    assert_eq!(decide(&[(ENCRYPTION, KEYS)], &[ENCRYPTION]), Some(Decision::Keep));
    refused(decide(&[(ENCRYPTION, "secret: 123")], &[]), ENCRYPTION);
    // somebody lost it
    refused(decide(&[], &[ENCRYPTION]), "put that file at");
    let manifest = manifest_path(Component::ApiServer);
    let manifest = (manifest.to_str().unwrap(), api_server_yaml(&desired));
    refused(decide(&[(manifest.0, &manifest.1)], &[]), "put that file at");
}

#[test]
fn without_the_profile_an_instance_made_with_it_is_refused() {
    let (with, without) = (desired(Profile::Cis, "v1.36.2", ""), desired(Profile::None, "v1.36.2", ""));
    let path = manifest_path(Component::ApiServer);
    let path = path.to_str().unwrap();
    let step = "control-plane/apiserver";
    let (encrypting, plain) = (api_server_yaml(&with), api_server_yaml(&without));
    refused(decision(&without, &found(&[(path, &encrypting)], &[path]), step), "--profile=cis");
    // also where its manifest is gone
    refused(decision(&without, &found(&[], &[ENCRYPTION]), step), "--profile=cis");
    // not where the user has taken encryption out by hand
    assert_eq!(decision(&without, &found(&[(path, &plain)], &[ENCRYPTION]), step), Some(Decision::Keep));
    assert_eq!(decision(&without, &found(&[], &[]), step), Some(Decision::Create));
    let own = "apiServer:\n  extraArgs:\n  - {name: encryption-provider-config, value: /etc/keys.yaml}\n";
    let own = desired(Profile::None, "v1.36.2", own);
    assert_eq!(decision(&own, &found(&[], &[ENCRYPTION]), step), Some(Decision::Create));
    assert_eq!(decision(&without, &found(&[], &[]), "hardening/encryption"), None);
}

#[test]
fn an_edited_audit_policy_is_kept_while_it_is_one() {
    let desired = desired(Profile::Cis, "v1.36.2", "");
    let decide = |text: &str| decision(&desired, &found(&[(AUDIT_POLICY, text)], &[]), "hardening/audit-policy");
    assert_eq!(decide("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), Some(Decision::Keep));
    refused(decide("rules: none"), AUDIT_POLICY);
    refused(decide("kind: Pod"), AUDIT_POLICY);
}

#[test]
fn what_config_print_makes_of_the_profile_is_the_profile() {
    let directory = tempfile::tempdir().unwrap();
    let fixed = ["--node-name=n1", "--profile=cis"];
    let print = |more: &[&str]| Bootstrap::new(["config", "print"].iter().chain(more)).run().succeeds().stdout;
    let address = "--apiserver-advertise-address=10.0.0.5";
    let printed = print(&[fixed[0], fixed[1], address]);
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, &printed).unwrap();
    let config = format!("--config={}", file.display());
    assert_eq!(print(&[fixed[0], fixed[1], &config]), printed);
    assert_eq!(print(&[fixed[0], &config]), printed);
    let root = format!("--root={}", directory.path().display());
    for profile in [Some("--profile=cis"), None] {
        let arguments = ["init", "--dry-run", &config, &root].into_iter().chain(profile);
        let plan = Bootstrap::new(arguments).run().succeeds().stdout;
        assert!(plan.contains("write /etc/kubernetes/hardening/encryption.yaml (mode 0600, a new key)"), "{plan}");
    }
}

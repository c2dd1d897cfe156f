#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::super::render;
use super::*;
use crate::config::EncryptionAlgorithm;
use crate::desired::issue::{self, Issue, SigningAuthority};
use crate::desired::pki::{Authority, CertificateSpec, Purpose};

fn key() -> Key {
    Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn client() -> CertificateSpec {
    CertificateSpec {
        common_name: "system:kube-scheduler".into(),
        organizations: vec![],
        purpose: Purpose::Client(Authority::Kubernetes),
        dns_names: vec![],
        ip_addresses: vec![],
        validity: Duration::from_secs(3600),
    }
}

fn file() -> KubeconfigFile {
    KubeconfigFile {
        name: "scheduler",
        file: "scheduler.conf",
        server: "https://10.0.0.5:6443".into(),
        cluster_name: "na: me \"# {{".into(),
        client: client(),
    }
}

fn authority() -> SigningAuthority {
    let key = key();
    let spec = CertificateSpec { purpose: Purpose::Authority(Authority::Kubernetes), ..client() };
    let pem = issue::authority(&spec, &key, now(), 1).unwrap();
    SigningAuthority::new(pem.as_bytes(), key).unwrap()
}

fn certificate(signer: &SigningAuthority, key: &Key) -> String {
    issue::leaf(&client(), key, signer, Issue { not_before: signer.not_before(), now: now(), serial: 3 }).unwrap()
}

fn judged(text: &str, by: &str) -> Result<Vec<Misfit>> {
    let existing = Existing::read(text.as_bytes())?;
    let Trust::Embedded(trusted) = existing.trust()? else { panic!("nothing is embedded") };
    judge(&file(), &existing, &trusted, by.as_bytes(), now())
}

#[test]
fn a_rendered_file_is_judged_fit_and_another_authority_is_refused() {
    let (ours, other, key) = (authority(), authority(), key());
    let text = render(&file(), ours.certificate(), &certificate(&ours, &key), &key.to_pem()).unwrap();
    assert_eq!(judged(&text, &ours.certificate().to_pem()).unwrap(), []);
    let both = other.certificate().to_pem() + &ours.certificate().to_pem();
    assert_eq!(judged(&text, &both).unwrap(), [], "while one authority replaces the other, both count");
    let error = judged(&text, &other.certificate().to_pem()).unwrap_err();
    assert!(error.to_string().contains("trusts another"), "{error}");
}

#[test]
fn a_file_of_anybodys_making_is_understood() {
    let text = "kind: Config\ncontexts:\n- {name: c, context: {cluster: k, user: u}}\ncurrent-context: c\n\
                clusters:\n- {name: other, cluster: {}}\n- name: k\n  cluster: {server: s, certificate-authority: pki/ca.crt}\n\
                users:\n- {name: u, user: {token: t}}\n";
    let existing = Existing::read(text.as_bytes()).unwrap();
    assert_eq!((existing.server(), existing.cluster_name()), ("s", "k"));
    assert!(existing.client().unwrap().is_none());
    let file = trusted_file(Path::new("/etc/kubernetes/admin.conf"), text.as_bytes());
    assert_eq!(file.as_deref(), Some(Path::new("/etc/kubernetes/pki/ca.crt")));
    for (broken, reason) in [
        (text.replace("current-context: c", "current-context: d"), "its current context `d` does not exist"),
        (text.replace("cluster: k", "cluster: x"), "its cluster `x` does not exist"),
        (text.replace("user: u", "user: x"), "its user `x` does not exist"),
        ("- a\n".to_owned(), "its current context `` does not exist"),
        ("a: [".to_owned(), "it is no YAML"),
    ] {
        assert_eq!(Existing::read(broken.as_bytes()).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_renewed_file_keeps_all_that_is_not_the_certificate() {
    let (ours, old_key, new_key) = (authority(), key(), key());
    let old = certificate(&ours, &old_key);
    let text = render(&file(), ours.certificate(), &old, &old_key.to_pem()).unwrap();
    let text = text.replace("current-context:", "preferences: {colors: true}\ncurrent-context:")
        + "- name: another\n  user:\n    token: \"0123\"\n";
    let new = certificate(&ours, &new_key);
    let renewed = Existing::read(text.as_bytes()).unwrap();
    let renewed = renewed.renewed(ours.certificate(), &new, &new_key.to_pem()).unwrap();
    let encoded = |key: &Key| STANDARD.encode(key.to_pem().reveal());
    let expected = text
        .replace(&STANDARD.encode(&old), &STANDARD.encode(&new))
        .replace(&encoded(&old_key), &encoded(&new_key))
        .replace("{colors: true}", "\n  colors: true");
    assert_eq!(renewed.replace("preferences:\n", "preferences: \n"), expected);
    assert_eq!(judged(&renewed, &ours.certificate().to_pem()).unwrap(), []);
}

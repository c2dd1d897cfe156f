#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::super::pki::Authority;
use super::*;
use crate::config::EncryptionAlgorithm;

fn spec(purpose: Purpose) -> CertificateSpec {
    CertificateSpec {
        common_name: "someone".into(),
        organizations: vec!["some:group".into(), "another".into(), "third".into()],
        purpose,
        dns_names: vec!["a.example".into()],
        ip_addresses: vec!["10.0.0.1".parse().unwrap()],
        validity: Duration::from_secs(3600),
    }
}

fn key() -> Key {
    Key::generate(EncryptionAlgorithm::EcdsaP256).unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

fn issue(serial: u64) -> Issue {
    Issue { not_before: now() - BACK_DATE, now: now(), serial }
}

fn signer(key: Key) -> SigningAuthority {
    let pem = authority(&spec(Purpose::Authority(Authority::Etcd)), &key, now(), 7).unwrap();
    SigningAuthority::new(pem.as_bytes(), key).unwrap()
}

#[test]
fn every_algorithm_signs_and_verifies() {
    for algorithm in [EncryptionAlgorithm::Rsa2048, EncryptionAlgorithm::EcdsaP256, EncryptionAlgorithm::EcdsaP384] {
        let signer = signer(Key::generate(algorithm).unwrap());
        for purpose in [Purpose::Server(Authority::Etcd), Purpose::ServerAndClient(Authority::Etcd)] {
            let key = Key::generate(algorithm).unwrap();
            let pem = leaf(&spec(purpose), &key, &signer, issue(8)).unwrap();
            let reread = Key::from_pem(key.to_pem().reveal().as_bytes()).unwrap();
            let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
            assert_eq!(certificate.algorithm, Some(algorithm));
            let misfits = verify::leaf(&spec(purpose), &certificate, Some(&reread), signer.certificate(), now());
            assert_eq!(misfits, []);
        }
    }
}

#[test]
fn a_renewed_certificate_says_the_same_for_another_key() {
    let (signer, purpose) = (signer(key()), Purpose::Server(Authority::Etcd));
    let old = leaf(&spec(purpose), &key(), &signer, issue(8)).unwrap();
    let old = Certificate::from_pem(old.as_bytes()).unwrap();
    let validity = Duration::from_secs(7200);
    let new = renewed(&old, purpose, validity, &key(), &signer, issue(9)).unwrap();
    let new = Certificate::from_pem(new.as_bytes()).unwrap();
    assert_eq!(new.subject, old.subject);
    assert_eq!(new.alternative_names, old.alternative_names);
    assert_eq!(new.extended_key_usage, old.extended_key_usage);
    assert_eq!(new.not_before, old.not_before);
    assert_eq!(new.not_after - old.not_after, time::Duration::hours(1));
    assert_ne!(new.public_key, old.public_key);
}

#[test]
fn an_authority_needs_its_own_key_and_has_to_be_one() {
    let own = key();
    let pem = authority(&spec(Purpose::Authority(Authority::Etcd)), &own, now(), 7).unwrap();
    let reason = |pem: &str, key: Key| SigningAuthority::new(pem.as_bytes(), key).unwrap_err().to_string();
    assert!(reason(&pem, key()).contains("do not belong together"));
    let signer = SigningAuthority::new(pem.as_bytes(), own).unwrap();
    let other = key();
    let pem = leaf(&spec(Purpose::Client(Authority::Etcd)), &other, &signer, issue(8)).unwrap();
    assert!(reason(&pem, other).contains("no certificate authority"));
}

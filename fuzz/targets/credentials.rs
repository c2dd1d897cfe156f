//! Keys, certificates and kubeconfigs from elsewhere: what is read can be written and read again, and no message shows
//! a key.
#![no_main]

use std::sync::LazyLock;

use anyhow::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bootstrap::config::EncryptionAlgorithm;
use bootstrap::desired::certificate::Certificate;
use bootstrap::desired::issue::{self, Issue, Key, SigningAuthority};
use bootstrap::desired::kubeconfig::existing::{self, Existing, Trust};
use bootstrap::desired::kubeconfig::{self, KubeconfigFile};
use bootstrap::desired::pki::{self, CertificateSpec};
use bootstrap::desired::verify;
use bootstrap::error::chain_of;
use bootstrap_fuzz::{assert_hidden, bounded, config};
use libfuzzer_sys::{Corpus, fuzz_target};
use time::OffsetDateTime;

const LABELS: [&str; 5] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE", "X509 CERTIFICATE"];
/// As many characters of a key as no message has by chance.
const TELLTALE: usize = 24;

/// What files of the machine are held against.
struct Known {
    authority: CertificateSpec,
    leaf: CertificateSpec,
    kubeconfig: KubeconfigFile,
    authority_pem: String,
    key: Key,
    now: OffsetDateTime,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let config = config();
    let now = OffsetDateTime::from_unix_timestamp(bootstrap_fuzz::now().as_second()).expect("a moment that time knows");
    let mut specs = pki::certificates(&config).into_iter().map(|file| file.spec);
    let (authority, leaf) = (specs.next().expect("an authority"), specs.next().expect("a leaf"));
    let kubeconfig = kubeconfig::kubeconfigs(&config).into_iter().next().expect("a kubeconfig");
    let key = Key::generate(EncryptionAlgorithm::EcdsaP256).expect("a key");
    let authority_pem = issue::authority(&authority, &key, now, 1).expect("an authority");
    Known { authority, leaf, kubeconfig, authority_pem, key, now }
});

// The first byte chooses what the rest is: a file, or the DER of a PEM file, which no mutation of base64 would hit. The
// DER of two blocks is parted where the second byte says.
fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, rest)) = data.split_first() else { return Corpus::Reject };
    match usize::from(*choice) {
        0 => {
            read_key(rest);
            read_certificate(rest);
        }
        1 => read_kubeconfig(rest),
        2 => {
            let Some((part, blocks)) = rest.split_first() else { return Corpus::Reject };
            let (certificate, key) = blocks.split_at(usize::from(*part) * blocks.len() / 256);
            read_kubeconfig(wrap(certificate, key).as_bytes());
        }
        label if label - 3 < LABELS.len() => {
            let pem = pem(LABELS[label - 3], rest);
            read_key(pem.as_bytes());
            read_certificate(pem.as_bytes());
        }
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn read_key(file: &[u8]) {
    let key = match bounded(|| Key::from_pem(file)) {
        Ok(key) => key,
        Err(error) => return assert_silent(file, &error),
    };
    let again = Key::from_pem(key.to_pem().reveal().as_bytes()).expect("a key that was written is read");
    assert_eq!(again.public_der(), key.public_der());
    assert!(!format!("{key:?}").contains("BEGIN"), "`Debug` shows a key");
    // a key of any size that is accepted can be used
    let pem = issue::authority(&KNOWN.authority, &key, KNOWN.now, 1).expect("a key that was read signs");
    let signer = SigningAuthority::new(pem.as_bytes(), key).expect("an authority that was made is one");
    let leaf =
        issue::leaf(&KNOWN.leaf, &KNOWN.key, &signer, Issue { not_before: KNOWN.now, now: KNOWN.now, serial: 2 });
    leaf.expect("an authority that was accepted can sign");
}

fn read_certificate(file: &[u8]) {
    let certificate = match bounded(|| Certificate::from_pem(file)) {
        Ok(certificate) => certificate,
        Err(error) => return assert_silent(file, &error),
    };
    let again = Certificate::from_pem(certificate.to_pem().as_bytes()).expect("a certificate is read again");
    assert_eq!(again.der, certificate.der);
    // whatever the verdict is
    let known = Certificate::from_pem(KNOWN.authority_pem.as_bytes()).expect("an authority");
    let _ = bounded(|| verify::authority(&certificate, Some(&KNOWN.key), KNOWN.now));
    let _ = bounded(|| verify::leaf(&KNOWN.leaf, &certificate, Some(&KNOWN.key), &known, KNOWN.now));
    let _ = bounded(|| verify::leaf(&KNOWN.leaf, &known, None, &certificate, KNOWN.now));
    let _ = bounded(|| verify::chain(&certificate, &certificate, KNOWN.leaf.purpose, KNOWN.now));
}

fn read_kubeconfig(file: &[u8]) {
    if let Err(error) = bounded(|| judge(file)) {
        let text = String::from_utf8_lossy(file);
        let data = text.split_once("client-key-data:").map(|(_, rest)| rest.trim().split('\n').next());
        if let Some(key) = data.flatten().map(str::trim).filter(|key| key.len() >= TELLTALE) {
            assert_hidden(key, &chain_of(&error));
        }
    }
}

/// As init does, which would also read a file that the kubeconfig names.
fn judge(file: &[u8]) -> anyhow::Result<()> {
    let existing = Existing::read(file)?;
    if let Trust::Embedded(trusted) = existing.trust()? {
        existing::judge(&KNOWN.kubeconfig, &existing, &trusted, KNOWN.authority_pem.as_bytes(), KNOWN.now)?;
    }
    Ok(())
}

/// A kubeconfig of our authority with this client certificate and key.
fn wrap(certificate: &[u8], key: &[u8]) -> String {
    let data = |label, der| STANDARD.encode(pem(label, der));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         clusters: [{{name: a, cluster: {{server: 'https://a', certificate-authority-data: {}}}}}]\nusers:\n\
         - name: a\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        STANDARD.encode(&KNOWN.authority_pem),
        data("CERTIFICATE", certificate),
        data("PRIVATE KEY", key)
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// No part of a file that should hold a key is in the message.
fn assert_silent(file: &[u8], error: &Error) {
    let message = chain_of(error);
    let text = String::from_utf8_lossy(file);
    // a message, which libFuzzer learns to write, has spaces
    for line in text.lines().filter(|line| line.len() >= TELLTALE && !line.contains([' ', '-'])) {
        assert_hidden(line, &message);
    }
}

//! Encryption at rest: the EncryptionConfiguration that kube-apiserver reads.
//!
//! One is made with a new key where there is none. An existing one is the user's to edit: it is kept as long as it can
//! be read.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::template;
use crate::error::Result;
use crate::secret::Secret;

/// Bytes of a key for XSalsa20 and Poly1305.
pub const KEY_BYTES: usize = 32;

/// A configuration that encrypts Secrets with this key, and reads those that were written before.
pub fn configuration(key: &[u8; KEY_BYTES]) -> Result<Secret> {
    let secret = Secret::new(STANDARD.encode(key));
    let values = json!({ "name": "key1", "secret": secret.reveal() });
    template::render("hardening/encryption.yaml", &values).map(Secret::new)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    api_version: String,
    kind: String,
    resources: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    resources: Vec<String>,
    providers: Vec<BTreeMap<String, Value>>,
}

/// The provider that new Secrets are written with; `None` where the configuration says nothing of them. The error says
/// why a text is no EncryptionConfiguration, without its content.
pub fn provider_of_secrets(text: &[u8]) -> Result<Option<String>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    // what the parser says may show a line, and with it a key
    let configuration: Configuration = serde_yaml::from_str(text)
        .map_err(|_| "it does not have the fields of an EncryptionConfiguration".to_owned())?;
    let Configuration { api_version, kind, resources } = configuration;
    if (api_version.as_str(), kind.as_str()) != ("apiserver.config.k8s.io/v1", "EncryptionConfiguration") {
        return Err("it is not an EncryptionConfiguration of apiserver.config.k8s.io/v1".to_owned());
    }
    if resources.iter().any(|group| group.providers.iter().any(|provider| provider.len() != 1)) {
        return Err("each of its providers must be a mapping of one name".to_owned());
    }
    let covers = |name: &String| ["secrets", "*.", "*.*"].contains(&name.as_str());
    let group = resources.iter().find(|group| group.resources.iter().any(covers));
    let first = group.and_then(|group| group.providers.first());
    Ok(first.and_then(|provider| provider.keys().next().cloned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_made_encrypts_secrets_and_is_not_shown() {
        let made = configuration(&[0xfe; KEY_BYTES]).unwrap();
        assert_eq!(provider_of_secrets(made.reveal().as_bytes()), Ok(Some("secretbox".to_owned())));
        assert!(made.reveal().contains(&STANDARD.encode([0xfe; KEY_BYTES])));
        assert_eq!(format!("{made:?}"), "<secret>");
    }

    #[test]
    fn an_edited_configuration_is_understood_and_anything_else_is_not() {
        let group = |resources: &str, providers: &str| {
            format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
                 - resources: {resources}\n  providers: {providers}\n"
            )
        };
        for (text, provider) in [
            (group("[secrets]", "[{aescbc: {keys: []}}, {identity: {}}]"), Some("aescbc")),
            (group("[configmaps, secrets]", "[{kms: {apiVersion: v2}}]"), Some("kms")),
            (group("['*.*']", "[{identity: {}}]"), Some("identity")),
            (group("[configmaps]", "[{secretbox: {}}]"), None),
        ] {
            assert_eq!(provider_of_secrets(text.as_bytes()), Ok(provider.map(str::to_owned)), "{text}");
        }
        for text in [
            "",
            "secret: c2VjcmV0",
            "kind: EncryptionConfiguration",
            &group("[secrets]", "[{a: {}, b: {}}]"),
            &group("[secrets]", "[secretbox]"),
            &group("[secrets]", "[]").replace("/v1", "/v2"),
        ] {
            let reason = provider_of_secrets(text.as_bytes()).unwrap_err();
            assert!(!reason.contains("c2VjcmV0"), "{reason}");
        }
    }
}

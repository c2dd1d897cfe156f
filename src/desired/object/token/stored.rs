//! A bootstrap token as the cluster has it: its Secret, read back [5.8, 9.5].

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;

use super::{NAME_PREFIX, USAGE_PREFIX};
use crate::desired::object::live::is_ours;
use crate::error::{Context, Result};
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    pub id: String,
    pub secret: Secret,
    pub description: String,
    /// `None` for a token that does not expire.
    pub expiration: Option<Timestamp>,
    /// Sorted.
    pub usages: Vec<String>,
    /// In the order of the Secret.
    pub groups: Vec<String>,
    pub maker: Maker,
}

/// Who made a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// An earlier init.
    Init,
    Other,
}

impl StoredToken {
    /// # Errors
    /// What about the Secret is not as in a token's; the words hold nothing of its content.
    pub fn from_secret(secret: &v1::Secret) -> Result<StoredToken> {
        let data = secret.data.as_ref().context("it has no data")?;
        let id = text(data, "token-id")?.context("it has no `token-id`")?;
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        anyhow::ensure!(name.strip_prefix(NAME_PREFIX) == Some(&id), "its name and its `token-id` do not fit together");
        let expiration = text(data, "expiration")?.filter(|text| !text.is_empty());
        let expiration = expiration.map(|text| text.parse()).transpose();
        let usages = data.iter().filter(|(_, value)| value.0 == b"true");
        let usages = usages.filter_map(|(key, _)| Some(key.strip_prefix(USAGE_PREFIX)?.to_owned()));
        let groups = text(data, "auth-extra-groups")?.unwrap_or_default();
        let is_ours = secret.metadata.managed_fields.iter().flatten().any(is_ours);
        Ok(StoredToken {
            secret: Secret::new(text(data, "token-secret")?.context("it has no `token-secret`")?),
            description: text(data, "description")?.unwrap_or_default(),
            expiration: expiration.map_err(|_| anyhow::anyhow!("its `expiration` is no time"))?,
            usages: usages.collect(),
            groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
            maker: if is_ours { Maker::Init } else { Maker::Other },
            id,
        })
    }

    /// What a node shows: id and secret.
    pub fn token(&self) -> Secret {
        Secret::new(format!("{}.{}", self.id, self.secret.reveal()))
    }
}

fn text(data: &BTreeMap<String, ByteString>, key: &str) -> Result<Option<String>> {
    let Some(value) = data.get(key) else { return Ok(None) };
    let text = String::from_utf8(value.0.clone()).map_err(|_| anyhow::anyhow!("its `{key}` is not UTF-8"))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{BootstrapToken, TokenExpiry, TokenSource};

    fn secret(change: impl FnOnce(&mut BTreeMap<String, ByteString>)) -> v1::Secret {
        let token = BootstrapToken {
            id: "abcdef".into(),
            secret: Secret::new("0123456789abcdef"),
            description: "of a test".into(),
            expires: TokenExpiry::At("2026-01-01T00:00:00Z".parse().unwrap()),
            usages: vec!["signing".into(), "authentication".into()],
            groups: vec!["system:bootstrappers:b".into(), "system:bootstrappers:a".into()],
            source: TokenSource::Given,
        };
        let object = super::super::object(&token, Timestamp::UNIX_EPOCH).unwrap();
        let mut secret: v1::Secret = serde_json::from_value(object.value).unwrap();
        change(secret.data.as_mut().unwrap());
        secret
    }

    #[test]
    fn what_init_writes_is_read_back() {
        let token = StoredToken::from_secret(&secret(|_| {})).unwrap();
        assert_eq!(token.token().reveal(), "abcdef.0123456789abcdef");
        assert_eq!(token.description, "of a test");
        assert_eq!(token.expiration, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(token.usages, ["authentication", "signing"]);
        assert_eq!(token.groups, ["system:bootstrappers:b", "system:bootstrappers:a"]);
        assert_eq!(token.maker, Maker::Other);
    }

    #[test]
    fn a_secret_that_is_no_token_is_told_apart() {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        for (key, value) in [
            ("token-id", None),
            ("token-secret", None),
            ("token-id", Some(bytes("fedcba"))),
            ("expiration", Some(bytes("tomorrow"))),
            ("description", Some(ByteString(vec![0xff]))),
        ] {
            let secret = secret(|data| {
                data.remove(key);
                data.extend(value.map(|value| (key.to_owned(), value)));
            });
            let error = StoredToken::from_secret(&secret).unwrap_err().to_string();
            assert!(!error.contains("0123456789abcdef") && !error.contains("tomorrow"), "{error}");
        }
        assert!(StoredToken::from_secret(&v1::Secret::default()).is_err());
        let with_usage = secret(|data| drop(data.insert("usage-bootstrap-signing".into(), bytes("false"))));
        assert_eq!(StoredToken::from_secret(&with_usage).unwrap().usages, ["authentication"]);
    }
}

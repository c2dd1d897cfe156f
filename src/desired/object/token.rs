//! The Secret of a bootstrap token [5.8].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::config::{BootstrapToken, TokenExpiry};

/// The values of its template.
pub(super) fn secret(token: &BootstrapToken, now: Timestamp) -> Value {
    let mut data =
        vec![("token-id".to_owned(), token.id.clone()), ("token-secret".to_owned(), token.secret.reveal().to_owned())];
    if !token.description.is_empty() {
        data.push(("description".to_owned(), token.description.clone()));
    }
    if let Some(expiration) = expiration(token.expires, now) {
        data.push(("expiration".to_owned(), expiration.to_string()));
    }
    for usage in &token.usages {
        data.push((format!("usage-bootstrap-{usage}"), "true".to_owned()));
    }
    if !token.groups.is_empty() {
        data.push(("auth-extra-groups".to_owned(), token.groups.join(",")));
    }
    data.sort();
    data.dedup();
    let data: Vec<Value> =
        data.into_iter().map(|(key, value)| json!({ "key": key, "value": STANDARD.encode(value) })).collect();
    json!({ "name": format!("bootstrap-token-{}", token.id), "data": data })
}

/// The moment in whole seconds, as RFC 3339 without a fraction wants it.
fn expiration(expires: TokenExpiry, now: Timestamp) -> Option<Timestamp> {
    let moment = match expires {
        TokenExpiry::Never => return None,
        TokenExpiry::At(moment) => moment,
        // a token that outlives the calendar never expires
        TokenExpiry::After(ttl) => now.checked_add(SignedDuration::try_from(ttl).ok()?).ok()?,
    };
    Timestamp::from_second(moment.as_second()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::TokenSource;
    use crate::secret::Secret;
    use std::time::Duration;

    #[test]
    fn a_secret_holds_what_the_controllers_look_for() {
        let token = BootstrapToken {
            id: "abcdef".into(),
            secret: Secret::new("0123456789abcdef"),
            description: String::new(),
            expires: TokenExpiry::After(Duration::from_millis(3_600_500)),
            usages: vec!["signing".into(), "authentication".into()],
            groups: vec!["system:bootstrappers:b".into(), "system:bootstrappers:a".into()],
            source: TokenSource::Given,
        };
        let values = secret(&token, "2026-01-01T00:00:00.7Z".parse().unwrap());
        assert_eq!(values["name"], "bootstrap-token-abcdef");
        let decoded: Vec<(String, String)> = values["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let value = STANDARD.decode(entry["value"].as_str().unwrap()).unwrap();
                (entry["key"].as_str().unwrap().to_owned(), String::from_utf8(value).unwrap())
            })
            .collect();
        let expected = [
            ("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a"),
            ("expiration", "2026-01-01T01:00:01Z"),
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-signing", "true"),
        ];
        assert_eq!(decoded, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(expiration(TokenExpiry::Never, Timestamp::UNIX_EPOCH), None);
    }
}

//! The Secret of a bootstrap token [5.8], and which tokens a run of init leaves in the cluster.

pub mod stored;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::stored::{Maker, StoredToken};
use super::{Object, render};
use crate::config::{BootstrapToken, TokenExpiry, TokenSource};
use crate::error::{Context, Result};

/// What the Secrets' names begin with; the id follows.
pub const NAME_PREFIX: &str = "bootstrap-token-";
/// The Secrets' type, which the controllers look for.
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const USAGE_PREFIX: &str = "usage-bootstrap-";

/// The tokens that a run of init leaves in the cluster, so that a run soon after another changes nothing: one that fits
/// and has at least half of its time left goes on as it is, and in the place of a generated token stands the one that
/// an earlier init generated. Whoever reads the command to join still has time to use it.
pub fn settle(wanted: &[BootstrapToken], stored: &[StoredToken], now: Timestamp) -> Vec<BootstrapToken> {
    let mut settled: Vec<BootstrapToken> = Vec::new();
    for token in wanted {
        let is_taken = |id: &str| wanted.iter().chain(&settled).any(|other| other.id == id);
        let mut fitting = stored.iter().filter(|stored| match token.source {
            TokenSource::Given => stored.id == token.id && stored.secret == token.secret,
            TokenSource::Generated => {
                stored.maker == Maker::Init && !is_taken(&stored.id) && says_the_same(stored, token)
            }
        });
        let kept = fitting.find(|stored| goes_on(token.expires, stored.expiration, now));
        settled.push(match kept {
            None => token.clone(),
            Some(kept) => BootstrapToken {
                id: kept.id.clone(),
                secret: kept.secret.clone(),
                expires: kept.expiration.map_or(TokenExpiry::Never, TokenExpiry::At),
                ..token.clone()
            },
        });
    }
    settled
}

fn says_the_same(stored: &StoredToken, token: &BootstrapToken) -> bool {
    let mut usages = token.usages.clone();
    usages.sort();
    usages.dedup();
    stored.description == token.description && stored.usages == usages && stored.groups == token.groups
}

/// A stored end fits what is wanted now.
fn goes_on(wanted: TokenExpiry, stored: Option<Timestamp>, now: Timestamp) -> bool {
    match (expiration(wanted, now), wanted, stored) {
        (Some(latest), TokenExpiry::After(ttl), Some(stored)) => {
            let earliest = SignedDuration::try_from(ttl / 2).ok().and_then(|half| now.checked_add(half).ok());
            earliest.is_some_and(|earliest| earliest <= stored) && stored <= latest
        }
        (wanted, _, stored) => wanted == stored,
    }
}

/// Its Secret.
pub fn object(token: &BootstrapToken, now: Timestamp) -> Result<Object> {
    let objects = render("objects/bootstrap-token.yaml", &values(token, now))?;
    objects.into_iter().next().context("the template of a bootstrap token is empty")
}

/// The values of its template.
fn values(token: &BootstrapToken, now: Timestamp) -> Value {
    let mut data =
        vec![("token-id".to_owned(), token.id.clone()), ("token-secret".to_owned(), token.secret.reveal().to_owned())];
    if !token.description.is_empty() {
        data.push(("description".to_owned(), token.description.clone()));
    }
    if let Some(expiration) = expiration(token.expires, now) {
        data.push(("expiration".to_owned(), expiration.to_string()));
    }
    for usage in &token.usages {
        data.push((format!("{USAGE_PREFIX}{usage}"), "true".to_owned()));
    }
    if !token.groups.is_empty() {
        data.push(("auth-extra-groups".to_owned(), token.groups.join(",")));
    }
    data.sort();
    data.dedup();
    let data: Vec<Value> =
        data.into_iter().map(|(key, value)| json!({ "key": key, "value": STANDARD.encode(value) })).collect();
    json!({ "name": format!("{NAME_PREFIX}{}", token.id), "data": data })
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
        let values = values(&token, "2026-01-01T00:00:00.7Z".parse().unwrap());
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

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn wanted(id: &str, source: TokenSource) -> BootstrapToken {
        BootstrapToken {
            id: id.into(),
            secret: Secret::new(format!("secret of {id}")),
            description: "default".into(),
            expires: TokenExpiry::After(24 * HOUR),
            usages: vec!["signing".into(), "authentication".into()],
            groups: vec!["system:bootstrappers:a".into()],
            source,
        }
    }

    fn stored(id: &str, maker: Maker, expiration: i64) -> StoredToken {
        StoredToken {
            id: id.into(),
            secret: Secret::new(format!("secret of {id}")),
            description: "default".into(),
            expiration: Some(at(expiration)),
            usages: vec!["authentication".into(), "signing".into()],
            groups: vec!["system:bootstrappers:a".into()],
            maker,
        }
    }

    fn settled(wanted: &[BootstrapToken], live: &[StoredToken]) -> Vec<(String, TokenExpiry)> {
        settle(wanted, live, at(0)).into_iter().map(|token| (token.id, token.expires)).collect()
    }

    #[test]
    fn a_named_token_keeps_its_end_while_half_of_its_time_is_left() {
        let given = wanted("abcdef", TokenSource::Given);
        let kept = |stored: StoredToken| settled(std::slice::from_ref(&given), &[stored])[0].1;
        assert_eq!(kept(stored("abcdef", Maker::Init, 12)), TokenExpiry::At(at(12)));
        assert_eq!(kept(stored("abcdef", Maker::Other, 24)), TokenExpiry::At(at(24)));
        for other in
            [stored("abcdef", Maker::Init, 11), stored("abcdef", Maker::Init, 25), stored("other0", Maker::Init, 20)]
        {
            assert_eq!(kept(other), given.expires);
        }
        let other_secret = StoredToken { secret: Secret::new("another"), ..stored("abcdef", Maker::Init, 20) };
        assert_eq!(kept(other_secret), given.expires);
        let forever = StoredToken { expiration: None, ..stored("abcdef", Maker::Init, 20) };
        assert_eq!(kept(forever.clone()), given.expires);
        let never = BootstrapToken { expires: TokenExpiry::Never, ..given.clone() };
        assert_eq!(settled(&[never], &[forever]), [("abcdef".to_owned(), TokenExpiry::Never)]);
    }

    #[test]
    fn a_generated_token_gives_way_to_the_one_of_an_earlier_init() {
        let new = wanted("new000", TokenSource::Generated);
        let id = |stored: StoredToken| settled(std::slice::from_ref(&new), &[stored])[0].0.clone();
        assert_eq!(id(stored("old000", Maker::Init, 20)), "old000");
        assert_eq!(id(stored("old000", Maker::Other, 20)), "new000");
        assert_eq!(id(stored("old000", Maker::Init, 11)), "new000");
        assert_eq!(id(StoredToken { description: "mine".into(), ..stored("old000", Maker::Init, 20) }), "new000");
        assert_eq!(id(StoredToken { groups: Vec::new(), ..stored("old000", Maker::Init, 20) }), "new000");
        assert_eq!(id(StoredToken { usages: Vec::new(), ..stored("old000", Maker::Init, 20) }), "new000");
    }

    #[test]
    fn no_token_stands_for_two() {
        let generated = [wanted("new000", TokenSource::Generated), wanted("new111", TokenSource::Generated)];
        let live = [stored("old000", Maker::Init, 20)];
        assert_eq!(
            settled(&generated, &live).into_iter().map(|token| token.0).collect::<Vec<_>>(),
            ["old000", "new111"]
        );
        let mixed = [wanted("new000", TokenSource::Generated), wanted("old000", TokenSource::Given)];
        assert_eq!(settled(&mixed, &live)[0].0, "new000");
    }
}

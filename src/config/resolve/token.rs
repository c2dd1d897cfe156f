//! `bootstrapTokens`: what new nodes show to join [4.2, 4.6, 9.5]. No message shows a token.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::Resolver;
use crate::config::facts::TokenSeed;
use crate::config::file::v1beta4;
use crate::config::{BootstrapToken, TokenExpiry, TokenSource, defaults, duration};
use crate::secret::Secret;

const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const FORM: &str = "must be six characters of [a-z0-9], a dot and sixteen more of them";
const GROUP_PREFIX: &str = "system:bootstrappers:";

impl Resolver<'_> {
    /// At least one: an empty list stands for one generated token.
    pub(super) fn tokens(&mut self, mut written: Vec<v1beta4::BootstrapToken>) -> Option<Vec<BootstrapToken>> {
        if written.is_empty() {
            written.push(v1beta4::BootstrapToken::default());
        }
        let mut tokens: Vec<BootstrapToken> = Vec::new();
        let mut ids = BTreeSet::new();
        for (index, token) in written.into_iter().enumerate() {
            let field = format!("bootstrapTokens[{index}]");
            let Some(token) = self.token(&field, index, token) else { continue };
            if !ids.insert(token.id.clone()) {
                self.problems.add(format!("{field}.token"), format!("Duplicate value: a second token `{}`", token.id));
            }
            tokens.push(token);
        }
        Some(tokens)
    }

    fn token(&mut self, field: &str, index: usize, written: v1beta4::BootstrapToken) -> Option<BootstrapToken> {
        let v1beta4::BootstrapToken { token, description, ttl, expires, mut usages, mut groups } = written;
        let (source, parts) = match token.filter(|token| !token.reveal().is_empty()) {
            None => (TokenSource::Generated, Some(generate(&self.facts.token_seed, index))),
            Some(token) => (TokenSource::Given, parse(token.reveal())),
        };
        if parts.is_none() {
            self.problems.add(format!("{field}.token"), format!("Invalid value: {FORM}"));
        }
        let expires = self.expiry(field, ttl.as_deref(), expires.as_deref());
        if usages.is_empty() {
            usages = defaults::TOKEN_USAGES.map(str::to_owned).to_vec();
        }
        for usage in usages.iter().filter(|usage| !defaults::TOKEN_USAGES.contains(&usage.as_str())) {
            let reason = format!("must be one of {}", defaults::TOKEN_USAGES.join(", "));
            self.problems.invalid(format!("{field}.usages"), usage, reason);
        }
        let authenticates = usages.iter().any(|usage| usage == "authentication");
        if !authenticates && !groups.is_empty() {
            let message = "Forbidden: groups are for tokens with the usage `authentication`";
            self.problems.add(format!("{field}.groups"), message);
        }
        if authenticates && groups.is_empty() {
            groups.push(defaults::TOKEN_GROUP.to_owned());
        }
        for group in groups.iter().filter(|group| !is_group(group)) {
            let reason = r"must match \Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z";
            self.problems.invalid(format!("{field}.groups"), group, reason);
        }
        let (id, secret) = parts?;
        Some(BootstrapToken { id, secret, description, expires: expires?, usages, groups, source })
    }

    fn expiry(&mut self, field: &str, ttl: Option<&str>, expires: Option<&str>) -> Option<TokenExpiry> {
        match (ttl, expires) {
            (None, None) => Some(TokenExpiry::After(defaults::TOKEN_TTL)),
            (Some(_), Some(_)) => {
                self.problems.add(format!("{field}.ttl"), "Invalid value: may not stand beside `expires`");
                None
            }
            (Some(ttl), None) => match duration::parse(ttl) {
                Ok(ttl) if ttl.is_zero() => Some(TokenExpiry::Never),
                Ok(ttl) => Some(TokenExpiry::After(ttl)),
                Err(reason) => {
                    self.problems.invalid(format!("{field}.ttl"), ttl, reason);
                    None
                }
            },
            (None, Some(text)) => match text.parse::<Timestamp>() {
                Ok(moment) => {
                    if moment <= self.facts.now {
                        self.warn(&format!("{field}.expires"), "in the past: the token will be deleted at once");
                    }
                    Some(TokenExpiry::At(moment))
                }
                Err(_) => {
                    let reason = "must be a time as in `2026-01-31T12:00:00Z`";
                    self.problems.invalid(format!("{field}.expires"), text, reason);
                    None
                }
            },
        }
    }
}

/// The public id and the secret of a token.
pub fn parse(token: &str) -> Option<(String, Secret)> {
    let (id, secret) = token.split_once('.')?;
    (is_id(id) && is_part(secret, SECRET_LENGTH)).then(|| (id.to_owned(), Secret::new(secret)))
}

/// Whether it can be the public part of a token.
pub fn is_id(text: &str) -> bool {
    is_part(text, ID_LENGTH)
}

fn is_part(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUP_PREFIX) else { return false };
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=256).contains(&rest.len())
        && rest.ends_with(alphanumeric)
        && rest.chars().all(|c| alphanumeric(c) || c == ':' || c == '-')
}

/// The token for the entry at `index`: characters are drawn from a hash of seed, index and a counter; bytes that would
/// favour the first letters of the alphabet are left out.
pub fn generate(seed: &TokenSeed, index: usize) -> (String, Secret) {
    let unbiased = u8::MAX - u8::MAX % ALPHABET.len() as u8;
    let blocks = (0u64..).map(|counter| {
        let mut hash = Sha256::new();
        hash.update(seed.bytes());
        hash.update((index as u64).to_be_bytes());
        hash.update(counter.to_be_bytes());
        hash.finalize()
    });
    let mut characters = blocks
        .flatten()
        .filter(|byte| *byte < unbiased)
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    let id = characters.by_ref().take(ID_LENGTH).collect();
    (id, Secret::new(characters.take(SECRET_LENGTH).collect::<String>()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn generated_tokens_are_well_formed_and_differ() {
        let seed = TokenSeed::new([7; 32]);
        let (id, secret) = generate(&seed, 0);
        assert!(parse(&format!("{id}.{}", secret.reveal())).is_some());
        assert_eq!(generate(&seed, 0).0, id);
        assert_ne!(generate(&seed, 1).0, id);
        assert_ne!(generate(&TokenSeed::new([8; 32]), 0).0, id);
    }

    #[test]
    fn every_letter_is_as_likely_as_the_others() {
        let mut seen = std::collections::BTreeMap::<char, u32>::new();
        for index in 0..2000 {
            let (_, secret) = generate(&TokenSeed::new([1; 32]), index);
            secret.reveal().chars().for_each(|letter| *seen.entry(letter).or_default() += 1);
        }
        // 32000 draws, 889 expected of each; six standard deviations are 176
        assert_eq!(seen.len(), 36);
        assert!(seen.values().all(|count| (713..=1065).contains(count)), "{seen:?}");
    }

    #[test]
    fn token_syntax() {
        assert!(parse("abcdef.0123456789abcdef").is_some());
        for bad in ["short.token", "abcdef.0123456789abcdeF", "abcdef0123456789abcdef", "abcdef.0123456789abcdef\n"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(is_group("system:bootstrappers:a") && is_group("system:bootstrappers:kubeadm:default-node-token"));
        for bad in ["admins", "system:bootstrappers:", "system:bootstrappers:a-", "system:bootstrappers:A"] {
            assert!(!is_group(bad), "{bad}");
        }
    }
}

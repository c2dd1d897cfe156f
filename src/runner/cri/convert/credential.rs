//! PURE: who a client is to a registry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::image::registry::credentials::Credential;
use crate::runner::cri::v1;
use crate::secret::Secret;

/// `None` where nobody is named. `Err` shows nothing of what it was given.
pub fn credential(auth: &v1::AuthConfig) -> Result<Option<Credential>, String> {
    if !auth.registry_token.is_empty() {
        return Err("`auth.registry_token`: not supported".to_owned());
    }
    if !auth.identity_token.is_empty() {
        return Ok(Some(Credential::Identity(Secret::new(auth.identity_token.clone()))));
    }
    if !auth.username.is_empty() {
        let (user, password) = (auth.username.clone(), Secret::new(auth.password.clone()));
        return Ok(Some(Credential::Password { user, password }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let pair = STANDARD.decode(&auth.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.trim_end_matches('\0').split_once(':')) {
        Some((user, password)) => {
            Ok(Some(Credential::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) }))
        }
        None => Err("`auth.auth`: it is not `user:password` in base64".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_in_three_ways() {
        let auth = |fill: fn(&mut v1::AuthConfig)| {
            let mut auth = v1::AuthConfig::default();
            fill(&mut auth);
            credential(&auth)
        };
        let password = |password: &str| {
            Ok(Some(Credential::Password { user: "me".to_owned(), password: Secret::new(password.to_owned()) }))
        };
        assert_eq!(auth(|_| {}), Ok(None));
        assert_eq!(auth(|auth| (auth.username, auth.password) = ("me".into(), "p:w".into())), password("p:w"));
        assert_eq!(auth(|auth| auth.auth = STANDARD.encode("me:p:w")), password("p:w"));
        let identity = auth(|auth| auth.identity_token = "t".into());
        assert_eq!(identity, Ok(Some(Credential::Identity(Secret::new("t".to_owned())))));
        for wrong in [auth(|auth| auth.auth = "bWU=".into()), auth(|auth| auth.registry_token = "hidden".into())] {
            assert!(
                wrong.as_ref().is_err_and(|error| !error.contains("bWU") && !error.contains("hidden")),
                "{wrong:?}"
            );
        }
    }
}

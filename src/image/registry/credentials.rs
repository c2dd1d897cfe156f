//! The user's credentials for registries, from the files where Docker, Podman and the kubelet look [9.5].
//!
//! A key of `auths` is a host, perhaps with a port, a path and a scheme; a label of the host may hold `*`, as the
//! kubelet allows. A file that is wrong is skipped with a warning that shows nothing of its content.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use docker_credential::DockerCredential;
use serde::Deserialize;

use super::settings::Endpoint;
use crate::error::{Fault, Result};
use crate::files;
use crate::layout::Layout;
use crate::secret::Secret;

/// Who we are to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        user: String,
        password: Secret,
    },
    /// An OAuth2 refresh token.
    Identity(Secret),
}

/// The files to look into, in order.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<Secret>,
}

impl Credentials {
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, the kubelet's, `$XDG_RUNTIME_DIR/containers/auth.json`.
    pub fn of_user(layout: &Layout) -> Credentials {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")));
        let files = [
            docker.map(|directory| directory.join("config.json")),
            Some(layout.under("/var/lib/kubelet/config.json")),
            variable("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        ];
        Credentials { files: files.into_iter().flatten().collect() }
    }

    pub fn in_files(files: Vec<PathBuf>) -> Credentials {
        Credentials { files }
    }

    /// The credential for an endpoint, from the first file that has one. May run a credential helper, so it blocks.
    pub fn find(&self, endpoint: &Endpoint) -> Result<Option<Credential>> {
        for path in &self.files {
            let Some(content) = files::read_if_exists(path)? else { continue };
            // the parser's message would show the content
            let config: DockerConfig = match serde_json::from_slice(&content) {
                Ok(config) => config,
                Err(error) => {
                    let (path, line) = (path.display(), error.line());
                    tracing::warn!("`{path}` is not used: it is no Docker configuration (line {line})");
                    continue;
                }
            };
            if let Some(found) = config.find(endpoint)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl DockerConfig {
    fn find(&self, endpoint: &Endpoint) -> Result<Option<Credential>> {
        let names = names_of(&endpoint.host);
        if let Some((host, helper)) = names.iter().find_map(|name| Some((name, self.cred_helpers.get(*name)?))) {
            return ask(helper, host);
        }
        let matching = self.auths.iter().filter_map(|(key, auth)| {
            let rank = names.iter().filter_map(|host| rank(key, host, &endpoint.repository)).max()?;
            Some((rank, auth))
        });
        let best = matching.max_by_key(|(rank, _)| *rank).map(|(_, auth)| auth);
        if let Some(found) = best.map_or(Ok(None), Auth::credential)? {
            return Ok(Some(found));
        }
        match &self.creds_store {
            Some(store) => ask(store, names.last().unwrap_or(&endpoint.host.as_str())),
            None => Ok(None),
        }
    }
}

impl Auth {
    fn credential(&self) -> Result<Option<Credential>> {
        if let Some(token) = self.identity_token.as_ref().filter(|token| !token.reveal().is_empty()) {
            return Ok(Some(Credential::Identity(token.clone())));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.reveal().is_empty()) {
            let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let pair = GeneralPurpose::new(&alphabet::STANDARD, lenient)
                .decode(auth.reveal())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())));
            let (user, password) =
                pair.ok_or_else(|| Fault::usage("a Docker configuration has an `auth` that is not `user:password`"))?;
            // Docker pads with zeros
            let password = Secret::new(password.trim_end_matches('\0'));
            return Ok(Some(Credential::Password { user, password }));
        }
        Ok(match (&self.username, &self.password) {
            (Some(user), Some(password)) => {
                Some(Credential::Password { user: user.clone(), password: password.clone() })
            }
            _ => None,
        })
    }
}

/// The names under which a host's credential may be filed, the most usual last.
fn names_of(host: &str) -> Vec<&str> {
    match host {
        "registry-1.docker.io" => vec![host, "docker.io", "index.docker.io", "https://index.docker.io/v1/"],
        _ => vec![host],
    }
}

/// How well a key fits: the longer its path the better, without `*` better than with. `None`: not at all.
fn rank(key: &str, host: &str, repository: &str) -> Option<(usize, bool)> {
    if key == host {
        return Some((0, true));
    }
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (key_host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_end_matches('/');
    // the API's versions that `docker login` used to write
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let below =
        path.is_empty() || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (below && host_fits(key_host, host)).then(|| (path.len(), !key_host.contains('*')))
}

/// Label by label, and the port must be the same [kubelet's credential provider].
fn host_fits(pattern: &str, host: &str) -> bool {
    let split =
        |text: &str| text.rsplit_once(':').map_or((text.to_owned(), None), |(a, b)| (a.into(), Some(b.to_owned())));
    let ((pattern, pattern_port), (host, port)) = (split(pattern), split(host));
    let (patterns, labels): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern_port == port
        && patterns.len() == labels.len()
        && patterns.iter().zip(&labels).all(|(pattern, label)| label_fits(pattern, label))
}

fn label_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(label),
        Some((head, tail)) => label.strip_prefix(head).is_some_and(|rest| {
            // every place where the star may end
            (0..=rest.len()).any(|end| rest.is_char_boundary(end) && label_fits(tail, &rest[end..]))
        }),
    }
}

/// Runs `docker-credential-<helper>`.
fn ask(helper: &str, host: &str) -> Result<Option<Credential>> {
    let question = serde_json::json!({ "credHelpers": { host: helper } }).to_string();
    match docker_credential::get_credential_from_reader(question.as_bytes(), host) {
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::Identity(Secret::new(token)))),
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credential::Password { user, password: Secret::new(password) }))
        }
        // its own words may hold the secret
        Err(_) => {
            tracing::warn!("`docker-credential-{helper}` has no credential for `{host}`, or did not run");
            Ok(None)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::image::registry::settings::Registries;

    fn find(config: &str, reference: &str) -> Option<Credential> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        let endpoint = Registries::default().endpoints(&reference.parse().unwrap()).remove(0);
        let missing = file.path().with_extension("missing");
        Credentials::in_files(vec![missing, file.path().to_owned()]).find(&endpoint).unwrap()
    }

    fn user(config: &str, reference: &str) -> Option<String> {
        match find(config, reference)? {
            Credential::Password { user, .. } => Some(user),
            Credential::Identity(_) => Some("token".into()),
        }
    }

    #[test]
    fn keys_fit_as_for_the_kubelet() {
        let config = |key: &str| format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#);
        let cases = [
            ("r.example.com", "r.example.com/a", true),
            ("https://r.example.com/v2/", "r.example.com/a", true),
            ("r.example.com", "r.example.com:5000/a", false),
            ("r.example.com:5000", "r.example.com:5000/a", true),
            ("*.example.com", "r.example.com/a", true),
            ("*.example.com", "a.r.example.com/a", false),
            ("r*y.example.com", "registry.example.com/a", true),
            ("*.example.com:5000", "r.example.com:5000/a", true),
            ("r.example.com/team", "r.example.com/team/a", true),
            ("r.example.com/team", "r.example.com/teams/a", false),
            ("https://index.docker.io/v1/", "nginx", true),
            ("docker.io", "nginx", true),
            ("*", "r.example.com/a", false),
        ];
        for (key, reference, fits) in cases {
            assert_eq!(user(&config(key), reference).is_some(), fits, "{key} {reference}");
        }
    }

    #[test]
    fn the_closest_key_wins() {
        let config = r#"{"auths":{
            "*.example.com":{"username":"star","password":"p"},
            "r.example.com":{"username":"host","password":"p"},
            "r.example.com/team":{"auth":"cGF0aDpwOnc="},
            "t.example.com":{"identitytoken":"t"},
            "e.example.com":{}}}"#;
        assert_eq!(user(config, "x.example.com/a").unwrap(), "star");
        assert_eq!(user(config, "r.example.com/a").unwrap(), "host");
        assert_eq!(
            find(config, "r.example.com/team/a").unwrap(),
            Credential::Password { user: "path".into(), password: Secret::new("p:w") }
        );
        assert_eq!(user(config, "t.example.com/a").unwrap(), "token");
        assert_eq!(user(config, "e.example.com/a"), None);
        assert_eq!(user("not json {", "r.example.com/a"), None);
    }

    #[test]
    fn a_wrong_auth_shows_nothing_of_itself() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"auths":{"r.example.com":{"auth":"!!hunter2"}}}"#).unwrap();
        let endpoint = Registries::default().endpoints(&"r.example.com/a".parse().unwrap()).remove(0);
        let error = Credentials::in_files(vec![file.path().to_owned()]).find(&endpoint).unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"));
    }
}

//! The distribution API of one registry, as far as pulling needs it.
//!
//! Answers are bounded and, where a digest is known, verified. Credentials go to the registry and to the token server
//! that it names, never over plain HTTP unless the registry itself is spoken to so, never to where a download is
//! redirected, and into no message.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::{self, Challenge};
use super::credentials::Credential;
use super::settings::{Endpoint, Registries, Scheme, is_loopback};
use super::trust;
use crate::error::{Context, Fault, Result};
use crate::image::digest::Digest;
use crate::image::manifest::{LARGEST_DOCUMENT, MANIFEST_TYPES};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Without a byte for this long, a connection counts as lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Registries answer an error with a few hundred bytes.
const LARGEST_ERROR: u64 = 64 * 1024;

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Trying again may help, after the time that the registry asks for.
    Transient(anyhow::Error, Option<Duration>),
    /// Trying again will not help; another endpoint may.
    Final(anyhow::Error),
}

impl Failure {
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Failure::Transient(error, _) | Failure::Final(error) => error,
        }
    }
}

type Answer<T> = std::result::Result<T, Failure>;

/// The HTTP clients for all registries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Through the proxy of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    proxied: Client,
    /// For loopback hosts, which no proxy could reach.
    direct: Client,
}

impl Clients {
    /// Blocks: it reads certificates.
    pub fn new(settings: &Registries) -> Result<Clients> {
        let tls = trust::client_config(&settings.ca_files)?;
        let build = |builder: ClientBuilder| {
            let builder = builder
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(IDLE_TIMEOUT)
                .redirect(Policy::custom(trust::redirect))
                .user_agent(concat!("bootstrap/", env!("CARGO_PKG_VERSION")));
            builder.build().context("cannot set up HTTP")
        };
        Ok(Clients { proxied: build(Client::builder())?, direct: build(Client::builder().no_proxy())? })
    }

    /// The client for `host`, with or without a port.
    pub fn for_host(&self, host: &str) -> &Client {
        if is_loopback(host) { &self.direct } else { &self.proxied }
    }
}

/// One repository at one endpoint.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    endpoint: Endpoint,
    credential: Option<Credential>,
    scheme: OnceLock<&'static str>,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Connection {
    pub fn new(clients: &Clients, endpoint: Endpoint, credential: Option<Credential>) -> Connection {
        let client = clients.for_host(&endpoint.host).clone();
        let scheme = match endpoint.scheme {
            Scheme::Https => OnceLock::from("https"),
            Scheme::Http => OnceLock::from("http"),
            Scheme::Either => OnceLock::new(),
        };
        Connection { client, endpoint, credential, scheme, authorization: Mutex::new(None) }
    }

    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// The manifest or index that a tag or a digest names, with its digest.
    pub async fn manifest(&self, version: &str) -> Answer<(Vec<u8>, Digest)> {
        let mut headers = HeaderMap::new();
        for kind in MANIFEST_TYPES {
            headers.append(ACCEPT, HeaderValue::from_static(kind));
        }
        let response = self.get("manifests", version, headers).await?;
        let content = self.document(response, LARGEST_DOCUMENT).await?;
        let digest = Digest::of(&content);
        match version.parse::<Digest>() {
            Ok(wanted) if wanted != digest => {
                Err(Failure::Final(anyhow::anyhow!("`{}` sent `{digest}` for `{wanted}`", self.host())))
            }
            _ => Ok((content, digest)),
        }
    }

    /// A small blob, verified.
    pub async fn blob(&self, digest: &Digest) -> Answer<Vec<u8>> {
        let response = self.get("blobs", &digest.to_string(), HeaderMap::new()).await?;
        let content = self.document(response, LARGEST_DOCUMENT).await?;
        match Digest::of(&content) {
            actual if actual == *digest => Ok(content),
            actual => Err(Failure::Final(anyhow::anyhow!("`{}` sent `{actual}` for `{digest}`", self.host()))),
        }
    }

    /// A blob from byte `from` on, not verified. The answer says where it begins: at `from`, or at 0 if the registry
    /// knows no ranges.
    pub async fn blob_stream(&self, digest: &Digest, from: u64) -> Answer<(Response, u64)> {
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(RANGE, HeaderValue::from_str(&format!("bytes={from}-")).expect("digits are a header"));
        }
        let response = self.get("blobs", &digest.to_string(), headers).await?;
        let begins = if response.status() == StatusCode::PARTIAL_CONTENT { from } else { 0 };
        Ok((response, begins))
    }

    /// An error on the way, without the address: a redirected one may carry a signature.
    pub fn transport(&self, error: reqwest::Error) -> Failure {
        let final_one = error.is_redirect() || error.is_builder() || is_certificate_error(&error);
        let error = anyhow::Error::from(error.without_url()).context(format!("cannot reach `{}`", self.host()));
        if final_one { Failure::Final(error) } else { Failure::Transient(error, None) }
    }

    async fn get(&self, kind: &str, name: &str, headers: HeaderMap) -> Answer<Response> {
        let mut response = self.send(kind, name, &headers).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.authorize(response.headers()).await?;
            response = self.send(kind, name, &headers).await?;
        }
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    async fn send(&self, kind: &str, name: &str, headers: &HeaderMap) -> Answer<Response> {
        let Endpoint { host, repository, mirror_of, .. } = &self.endpoint;
        let request = async |scheme: &str| {
            let mut request =
                self.client.get(format!("{scheme}://{host}/v2/{repository}/{kind}/{name}")).headers(headers.clone());
            if let Some(registry) = mirror_of {
                request = request.query(&[("ns", registry)]);
            }
            if let Some(authorization) = &*self.authorization.lock().await {
                request = request.header(AUTHORIZATION, authorization);
            }
            request.send().await
        };
        if let Some(scheme) = self.scheme.get() {
            return request(scheme).await.map_err(|error| self.transport(error));
        }
        match request("https").await {
            Err(error) if speaks_no_tls(&error) => {
                let response = request("http").await.map_err(|error| self.transport(error))?;
                let _ = self.scheme.set("http");
                Ok(response)
            }
            Err(error) => Err(self.transport(error)),
            Ok(response) => {
                let _ = self.scheme.set("https");
                Ok(response)
            }
        }
    }

    async fn authorize(&self, headers: &HeaderMap) -> Answer<()> {
        let offered: Vec<Challenge> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(challenge::parse)
            .collect();
        let bearer = offered.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service.as_deref())),
            Challenge::Basic => None,
        });
        let value = match (bearer, &self.credential) {
            (Some((realm, service)), _) => format!("Bearer {}", self.token(realm, service).await?),
            (None, Some(Credential::Password { user, password })) if offered.contains(&Challenge::Basic) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
            }
            _ => return Ok(()),
        };
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Failure::Final(anyhow::anyhow!("`{}` gave a token that is no header", self.host())))?;
        value.set_sensitive(true);
        *self.authorization.lock().await = Some(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Answer<String> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let wrong = |text: String| Failure::Final(anyhow::anyhow!("`{}` {text}", self.host()));
        let url: Url = realm.parse().map_err(|_| wrong(format!("names no token server but `{realm}`")))?;
        if url.scheme() != "https" && self.scheme.get() != Some(&"http") {
            return Err(wrong("wants credentials sent to a token server over plain HTTP".into()));
        }
        let scope = format!("repository:{}:pull", self.endpoint.repository);
        let mut form = vec![("scope", scope.as_str())];
        form.extend(service.map(|service| ("service", service)));
        let request = match &self.credential {
            None => self.client.get(url).query(&form),
            Some(Credential::Password { user, password }) => {
                self.client.get(url).query(&form).basic_auth(user, Some(password.reveal()))
            }
            Some(Credential::Identity(token)) => {
                form.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "bootstrap"),
                    ("refresh_token", token.reveal()),
                ]);
                self.client.post(url).form(&form)
            }
        };
        let response = request.send().await.map_err(|error| self.transport(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let content = self.document(response, LARGEST_DOCUMENT).await?;
        // the parser's message would show the content
        let token: Token = serde_json::from_slice(&content).map_err(|_| wrong("sent no token".into()))?;
        token.token.or(token.access_token).ok_or_else(|| wrong("sent no token".into()))
    }

    async fn document(&self, mut response: Response, limit: u64) -> Answer<Vec<u8>> {
        let mut content = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            content.extend_from_slice(&chunk);
            if content.len() as u64 > limit {
                return Err(Failure::Final(anyhow::anyhow!("`{}` sent more than {limit} bytes", self.host())));
            }
        }
        Ok(content)
    }

    async fn refused(&self, response: Response) -> Failure {
        #[derive(Deserialize)]
        struct Refusal {
            errors: Vec<Cause>,
        }
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Cause {
            code: String,
            message: String,
        }
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let content = self.document(response, LARGEST_ERROR).await.unwrap_or_default();
        let said = serde_json::from_slice::<Refusal>(&content).ok().and_then(|refusal| {
            let cause = refusal.errors.into_iter().next()?;
            Some(if cause.message.is_empty() { cause.code } else { cause.message })
        });
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        let mut fault = Fault::failed(format!("`{}` answered {status}{said}", self.host()));
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            fault = fault.hint(match self.credential {
                Some(_) => {
                    format!("the credentials for `{}` were refused, or there is no such repository", self.host())
                }
                None => format!(
                    "there are no credentials for `{}` in ~/.docker/config.json or /var/lib/kubelet/config.json",
                    self.host()
                ),
            });
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Failure::Transient(fault.into(), after.map(Duration::from_secs));
        }
        Failure::Final(fault.into())
    }
}

/// The TLS error below a request's.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // an I/O error does not name the one that it wraps as its source
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn is_certificate_error(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

fn speaks_no_tls(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(_)))
}

//! An httpGet probe: GET answers with 200 to 399 [5.21–5.25].
//!
//! Every try is a connection of its own, so that a server that accepts no more is noticed. A TLS server is asked for
//! no proof of who it is, as the kubelet asks for none; its session is kept for the next try, which makes the
//! handshake of a probe that comes each second cheap on both sides.

mod tls;

use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Outcome;
use super::tcp::dial;
use crate::runner::pod::HttpGet;

/// More of an answer is not read [5.23].
const MAX_BODY: usize = 10 << 10;
/// Redirects that are followed [5.24].
const MAX_REDIRECTS: usize = 10;

/// As whom a server is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Agent {
    Probe,
    /// A lifecycle hook [3.98].
    Lifecycle,
}

/// How a hook was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    AsAsked,
    /// By HTTP, though HTTPS was asked for.
    InPlain,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// A request, ready to be sent again and again.
pub(crate) struct Client {
    url: String,
    headers: HeaderMap,
    tls: TlsConnector,
}

impl Client {
    /// `pod_ip` is asked where the manifest names no host.
    pub(crate) fn new(get: &HttpGet, pod_ip: &str, agent: Agent) -> Self {
        let HttpGet { https, host, port, path, headers } = get;
        let scheme = if *https { "https" } else { "http" };
        let host = if host.is_empty() { pod_ip } else { host };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Client {
            url: format!("{scheme}://{host}:{port}{slash}{path}"),
            headers: request_headers(headers, agent),
            tls: tls::connector(),
        }
    }

    /// As a probe: the answer's status decides [5.23], and a redirect that is not followed is worth a warning.
    pub(crate) async fn get(&self, limit: Duration) -> Outcome {
        match self.within(limit, self.follow(&self.url, &self.headers)).await {
            Ok(Answer { status: 200..=299, .. }) => Outcome::Success,
            Ok(Answer { status: 300..=399, body, .. }) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
            }
            Ok(Answer { status, .. }) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
            Err(message) => Outcome::Failure(message),
        }
    }

    /// As a hook: any answer will do, and a server that speaks plain HTTP where HTTPS was meant is asked so, without
    /// the credentials that were to be encrypted [3.98].
    pub(crate) async fn call(&self, limit: Duration) -> Result<Called, String> {
        self.within(limit, async {
            let cause = match self.follow(&self.url, &self.headers).await {
                Ok(_) => return Ok(Called::AsAsked),
                Err(cause) => cause,
            };
            let Some(rest) = self.url.strip_prefix("https:").filter(|_| cause == tls::PLAIN_ANSWER) else {
                return Err(cause);
            };
            let mut headers = self.headers.clone();
            headers.remove(AUTHORIZATION);
            match self.follow(&format!("http:{rest}"), &headers).await {
                Ok(_) => Ok(Called::InPlain),
                Err(_) => Err(cause),
            }
        })
        .await
    }

    async fn within<T>(&self, limit: Duration, done: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let cause = match timeout(limit, done).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(cause)) => cause,
            Err(_) => format!("context deadline exceeded (no answer within {}s)", limit.as_secs()),
        };
        Err(format!("Get \"{}\": {cause}", self.url))
    }

    /// The last answer: redirects are followed while they lead to the same host [5.24].
    async fn follow(&self, url: &str, headers: &HeaderMap) -> Result<Answer, String> {
        let mut uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.exchange(&uri, headers).await?;
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.location.as_deref(),
                _ => None,
            };
            let Some(location) = location else { return Ok(answer) };
            let next = joined(&uri, location).ok_or_else(|| format!("cannot follow a redirect to `{location}`"))?;
            if next.host() != uri.host() {
                return Ok(answer);
            }
            uri = next;
        }
        Err(format!("stopped after {MAX_REDIRECTS} redirects"))
    }

    async fn exchange(&self, uri: &Uri, headers: &HeaderMap) -> Result<Answer, String> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let stream = dial(&host, port).await?;
        if https {
            send(uri, headers, tls::connect(&self.tls, host, stream).await?).await
        } else {
            send(uri, headers, stream).await
        }
    }
}

async fn send<S>(uri: &Uri, headers: &HeaderMap, stream: S) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    *request.headers_mut() = headers.clone();
    if !request.headers().contains_key(HOST) {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let value = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, value);
    }
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(read(response).await)
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // what has arrived before the connection ended can still be read
        _ = &mut connection => answer.await,
    }
}

/// A server that breaks off while writing its body has still answered.
async fn read(response: Response<Incoming>) -> Answer {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    while let Some(Ok(frame)) = incoming.frame().await {
        body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if body.len() > MAX_BODY {
            body.truncate(MAX_BODY);
            break;
        }
    }
    Answer { status, location, body }
}

fn joined(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return location.parse().ok();
    }
    let origin = format!("{}://{}", base.scheme_str()?, base.authority()?);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str()?).parse().ok();
    }
    let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = if location.starts_with('/') { location.to_owned() } else { format!("{directory}/{location}") };
    format!("{origin}{path}").parse().ok()
}

/// The manifest's headers and the kubelet's own; an empty `User-Agent` or `Accept` takes that header away [5.22].
fn request_headers(given: &[(String, String)], agent: Agent) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let defaults = [(USER_AGENT, user_agent(agent)), (ACCEPT, "*/*".to_owned())];
    for (name, value) in defaults {
        match headers.get(&name) {
            Some(given) if given.is_empty() => {
                headers.remove(&name);
            }
            Some(_) => {}
            None => {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
        }
    }
    headers
}

pub(super) fn user_agent(agent: Agent) -> String {
    let agent = match agent {
        Agent::Probe => "kube-probe",
        Agent::Lifecycle => "kube-lifecycle",
    };
    format!("{agent}/1.{}", crate::release::SUPPORTED_MINORS.end())
}

#[cfg(test)]
mod tests;

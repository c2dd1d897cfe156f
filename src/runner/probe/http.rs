//! An httpGet probe: GET answers with 200 to 399 [5.21–5.25].
//!
//! Every try is a connection of its own, so that a server that accepts no more is noticed. A TLS server is asked for
//! no proof of who it is, as the kubelet asks for none; its session is kept for the next try, which makes the
//! handshake of a probe that comes each second cheap on both sides.

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
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
        // sessions belong to one server: another on the same address would not know them
        let mut config = TLS.clone();
        config.resumption = Resumption::in_memory_sessions(2);
        Client {
            url: format!("{scheme}://{host}:{port}{slash}{path}"),
            headers: request_headers(headers, agent),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    pub(crate) async fn get(&self, limit: Duration) -> Outcome {
        match timeout(limit, self.follow()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(cause)) => Outcome::Failure(format!("Get \"{}\": {cause}", self.url)),
            Err(_) => Outcome::Failure(format!(
                "Get \"{}\": context deadline exceeded (no answer within {}s)",
                self.url,
                limit.as_secs()
            )),
        }
    }

    /// Follows redirects to the same host; one to another host counts as success, as it does for the kubelet.
    async fn follow(&self) -> Result<Outcome, String> {
        let mut uri: Uri = self.url.parse().map_err(|error| format!("{error}"))?;
        for _ in 0..=MAX_REDIRECTS {
            let (status, location) = self.exchange(&uri).await?;
            match (status, location) {
                (300..=399, Some(location)) => {
                    let Some(next) = joined(&uri, &location) else {
                        return Err(format!("cannot follow a redirect to `{location}`"));
                    };
                    if next.host() != uri.host() {
                        return Ok(Outcome::Success);
                    }
                    uri = next;
                }
                (200..=399, _) => return Ok(Outcome::Success),
                (status, _) => return Ok(Outcome::Failure(format!("HTTP probe failed with statuscode: {status}"))),
            }
        }
        Err(format!("stopped after {MAX_REDIRECTS} redirects"))
    }

    async fn exchange(&self, uri: &Uri) -> Result<(u16, Option<String>), String> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let stream = dial(&host, port).await?;
        if https {
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
            self.send(uri, stream).await
        } else {
            self.send(uri, stream).await
        }
    }

    async fn send<S>(&self, uri: &Uri, stream: S) -> Result<(u16, Option<String>), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        *request.headers_mut() = self.headers.clone();
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
}

/// Status and redirect; the body is read so that a server that breaks off while writing it has still answered.
async fn read(response: Response<Incoming>) -> (u16, Option<String>) {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut size = 0;
    while let Some(Ok(frame)) = body.frame().await {
        size += frame.data_ref().map_or(0, Bytes::len);
        if size > MAX_BODY {
            break;
        }
    }
    (status, location)
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

/// One key exchange, the cheapest that every Go server takes: nothing secret goes over these connections.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer { schemes }))
        .with_no_client_auth()
});

/// A probe asks whether a server is up, not who it is.
#[derive(Debug)]
struct AnyServer {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests;

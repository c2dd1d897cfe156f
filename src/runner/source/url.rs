//! A URL that gives a pod or a PodList: asked for at the start and every 20 s [1.C].
//!
//! Only an answer changes anything: while nobody answers, or answers with something else than 200, what the last good
//! list asked for goes on. A list that cannot be understood is told and asked for again, but read anew only once it
//! has changed [1.25].

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::{Delivery, Kind, Manifest, Origin, Scan};
use crate::error::{Context, Fault, Result, chain_of};
use crate::image::registry::settings::is_loopback;
use crate::image::registry::trust;
use crate::runner::pod;

/// Between two requests, and the time that one may take [1.3, 1.20].
const PERIOD: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest list [1.21].
const MAX_SIZE: usize = 10 << 20;
/// Failures in a row that are told loudly [1.28].
const TOLD: u32 = 3;

/// What to ask, and with which headers.
#[derive(Debug, Clone)]
pub struct ManifestUrl {
    url: Url,
    headers: HeaderMap,
}

impl ManifestUrl {
    /// `headers` are `NAME:VALUE`, several in one text separated by commas; a name may repeat [1.3].
    pub fn new(url: &str, headers: &[String]) -> Result<ManifestUrl> {
        let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = parsed.ok_or_else(|| {
            Fault::usage("the manifest URL is no URL of a web server").hint("write it as in `https://HOST/pods.yaml`")
        })?;
        let mut map = HeaderMap::new();
        for header in headers.iter().flat_map(|headers| headers.split(',')).filter(|header| !header.is_empty()) {
            // a value may be a secret: it is in no message
            let wrong = || Fault::usage("a header of the manifest URL is not of the form `NAME:VALUE`");
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            map.append(name, value);
        }
        Ok(ManifestUrl { url, headers: map })
    }

    pub fn origin(&self) -> Origin {
        let mut public = self.url.clone();
        // fails only for URLs without a host
        let _ = public.set_username("").and_then(|()| public.set_password(None));
        Origin::Url(public.to_string())
    }

    /// Blocks: it reads certificates.
    fn client(&self) -> Result<Client> {
        let builder = Client::builder()
            .tls_backend_preconfigured(trust::client_config(&[])?)
            .timeout(PATIENCE)
            .redirect(Policy::custom(trust::redirect))
            .user_agent(concat!("bootstrap/", env!("CARGO_PKG_VERSION")));
        let is_direct = self.url.host_str().is_some_and(is_loopback);
        let builder = if is_direct { builder.no_proxy() } else { builder };
        builder.build().context("cannot set up HTTP")
    }
}

/// Delivers a list whenever it differs from the last, until the receiver is gone.
pub async fn watch(url: ManifestUrl, node: String, scans: mpsc::Sender<Delivery>) {
    let origin = url.origin();
    let asked = url.clone();
    let client = tokio::task::spawn_blocking(move || asked.client()).await.context("a thread broke");
    let client = match client.flatten() {
        Ok(client) => client,
        Err(error) => return tracing::error!("`{origin}` is not asked: {}", chain_of(&error)),
    };
    let mut reader = Reader { url, origin, node, client, last: None };
    let mut failures = 0;
    loop {
        match reader.ask().await {
            Ok(scan) => {
                if failures > 0 {
                    tracing::info!("`{}` answers again", reader.origin);
                }
                failures = 0;
                if let Some(scan) = scan
                    && scans.send((Kind::Url, scan)).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                failures += 1;
                let message = format!("`{}`: {}; its last list goes on", reader.origin, chain_of(&error));
                match failures {
                    ..TOLD => tracing::warn!("{message}"),
                    TOLD => tracing::warn!("{message}; not told again until it answers"),
                    _ => tracing::debug!("{message}"),
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = scans.closed() => return,
        }
    }
}

/// The last answer: what it held, and how the server names that version.
struct Answer {
    body: Vec<u8>,
    conditions: HeaderMap,
}

struct Reader {
    url: ManifestUrl,
    origin: Origin,
    node: String,
    client: Client,
    last: Option<Answer>,
}

impl Reader {
    /// `None` when nothing has changed.
    async fn ask(&mut self) -> Result<Option<Scan>> {
        let mut headers = self.url.headers.clone();
        headers.extend(self.last.iter().flat_map(|last| last.conditions.clone()));
        let request = self.client.get(self.url.url.clone()).headers(headers);
        // its own words would show the URL with the password
        let answer = request.send().await.map_err(reqwest::Error::without_url).context("no answer")?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if self.last.is_some() => return Ok(None),
            status => anyhow::bail!("the answer is {status}"),
        }
        let conditions = conditions(answer.headers());
        let body = bounded(answer).await?;
        let is_same = self.last.as_ref().is_some_and(|last| last.body == body);
        let scan = (!is_same).then(|| self.read(&body));
        self.last = Some(Answer { body, conditions });
        Ok(scan)
    }

    fn read(&self, body: &[u8]) -> Scan {
        let manifest = |pod| Manifest { origin: self.origin.clone(), pod };
        if body.is_empty() {
            tracing::warn!("`{}` gives an empty list: its pods are stopped", self.origin);
            return Scan::default();
        }
        let manifests = match pod::decode_list(body, &self.origin, &self.node) {
            Ok(pods) => pods.into_iter().map(|pod| manifest(Ok(Arc::new(pod)))).collect(),
            Err(error) => vec![manifest(Err(chain_of(&error)))],
        };
        Scan { manifests }
    }
}

/// What asks the server to answer only if there is something else by now (RFC 9110, 13.1).
fn conditions(answer: &HeaderMap) -> HeaderMap {
    let of = |name, condition| Some((condition, answer.get(name)?.clone()));
    [of(ETAG, IF_NONE_MATCH), of(LAST_MODIFIED, IF_MODIFIED_SINCE)].into_iter().flatten().collect()
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(reqwest::Error::without_url).context("the answer broke off")? {
        anyhow::ensure!(body.len() + piece.len() <= MAX_SIZE, "the answer is larger than 10 MiB");
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;

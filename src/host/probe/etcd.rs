//! Asks an external etcd which version it is [6.2].

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};
use serde::Deserialize;

use crate::config::ExternalEtcd;
use crate::error::{Context, Result};
use crate::layout::Layout;

/// Of one request. kubeadm waits for 10 s, three times, 5 s apart; here all endpoints are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(5);
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Version {
    etcdserver: String,
}

/// Files that the configuration names and that are not there; paths of the node.
pub(super) fn missing_files(layout: &Layout, external: &ExternalEtcd) -> Vec<PathBuf> {
    let client = external.client.iter().flat_map(|client| [&client.cert_file, &client.key_file]);
    let files = external.ca_file.iter().chain(client);
    files.filter(|path| !layout.under(path).exists()).cloned().collect()
}

/// What each endpoint says, or why it says nothing.
pub(super) async fn versions(layout: &Layout, external: &ExternalEtcd) -> Vec<(String, Result<String, String>)> {
    let client = client(layout, external).map_err(|error| crate::error::chain_of(&error));
    let ask = |url: &String| {
        let (client, url) = (client.clone(), url.clone());
        async move {
            let answer = match client {
                Ok(client) => ask(&client, &url).await,
                Err(reason) => Err(reason),
            };
            (url, answer)
        }
    };
    futures_util::future::join_all(external.http_endpoints.iter().map(ask)).await
}

async fn ask(client: &Client, url: &str) -> Result<String, String> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ask_once(client, url).await {
            Err((reason, Next::Again)) if tries < TRIES => {
                tracing::debug!("`{url}`: {reason}");
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer.map_err(|(reason, _)| reason),
        }
    }
}

/// Whether a second try could bring something else.
enum Next {
    Again,
    Never,
}

async fn ask_once(client: &Client, url: &str) -> Result<String, (String, Next)> {
    let answer = client.get(format!("{}/version", url.trim_end_matches('/'))).send().await;
    let answer = answer.map_err(|error| (innermost(&error), Next::Again))?;
    let status = answer.status();
    if !status.is_success() {
        let next = if status.is_server_error() { Next::Again } else { Next::Never };
        return Err((format!("it answers {status}"), next));
    }
    let body = answer.bytes().await.map_err(|error| (innermost(&error), Next::Again))?;
    let version = serde_json::from_slice::<Version>(&body).map_err(|error| (error.to_string(), Next::Never))?;
    Ok(version.etcdserver)
}

/// Trusts the configured authority, or the machine's where there is none, and shows the configured certificate.
fn client(layout: &Layout, external: &ExternalEtcd) -> Result<Client> {
    let read =
        |path: &Path| std::fs::read(layout.under(path)).with_context(|| format!("cannot read `{}`", path.display()));
    let mut builder = Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(Policy::none())
        .user_agent(concat!("bootstrap/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &external.ca_file {
        let unusable = || format!("cannot use `{}`", path.display());
        let authorities = Certificate::from_pem_bundle(&read(path)?).with_context(unusable)?;
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(client) = &external.client {
        let unusable = || format!("cannot use `{}` with `{}`", client.cert_file.display(), client.key_file.display());
        let mut pem = read(&client.cert_file)?;
        pem.push(b'\n');
        pem.extend(read(&client.key_file)?);
        builder = builder.identity(Identity::from_pem(&pem).with_context(unusable)?);
    }
    builder.build().context("cannot set up HTTPS")
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

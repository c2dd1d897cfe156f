//! Is a component healthy? What a probe asks, and `/readyz` of the API server.

use std::time::Duration;

use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Client, Config};

use super::connection;
use super::error::innermost;
use crate::error::{Context, Result};

/// One answer; a server that is starting takes connections before it serves.
const ANSWER: Duration = Duration::from_secs(2);
/// Failed checks that are told by name.
const MOST_CHECKS: usize = 3;

/// A server that has a health endpoint.
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    path: String,
    /// As a person would ask for it.
    pub url: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.url).finish()
    }
}

impl Endpoint {
    /// The endpoint that a container's startup probe asks; `node_ip` stands in for an empty host. The server's
    /// certificate is not verified, as a probe's never is [5].
    pub fn of_startup_probe(container: &Container, node_ip: &str) -> Result<Endpoint> {
        let base = startup_probe_server(container, node_ip)?;
        let get = startup_probe(container)?;
        let path = get.path.clone().unwrap_or_else(|| "/".to_owned());
        let mut config = Config::new(base.parse().with_context(|| format!("`{base}` is no URL"))?);
        config.accept_invalid_certs = true;
        // no authority is asked, and a bare machine has none: without this the system's would have to be there
        config.root_cert = Some(Vec::new());
        Endpoint::new(config, path, &base)
    }

    /// `/readyz` of the API server, asked as the kubeconfig's user.
    pub async fn readyz(kubeconfig: &str, server: &str) -> Result<Endpoint> {
        Endpoint::new(connection::config(kubeconfig, Some(server)).await?, "/readyz".to_owned(), server)
    }

    fn new(mut config: Config, path: String, base: &str) -> Result<Endpoint> {
        config.read_timeout = Some(ANSWER);
        config.connect_timeout = Some(ANSWER);
        config.proxy_url = None;
        // a wait asks again by itself
        config.default_retry = false;
        let url = format!("{base}{path}");
        let client = Client::try_from(config).with_context(|| format!("cannot ask `{url}`"))?;
        Ok(Endpoint { client, path, url })
    }

    /// Healthy, or why not in a few words: the connection's error, or the answer.
    pub async fn check(&self) -> std::result::Result<(), String> {
        let request = Request::get(&self.path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(ANSWER, async {
            let answer = self.client.send(request).await.map_err(|error| reason(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect_bytes().await.unwrap_or_default();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        });
        match asked.await {
            Err(_) => Err(no_answer()),
            Ok(Err(reason)) => Err(reason),
            Ok(Ok((StatusCode::OK, _))) => Ok(()),
            Ok(Ok((status, body))) => Err(format!("{}{}", status.as_u16(), failed_checks(&body))),
        }
    }
}

/// The server that a container's startup probe asks, as a URL without a path.
pub fn startup_probe_server(container: &Container, node_ip: &str) -> Result<String> {
    let get = startup_probe(container)?;
    let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(node_ip);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    Ok(format!("{scheme}://{host}:{}", port(container, get)?))
}

fn startup_probe(container: &Container) -> Result<&HTTPGetAction> {
    let probe = container.startup_probe.as_ref().and_then(|probe| probe.http_get.as_ref());
    probe.with_context(|| format!("container `{}` has no HTTP startup probe", container.name))
}

fn port(container: &Container, get: &HTTPGetAction) -> Result<i32> {
    match &get.port {
        IntOrString::Int(port) => Ok(*port),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .with_context(|| format!("container `{}` has no port named `{name}`", container.name)),
    }
}

/// The checks that a `/readyz` or `/healthz` answer marks as failed (`[-]name failed: …`).
fn failed_checks(body: &str) -> String {
    let failed: Vec<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .map(|line| line.split_whitespace().next().unwrap_or(line))
        .collect();
    let more = match failed.len().saturating_sub(MOST_CHECKS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = failed.iter().take(MOST_CHECKS).copied().collect::<Vec<_>>().join(", ");
    if failed.is_empty() { String::new() } else { format!(", not ready: {named}{more}") }
}

fn reason(error: &kube::Error) -> String {
    match innermost(error) {
        // a connection that could not be made in time
        elapsed if elapsed == "deadline has elapsed" => no_answer(),
        told => told,
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWER.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_checks_are_picked_out() {
        let body = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed: reason withheld\n";
        assert_eq!(failed_checks(body), ", not ready: etcd, poststarthook/rbac");
        assert_eq!(failed_checks("ok"), "");
    }
}

//! The few things that init asks of HTTP servers: is it healthy, and take this object.

mod node;

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{ConfigMap, Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::desired::object::Object;
use crate::error::{Context, Exit, Fault, Result};

/// Who owns what we apply (server-side apply's field manager).
const FIELD_MANAGER: &str = "bootstrap";
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
        Endpoint::new(client_config(kubeconfig, Some(server)).await?, "/readyz".to_owned(), server)
    }

    fn new(mut config: Config, path: String, base: &str) -> Result<Endpoint> {
        config.read_timeout = Some(ANSWER);
        config.connect_timeout = Some(ANSWER);
        config.proxy_url = None;
        let url = format!("{base}{path}");
        let client = Client::try_from(config).with_context(|| format!("cannot ask `{url}`"))?;
        Ok(Endpoint { client, path, url })
    }

    /// Healthy, or why not in a few words: the connection's error, or the answer.
    pub async fn check(&self) -> std::result::Result<(), String> {
        let request = Request::get(&self.path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(ANSWER, async {
            let answer = self.client.send(request).await.map_err(|error| innermost(&error))?;
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

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.to_string() {
        // a connection that could not be made in time
        elapsed if elapsed == "deadline has elapsed" => no_answer(),
        told => told,
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWER.as_secs())
}

/// A connection to the API server.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

impl ApiServer {
    /// As the kubeconfig's user, at `server` whatever the file says: init talks to the local API server [2].
    pub async fn connect(kubeconfig: &str, server: &str) -> Result<ApiServer> {
        let client = Client::try_from(client_config(kubeconfig, Some(server)).await?)?;
        Ok(ApiServer { client })
    }

    /// As the kubeconfig's user, at its server.
    pub async fn of_kubeconfig(kubeconfig: &str) -> Result<ApiServer> {
        let client = Client::try_from(client_config(kubeconfig, None).await?)?;
        Ok(ApiServer { client })
    }

    /// The data of a ConfigMap.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<BTreeMap<String, String>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let cannot = |error| anyhow::anyhow!("cannot read ConfigMap `{namespace}/{name}`: {}", innermost(&error));
        Ok(api.get(name).await.map_err(cannot)?.data.unwrap_or_default())
    }

    /// Server-side applies one object, so that a second time changes nothing. Retries until `patience` is over: right
    /// after the start, namespaces and the bootstrap roles are still being made.
    pub async fn apply(&self, object: &Object, patience: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + patience;
        let cannot = || match &object.namespace {
            Some(namespace) => format!("cannot apply {} `{namespace}/{}`", object.kind, object.name),
            None => format!("cannot apply {} `{}`", object.kind, object.name),
        };
        let gave_up = |error: anyhow::Error| {
            let message = format!("{}: gave up after {} s", cannot(), patience.as_secs());
            Err(Fault::new(Exit::TimedOut, message).because(error).into())
        };
        loop {
            match tokio::time::timeout_at(deadline, self.try_apply(object)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if is_final(&error) => return Err(error).with_context(cannot),
                Ok(Err(error)) if tokio::time::Instant::now() >= deadline => return gave_up(error.into()),
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(_) => return gave_up(anyhow::anyhow!("the API server gives no answer")),
            }
        }
    }

    async fn try_apply(&self, object: &Object) -> std::result::Result<(), kube::Error> {
        let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &object.kind));
        let api: Api<DynamicObject> = match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&object.name, &params, &Patch::Apply(&object.value)).await?;
        Ok(())
    }
}

/// Another try would get the same answer.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 405 | 415 | 422))
}

/// The client's settings; without `server` the kubeconfig's own.
async fn client_config(kubeconfig: &str, server: Option<&str>) -> Result<Config> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).context("cannot read the kubeconfig")?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("cannot use the kubeconfig")?;
    if let Some(server) = server {
        config.cluster_url = server.parse().with_context(|| format!("`{server}` is no URL"))?;
        config.proxy_url = None;
    }
    Ok(config)
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

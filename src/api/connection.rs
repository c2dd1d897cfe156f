//! A connection to the API server, as the user of a kubeconfig.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::error::ApiError;
use super::retry::ANSWER;
use crate::error::{Context, Fault, Result};

/// A server that is there takes a connection much faster.
const CONNECT: Duration = Duration::from_secs(3);

/// An API server, and who asks it.
#[derive(Clone)]
pub struct ApiServer {
    pub(super) client: Client,
    /// Its URL.
    pub(super) server: String,
    /// What its clients trust, if the kubeconfig says.
    authority_pem: Option<Vec<u8>>,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiServer").field(&self.server).finish()
    }
}

impl ApiServer {
    /// As the kubeconfig's user, at `server` whatever the file says: init talks to the local API server [2].
    pub async fn connect(kubeconfig: &str, server: &str) -> Result<ApiServer> {
        ApiServer::new(parse(kubeconfig)?, Some(server), Some(ANSWER)).await
    }

    /// As the kubeconfig's user, at its server.
    pub async fn of_kubeconfig(kubeconfig: &str) -> Result<ApiServer> {
        ApiServer::new(parse(kubeconfig)?, None, Some(ANSWER)).await
    }

    /// As the user of the kubeconfig in a file, at its server. Paths in it are relative to the file.
    pub async fn of_file(path: &Path) -> Result<ApiServer> {
        // the library would say less about what is wrong with the file
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display())).map_err(
            |error| {
                Fault::usage("no kubeconfig")
                    .hint("run it as root on a node of the control plane, or name a kubeconfig with `--kubeconfig`")
                    .because(error)
            },
        )?;
        let kubeconfig = Kubeconfig::read_from(path).map_err(|_| not_a_kubeconfig())?;
        let connected = ApiServer::new(kubeconfig, None, Some(ANSWER)).await;
        connected.with_context(|| format!("cannot use `{}`", path.display()))
    }

    /// As [`ApiServer::of_file`], with connections on which nothing may come for long: those of watches.
    pub async fn of_watcher(path: &Path) -> Result<ApiServer> {
        let kubeconfig = Kubeconfig::read_from(path).map_err(|_| not_a_kubeconfig());
        let connected = async { ApiServer::new(kubeconfig?, None, None).await };
        connected.await.with_context(|| format!("cannot use `{}`", path.display()))
    }

    async fn new(kubeconfig: Kubeconfig, server: Option<&str>, silence: Option<Duration>) -> Result<ApiServer> {
        let authority_pem = authority(&kubeconfig)?;
        let mut config = settings(kubeconfig, server).await?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = silence;
        config.write_timeout = Some(ANSWER);
        // `retry` has the one policy
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).context("cannot make a client of the kubeconfig")?;
        Ok(ApiServer { client, server, authority_pem })
    }

    pub fn url(&self) -> &str {
        &self.server
    }

    /// The certificates of the cluster's authority, by which those who join know it.
    pub fn authority_pem(&self) -> Result<&[u8]> {
        self.authority_pem.as_deref().context("the kubeconfig names no authority of the cluster")
    }

    /// For what is asked in other ways than those of this module.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// One question, with an answer or a failure within 10 s.
    ///
    /// # Errors
    /// Whatever may go wrong on the way to the server, in it and on the way back.
    pub async fn ask<T>(&self, question: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        match tokio::time::timeout(ANSWER, question).await {
            Ok(answer) => answer.map_err(|error| ApiError::new(&self.server, error)),
            Err(_) => Err(ApiError::Silent { server: self.server.clone(), patience: ANSWER }),
        }
    }
}

/// The client's settings; without `server` the kubeconfig's own.
pub(super) async fn config(kubeconfig: &str, server: Option<&str>) -> Result<Config> {
    settings(parse(kubeconfig)?, server).await
}

async fn settings(kubeconfig: Kubeconfig, server: Option<&str>) -> Result<Config> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("the kubeconfig cannot be used")?;
    if let Some(server) = server {
        config.cluster_url = server.parse().with_context(|| format!("`{server}` is no URL"))?;
        config.proxy_url = None;
    }
    Ok(config)
}

fn parse(kubeconfig: &str) -> Result<Kubeconfig> {
    Kubeconfig::from_yaml(kubeconfig).map_err(|_| not_a_kubeconfig().into())
}

/// Without the parser's words, which would quote the file.
fn not_a_kubeconfig() -> Fault {
    Fault::usage("the kubeconfig cannot be read as one")
}

/// The authority of the current context's cluster: embedded, or in a file.
fn authority(kubeconfig: &Kubeconfig) -> Result<Option<Vec<u8>>> {
    let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == kubeconfig.current_context.as_ref());
    let name = context.and_then(|context| context.context.as_ref()).map(|context| &context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|cluster| Some(&cluster.name) == name);
    let Some(cluster) = cluster.and_then(|cluster| cluster.cluster.as_ref()) else { return Ok(None) };
    match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => {
            let data = STANDARD.decode(data).context("the kubeconfig's `certificate-authority-data` is no base64")?;
            Ok(Some(data))
        }
        (None, Some(path)) => {
            let read = std::fs::read(path).with_context(|| format!("cannot read `{path}`, which the kubeconfig names"));
            read.map(Some)
        }
        (None, None) => Ok(None),
    }
}

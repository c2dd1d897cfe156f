//! The kubelet's HTTPS API (port 10250): logs, exec, attach, port-forward, statistics and health of the node's pods.
//!
//! ```text
//! TLS ─► access (who? may it?) ─► route ─┬► pods, metrics, health: answered at once
//!                                        ├► logs: streamed
//!                                        └► exec, attach, port-forward: upgraded to SPDY/3.1 or a WebSocket
//! ```
//!
//! Whatever happens here, pods are not touched by it: a port that is taken is said once and tried again.

pub mod access;
pub mod cache;
pub mod channel;
pub mod configz;
pub mod identity;
mod logs;
pub mod metrics;
mod own;
pub mod port_forward;
mod process;
pub mod query;
pub mod remote;
pub mod respond;
pub mod review;
pub mod route;
pub mod serve;
pub mod spdy;
pub mod summary;
pub mod tls;
pub mod upgrade;
pub mod usage;
pub mod watched;
pub mod websocket;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::pods::Ask;
use super::runtime::Runtime;
use super::worker::Site;
use crate::error::{Context, Result, chain_of};
use access::Gate;
use identity::User;
use review::ApiReviewer;
use serve::Server;
use tls::{Files, Tls};

/// Clients at a time; the next one waits.
const MAX_CONNECTIONS: usize = 256;
/// For a client to come to its request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to listen.
const RETRY: Duration = Duration::from_secs(5);
/// All headers of a request together, in bytes, and how many they are.
const MAX_HEADERS: (usize, usize) = (32 << 10, 100);
const BACKLOG: u32 = 128;

/// Where and as whom the server listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `None`: every address of the node.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// A certificate and its key; without them, one is made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whose certificates clients may come with; without it, the cluster's authority.
    pub client_authority: Option<PathBuf>,
}

/// Serves until dropped.
pub(super) async fn run<R: Runtime>(
    settings: Settings,
    manifests: PathBuf,
    site: Arc<Site<R>>,
    asks: mpsc::Sender<Ask>,
) {
    let (layout, node) = (&site.layout, &site.node);
    let (own_certificate, own_key) = layout.serving_certificate();
    let is_own = settings.certificate.is_none();
    let (certificate, key) = settings.certificate.clone().unwrap_or((own_certificate, own_key));
    let authority = settings.client_authority.clone().unwrap_or_else(|| layout.client_authority());
    let files = Files { certificate, key, authority };
    if is_own && let Err(error) = tls::make_own(&files, &node.name, node.ip) {
        return tracing::error!("the API of this node is not served: {}", chain_of(&error));
    }
    let reviewer = ApiReviewer::new(layout.kubelet_kubeconfig(), node.name.clone());
    let shown = configz::document(&settings, &files, node, &manifests, site.longest_backoff, site.rotation);
    let server = Arc::new(Server::new(Arc::clone(&site), asks, Gate::new(reviewer), shown));
    let listener = listen(&settings).await;
    accept(listener, Arc::new(Tls::new(files)), server).await;
}

/// Listens, however long it takes until the port is free.
async fn listen(settings: &Settings) -> TcpListener {
    let mut is_told = false;
    loop {
        match bind(settings.address, settings.port) {
            Ok(listener) => {
                if is_told {
                    tracing::info!("listening on port {}", settings.port);
                }
                return listener;
            }
            Err(error) if !is_told => {
                tracing::warn!(
                    "cannot listen on port {}, pods run all the same and it is tried again: {error}",
                    settings.port
                );
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn bind(address: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let at = |address: IpAddr| {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(address, port))?;
        socket.listen(BACKLOG)
    };
    match address {
        Some(address) => at(address),
        // both families, or one where the kernel has no other
        None => match at(Ipv6Addr::UNSPECIFIED.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        },
    }
}

async fn accept<R: Runtime>(listener: TcpListener, tls: Arc<Tls>, server: Arc<Server<R, ApiReviewer>>) {
    let mut clients = JoinSet::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // never closed
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let (tls, server) = (Arc::clone(&tls), Arc::clone(&server));
                    clients.spawn(async move {
                        if let Err(error) = converse(stream, &tls, server).await {
                            tracing::debug!("{from}: {}", chain_of(&error));
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept on the API's port: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn converse<R: Runtime>(stream: TcpStream, tls: &Tls, server: Arc<Server<R, ApiReviewer>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(tls.config().await?);
    let shaken = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await.context("it said nothing")?;
    let stream = shaken.context("no TLS")?;
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first()).and_then(|leaf| User::of_certificate(leaf));
    let serve = service_fn(move |request: hyper::Request<Incoming>| {
        let (server, certificate) = (Arc::clone(&server), certificate.clone());
        async move { Ok::<_, Infallible>(server.serve(request, certificate).await) }
    });
    converse_over(stream, serve).await
}

/// Answers the requests of one client, up to an upgrade.
pub(super) async fn converse_over<S, H>(stream: S, serve: H) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: HttpService<Incoming, ResBody = respond::Content, Error = Infallible>,
{
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEADERS.0)
        .max_headers(MAX_HEADERS.1)
        .serve_connection(TokioIo::new(stream), serve)
        .with_upgrades()
        .await
        .context("the connection broke")
}

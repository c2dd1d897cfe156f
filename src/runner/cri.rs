//! The CRI, version 1, over `/run/bootstrap/cri.sock`: what crictl and other kubelets talk to.
//!
//! ```text
//! client ─► socket (root alone) ─► runtime_service, image_service ─► owner ─► Runtime
//!   │                                    └── convert, select: pure                 ▲
//!   └─► 127.0.0.1, with what the socket has told it ─► streaming ─────────────────┘
//! ```
//!
//! It is the same runtime that the runner uses. What a manifest owns can be looked at, executed in and its containers
//! be stopped, as by hand; what would take it from its worker is refused. What a client makes is its own: the runner
//! leaves it alone, over its own restart too, and `reset` ends it.

pub mod convert;
mod image_service;
mod owner;
mod runtime_service;
pub mod select;
mod status;
mod streaming;
pub mod v1;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tonic::transport::Server;

use self::streaming::Streaming;
use self::v1::image_service_server::ImageServiceServer;
use self::v1::runtime_service_server::RuntimeServiceServer;
use super::control::{is_allowed, listen_at};
use super::pods::Ask;
use super::runtime::Runtime;
use super::worker::Site;
use crate::error::{Result, chain_of};
use crate::layout::Layout;

/// As kubelets and crictl have it.
const MAX_MESSAGE: usize = 16 << 20;
/// Calls at once over one connection.
const MAX_CALLS: u32 = 256;
/// After a socket that could not be accepted from.
const PAUSE: Duration = Duration::from_secs(1);

/// Both services.
pub(super) struct Cri<R> {
    site: Arc<Site<R>>,
    /// Tells which manifest owns a pod.
    asks: mpsc::Sender<Ask>,
    streaming: Streaming,
}

impl<R> Clone for Cri<R> {
    fn clone(&self) -> Self {
        Cri { site: Arc::clone(&self.site), asks: self.asks.clone(), streaming: self.streaming.clone() }
    }
}

impl<R> Cri<R> {
    fn runtime(&self) -> &R {
        &self.site.runtime
    }
}

/// Listens anew; whoever calls holds the runner's lock.
pub(super) fn bind_socket(layout: &Layout) -> Result<UnixListener> {
    listen_at(&layout.cri_socket())
}

/// Serves until dropped; `asks` is for who owns the pods.
pub(super) async fn serve<R: Runtime>(listener: UnixListener, site: Arc<Site<R>>, asks: mpsc::Sender<Ask>) {
    let (streaming, calls) = streaming::channel();
    let streams = streaming::run(Arc::clone(&site), streaming.clone(), calls);
    let cri = Cri { site, asks, streaming };
    let runtime = RuntimeServiceServer::new(cri.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let images =
        ImageServiceServer::new(cri).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
    let clients = stream::unfold(listener, |listener| async {
        Some((Ok::<_, std::io::Error>(accept(&listener).await), listener))
    });
    let server = Server::builder().max_concurrent_streams(MAX_CALLS).add_service(runtime).add_service(images);
    tokio::select! {
        Err(error) = server.serve_with_incoming(clients) => {
            tracing::error!("the CRI's socket is served no more: {}", chain_of(&error.into()));
        }
        () = streams => {}
    }
}

/// The next client who may talk; the others are hung up on.
async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((client, _)) => match client.peer_cred() {
                Ok(peer) if is_allowed(peer.uid()) => return client,
                Ok(peer) => tracing::warn!("user {} may not use the CRI's socket", peer.uid()),
                Err(error) => tracing::debug!("a client of the CRI's socket: {error}"),
            },
            Err(error) => {
                tracing::warn!("cannot accept on the CRI's socket: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

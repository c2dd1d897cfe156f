//! The streams of `Exec`, `Attach` and `PortForward`: the call answers with a URL, by which the client gets them over
//! SPDY/3.1 or a WebSocket [8.32].
//!
//! As containerd does by default, it is plain HTTP on a port of 127.0.0.1: the clients, crictl and kubelets, take the URL
//! as it is and trust no certificate of a runtime. Who comes shows by the path that it may: a random number of 256 bits,
//! which only who may use the CRI's socket has been told, good once, for a minute. Nothing listens while nobody is
//! waited for.

mod expected;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Status;

use self::expected::Expected;
use crate::error::chain_of;
use crate::runner::runtime::{Runtime, StreamOptions};
use crate::runner::server::port_forward::MissingPorts;
use crate::runner::server::respond::{self, Answer};
use crate::runner::server::{converse_over, port_forward, remote, upgrade};
use crate::runner::worker::Site;

/// Clients that have not come to their streams yet.
const MAX_CONNECTIONS: usize = 64;
/// After a client that could not be accepted.
const PAUSE: Duration = Duration::from_secs(1);

/// What a URL leads to; containers and sandboxes by their ids.
#[derive(Debug)]
pub(super) enum Errand {
    Exec {
        container: String,
        command: Vec<String>,
        streams: StreamOptions,
    },
    Attach {
        container: String,
        streams: StreamOptions,
    },
    /// `pod` as a client is told of it; `ports` for one who cannot name them later.
    PortForward {
        sandbox: String,
        pod: String,
        ports: Vec<u16>,
    },
}

impl Errand {
    fn word(&self) -> &'static str {
        match self {
            Errand::Exec { .. } => "exec",
            Errand::Attach { .. } => "attach",
            Errand::PortForward { .. } => "portforward",
        }
    }
}

#[derive(Debug)]
enum Call {
    /// Answered with the URL.
    Expect(Errand, oneshot::Sender<Result<String, Status>>),
    /// A client has come with this path.
    Fetch(String, oneshot::Sender<Option<Errand>>),
}

/// Makes URLs.
#[derive(Debug, Clone)]
pub(super) struct Streaming(mpsc::Sender<Call>);

/// What [`run`] is asked for.
#[derive(Debug)]
pub(super) struct Calls(mpsc::Receiver<Call>);

pub(super) fn channel() -> (Streaming, Calls) {
    let (sender, receiver) = mpsc::channel(16);
    (Streaming(sender), Calls(receiver))
}

impl Streaming {
    /// Where a client gets what it has asked for.
    pub(super) async fn url(&self, errand: Errand) -> Result<String, Status> {
        let ending = || Status::unavailable("the runner is ending");
        let (answer, answered) = oneshot::channel();
        self.0.send(Call::Expect(errand, answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())?
    }

    async fn fetch(&self, path: &str) -> Option<Errand> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Call::Fetch(path.to_owned(), answer)).await.ok()?;
        answered.await.ok()?
    }
}

/// Serves until dropped; `streaming` is the other end of `calls`.
pub(super) async fn run<R: Runtime>(site: Arc<Site<R>>, streaming: Streaming, Calls(mut calls): Calls) {
    let mut expected = Expected::default();
    let mut listener: Option<TcpListener> = None;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut clients = JoinSet::new();
    loop {
        if expected.is_empty(Instant::now()) {
            listener = None;
        }
        let expiry = expected.expiry().unwrap_or_else(Instant::now);
        tokio::select! {
            call = calls.recv() => match call {
                Some(Call::Expect(errand, answer)) => {
                    let url = expect(&mut listener, &mut expected, errand).await;
                    // the client may be gone
                    let _ = answer.send(url);
                }
                Some(Call::Fetch(path, answer)) => {
                    let _ = answer.send(expected.take(&path, Instant::now()));
                }
                None => return,
            },
            (client, place) = accept(listener.as_ref(), &room) => {
                clients.spawn(converse(client, Arc::clone(&site), streaming.clone(), place));
            }
            () = tokio::time::sleep_until(expiry.into()), if listener.is_some() => {}
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn expect(
    listener: &mut Option<TcpListener>,
    expected: &mut Expected<Errand>,
    errand: Errand,
) -> Result<String, Status> {
    let cannot = |error: io::Error| Status::unavailable(format!("cannot listen on 127.0.0.1: {error}"));
    let listener = match listener {
        Some(listener) => listener,
        None => listener.insert(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot)?),
    };
    let address = listener.local_addr().map_err(cannot)?;
    let mut token = [0; 32];
    getrandom::fill(&mut token).map_err(|error| Status::internal(format!("no random numbers: {error}")))?;
    let path = format!("/{}/{}", errand.word(), URL_SAFE_NO_PAD.encode(token));
    let url = format!("http://{address}{path}");
    match expected.add(path, errand, Instant::now()) {
        true => Ok(url),
        false => Err(Status::resource_exhausted("too many streams are waited for; try again in a minute")),
    }
}

/// The next client; never while nothing listens.
async fn accept(listener: Option<&TcpListener>, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // never closed
        let Ok(place) = Arc::clone(room).acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((client, _)) => return (client, place),
            Err(error) => {
                tracing::warn!("cannot accept a client of the CRI's streams: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse<R: Runtime>(
    client: TcpStream,
    site: Arc<Site<R>>,
    streaming: Streaming,
    _place: OwnedSemaphorePermit,
) {
    let _ = client.set_nodelay(true);
    let serve = service_fn(move |request: Request<Incoming>| {
        let (site, streaming) = (Arc::clone(&site), streaming.clone());
        async move { Ok::<_, Infallible>(answer(request, site, &streaming).await) }
    });
    if let Err(error) = converse_over(client, serve).await {
        tracing::debug!("a client of the CRI's streams: {}", chain_of(&error));
    }
}

async fn answer<R: Runtime>(request: Request<Incoming>, site: Arc<Site<R>>, streaming: &Streaming) -> Answer {
    if ![Method::GET, Method::POST].contains(request.method()) {
        return respond::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    }
    // whatever comes of it, nobody fetches it again
    let Some(errand) = streaming.fetch(request.uri().path()).await else {
        return respond::text(StatusCode::NOT_FOUND, "404: Page Not Found");
    };
    match errand {
        Errand::Exec { container, command, streams } => {
            upgrade::remote_command(request, streams, move |channels| async move {
                let session = site.runtime.exec(&container, &command, streams).await;
                remote::run(session, Some(&command), channels).await;
            })
        }
        Errand::Attach { container, streams } => {
            upgrade::remote_command(request, streams, move |channels| async move {
                let session = site.runtime.attach(&container, streams).await;
                remote::run(session, None, channels).await;
            })
        }
        Errand::PortForward { sandbox, pod, ports } => {
            let ports = if ports.is_empty() { Err(MissingPorts::None) } else { Ok(ports) };
            upgrade::port_forward(request, ports, move |by| port_forward::run(site, sandbox, pod, by))
        }
    }
}

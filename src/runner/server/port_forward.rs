//! Pairs of streams to ports of a pod: one carries the data, the other tells what went wrong [8.37, 8.38].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::channel::{Input, Output};
use super::query::Query;
use super::spdy::connection::{Stream, Streams};
use super::spdy::frame::Reset;
use crate::error::chain_of;
use crate::runner::runtime::Runtime;
use crate::runner::worker::Site;

/// For the second stream of a pair.
const PAIRING: Duration = Duration::from_secs(30);
const READ: usize = 16 << 10;

/// Ends of one connection to a port.
#[derive(Debug)]
pub struct Pair {
    pub port: u16,
    pub input: Input,
    pub data: Output,
    pub error: Output,
}

/// What a client has connections by.
#[derive(Debug)]
pub enum Connections {
    /// Streams of SPDY, as the client opens them.
    Opened(Streams),
    /// A WebSocket's channels: one connection to each port.
    Fixed(Vec<Pair>),
}

/// A client has not said which ports it means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingPorts {
    #[error("query parameter \"port\" is required")]
    None,
    #[error("invalid query parameter \"port\": `{0}` is no port")]
    Invalid(String),
}

/// PURE: the ports that a WebSocket's request names: one parameter for each, or several in one, with commas.
pub fn ports(query: &Query) -> Result<Vec<u16>, MissingPorts> {
    let named = query.all("port");
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or(MissingPorts::Invalid(text.to_owned()));
    let ports = named.iter().flat_map(|text| text.split(',')).map(port).collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() { Err(MissingPorts::None) } else { Ok(ports) }
}

/// Half a pair.
struct Half {
    stream: Stream,
    since: Instant,
}

/// What a stream is for, by its headers.
fn purpose(stream: &Stream) -> Option<(u16, String, bool)> {
    let port = stream.headers.get("port")?.parse().ok().filter(|port| *port != 0)?;
    let is_data = match stream.headers.get("streamtype")? {
        "data" => true,
        "error" => false,
        _ => return None,
    };
    Some((port, stream.headers.get("requestid")?.to_owned(), is_data))
}

/// Until the client is gone, or all its connections have ended where it cannot have others. `pod` is what a client is
/// told of it.
pub async fn run<R: Runtime>(site: Arc<Site<R>>, sandbox: String, pod: String, connections: Connections) {
    match connections {
        Connections::Opened(streams) => pair_up(site, sandbox, pod, streams).await,
        Connections::Fixed(pairs) => {
            let forwarded = pairs.into_iter().map(|pair| forward(Arc::clone(&site), &sandbox, &pod, pair));
            futures_util::future::join_all(forwarded).await;
        }
    }
}

async fn pair_up<R: Runtime>(site: Arc<Site<R>>, sandbox: String, pod: String, mut streams: Streams) {
    let mut halves: BTreeMap<(u16, String, bool), Half> = BTreeMap::new();
    let mut pairs = JoinSet::new();
    loop {
        let expiry = halves.values().map(|half| half.since + PAIRING).min();
        tokio::select! {
            stream = streams.recv() => {
                let Some(mut stream) = stream else { break };
                let Some((port, request, is_data)) = purpose(&stream) else {
                    stream.output.reset(Reset::Protocol).await;
                    continue;
                };
                let key = (port, request, !is_data);
                match halves.remove(&key) {
                    Some(other) => {
                        let (data, error) = if is_data { (stream, other.stream) } else { (other.stream, stream) };
                        let (input, data) = (Input::Spdy(data.input), Output::Spdy(data.output));
                        let pair = Pair { port, input, data, error: Output::Spdy(error.output) };
                        let (site, sandbox, pod) = (Arc::clone(&site), sandbox.clone(), pod.clone());
                        pairs.spawn(async move { forward(site, &sandbox, &pod, pair).await });
                    }
                    None => {
                        halves.insert((port, key.1, is_data), Half { stream, since: Instant::now() });
                    }
                }
            }
            () = tokio::time::sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                let now = Instant::now();
                let (late, waiting) = halves.into_iter().partition::<BTreeMap<_, _>, _>(|(_, half)| half.since + PAIRING <= now);
                halves = waiting;
                for mut half in late.into_values() {
                    half.stream.output.reset(Reset::Cancel).await;
                }
            }
            Some(_) = pairs.join_next() => {}
        }
    }
}

async fn forward<R: Runtime>(site: Arc<Site<R>>, sandbox: &str, pod: &str, pair: Pair) {
    let Pair { port, input, mut data, mut error } = pair;
    let carried = match site.runtime.port_forward(sandbox, port).await {
        Ok(connection) => carry(connection, input, &mut data).await.map_err(|error| error.to_string()),
        Err(error) => Err(chain_of(&anyhow::Error::from(error))),
    };
    // the client may be gone
    if let Err(words) = carried {
        let _ = error.write(format!("error forwarding port {port} to pod {pod}: {words}").as_bytes()).await;
    }
    // it waits for the ends of both, whatever has happened
    let _ = error.finish().await;
    let _ = data.finish().await;
}

/// Until the pod has said everything.
async fn carry(connection: std::net::TcpStream, mut input: Input, output: &mut Output) -> std::io::Result<()> {
    connection.set_nonblocking(true)?;
    let (mut from, mut to) = TcpStream::from_std(connection)?.into_split();
    let upwards = async {
        while let Some(data) = input.next().await {
            to.write_all(&data).await?;
        }
        to.shutdown().await
    };
    let downwards = async {
        let mut buffer = vec![0; READ];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 || output.write(&buffer[..length]).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    // a pod that has said everything is not listened to any more
    let upwards = async {
        match upwards.await {
            Ok(()) => std::future::pending().await,
            Err(error) => Err(error),
        }
    };
    tokio::select! {
        done = downwards => done,
        broken = upwards => broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stand_in_the_query() {
        let of = |query: &str| ports(&Query::of(Some(query)));
        assert_eq!((of("port=80"), of("port=80&port=81,443")), (Ok(vec![80]), Ok(vec![80, 81, 443])));
        assert_eq!(of("ports=80"), Err(MissingPorts::None));
        for wrong in ["0", "", "65536", "x"] {
            assert_eq!(of(&format!("port=80,{wrong}")), Err(MissingPorts::Invalid(wrong.to_owned())));
        }
    }
}

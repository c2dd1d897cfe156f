//! Pairs of streams to ports of a pod: one carries the data, the other tells what went wrong [8.37].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::spdy::connection::{Input, Output, Stream, Streams};
use super::spdy::frame::Reset;
use crate::error::chain_of;
use crate::runner::runtime::{Runtime, RuntimeError};
use crate::runner::worker::Site;

/// For the second stream of a pair.
const PAIRING: Duration = Duration::from_secs(30);
const READ: usize = 16 << 10;

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

/// Until the client is gone.
pub async fn run<R: Runtime>(site: Arc<Site<R>>, sandbox: String, pod: String, mut streams: Streams) {
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
                        pairs.spawn(forward(Arc::clone(&site), sandbox.clone(), pod.clone(), port, data, error));
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

async fn forward<R: Runtime>(
    site: Arc<Site<R>>,
    sandbox: String,
    pod: String,
    port: u16,
    data: Stream,
    mut error: Stream,
) {
    let Stream { input, output: mut data, .. } = data;
    let carried = match site.runtime.port_forward(&sandbox, port).await {
        Ok(connection) => carry(connection, input, &mut data).await.map_err(|error| error.to_string()),
        Err(error) => Err(words(error)),
    };
    // the client may be gone
    if let Err(words) = carried {
        let _ = error.output.write(format!("error forwarding port {port} to pod {pod}: {words}").as_bytes()).await;
    }
    // it waits for the ends of both, whatever has happened
    let _ = error.output.finish().await;
    let _ = data.finish().await;
}

fn words(error: RuntimeError) -> String {
    chain_of(&anyhow::Error::from(error))
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

//! Streams over SPDY/3.1 [8.32, 8.33].

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::{IDLE, asks_for, switching, values};
use crate::runner::runtime::StreamOptions;
use crate::runner::server::channel::{Channels, Input, Output, StatusForm};
use crate::runner::server::respond::{self, Answer};
use crate::runner::server::spdy::connection::{self, Stream, Streams};
use crate::runner::server::spdy::frame::Reset;

/// For a client to open the streams that it has asked for.
const CREATION: Duration = Duration::from_secs(30);

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What SPDY clients of a process may speak, the best first, and the one of those that offer none.
const REMOTE_COMMAND: [&str; 5] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""];
const PORT_FORWARD: [&str; 1] = ["portforward.k8s.io"];

fn no_upgrade() -> Answer {
    respond::text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request")
}

/// The protocol of streams over SPDY, or the refusal.
fn negotiate(headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Box<Answer>> {
    let offered = values(headers, &STREAM_PROTOCOL);
    if offered.is_empty() {
        return Ok("");
    }
    let chosen = offered.iter().find_map(|name| known.iter().find(|known| *known == name && !name.is_empty()));
    chosen.copied().ok_or_else(|| {
        let known: Vec<_> = known.iter().filter(|known| !known.is_empty()).copied().collect();
        let words = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            known.join(" ")
        );
        let mut answer = respond::text(StatusCode::FORBIDDEN, words);
        for name in known {
            answer.headers_mut().append(ACCEPTED_PROTOCOLS, HeaderValue::from_static(name));
        }
        Box::new(answer)
    })
}

/// `work` gets the channels once the client has opened them.
pub(super) fn remote_command<F>(
    request: Request<Incoming>,
    options: StreamOptions,
    work: impl FnOnce(Channels) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    upgrade(request, &REMOTE_COMMAND, move |mut streams, protocol| async move {
        match tokio::time::timeout(CREATION, opened(&mut streams, options, protocol)).await {
            Ok(Some(channels)) => {
                // what else the client opens is refused by a receiver that is not there any more
                drop(streams);
                work(channels).await;
            }
            Ok(None) => {}
            Err(_) => tracing::debug!("a client has not opened its streams in time"),
        }
    })
}

/// `work` gets the streams as the client opens them.
pub(super) fn port_forward<F>(request: Request<Incoming>, work: impl FnOnce(Streams) -> F + Send + 'static) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    upgrade(request, &PORT_FORWARD, |streams, _| work(streams))
}

/// The streams that were asked for, and the error stream. `None`: the client is gone, or opens others.
async fn opened(streams: &mut Streams, options: StreamOptions, protocol: &str) -> Option<Channels> {
    let has_resize = options.tty && matches!(protocol, "v3.channel.k8s.io" | "v4.channel.k8s.io");
    let wanted = [
        ("error", true),
        ("stdin", options.stdin),
        ("stdout", options.stdout),
        ("stderr", options.stderr),
        ("resize", has_resize),
    ];
    let mut missing: Vec<_> = wanted.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)).collect();
    let mut found: BTreeMap<&str, Stream> = BTreeMap::new();
    while !missing.is_empty() {
        let mut stream = streams.recv().await?;
        let kind = stream.headers.get("streamtype").unwrap_or_default();
        match missing.iter().position(|missing| *missing == kind) {
            Some(at) => {
                found.insert(missing.remove(at), stream);
            }
            None => {
                tracing::debug!("a client opens a stream of type `{kind}` that it has not asked for");
                stream.output.reset(Reset::Refused).await;
            }
        }
    }
    let [stdin, resize, stdout, stderr] = ["stdin", "resize", "stdout", "stderr"].map(|kind| found.remove(kind));
    let error = found.remove("error")?;
    Some(Channels {
        stdin: stdin.map(|stream| Input::Spdy(stream.input)),
        resize: resize.map(|stream| Input::Spdy(stream.input)),
        stdout: stdout.map(|stream| Output::Spdy(stream.output)),
        stderr: stderr.map(|stream| Output::Spdy(stream.output)),
        error: Output::Spdy(error.output),
        status: if protocol == "v4.channel.k8s.io" { StatusForm::Json } else { StatusForm::Text },
    })
}

/// `work` gets the streams as the client opens them, and which of the `known` protocols they speak.
fn upgrade<F>(
    request: Request<Incoming>,
    known: &[&'static str],
    work: impl FnOnce(Streams, &'static str) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    if !asks_for(request.headers(), "SPDY/3.1") {
        return no_upgrade();
    }
    let protocol = match negotiate(request.headers(), known) {
        Ok(protocol) => protocol,
        Err(refusal) => return *refusal,
    };
    tokio::spawn(async move {
        let Ok(io) = hyper::upgrade::on(request).await else { return };
        connection::serve(TokioIo::new(io), IDLE, |streams| work(streams, protocol)).await;
    });
    let mut answer = switching("SPDY/3.1");
    if !protocol.is_empty() {
        answer.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_clients_first_known_protocol_is_taken() {
        let chosen = |value| negotiate(&headers(&[("x-stream-protocol-version", value)]), &REMOTE_COMMAND);
        assert_eq!(chosen("v9, v3.channel.k8s.io,v4.channel.k8s.io").unwrap(), "v3.channel.k8s.io");
        assert_eq!(negotiate(&HeaderMap::new(), &REMOTE_COMMAND).unwrap(), "");
        let refusal = chosen("v9").unwrap_err();
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
        assert_eq!(refusal.headers().get_all(ACCEPTED_PROTOCOLS).iter().count(), 4);
    }
}

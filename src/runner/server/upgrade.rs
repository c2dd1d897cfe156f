//! From a request to the streams of exec, attach and port-forward: SPDY/3.1 or a WebSocket [8.30-8.37].

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::channel::{Channels, Input, Output, StatusForm};
use super::query::Query;
use super::respond::{self, Answer};
use super::spdy::connection::{self, Stream, Streams};
use super::spdy::frame::Reset;
use super::websocket::{self, Protocol, Socket};
use crate::runner::runtime::StreamOptions;

/// A connection on which nothing moves lives so long [8.33].
pub const IDLE: Duration = Duration::from_secs(4 * 3600);
/// For a client to open the streams that it has asked for.
const CREATION: Duration = Duration::from_secs(30);

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What SPDY clients of a process may speak, the best first, and the one of those that offer none.
const REMOTE_COMMAND: [&str; 5] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""];
const PORT_FORWARD: [&str; 1] = ["portforward.k8s.io"];

/// PURE: the streams that a client asks for.
pub fn options(query: &Query) -> Result<StreamOptions, &'static str> {
    let tty = query.is_one("tty");
    let options = StreamOptions {
        stdin: query.is_one("input"),
        stdout: query.is_one("output"),
        // a terminal has one output
        stderr: query.is_one("error") && !tty,
        tty,
    };
    if options.stdin || options.stdout || options.stderr {
        Ok(options)
    } else {
        Err("you must specify at least 1 of stdin, stdout, stderr")
    }
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect()
}

/// PURE: whether the request asks for an upgrade to that protocol.
fn asks_for(headers: &HeaderMap, protocol: &str) -> bool {
    let has = |name, wanted: &str| values(headers, name).iter().any(|value| value.eq_ignore_ascii_case(wanted));
    has(&CONNECTION, "upgrade") && has(&UPGRADE, protocol)
}

fn no_upgrade() -> Answer {
    respond::text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request")
}

fn switching(protocol: &'static str) -> Answer {
    let mut answer: Answer = Response::new(respond::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    answer
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

/// Upgrades the request; `work` gets the channels once the client has opened them.
pub fn remote_command<F>(
    request: Request<Incoming>,
    options: StreamOptions,
    work: impl FnOnce(Channels) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    if asks_for(request.headers(), "websocket") {
        return over_websocket(request, options, work);
    }
    over_spdy(request, &REMOTE_COMMAND, move |mut streams, protocol| async move {
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

/// The answer to a WebSocket handshake (RFC 6455, 4.2.2), or the refusal.
fn websocket(headers: &HeaderMap) -> Result<(Answer, Protocol), Box<Answer>> {
    let refuse = |words: &str| Box::new(respond::text(StatusCode::BAD_REQUEST, words));
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("unable to upgrade: the WebSocket version is not 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| refuse("unable to upgrade: no WebSocket key"))?;
    let offered = values(headers, &SEC_WEBSOCKET_PROTOCOL);
    let protocol = websocket::negotiate(&offered).ok_or_else(|| {
        Box::new(respond::text(StatusCode::FORBIDDEN, "unable to upgrade: no WebSocket protocol in common"))
    })?;
    let mut answer = switching("websocket");
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| refuse("unable to upgrade"))?);
    if !protocol.name.is_empty() {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name));
    }
    Ok((answer, protocol))
}

fn over_websocket<F>(
    request: Request<Incoming>,
    options: StreamOptions,
    work: impl FnOnce(Channels) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let (answer, protocol) = match websocket(request.headers()) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    tokio::spawn(async move {
        let Ok(io) = hyper::upgrade::on(request).await else { return };
        let mut socket = Socket::new(protocol);
        let mut input = |wanted: bool, channel| wanted.then(|| Input::WebSocket(socket.input(channel)));
        let (stdin, resize) = (input(options.stdin, websocket::STDIN), input(options.tty, websocket::RESIZE));
        let output = |wanted: bool, channel| wanted.then(|| Output::WebSocket(socket.output(channel)));
        let mut channels = Channels {
            stdin,
            resize,
            stdout: output(options.stdout, websocket::STDOUT),
            stderr: output(options.stderr, websocket::STDERR),
            error: Output::WebSocket(socket.output(websocket::ERROR)),
            status: if protocol.version >= 4 { StatusForm::Json } else { StatusForm::Text },
        };
        let work = async move {
            // an empty message tells that the connection is there
            let first = [&mut channels.stdout, &mut channels.stderr].into_iter().flatten().next();
            let _ = first.unwrap_or(&mut channels.error).write(&[]).await;
            work(channels).await;
        };
        socket.serve(TokioIo::new(io), work).await;
    });
    answer
}

/// Upgrades the request to SPDY, or says no; `work` gets the streams as the client opens them.
pub fn port_forward<F>(request: Request<Incoming>, work: impl FnOnce(Streams) -> F + Send + 'static) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    over_spdy(request, &PORT_FORWARD, |streams, _| work(streams))
}

/// `work` gets the streams as the client opens them, and which of the `known` protocols they speak.
fn over_spdy<F>(
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
    fn a_client_asks_for_streams_and_a_terminal_has_no_errors() {
        let of = |query| options(&Query::of(Some(query)));
        let streams = |stdin, stdout, stderr, tty| Ok(StreamOptions { stdin, stdout, stderr, tty });
        assert_eq!(of("input=1&output=1&error=1"), streams(true, true, true, false));
        assert_eq!(of("output=1&error=1&tty=1"), streams(false, true, false, true));
        assert!(of("tty=1&error=1").is_err() && of("").is_err());
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

    #[test]
    fn an_upgrade_is_asked_for_in_two_headers() {
        let asks = |pairs| asks_for(&headers(pairs), "SPDY/3.1");
        assert!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "spdy/3.1")]));
        assert!(!asks(&[("upgrade", "SPDY/3.1")]) && !asks(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn a_websocket_handshake_is_answered() {
        let asked = headers(&[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v4.channel.k8s.io"),
        ]);
        let (answer, protocol) = websocket(&asked).unwrap();
        assert_eq!(protocol.version, 4);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(websocket(&HeaderMap::new()).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }
}

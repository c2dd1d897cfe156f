//! Channels over a WebSocket [8.35, 8.38].

use hyper::body::Incoming;
use hyper::header::{
    HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{switching, values};
use crate::runner::runtime::StreamOptions;
use crate::runner::server::channel::{Channels, Input, Output, StatusForm};
use crate::runner::server::port_forward::Pair;
use crate::runner::server::respond::{self, Answer};
use crate::runner::server::websocket::{
    self, ERROR, PORT_FORWARD, PROTOCOLS, Protocol, RESIZE, STDERR, STDIN, STDOUT, Socket,
};

fn refusal(words: &str) -> Box<Answer> {
    Box::new(respond::text(StatusCode::BAD_REQUEST, format!("unable to upgrade: {words}")))
}

/// The answer to a WebSocket handshake (RFC 6455, 4.2.2), or the refusal.
fn handshake(headers: &HeaderMap, known: &[Protocol]) -> Result<(Answer, Protocol), Box<Answer>> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refusal("the WebSocket version is not 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| refusal("no WebSocket key"))?;
    let offered = values(headers, &SEC_WEBSOCKET_PROTOCOL);
    let protocol = websocket::negotiate(&offered, known).ok_or_else(|| {
        Box::new(respond::text(StatusCode::FORBIDDEN, "unable to upgrade: no WebSocket protocol in common"))
    })?;
    let mut answer = switching("websocket");
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| refusal("it is no WebSocket key"))?);
    if !protocol.name.is_empty() {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name));
    }
    Ok((answer, protocol))
}

/// `work` gets the channels, which are there at once.
pub(super) fn remote_command<F>(
    request: Request<Incoming>,
    options: StreamOptions,
    work: impl FnOnce(Channels) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let (answer, protocol) = match handshake(request.headers(), &PROTOCOLS) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    tokio::spawn(async move {
        let Ok(io) = hyper::upgrade::on(request).await else { return };
        let mut socket = Socket::new(protocol);
        let mut input = |wanted: bool, channel| wanted.then(|| Input::WebSocket(socket.input(channel)));
        let (stdin, resize) = (input(options.stdin, STDIN), input(options.tty, RESIZE));
        let output = |wanted: bool, channel| wanted.then(|| Output::WebSocket(socket.output(channel)));
        let mut channels = Channels {
            stdin,
            resize,
            stdout: output(options.stdout, STDOUT),
            stderr: output(options.stderr, STDERR),
            error: Output::WebSocket(socket.output(ERROR)),
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

/// Two channels for each port, for its data and for what goes wrong; the first message of each is the port's number,
/// the lower byte first [8.38].
pub(super) fn port_forward<F>(
    request: Request<Incoming>,
    ports: &[u16],
    work: impl FnOnce(Vec<Pair>) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let (answer, protocol) = match handshake(request.headers(), &PORT_FORWARD) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    // a channel's number is one byte, or one digit
    let channels: Vec<u8> = (0..if protocol.is_base64 { 10 } else { u8::MAX }).collect();
    if ports.len() > channels.len() / 2 {
        return *refusal("it is about more ports than there are channels");
    }
    let (mut socket, mut pairs) = (Socket::new(protocol), Vec::new());
    for (port, channels) in ports.iter().zip(channels.chunks_exact(2)) {
        let input = Input::WebSocket(socket.input(channels[0]));
        let output = |channel: u8| Output::WebSocket(socket.output(channel));
        pairs.push(Pair { port: *port, input, data: output(channels[0]), error: output(channels[1]) });
    }
    tokio::spawn(async move {
        let Ok(io) = hyper::upgrade::on(request).await else { return };
        let work = async move {
            for pair in &mut pairs {
                for output in [&mut pair.data, &mut pair.error] {
                    // the client may be gone
                    let _ = output.write(&pair.port.to_le_bytes()).await;
                }
            }
            work(pairs).await;
        };
        socket.serve(TokioIo::new(io), work).await;
    });
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_websocket_handshake_is_answered() {
        let asked = headers(&[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v4.channel.k8s.io"),
        ]);
        let (answer, protocol) = handshake(&asked, &PROTOCOLS).unwrap();
        assert_eq!(protocol.version, 4);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake(&HeaderMap::new(), &PROTOCOLS).unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert_eq!(handshake(&asked, &PORT_FORWARD).unwrap().1.version, 4);
        let fifth = headers(&[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v5.channel.k8s.io"),
        ]);
        assert_eq!(handshake(&fifth, &PORT_FORWARD).unwrap_err().status(), StatusCode::FORBIDDEN);
    }
}

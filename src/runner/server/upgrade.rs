//! From a request to the streams of exec, attach and port-forward: SPDY/3.1 or a WebSocket [8.30-8.38].

mod spdy;
mod websocket;

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::{HeaderMap, Request, Response, StatusCode};

use super::channel::Channels;
use super::port_forward::{Connections, MissingPorts};
use super::query::Query;
use super::respond::{self, Answer};
use crate::runner::runtime::StreamOptions;

/// A connection on which nothing moves lives so long [8.33].
pub const IDLE: Duration = Duration::from_secs(4 * 3600);

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

fn switching(protocol: &'static str) -> Answer {
    let mut answer: Answer = Response::new(respond::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    answer
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
    match asks_for(request.headers(), "websocket") {
        true => websocket::remote_command(request, options, work),
        false => spdy::remote_command(request, options, work),
    }
}

/// Upgrades the request, or says no; `ports` are for a WebSocket, whose client cannot name others later.
pub fn port_forward<F>(
    request: Request<Incoming>,
    ports: Result<Vec<u16>, MissingPorts>,
    work: impl FnOnce(Connections) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    if !asks_for(request.headers(), "websocket") {
        return spdy::port_forward(request, |streams| work(Connections::Opened(streams)));
    }
    match ports {
        Ok(ports) => websocket::port_forward(request, &ports, |pairs| work(Connections::Fixed(pairs))),
        Err(missing) => respond::text(StatusCode::BAD_REQUEST, missing.to_string()),
    }
}

#[cfg(test)]
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
    fn an_upgrade_is_asked_for_in_two_headers() {
        let asks = |pairs| asks_for(&headers(pairs), "SPDY/3.1");
        assert!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "spdy/3.1")]));
        assert!(!asks(&[("upgrade", "SPDY/3.1")]) && !asks(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
    }
}

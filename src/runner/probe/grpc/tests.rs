#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::{HeaderMap, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// What the server was asked: headers, and the framed message.
type Asked = Arc<Mutex<Vec<(http::request::Parts, Vec<u8>)>>>;

/// A health server that knows services by what it is to do for them.
async fn server() -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&seen)));
        }
    });
    (port, asked)
}

async fn serve(stream: TcpStream, asked: Asked) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (parts, mut body) = request.into_parts();
        let frame = body.data().await.unwrap().unwrap().to_vec();
        let service = String::from_utf8_lossy(frame.get(7..).unwrap_or_default()).into_owned();
        asked.lock().unwrap().push((parts, frame));
        let answer = |status: u16| Response::builder().status(status).header("content-type", "application/grpc");
        let ended = |code: &str, message: &str| {
            answer(200).header("grpc-status", code).header("grpc-message", message).body(()).unwrap()
        };
        let status = match service.as_str() {
            "" | "good" => 1,
            "bad" => 2,
            "odd" => 7,
            "old" => {
                respond.send_response(ended("12", "unknown service grpc.health.v1.Health"), true).unwrap();
                continue;
            }
            "web" => {
                respond.send_response(Response::builder().status(404).body(()).unwrap(), true).unwrap();
                continue;
            }
            "html" => {
                let page = Response::builder().header("content-type", "text/html").body(()).unwrap();
                respond.send_response(page, true).unwrap();
                continue;
            }
            "late" => {
                respond.send_response(ended("4", "context deadline exceeded"), true).unwrap();
                continue;
            }
            "reset" => {
                respond.send_reset(h2::Reason::CANCEL);
                continue;
            }
            "silent" => {
                held.push(respond);
                continue;
            }
            "bare" => {
                let mut body = respond.send_response(answer(200).body(()).unwrap(), false).unwrap();
                body.send_data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), true).unwrap();
                continue;
            }
            "flood" => {
                let mut body = respond.send_response(answer(200).body(()).unwrap(), false).unwrap();
                body.send_data(vec![0; 40_000].into(), false).unwrap();
                held.push(respond);
                continue;
            }
            _ => {
                respond.send_response(ended("5", "unknown%20service%3a%20%C3%A9"), true).unwrap();
                continue;
            }
        };
        let mut body = respond.send_response(answer(200).body(()).unwrap(), false).unwrap();
        body.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).unwrap();
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        body.send_trailers(trailers).unwrap();
    }
}

#[tokio::test]
async fn a_health_server_is_understood() {
    let (port, _) = server().await;
    for (service, expected) in [
        ("", None),
        ("good", None),
        ("bad", Some("service unhealthy (responded with \"NOT_SERVING\")")),
        ("odd", Some("service unhealthy (responded with \"7\")")),
        ("nobody", Some("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service: é")),
        (
            "old",
            Some(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown \
                 service grpc.health.v1.Health",
            ),
        ),
        (
            "web",
            Some(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unexpected \
                 HTTP status code received from server: 404 Not Found",
            ),
        ),
        (
            "html",
            Some(
                "error: health rpc probe failed: rpc error: code = Unknown desc = received unexpected content-type \
                 \"text/html\"",
            ),
        ),
        ("late", Some("timeout: health rpc did not complete within 20s")),
        (
            "reset",
            Some(
                "error: health rpc probe failed: rpc error: code = Canceled desc = stream error received: stream no \
                 longer needed",
            ),
        ),
        (
            "bare",
            Some(
                "error: health rpc probe failed: rpc error: code = Internal desc = server closed the stream without \
                 sending trailers",
            ),
        ),
    ] {
        let expected = expected.map_or(Outcome::Success, |message: &str| Outcome::Failure(message.to_owned()));
        assert_eq!(serves("127.0.0.1", port, service, LIMIT).await, expected, "{service}");
    }
    let Outcome::Failure(flood) = serves("127.0.0.1", port, "flood", LIMIT).await else { panic!() };
    assert!(flood.contains("code = ResourceExhausted desc = received message larger than max"), "{flood}");
}

#[tokio::test]
async fn the_request_is_the_kubelets() {
    let (port, asked) = server().await;
    assert_eq!(serves("127.0.0.1", port, "good", LIMIT).await, Outcome::Success);
    let asked = asked.lock().unwrap();
    let (parts, message) = &asked[0];
    let header = |name: &str| parts.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(parts.method, "POST");
    assert_eq!(parts.uri.to_string(), format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check"));
    assert_eq!(header("user-agent"), "kube-probe/1.36");
    assert_eq!((header("content-type"), header("te")), ("application/grpc".to_owned(), "trailers".to_owned()));
    assert!(header("grpc-timeout").ends_with('m'));
    assert_eq!(message[..], [0, 0, 0, 0, 6, 10, 4, b'g', b'o', b'o', b'd']);
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up() {
    let (port, _) = server().await;
    let late = Outcome::Failure("timeout: health rpc did not complete within 1s".to_owned());
    assert_eq!(serves("127.0.0.1", port, "silent", Duration::from_secs(1)).await, late);
}

#[tokio::test]
async fn what_is_no_grpc_server_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let failed = format!("timeout: failed to connect service \"127.0.0.1:{port}\" within 0s: ");
    // accepts, and says nothing
    let silent = serves("127.0.0.1", port, "", SHORT).await;
    assert_eq!(silent, Outcome::Failure(format!("{failed}context deadline exceeded")));
    drop(listener);
    let closed = serves("127.0.0.1", port, "", SHORT).await;
    let refused = format!("{failed}dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(closed, Outcome::Failure(refused));
    // speaks HTTP/1.1
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    let Outcome::Failure(other) = serves("127.0.0.1", port, "", Duration::from_millis(500)).await else { panic!() };
    assert!(
        other.starts_with(&format!("timeout: failed to connect service \"127.0.0.1:{port}\" within 0s: ")),
        "{other}"
    );
}

#[tokio::test]
async fn a_server_that_comes_up_in_time_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dials = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dials);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // the first one is closed at once
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                tokio::spawn(serve(stream, Asked::default()));
            }
        }
    });
    assert_eq!(serves("127.0.0.1", port, "good", LIMIT).await, Outcome::Success);
    assert_eq!(dials.load(Ordering::SeqCst), 2);
}

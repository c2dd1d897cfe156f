#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::aws_lc_rs;
use rustls::server::{ServerConfig, ServerSessionMemoryCache};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// Answers each connection with what `answer` makes of the request's text.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let text = answer(&String::from_utf8_lossy(&request[..length]));
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    port
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn ended_early(body: &str) -> Outcome {
    Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
}

fn to(port: u16, https: bool) -> HttpGet {
    HttpGet { https, host: String::new(), port, path: "/".to_owned(), headers: Vec::new() }
}

async fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Outcome {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let get = HttpGet { headers, path: path.to_owned(), ..to(port, false) };
    Client::new(&get, "127.0.0.1", Agent::Probe).get(LIMIT).await
}

#[tokio::test]
async fn case_100_103_two_and_three_hundreds_are_success() {
    let port = server(|request| {
        let code = request.split('/').nth(1).unwrap().split(' ').next().unwrap();
        status(&format!("{code} X"))
    })
    .await;
    for code in ["200", "204", "299"] {
        assert_eq!(get(port, code, &[]).await, Outcome::Success, "{code}");
    }
    // there is nowhere to follow it to; a 304 has no body
    for (code, body) in [("302", "ok"), ("304", ""), ("399", "ok")] {
        assert_eq!(get(port, code, &[]).await, ended_early(body), "{code}");
    }
    for code in ["400", "404", "500"] {
        let failure = Outcome::Failure(format!("HTTP probe failed with statuscode: {code}"));
        assert_eq!(get(port, &format!("/{code}"), &[]).await, failure);
    }
}

#[tokio::test]
async fn the_request_is_the_kubelets() {
    let port = server(|request| {
        let lower = request.to_lowercase();
        let good = lower.starts_with("get /a?b=c http/1.1")
            && lower.contains("user-agent: kube-probe/1.36")
            && !lower.contains("accept:")
            && lower.contains("host: example")
            && lower.contains("x-a: 1");
        status(if good { "200 OK" } else { "500 No" })
    })
    .await;
    let headers = [("Accept", ""), ("Host", "example"), ("X-A", "1")];
    assert_eq!(get(port, "/a?b=c", &headers).await, Outcome::Success);
}

#[tokio::test]
async fn case_107_108_redirects_are_followed_on_the_same_host_only() {
    let port = server(|request| match request.split(' ').nth(1).unwrap() {
        "/here" => redirect("/down"),
        "/relative/x" => redirect("good"),
        "/relative/good" => status("200 OK"),
        "/here-and-away" => redirect("/away"),
        "/away" => {
            "HTTP/1.1 307 Away\r\nLocation: http://other.example/\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone"
                .to_owned()
        }
        "/loop" => redirect("/loop"),
        _ => status("503 Down"),
    })
    .await;
    assert_eq!(get(port, "/here", &[]).await, Outcome::Failure("HTTP probe failed with statuscode: 503".to_owned()));
    assert_eq!(get(port, "/relative/x", &[]).await, Outcome::Success);
    assert_eq!(get(port, "/away", &[]).await, ended_early("gone"));
    assert_eq!(get(port, "/here-and-away", &[]).await, ended_early("gone"));
    assert!(matches!(get(port, "/loop", &[]).await, Outcome::Failure(message) if message.contains("10 redirects")));
}

#[tokio::test]
async fn what_does_not_answer_fails_with_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = Client::new(&to(port, false), "127.0.0.1", Agent::Probe);
    let Outcome::Failure(slow) = client.get(Duration::from_millis(20)).await else { panic!() };
    assert!(slow.starts_with(&format!("Get \"http://127.0.0.1:{port}/\": context deadline exceeded")), "{slow}");
    drop(listener);
    let Outcome::Failure(refused) = client.get(LIMIT).await else { panic!() };
    assert!(refused.contains(&format!("dial tcp 127.0.0.1:{port}: connect: connection refused")), "{refused}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut() {
    let port = server(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(20_000))).await;
    assert_eq!(get(port, "/", &[]).await, Outcome::Success);
}

#[tokio::test]
async fn any_certificate_will_do_and_the_session_is_used_again() {
    let certified = rcgen::generate_simple_self_signed(["somebody.else".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.session_storage = ServerSessionMemoryCache::new(8);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let resumed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&resumed);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let is_resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            count.fetch_add(usize::from(is_resumed), Ordering::SeqCst);
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(status("200 OK").as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let client = Client::new(&to(port, true), "127.0.0.1", Agent::Lifecycle);
    for _ in 0..4 {
        assert_eq!(client.get(LIMIT).await, Outcome::Success);
    }
    assert_eq!(resumed.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn case_120_a_hook_is_content_with_any_answer() {
    let port = server(|request| match request.split(' ').nth(1).unwrap() {
        "/loop" => redirect("/loop"),
        "/away" => redirect("http://other.example/"),
        path if request.contains("user-agent: kube-lifecycle/1.36") => status(&format!("{} X", &path[1..])),
        _ => "no HTTP at all".to_owned(),
    })
    .await;
    let call = async |path: &str| {
        let get = HttpGet { path: path.to_owned(), ..to(port, false) };
        Client::new(&get, "127.0.0.1", Agent::Lifecycle).call(LIMIT).await
    };
    for path in ["/200", "/302", "/404", "/503", "/away"] {
        assert_eq!(call(path).await, Ok(Called::AsAsked), "{path}");
    }
    let url = format!("Get \"http://127.0.0.1:{port}");
    assert_eq!(call("/loop").await, Err(format!("{url}/loop\": stopped after 10 redirects")));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = free.local_addr().unwrap().port();
    drop(free);
    let refused = Client::new(&to(closed, false), "127.0.0.1", Agent::Lifecycle).call(LIMIT).await.unwrap_err();
    assert!(refused.ends_with("connect: connection refused"), "{refused}");
}

#[tokio::test]
async fn case_120_a_hook_falls_back_to_plain_http_without_its_credentials() {
    let port = server(|request| {
        let lower = request.to_lowercase();
        match lower.starts_with("get /") {
            true if lower.contains("x-a: 1") && !lower.contains("authorization") => status("500 Down"),
            true => "not what was to be sent".to_owned(),
            // as Go answers a TLS handshake
            false => "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".to_owned(),
        }
    })
    .await;
    let headers = vec![("Authorization".to_owned(), "Basic eA==".to_owned()), ("X-A".to_owned(), "1".to_owned())];
    let client = Client::new(&HttpGet { headers, ..to(port, true) }, "127.0.0.1", Agent::Lifecycle);
    assert_eq!(client.call(LIMIT).await, Ok(Called::InPlain));
    // a probe does not
    let plain = format!("Get \"https://127.0.0.1:{port}/\": http: server gave HTTP response to HTTPS client");
    assert_eq!(client.get(LIMIT).await, Outcome::Failure(plain));
    let other = server(|_| "220 smtp\r\n".to_owned()).await;
    let refused = Client::new(&to(other, true), "127.0.0.1", Agent::Lifecycle).call(LIMIT).await.unwrap_err();
    assert!(refused.contains("tls: "), "{refused}");
}

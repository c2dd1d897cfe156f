//! The streams that `Exec`, `Attach` and `PortForward` lead to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use bootstrap::runner::cri::v1;
use tonic::Code;

use super::client::{Spdy, WebSocket, request};
use crate::runtime::case::until;
use crate::runtime::node::Node;
use crate::support::cri;

fn exec(container: &str, script: &str) -> v1::ExecRequest {
    let cmd = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let container_id = container.to_owned();
    v1::ExecRequest { container_id, cmd, tty: false, stdin: true, stdout: true, stderr: true }
}

const SCRIPT: &str = "read word; echo heard $word; echo error >&2; exit 5";

#[tokio::test(flavor = "multi_thread")]
async fn a_commands_streams_are_fetched_over_spdy_and_websocket() {
    let node = Node::new().await;
    let (pod, id) = cri::run(node.layout(), cri::container("busybox", "sleep 3600")).await;
    let mut runtime = cri::runtime(node.layout()).await;

    let url = runtime.exec(exec(&id, SCRIPT)).await.unwrap().into_inner().url;
    let mut spdy = Spdy::connect(&url, "v4.channel.k8s.io").await;
    let mut streams = Vec::new();
    for kind in ["error", "stdin", "stdout", "stderr"] {
        streams.push(spdy.open(&[("streamtype", kind)]).await);
    }
    spdy.send(streams[1], b"this\n", true).await;
    let said = spdy.rest(&[streams[0], streams[2], streams[3]]).await;
    assert_eq!(said[1..], ["heard this\n", "error\n"]);
    let end: serde_json::Value = serde_json::from_str(&said[0]).unwrap();
    assert_eq!((&end["reason"], &end["details"]["causes"][0]["message"]), (&"NonZeroExitCode".into(), &"5".into()));

    let url = runtime.exec(exec(&id, SCRIPT)).await.unwrap().into_inner().url;
    let mut socket = WebSocket::connect(&url, "v5.channel.k8s.io").await;
    socket.send(0, b"that\n").await;
    let [_, stdout, stderr, end] = socket.rest::<4>().await;
    assert_eq!((stdout.as_str(), stderr.as_str()), ("heard that\n", "error\n"));
    assert!(end.contains("\"message\":\"5\""), "{end}");

    // a terminal, whose size the client tells
    let script = "until [ \"$(busybox stty size 2>/dev/null)\" = '43 132' ]; do sleep 0.1; done; echo sized; exit 0";
    let asked = v1::ExecRequest { tty: true, stderr: false, ..exec(&id, script) };
    let url = runtime.exec(asked).await.unwrap().into_inner().url;
    let mut socket = WebSocket::connect(&url, "v4.channel.k8s.io").await;
    socket.send(4, br#"{"Width":132,"Height":43}"#).await;
    let [_, stdout, _, end] = socket.rest::<4>().await;
    assert_eq!((stdout.as_str(), end.as_str()), ("sized\r\n", r#"{"metadata":{},"status":"Success"}"#));
    cri::remove(node.layout(), &pod).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_attaches_to_a_container() {
    let node = Node::new().await;
    let script = "while read line; do echo got $line; done; echo end; exit 0";
    let config = v1::ContainerConfig { stdin: true, stdin_once: true, ..cri::container("busybox", script) };
    let (pod, id) = cri::run(node.layout(), config).await;
    let mut runtime = cri::runtime(node.layout()).await;
    let asked = v1::AttachRequest { container_id: id, stdin: true, stdout: true, stderr: true, tty: false };
    let url = runtime.attach(asked).await.unwrap().into_inner().url;
    let mut spdy = Spdy::connect(&url, "v4.channel.k8s.io").await;
    let mut streams = Vec::new();
    for kind in ["error", "stdin", "stdout", "stderr"] {
        streams.push(spdy.open(&[("streamtype", kind)]).await);
    }
    spdy.send(streams[1], b"one\ntwo\n", true).await;
    let said = spdy.rest(&[streams[0], streams[2]]).await;
    assert_eq!(said, [r#"{"metadata":{},"status":"Success"}"#, "got one\ngot two\nend\n"]);
    cri::remove(node.layout(), &pod).await;
    node.finish().await;
}

/// Tells the one client of a port what it has said.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().take(2) {
            let mut client = client.unwrap();
            let mut heard = [0; 5];
            client.read_exact(&mut heard).unwrap();
            client.write_all(&heard).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_pod_are_reached_over_spdy_and_websocket() {
    let node = Node::new().await;
    // the pod is on the node's network, as this test is
    let (pod, _) = cri::run(node.layout(), cri::container("busybox", "sleep 3600")).await;
    let mut runtime = cri::runtime(node.layout()).await;
    let (port, closed) = (echo(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let asked = v1::PortForwardRequest { pod_sandbox_id: pod.clone(), port: vec![port.into(), closed.into()] };

    let url = runtime.port_forward(asked.clone()).await.unwrap().into_inner().url;
    let mut spdy = Spdy::connect(&url, "portforward.k8s.io").await;
    let mut streams = Vec::new();
    for (request, port) in [("0", port), ("1", closed)] {
        for kind in ["error", "data"] {
            let port = port.to_string();
            streams.push(spdy.open(&[("streamtype", kind), ("port", &port), ("requestid", request)]).await);
        }
    }
    spdy.send(streams[1], b"hello", false).await;
    let said = spdy.rest(&streams).await;
    assert_eq!((said[0].as_str(), said[1].as_str(), said[3].as_str()), ("", "hello", ""));
    assert!(said[2].starts_with(&format!("error forwarding port {closed} to pod mine, uid mine-1: ")), "{said:?}");

    let url = runtime.port_forward(asked).await.unwrap().into_inner().url;
    let mut socket = WebSocket::connect(&url, "v4.channel.k8s.io").await;
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let (channel, number) = socket.next().await.unwrap();
        numbers.push((channel, u16::from_le_bytes(number.try_into().unwrap())));
    }
    assert_eq!(numbers, [(0, port), (1, port), (2, closed), (3, closed)]);
    socket.send(0, b"world").await;
    let [data, error, nothing, refused] = socket.rest::<4>().await;
    assert_eq!((data.as_str(), error.as_str(), nothing.as_str()), ("world", "", ""));
    assert!(refused.contains(&format!("port {closed}")), "{refused}");

    // without ports, a WebSocket has nothing to carry
    let asked = v1::PortForwardRequest { pod_sandbox_id: pod.clone(), port: vec![] };
    let url = runtime.port_forward(asked).await.unwrap().into_inner().url;
    let websocket =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n";
    let (head, _) = request(&url, "GET", websocket).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    cri::remove(node.layout(), &pod).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_good_once_and_nothing_listens_afterwards() {
    let node = Node::new().await;
    let (pod, id) = cri::run(node.layout(), cri::container("busybox", "sleep 3600")).await;
    let mut runtime = cri::runtime(node.layout()).await;
    let mut url = async || runtime.exec(exec(&id, "true")).await.unwrap().into_inner().url;
    let (first, second) = (url().await, url().await);
    let (address, token) = first.rsplit_once("/exec/").unwrap();
    assert!(address.starts_with("http://127.0.0.1:") && second.starts_with(address) && first != second);
    // 256 bits in base64
    assert_eq!(token.len(), 43);
    let answer = async |url: &str, method: &str| {
        request(url, method, "").await.map(|(head, _)| head.split(' ').nth(1).unwrap().to_owned())
    };
    for wrong in [format!("{address}/attach/{token}"), format!("{first}x"), format!("{address}/exec/")] {
        assert_eq!(answer(&wrong, "GET").await.as_deref(), Some("404"), "{wrong}");
    }
    assert_eq!(answer(&first, "DELETE").await.as_deref(), Some("405"));
    // no upgrade is asked for: a try all the same
    assert_eq!(answer(&first, "POST").await.as_deref(), Some("400"));
    assert_eq!(answer(&first, "POST").await.as_deref(), Some("404"));
    assert_eq!(answer(&second, "GET").await.as_deref(), Some("400"));
    let address = address.strip_prefix("http://").unwrap();
    until(|| std::net::TcpStream::connect(address).is_err()).await;

    let mut runtime = cri::runtime(node.layout()).await;
    let refused = [
        v1::ExecRequest { tty: true, ..exec(&id, "true") },
        v1::ExecRequest { stdin: false, stdout: false, stderr: false, ..exec(&id, "true") },
    ];
    for asked in refused {
        assert_eq!(runtime.exec(asked).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(runtime.exec(exec("absent", "true")).await.unwrap_err().code(), Code::NotFound);
    runtime.stop_container(v1::StopContainerRequest { container_id: id.clone(), timeout: 0 }).await.unwrap();
    assert_eq!(runtime.exec(exec(&id, "true")).await.unwrap_err().code(), Code::FailedPrecondition);
    runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: pod.clone() }).await.unwrap();
    let asked = v1::PortForwardRequest { pod_sandbox_id: pod.clone(), port: vec![80] };
    assert_eq!(runtime.port_forward(asked).await.unwrap_err().code(), Code::FailedPrecondition);
    cri::remove(node.layout(), &pod).await;
    node.finish().await;
}

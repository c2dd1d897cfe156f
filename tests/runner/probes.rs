//! Probes of servers that are there: real sockets, hence the real clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use hyper::{HeaderMap, Response};
use tokio::net::{TcpListener, TcpStream};

use super::{Node, is_running, manifest_with};

/// A probe that may fail once in a row, each second.
fn probe(role: &str, check: &str) -> String {
    format!("    {role}Probe: {{{check}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}}\n")
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A gRPC server whose health is what `status` holds; it counts what it is asked.
async fn health_server(status: &Arc<AtomicU8>, asked: &Arc<AtomicUsize>) -> u16 {
    let (listener, port) = listener().await;
    let (status, asked) = (Arc::clone(status), Arc::clone(asked));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve_health(stream, Arc::clone(&status), Arc::clone(&asked)));
        }
    });
    port
}

async fn serve_health(stream: TcpStream, status: Arc<AtomicU8>, asked: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        asked.fetch_add(1, Ordering::SeqCst);
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(vec![0, 0, 0, 0, 2, 8, status.load(Ordering::SeqCst)].into(), false).unwrap();
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        body.send_trailers(trailers).unwrap();
    }
}

#[tokio::test]
async fn case_115_116_a_grpc_servers_health_decides_over_readiness_and_life() {
    let node = Node::started().await;
    let (serving, other) = (Arc::new(AtomicU8::new(1)), Arc::new(AtomicU8::new(1)));
    let asked = Arc::<AtomicUsize>::default();
    let well = health_server(&serving, &asked).await;
    let ill = health_server(&other, &Arc::default()).await;
    let check = |port: u16| format!("grpc: {{port: {port}, service: a}}");
    let probes = |roles: &[&str], port| roles.iter().map(|role| probe(role, &check(port))).collect::<Vec<_>>().concat();
    node.write("well.yaml", &manifest_with("well", "run", "", &probes(&["startup", "readiness", "liveness"], well)));
    node.write("ill.yaml", &manifest_with("ill", "run", "", &probes(&["startup", "liveness"], ill)));
    for name in ["well-n1", "ill-n1"] {
        let pod = node.pod(name, |pod| pod.containers[0].ready).await;
        assert!(is_running(&pod) && pod.containers[0].started);
    }
    other.store(2, Ordering::SeqCst);
    let pod = node.pod("ill-n1", |pod| pod.containers[0].restarts == 1).await;
    let last = pod.containers[0].last_exit.clone().unwrap();
    let told = "Liveness probe failed: service unhealthy (responded with \"NOT_SERVING\")";
    assert_eq!(last.cause.as_deref(), Some(told));
    let before = asked.load(Ordering::SeqCst);
    while asked.load(Ordering::SeqCst) < before + 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let pod = node.pod("well-n1", is_running).await;
    assert_eq!((pod.containers[0].restarts, pod.containers[0].ready), (0, true));
}

//! Pods of a manifest URL, by the real clock: there is a network in between.

use std::fs;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Node, is_running, manifest};

/// A web server with one document; without one it closes every connection.
async fn serve(document: Arc<Mutex<Option<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pods", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(body) = document.lock().unwrap().clone() else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn pods_of_a_url_run_beside_those_of_the_directory_and_outlast_the_server() {
    let document = Arc::new(Mutex::new(Some(manifest("far", "run"))));
    let mut node = Node::new();
    node.manifest_url = Some(serve(Arc::clone(&document)).await);
    node.write("near.yaml", &manifest("near", "run"));
    node.start().await;
    node.running(&["far", "near"]).await;
    let pod = node.pod("far-n1", is_running).await;
    assert_eq!(pod.source.to_str(), node.manifest_url.as_deref());
    node.pod("near-n1", is_running).await;
    let before = node.runtime.running();

    // nobody answers: the next runner takes over what runs, and stops only what the directory no longer holds
    *document.lock().unwrap() = None;
    node.kill().await;
    fs::remove_file(node.path("near.yaml")).unwrap();
    node.start().await;
    node.running(&["far"]).await;
    assert!(before.contains(&node.runtime.running()[0]));

    // after a boot it is started from what was last good
    node.kill().await;
    node.runtime.reboot();
    node.start().await;
    node.running(&["far"]).await;

    // another list, and then a runner that is no longer told of the URL
    *document.lock().unwrap() = Some(manifest("other", "run"));
    node.kill().await;
    node.start().await;
    node.running(&["other"]).await;
    node.pod("other-n1", is_running).await;
    node.kill().await;
    node.manifest_url = None;
    node.start().await;
    node.running(&[]).await;
}

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with the same bytes and keeps what it was asked.
struct Server {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:hunter2@{}/pods", listener.local_addr().unwrap());
        let (answer, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let server = Server { url, answer: Arc::clone(&answer), requests: Arc::clone(&requests) };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                let mut reader = BufReader::new(&mut stream);
                while reader.read_line(&mut request).await.unwrap() > 2 {}
                requests.lock().unwrap().push(request);
                let answer = answer.lock().unwrap().clone();
                // a client that has seen enough may have gone
                let _ = stream.write_all(&answer).await;
            }
        });
        server
    }

    fn says(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        *self.answer.lock().unwrap() = [head.as_bytes(), body.as_bytes()].concat();
    }

    fn reader(&self, headers: &[&str]) -> Reader {
        let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
        let url = ManifestUrl::new(&self.url, &headers).unwrap();
        Reader { origin: url.origin(), client: url.client().unwrap(), url, node: "n".to_owned(), last: None }
    }
}

fn pod(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"hostNetwork":true,
        "containers":[{{"name":"c","image":"i:1"}}]}}}}"#
    )
}

fn names(scan: &Scan) -> Vec<String> {
    let name = |manifest: &Manifest| match &manifest.pod {
        Ok(pod) => format!("{} {}", pod.name, pod.annotations["kubernetes.io/config.source"]),
        Err(reason) => reason.clone(),
    };
    scan.manifests.iter().map(name).collect()
}

#[tokio::test]
async fn case_140_159_a_pod_or_a_list_is_read_and_an_unchanged_one_is_not() {
    let server = Server::start().await;
    let mut reader = server.reader(&["Metadata-Flavor: Google,X-A:1", "X-A:2"]);
    server.says("200 OK", "ETag: \"one\"\r\nLast-Modified: yesterday\r\n", &pod("a"));
    assert_eq!(names(&reader.ask().await.unwrap().unwrap()), ["a-n http"]);
    assert_eq!(reader.ask().await.unwrap(), None, "the same again");
    server.says("304 Not Modified", "", "");
    assert_eq!(reader.ask().await.unwrap(), None);
    let list = format!(r#"{{"apiVersion":"v1","kind":"PodList","items":[{},{}]}}"#, pod("a"), pod("b"));
    server.says("200 OK", "", &list);
    assert_eq!(names(&reader.ask().await.unwrap().unwrap()), ["a-n http", "b-n http"]);
    server.says("200 OK", "", "");
    assert_eq!(reader.ask().await.unwrap(), Some(Scan::default()), "an empty list is a list");

    let requests = server.requests.lock().unwrap().clone();
    let first = requests[0].to_lowercase();
    for header in ["metadata-flavor: google", "x-a: 1", "x-a: 2", "authorization: basic"] {
        assert!(first.contains(header), "{header} is not in {first}");
    }
    assert!(!first.contains("if-none-match"));
    let second = requests[1].to_lowercase();
    assert!(second.contains("if-none-match: \"one\"") && second.contains("if-modified-since: yesterday"), "{second}");
}

#[tokio::test]
async fn case_140_159_what_is_no_list_changes_nothing() {
    let server = Server::start().await;
    let mut reader = server.reader(&[]);
    server.says("404 Not Found", "", &pod("a"));
    let error = reader.ask().await.unwrap_err();
    assert_eq!(chain_of(&error), "the answer is 404 Not Found");
    // an answer nobody asked for
    server.says("304 Not Modified", "", "");
    assert!(reader.ask().await.is_err());
    server.says("200 OK", "", &"x".repeat(MAX_SIZE + 1));
    assert_eq!(chain_of(&reader.ask().await.unwrap_err()), "the answer is larger than 10 MiB");
    *server.answer.lock().unwrap() = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec();
    let error = chain_of(&reader.ask().await.unwrap_err());
    assert!(error.starts_with("the answer broke off: ") && !error.contains("hunter2"), "{error}");
    *server.answer.lock().unwrap() = b"garbage".to_vec();
    let error = chain_of(&reader.ask().await.unwrap_err());
    assert!(error.starts_with("no answer: ") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn one_bad_item_spoils_the_list_and_is_told() {
    let server = Server::start().await;
    let mut reader = server.reader(&[]);
    for (body, reason) in [
        (format!(r#"{{"apiVersion":"v1","kind":"PodList","items":[{},{{"spec":{{}}}}]}}"#, pod("a")), "items[1]: "),
        (
            format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, pod("a")),
            "couldn't parse as single (invalid pod: kind `List`, apiVersion `v1`) or multiple pods (invalid pods list: ",
        ),
        (r#"{"apiVersion":"v1","kind":"PodList"}"#.to_owned(), "the PodList has no `items`"),
        ("{".to_owned(), "couldn't parse as single (not YAML: "),
    ] {
        server.says("200 OK", "", &body);
        let scan = reader.ask().await.unwrap().unwrap();
        assert!(matches!(&names(&scan)[..], [told] if told.starts_with(reason)), "{scan:?}");
        assert_eq!(reader.ask().await.unwrap(), None, "told once");
    }
}

#[test]
fn secrets_of_the_url_and_its_headers_are_not_shown() {
    let url = ManifestUrl::new("https://user:hunter2@a.example/pods?x=1", &["X-Token: hunter2".to_owned()]).unwrap();
    assert_eq!(url.origin(), Origin::Url("https://a.example/pods?x=1".to_owned()));
    for (url, headers) in [
        ("file:///etc/passwd", "a:b"),
        ("a.example/pods", "a:b"),
        ("https://hunter2@", "a:b"),
        ("https://a.example", "hunter2"),
        ("https://a.example", "a b:hunter2"),
    ] {
        let error = ManifestUrl::new(url, &[headers.to_owned()]).unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}

//! Fetches the streams that a URL leads to, as kubectl's and crictl's libraries do.

use bootstrap::runner::server::spdy::frame::{self, Decoder, Frame};
use bootstrap::runner::server::spdy::headers::{Deflater, Headers};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Host with port, and path.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap();
    rest.split_at(rest.find('/').unwrap())
}

/// The status line and headers of the answer to such a request, and its connection; `None` where nobody listens.
pub(super) async fn request(url: &str, method: &str, headers: &str) -> Option<(String, TcpStream)> {
    let (host, path) = parts(url);
    let mut connection = TcpStream::connect(host).await.ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    Some((String::from_utf8(head).unwrap(), connection))
}

/// A connection of SPDY/3.1.
pub(super) struct Spdy {
    connection: TcpStream,
    decoder: Decoder,
    deflater: Deflater,
    last: u32,
}

impl Spdy {
    pub(super) async fn connect(url: &str, protocol: &str) -> Spdy {
        let headers = format!("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n");
        let (head, connection) = request(url, "POST", &headers).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains(&format!("x-stream-protocol-version: {protocol}\r\n")), "{head}");
        Spdy { connection, decoder: Decoder::default(), deflater: Deflater::new().unwrap(), last: 0 }
    }

    /// Opens a stream; its number.
    pub(super) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        let owned = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let block = self.deflater.block(&Headers(owned)).unwrap();
        let mut frame = vec![0x80, 3, 0, 1];
        frame.extend_from_slice(&u32::try_from(block.len() + 10).unwrap().to_be_bytes());
        frame.extend_from_slice(&self.last.to_be_bytes());
        frame.extend_from_slice(&[0; 6]);
        frame.extend_from_slice(&block);
        self.connection.write_all(&frame).await.unwrap();
        self.last
    }

    pub(super) async fn send(&mut self, stream: u32, data: &[u8], is_last: bool) {
        self.connection.write_all(&frame::data(stream, data, is_last)).await.unwrap();
    }

    /// What comes on these streams until the server is done with all of them.
    pub(super) async fn rest(&mut self, streams: &[u32]) -> Vec<String> {
        let mut texts = vec![Vec::new(); streams.len()];
        let mut left = streams.to_vec();
        let mut buffer = [0; 4096];
        while !left.is_empty() {
            while let Some(frame) = self.decoder.frame().unwrap() {
                if let Frame::Data { stream, data, fin } = frame {
                    if let Some(at) = streams.iter().position(|known| *known == stream) {
                        texts[at].extend_from_slice(&data);
                    }
                    if fin {
                        left.retain(|open| *open != stream);
                    }
                }
            }
            if !left.is_empty() {
                let length = self.connection.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the server hangs up with {left:?} open");
                self.decoder.push(&buffer[..length]);
            }
        }
        texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }
}

/// A WebSocket with channels.
pub(super) struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    pub(super) async fn connect(url: &str, protocol: &str) -> WebSocket {
        let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        let connection = TcpStream::connect(parts(url).0).await.unwrap();
        let (socket, answer) = tokio_tungstenite::client_async(request, connection).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], protocol);
        WebSocket(socket)
    }

    pub(super) async fn send(&mut self, channel: u8, data: &[u8]) {
        let message = [&[channel][..], data].concat();
        self.0.send(Message::binary(message)).await.unwrap();
    }

    /// The next message: channel and text. `None` at the end.
    pub(super) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            match self.0.next().await?.unwrap() {
                Message::Binary(message) => return Some((message[0], message[1..].to_vec())),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// What comes on each of the first channels, up to the end.
    pub(super) async fn rest<const COUNT: usize>(&mut self) -> [String; COUNT] {
        let mut texts = [const { Vec::new() }; COUNT];
        while let Some((channel, data)) = self.next().await {
            texts[usize::from(channel)].extend_from_slice(&data);
        }
        texts.map(|text| String::from_utf8(text).unwrap())
    }
}

//! Channels over a WebSocket: the first byte of a message, or its first digit in the base64 protocols, names its channel
//! [8.35].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::spdy::connection::Gone;

/// The longest message that a client may send.
const MAX_MESSAGE: usize = 256 << 10;
/// Messages that wait in a channel, or to be sent.
const WAITING: usize = 16;
/// The signal of version 5: the channel that follows is closed.
const CLOSE: u8 = 255;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
pub const RESIZE: u8 = 4;

/// One of Kubernetes' subprotocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    pub name: &'static str,
    pub is_base64: bool,
    /// 1, 4 or 5.
    pub version: u8,
}

/// Without a name, the first version is meant.
pub const PROTOCOLS: [Protocol; 6] = [
    Protocol { name: "v5.channel.k8s.io", is_base64: false, version: 5 },
    Protocol { name: "v4.channel.k8s.io", is_base64: false, version: 4 },
    Protocol { name: "v4.base64.channel.k8s.io", is_base64: true, version: 4 },
    Protocol { name: "channel.k8s.io", is_base64: false, version: 1 },
    Protocol { name: "base64.channel.k8s.io", is_base64: true, version: 1 },
    Protocol { name: "", is_base64: false, version: 1 },
];

/// Those that ports are forwarded by.
pub const PORT_FORWARD: [Protocol; 3] = [
    Protocol { name: "v4.channel.k8s.io", is_base64: false, version: 4 },
    Protocol { name: "v4.base64.channel.k8s.io", is_base64: true, version: 4 },
    Protocol { name: "", is_base64: false, version: 4 },
];

/// The first of the client's that is known; `None` when it offers others only.
pub fn negotiate(offered: &[String], known: &[Protocol]) -> Option<Protocol> {
    let known = |name: &str| known.iter().find(|protocol| protocol.name == name).copied();
    if offered.is_empty() { known("") } else { offered.iter().find_map(|name| known(name)) }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Data(u8, Bytes),
    /// Nothing follows on this channel.
    Closed(u8),
    Nothing,
}

fn read(protocol: Protocol, message: &Message) -> Said {
    let payload: Bytes = match message {
        Message::Binary(payload) => payload.clone(),
        Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        _ => return Said::Nothing,
    };
    let Some(first) = payload.first().copied() else { return Said::Nothing };
    if protocol.is_base64 {
        let data = STANDARD.decode(&payload[1..]);
        return match (first.checked_sub(b'0').filter(|digit| *digit < 10), data) {
            (Some(channel), Ok(data)) => Said::Data(channel, data.into()),
            _ => Said::Nothing,
        };
    }
    match (first, payload.get(1)) {
        (CLOSE, Some(channel)) if protocol.version == 5 => Said::Closed(*channel),
        _ => Said::Data(first, payload.slice(1..)),
    }
}

fn written(protocol: Protocol, channel: u8, data: &[u8]) -> Message {
    if protocol.is_base64 {
        return Message::text(format!("{channel}{}", STANDARD.encode(data)));
    }
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    Message::binary(message)
}

/// What goes on one channel.
#[derive(Debug)]
pub struct Output {
    protocol: Protocol,
    channel: u8,
    messages: mpsc::Sender<Message>,
}

impl Output {
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        self.messages.send(written(self.protocol, self.channel, data)).await.map_err(|_| Gone)
    }
}

/// Makes the ends of channels, before the socket is served.
#[derive(Debug)]
pub struct Socket {
    protocol: Protocol,
    inputs: Vec<Option<mpsc::Sender<Bytes>>>,
    messages: mpsc::Sender<Message>,
    queue: mpsc::Receiver<Message>,
}

impl Socket {
    pub fn new(protocol: Protocol) -> Socket {
        let (messages, queue) = mpsc::channel(WAITING);
        Socket { protocol, inputs: Vec::new(), messages, queue }
    }

    pub fn input(&mut self, channel: u8) -> mpsc::Receiver<Bytes> {
        let (sender, input) = mpsc::channel(WAITING);
        let at = usize::from(channel);
        self.inputs.resize_with(self.inputs.len().max(at + 1), || None);
        self.inputs[at] = Some(sender);
        input
    }

    pub fn output(&self, channel: u8) -> Output {
        Output { protocol: self.protocol, channel, messages: self.messages.clone() }
    }

    /// Carries messages until `work` is done or the client is gone.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, io: S, work: impl Future<Output = ()>) {
        let Socket { protocol, mut inputs, messages, mut queue } = self;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let (mut sink, mut stream) = socket.split();
        // the queue ends with the work, which has the other senders
        drop(messages);
        let sending = async {
            while let Some(message) = queue.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            // the client may be gone
            let _ = sink.send(Message::Close(Some(close))).await;
        };
        let receiving = async {
            while let Some(Ok(message)) = stream.next().await {
                let input = |channel: u8| usize::from(channel);
                match read(protocol, &message) {
                    Said::Data(channel, data) => {
                        let known = inputs.get(input(channel)).and_then(Option::as_ref);
                        if let Some(known) = known.filter(|_| !data.is_empty()) {
                            // nobody may read it any more
                            let _ = known.send(data).await;
                        }
                    }
                    Said::Closed(channel) => {
                        if let Some(known) = inputs.get_mut(input(channel)) {
                            *known = None;
                        }
                    }
                    Said::Nothing if message.is_close() => return,
                    Said::Nothing => {}
                }
            }
        };
        let working = async {
            // the work's ends of the queue go with it
            work.await;
        };
        tokio::select! {
            _ = async { tokio::join!(working, sending) } => {}
            () = receiving => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn protocol(name: &str) -> Protocol {
        negotiate(&[name.to_owned()], &PROTOCOLS).unwrap()
    }

    #[test]
    fn the_clients_first_known_protocol_is_taken() {
        let offered = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            negotiate(&names, &PROTOCOLS)
        };
        assert_eq!(offered(&[]).unwrap().version, 1);
        assert_eq!(offered(&["v6", "v4.channel.k8s.io", "v5.channel.k8s.io"]).unwrap().version, 4);
        assert_eq!(offered(&["v6"]), None);
    }

    #[test]
    fn messages_name_their_channels() {
        let binary = |bytes: &[u8]| Message::binary(bytes.to_vec());
        let data = |channel, data: &'static [u8]| Said::Data(channel, Bytes::from_static(data));
        assert_eq!(read(protocol("v4.channel.k8s.io"), &binary(&[0, 1, 2])), data(0, &[1, 2]));
        assert_eq!(read(protocol("v4.channel.k8s.io"), &binary(&[255, 0])), data(255, &[0]));
        assert_eq!(read(protocol("v5.channel.k8s.io"), &binary(&[255, 0])), Said::Closed(0));
        assert_eq!(read(protocol("v5.channel.k8s.io"), &binary(&[])), Said::Nothing);
        let base64 = protocol("v4.base64.channel.k8s.io");
        assert_eq!(read(base64, &Message::text("0aGk=")), data(0, b"hi"));
        assert_eq!(read(base64, &Message::text("xaGk=")), Said::Nothing);
        assert_eq!(read(base64, &Message::text("0???")), Said::Nothing);
        assert_eq!(written(base64, 1, b"hi"), Message::text("1aGk="));
        assert_eq!(written(protocol(""), 2, b"hi"), binary(&[2, b'h', b'i']));
    }

    #[tokio::test]
    async fn channels_are_carried_and_version_5_closes_one() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut socket = Socket::new(protocol("v5.channel.k8s.io"));
        let mut stdin = socket.input(STDIN);
        let mut stdout = socket.output(STDOUT);
        let server = tokio::spawn(socket.serve(far, async move {
            let mut all = Vec::new();
            while let Some(data) = stdin.recv().await {
                all.extend_from_slice(&data);
            }
            stdout.write(&all).await.unwrap();
        }));
        let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        for message in [&[0, b'a'][..], &[7, b'x'], &[0, b'b'], &[255, 0]] {
            client.send(Message::binary(message.to_vec())).await.unwrap();
        }
        assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(vec![1, b'a', b'b']));
        assert!(client.next().await.unwrap().unwrap().is_close());
        server.await.unwrap();
    }
}

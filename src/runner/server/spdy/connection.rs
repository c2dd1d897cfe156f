//! The server's end of a SPDY/3.1 connection.
//!
//! One task reads frames and one writes them; streams are channels between those and whoever serves the connection.
//! A stream that is not read holds the whole connection up once [`WAITING`] pieces wait in it, and with it the client:
//! nothing is thrown away, and nothing grows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Broken;
use super::frame::{self, Decoder, Frame, MAX_DATA, Reset};
use super::headers::{Deflater, Headers, Inflater};
use super::window::Windows;

/// Streams that one client may have open; a port-forward has two for each connection through it.
const MAX_STREAMS: usize = 256;
/// Pieces of data that wait in one stream.
const WAITING: usize = 16;
/// Frames that wait to be written.
const WRITING: usize = 32;
/// How much is read at once.
const READ: usize = 16 << 10;
/// What was read is told when it comes to so much: half of the window that streams begin with.
const TOLD: usize = 32 << 10;
/// For the client to take the last frames and to hang up.
const LINGER: Duration = Duration::from_secs(5);

/// A stream that the client has opened.
#[derive(Debug)]
pub struct Stream {
    pub headers: Headers,
    pub input: Input,
    pub output: Output,
}

/// What comes on a stream.
#[derive(Debug)]
pub struct Input {
    stream: u32,
    data: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
    read: usize,
}

/// What goes on a stream.
#[derive(Debug)]
pub struct Output {
    stream: u32,
    shared: Arc<Shared>,
    finished: bool,
}

#[derive(Debug)]
struct Shared {
    frames: mpsc::Sender<Vec<u8>>,
    windows: Mutex<Windows>,
    opened: Notify,
    /// When something was last sent or received; pings do not count.
    active: Mutex<Instant>,
}

impl Shared {
    fn windows(&self) -> MutexGuard<'_, Windows> {
        // nothing is left half-changed by a panic
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle_at(&self, patience: Duration) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) + patience
    }

    async fn send(&self, frame: Vec<u8>) -> Result<(), Gone> {
        self.frames.send(frame).await.map_err(|_| Gone)
    }
}

/// The other end has hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

impl Input {
    /// `None` when nothing follows: the client has said so, has taken the stream back or is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        let data = self.data.recv().await?;
        self.read += data.len();
        if self.read >= TOLD {
            let delta = u32::try_from(std::mem::take(&mut self.read)).unwrap_or(u32::MAX);
            for stream in [self.stream, 0] {
                // a client that is gone is told by the next piece
                let _ = self.shared.send(frame::window_update(stream, delta)).await;
            }
        }
        Some(data)
    }
}

impl Output {
    /// Waits for room: in the queue and, with a client that counts, in its windows.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        let mut rest = data;
        while !rest.is_empty() {
            let opened = self.shared.opened.notified();
            let taken = self.shared.windows().take(self.stream, rest.len().min(MAX_DATA));
            if taken == 0 {
                tokio::select! {
                    () = opened => {}
                    () = self.shared.frames.closed() => return Err(Gone),
                }
                continue;
            }
            let (part, after) = rest.split_at(taken);
            self.shared.send(frame::data(self.stream, part, false)).await?;
            self.shared.touch();
            rest = after;
        }
        Ok(())
    }

    /// Nothing follows.
    pub async fn finish(&mut self) -> Result<(), Gone> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        self.shared.send(frame::data(self.stream, &[], true)).await
    }

    /// Ends the stream in both directions, with what it holds.
    pub async fn reset(&mut self, why: Reset) {
        self.finished = true;
        // a client that is gone needs no word
        let _ = self.shared.send(frame::rst_stream(self.stream, why)).await;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.windows().close(self.stream);
    }
}

/// Streams as the client opens them.
pub type Streams = mpsc::Receiver<Stream>;

/// Serves a connection until `work` is done with its streams, the client hangs up, breaks the protocol, or nothing has
/// moved for `idle`.
pub async fn serve<S, F>(io: S, idle: Duration, work: impl FnOnce(Streams) -> F)
where
    S: AsyncRead + AsyncWrite,
    F: Future<Output = ()>,
{
    let (reading, writing) = tokio::io::split(io);
    let (sender, frames) = mpsc::channel(WRITING);
    let (accept, streams) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        frames: sender,
        windows: Mutex::default(),
        opened: Notify::new(),
        active: Mutex::new(Instant::now()),
    });
    let mut reader = match Reader::new(Arc::clone(&shared), accept) {
        Ok(reader) => reader,
        Err(error) => return tracing::warn!("cannot serve SPDY: {error}"),
    };
    let work = work(streams);
    let write = write(writing, frames);
    let read = reader.read(reading);
    tokio::pin!(read, write, work);
    let is_idle = async {
        while Instant::now() < shared.idle_at(idle) {
            tokio::time::sleep_until(shared.idle_at(idle)).await;
        }
    };
    let mut is_done = false;
    tokio::select! {
        () = &mut work => is_done = true,
        read = &mut read => match read {
            Ok(()) => {}
            Err(broken) => tracing::debug!("a client breaks the SPDY protocol: {broken}"),
        },
        () = &mut write => {}
        () = is_idle => tracing::debug!("a SPDY connection on which nothing moves is closed"),
    }
    if is_done {
        // the last word, after everything that was sent; an empty frame ends the writer
        let end = async {
            let _ = shared.send(frame::go_away(0, false)).await;
            let _ = shared.send(Vec::new()).await;
            std::future::pending::<()>().await
        };
        // to hang up while the client still sends would take back what it has not read yet
        let both = async { tokio::join!(&mut write, &mut read) };
        let lasting = async {
            tokio::select! { _ = both => {}, () = end => {} }
        };
        let _ = tokio::time::timeout(LINGER, lasting).await;
    }
}

/// Writes frames until an empty one.
async fn write(mut io: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        let is_last = frame.is_empty();
        let written = async {
            io.write_all(&frame).await?;
            if frames.is_empty() { io.flush().await } else { Ok(()) }
        };
        if written.await.is_err() {
            return;
        }
        if is_last {
            // the client may be gone
            let _ = io.shutdown().await;
            return;
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    accept: mpsc::Sender<Stream>,
    /// Where the data of open streams goes; a stream stays until the client has finished it.
    streams: BTreeMap<u32, mpsc::Sender<Bytes>>,
    last: u32,
    inflater: Inflater,
    deflater: Deflater,
}

impl Reader {
    fn new(shared: Arc<Shared>, accept: mpsc::Sender<Stream>) -> Result<Reader, Broken> {
        let (inflater, deflater) = (Inflater::default(), Deflater::new()?);
        Ok(Reader { shared, accept, streams: BTreeMap::new(), last: 0, inflater, deflater })
    }

    /// Until the client hangs up.
    async fn read(&mut self, mut io: impl AsyncRead + Unpin) -> Result<(), Broken> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ];
        loop {
            // an error is the end of the connection, as its end is
            let length = io.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                return Ok(());
            }
            decoder.push(&buffer[..length]);
            loop {
                let taken = match decoder.frame() {
                    Ok(Some(frame)) => self.take(frame).await,
                    Ok(None) => break,
                    Err(broken) => Err(broken),
                };
                if let Err(broken) = taken {
                    let _ = self.shared.send(frame::go_away(self.last, true)).await;
                    return Err(broken);
                }
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Broken> {
        match frame {
            Frame::Data { stream, data, fin } => {
                self.shared.touch();
                if let Some(waiting) = self.streams.get(&stream)
                    && !data.is_empty()
                {
                    // nobody reads it any more: the client finds out by the end of the stream
                    let _ = waiting.send(data).await;
                }
                if fin {
                    self.streams.remove(&stream);
                }
            }
            Frame::SynStream { stream, fin, block } => {
                self.shared.touch();
                let headers = self.inflater.block(&block)?;
                self.open(stream, fin, headers).await?;
            }
            Frame::Headers { stream, fin, block } => {
                self.inflater.block(&block)?;
                if fin {
                    self.streams.remove(&stream);
                }
            }
            Frame::RstStream { stream } => {
                self.streams.remove(&stream);
                self.shared.windows().close(stream);
                self.shared.opened.notify_waiters();
            }
            Frame::InitialWindow(window) => {
                self.shared.windows().begin_with(window)?;
                self.shared.opened.notify_waiters();
            }
            Frame::WindowUpdate { stream, delta } => {
                self.shared.windows().update(stream, delta)?;
                self.shared.opened.notify_waiters();
            }
            // a client's own are odd, and an answer to one of ours would be even
            Frame::Ping(id) if id % 2 == 1 => self.answer(frame::ping(id)).await,
            Frame::Ping(_) | Frame::GoAway | Frame::Other => {}
        }
        Ok(())
    }

    /// What the client asks for while nobody writes any more needs no answer.
    async fn answer(&self, frame: Vec<u8>) {
        let _ = self.shared.send(frame).await;
    }

    async fn open(&mut self, id: u32, fin: bool, headers: Headers) -> Result<(), Broken> {
        if id.is_multiple_of(2) || id <= self.last {
            return Err(Broken::StreamId(id));
        }
        self.last = id;
        self.streams.retain(|_, waiting| !waiting.is_closed());
        if self.streams.len() >= MAX_STREAMS {
            self.answer(frame::rst_stream(id, Reset::Refused)).await;
            return Ok(());
        }
        let (waiting, data) = mpsc::channel(WAITING);
        let shared = Arc::clone(&self.shared);
        self.shared.windows().open(id);
        let output = Output { stream: id, shared: Arc::clone(&shared), finished: false };
        let stream = Stream { headers, input: Input { stream: id, data, shared, read: 0 }, output };
        let reply = frame::syn_reply(id, &self.deflater.block(&Headers::default())?);
        self.answer(reply).await;
        if !fin {
            self.streams.insert(id, waiting);
        }
        if let Err(refused) = self.accept.send(stream).await {
            let mut stream = refused.0;
            stream.output.reset(Reset::Refused).await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::frame::tests::syn_stream;
    use super::*;

    const IDLE: Duration = Duration::from_secs(3600);

    fn headers(kind: &str) -> Headers {
        Headers(vec![("streamtype".to_owned(), kind.to_owned())])
    }

    /// Reads frames of the server, which has no streams of its own.
    struct Client {
        io: tokio::io::DuplexStream,
        decoder: Decoder,
        deflater: Deflater,
    }

    impl Client {
        fn new(io: tokio::io::DuplexStream) -> Client {
            Client { io, decoder: Decoder::default(), deflater: Deflater::new().unwrap() }
        }

        async fn open(&mut self, id: u32, kind: &str) {
            let block = self.deflater.block(&headers(kind)).unwrap();
            self.send(&syn_stream(id, &block)).await;
        }

        async fn send(&mut self, bytes: &[u8]) {
            self.io.write_all(bytes).await.unwrap();
        }

        /// `None` at the end.
        async fn next(&mut self) -> Option<Frame> {
            loop {
                if let Some(frame) = self.decoder.frame().unwrap() {
                    return Some(frame);
                }
                let mut buffer = [0; 4096];
                match self.io.read(&mut buffer).await.unwrap_or(0) {
                    0 => return None,
                    length => self.decoder.push(&buffer[..length]),
                }
            }
        }

        /// Data of a stream up to its end.
        async fn all(&mut self, id: u32) -> Vec<u8> {
            let mut all = Vec::new();
            loop {
                match self.next().await.unwrap() {
                    Frame::Data { stream, data, fin } if stream == id => {
                        all.extend_from_slice(&data);
                        if fin {
                            return all;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends back what comes, on every stream.
    async fn echo(mut streams: Streams) {
        let mut tasks = tokio::task::JoinSet::new();
        while let Some(mut stream) = streams.recv().await {
            tasks.spawn(async move {
                while let Some(data) = stream.input.next().await {
                    stream.output.write(&data).await.unwrap();
                }
                stream.output.finish().await.unwrap();
            });
        }
    }

    #[tokio::test]
    async fn streams_are_independent_and_pings_are_answered() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(serve(far, IDLE, echo));
        let mut client = Client::new(near);
        client.open(1, "a").await;
        client.open(3, "b").await;
        client.send(&frame::data(3, b"three", true)).await;
        assert_eq!(client.all(3).await, b"three");
        client.send(&frame::ping(5)).await;
        client.send(&frame::data(1, b"one", true)).await;
        let mut seen = Vec::new();
        while let Some(frame) = client.next().await {
            let is_last = matches!(frame, Frame::Data { fin: true, .. });
            seen.push(frame);
            if is_last {
                break;
            }
        }
        assert!(seen.contains(&Frame::Ping(5)), "{seen:?}");
        drop(client);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn much_data_goes_through_in_both_directions() {
        let (near, far) = tokio::io::duplex(1 << 12);
        tokio::spawn(serve(far, IDLE, echo));
        let (reading, mut writing) = tokio::io::split(near);
        let sent: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
        let data = sent.clone();
        tokio::spawn(async move {
            let block = Deflater::new().unwrap().block(&headers("a")).unwrap();
            writing.write_all(&syn_stream(1, &block)).await.unwrap();
            for part in data.chunks(100_000) {
                // larger than what this server writes
                writing.write_all(&frame::data(1, part, false)).await.unwrap();
            }
            writing.write_all(&frame::data(1, b"", true)).await.unwrap();
            std::future::pending::<()>().await
        });
        let (mut reading, mut decoder, mut got, mut granted) = (reading, Decoder::default(), Vec::new(), 0);
        'all: loop {
            let mut buffer = [0; 4096];
            let length = reading.read(&mut buffer).await.unwrap();
            decoder.push(&buffer[..length]);
            while let Some(frame) = decoder.frame().unwrap() {
                match frame {
                    Frame::Data { data, fin, .. } => {
                        got.extend_from_slice(&data);
                        if fin {
                            break 'all;
                        }
                    }
                    Frame::WindowUpdate { stream: 1, delta } => granted += delta,
                    _ => {}
                }
            }
        }
        assert!(got == sent, "{} bytes", got.len());
        assert!(granted > 900_000, "{granted}: a client that counts may go on");
    }

    #[tokio::test]
    async fn a_client_that_counts_is_not_sent_more_than_it_grants() {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(serve(far, IDLE, |mut streams: Streams| async move {
            let mut stream = streams.recv().await.unwrap();
            // the client grants before it asks
            stream.input.next().await.unwrap();
            stream.output.write(&[7; 1000]).await.unwrap();
            stream.output.finish().await.unwrap();
        }));
        let mut client = Client::new(near);
        let settings = [&[0x80, 3, 0, 4, 0, 0, 0, 12][..], &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 100]].concat();
        client.send(&settings).await;
        client.open(1, "a").await;
        client.send(&frame::data(1, b"go", false)).await;
        let mut got = 0;
        while got < 100 {
            if let Frame::Data { data, .. } = client.next().await.unwrap() {
                got += data.len();
            }
        }
        assert_eq!(got, 100);
        client.send(&frame::ping(1)).await;
        loop {
            match client.next().await.unwrap() {
                Frame::Ping(1) => break,
                Frame::Data { .. } => panic!("more than was granted"),
                _ => {}
            }
        }
        client.send(&frame::window_update(1, 10_000)).await;
        assert_eq!(client.all(1).await.len(), 900);
    }

    #[tokio::test]
    async fn the_last_words_arrive_before_the_connection_ends() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let server = tokio::spawn(serve(far, IDLE, |mut streams: Streams| async move {
            let mut stream = streams.recv().await.unwrap();
            stream.output.write(&[1; 5000]).await.unwrap();
            stream.output.finish().await.unwrap();
        }));
        let mut client = Client::new(near);
        client.open(1, "a").await;
        assert_eq!(client.all(1).await.len(), 5000);
        assert_eq!(client.next().await, Some(Frame::GoAway));
        assert_eq!(client.next().await, None);
        drop(client);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_breaks_the_protocol_is_sent_away() {
        for wrong in
            [vec![0x80, 2, 0, 1, 0, 0, 0, 0], syn_stream(2, b""), syn_stream(1, b"no zlib"), b"GET / HT".to_vec()]
        {
            let (near, far) = tokio::io::duplex(1 << 16);
            let server = tokio::spawn(serve(far, IDLE, |streams: Streams| async move {
                let _streams = streams;
                std::future::pending().await
            }));
            let mut client = Client::new(near);
            client.send(&wrong).await;
            if wrong[0] == 0x80 {
                server.await.unwrap();
            } else {
                // data for a stream that is not there is read and forgotten
                client.send(&frame::ping(1)).await;
                drop(client);
                server.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn no_client_has_streams_without_end() {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(serve(far, IDLE, |mut streams: Streams| async move {
            let mut held = Vec::new();
            while let Some(stream) = streams.recv().await {
                held.push(stream);
            }
        }));
        let mut client = Client::new(near);
        for number in 0..MAX_STREAMS as u32 {
            client.open(2 * number + 1, "a").await;
        }
        client.open(9999, "a").await;
        loop {
            if let Frame::RstStream { stream } = client.next().await.unwrap() {
                assert_eq!(stream, 9999);
                break;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_is_closed() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let begin = Instant::now();
        let server = tokio::spawn(serve(far, IDLE, |mut streams: Streams| async move {
            let _held = streams.recv().await;
            std::future::pending().await
        }));
        let mut client = Client::new(near);
        client.open(1, "a").await;
        server.await.unwrap();
        assert!(begin.elapsed() >= IDLE && begin.elapsed() < IDLE + Duration::from_secs(60));
        drop(client);
    }
}

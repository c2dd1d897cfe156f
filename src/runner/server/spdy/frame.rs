//! PURE: frames from bytes and back (SPDY draft 3.1, 2.2). Data is passed on as it arrives; only control frames, which
//! are small, are waited for.

use hyper::body::Bytes;

use super::Broken;

const VERSION: u16 = 3;
const HEADER: usize = 8;
/// Of a control frame; a compressed header block is smaller than [`super::headers::MAX_BLOCK`].
pub const MAX_CONTROL: usize = 32 << 10;
/// The most data in one frame of ours.
pub const MAX_DATA: usize = 16 << 10;

const FIN: u8 = 1;
/// The setting that tells the window that streams begin with.
const INITIAL_WINDOW: u32 = 7;
/// Identifiers have 31 bits.
const ID: u32 = 0x7fff_ffff;

/// What a frame says, of those that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A part of a frame's data; `fin` with its last part when nothing follows on this stream.
    Data {
        stream: u32,
        data: Bytes,
        fin: bool,
    },
    /// A stream is opened; `block` is compressed.
    SynStream {
        stream: u32,
        fin: bool,
        block: Bytes,
    },
    /// Further headers, which are read for the sake of the compression.
    Headers {
        stream: u32,
        fin: bool,
        block: Bytes,
    },
    RstStream {
        stream: u32,
    },
    /// The other end counts windows, and this is what its streams begin with.
    InitialWindow(u32),
    Ping(u32),
    GoAway,
    /// `stream` is 0 for the whole connection.
    WindowUpdate {
        stream: u32,
        delta: u32,
    },
    /// What is of no use here: noop, credentials, other settings, replies to streams that are never opened.
    Other,
}

/// Takes bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Of a data frame whose data has not all arrived.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes have come.
    pub fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        if self.rest.is_none() {
            let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
            let (first, second) = halves(header);
            let length = (second & 0x00ff_ffff) as usize;
            let flags = header[4];
            if first >> 31 == 1 {
                return self.control(((first >> 16) as u16 & 0x7fff, first as u16), flags, length);
            }
            self.buffer.drain(..HEADER);
            self.rest = Some(Rest { stream: first & ID, left: length, fin: flags & FIN != 0 });
        }
        Ok(self.data())
    }

    fn data(&mut self) -> Option<Frame> {
        let rest = self.rest.as_mut()?;
        let length = rest.left.min(self.buffer.len());
        if length == 0 && rest.left > 0 {
            return None;
        }
        let data = Bytes::from_iter(self.buffer.drain(..length));
        rest.left -= length;
        let (stream, is_last) = (rest.stream, rest.left == 0);
        let fin = rest.fin && is_last;
        if is_last {
            self.rest = None;
        }
        Some(Frame::Data { stream, data, fin })
    }

    fn control(&mut self, (version, kind): (u16, u16), flags: u8, length: usize) -> Result<Option<Frame>, Broken> {
        if version != VERSION {
            return Err(Broken::Version(version));
        }
        if length > MAX_CONTROL {
            return Err(Broken::TooLong(length));
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        let body: Vec<u8> = self.buffer.drain(..HEADER + length).skip(HEADER).collect();
        read(kind, flags, &body).map(Some).ok_or(Broken::Malformed { kind, length })
    }
}

fn halves(bytes: &[u8; HEADER]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

fn number(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*body.get(at..)?.first_chunk()?))
}

/// `None`: it is too short for its kind.
fn read(kind: u16, flags: u8, body: &[u8]) -> Option<Frame> {
    let (stream, fin) = (number(body, 0).map(|id| id & ID), flags & FIN != 0);
    Some(match kind {
        1 => Frame::SynStream { stream: stream?, fin, block: Bytes::copy_from_slice(body.get(10..)?) },
        3 => number(body, 4).and(stream).map(|stream| Frame::RstStream { stream })?,
        4 => settings(body)?,
        6 => Frame::Ping(number(body, 0)?),
        7 => Frame::GoAway,
        8 => Frame::Headers { stream: stream?, fin, block: Bytes::copy_from_slice(body.get(4..)?) },
        9 => Frame::WindowUpdate { stream: stream?, delta: number(body, 4)? & ID },
        _ => Frame::Other,
    })
}

fn settings(body: &[u8]) -> Option<Frame> {
    let count = usize::try_from(number(body, 0)?).ok()?;
    let entries = body.get(4..)?.chunks_exact(8);
    if entries.len() != count {
        return None;
    }
    let value = |entry: &[u8]| Some((number(entry, 0)? & 0x00ff_ffff, number(entry, 4)?));
    let found = entries.filter_map(value).rfind(|(id, _)| *id == INITIAL_WINDOW);
    Some(found.map_or(Frame::Other, |(_, window)| Frame::InitialWindow(window)))
}

/// Data in one frame; its length is at most [`MAX_DATA`].
pub fn data(stream: u32, data: &[u8], fin: bool) -> Vec<u8> {
    let mut frame = (stream & ID).to_be_bytes().to_vec();
    frame.extend_from_slice(&((data.len() as u32) | (u32::from(fin) << 24)).to_be_bytes());
    frame.extend_from_slice(data);
    frame
}

/// The answer to a stream that is opened, without headers of its own.
pub fn syn_reply(stream: u32, block: &[u8]) -> Vec<u8> {
    control(2, &[&stream.to_be_bytes(), block])
}

/// Why a stream is refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    Protocol = 1,
    Refused = 3,
    Cancel = 5,
}

pub fn rst_stream(stream: u32, why: Reset) -> Vec<u8> {
    control(3, &[&stream.to_be_bytes(), &(why as u32).to_be_bytes()])
}

pub fn ping(id: u32) -> Vec<u8> {
    control(6, &[&id.to_be_bytes()])
}

pub fn go_away(last_good: u32, is_protocol_error: bool) -> Vec<u8> {
    control(7, &[&last_good.to_be_bytes(), &u32::from(is_protocol_error).to_be_bytes()])
}

pub fn window_update(stream: u32, delta: u32) -> Vec<u8> {
    control(9, &[&stream.to_be_bytes(), &delta.to_be_bytes()])
}

fn control(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut frame = (0x8000 | VERSION).to_be_bytes().to_vec();
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// What a client sends to open a stream.
    pub(in crate::runner::server) fn syn_stream(stream: u32, block: &[u8]) -> Vec<u8> {
        control(1, &[&stream.to_be_bytes(), &[0; 6], block])
    }

    fn frames(decoder: &mut Decoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.frame().unwrap()).collect()
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut() {
        let bytes = [
            syn_stream(1, b"block"),
            ping(7),
            data(1, b"hello", false),
            data(1, b"", true),
            rst_stream(1, Reset::Cancel),
            window_update(0, 9),
            control(4, &[&1u32.to_be_bytes(), &7u32.to_be_bytes(), &100u32.to_be_bytes()]),
            go_away(1, false),
            control(200, &[b"??"]),
        ]
        .concat();
        let expected = [
            Frame::SynStream { stream: 1, fin: false, block: Bytes::from_static(b"block") },
            Frame::Ping(7),
            Frame::Data { stream: 1, data: Bytes::from_static(b"hello"), fin: false },
            Frame::Data { stream: 1, data: Bytes::new(), fin: true },
            Frame::RstStream { stream: 1 },
            Frame::WindowUpdate { stream: 0, delta: 9 },
            Frame::InitialWindow(100),
            Frame::GoAway,
            Frame::Other,
        ];
        let mut whole = Decoder::default();
        whole.push(&bytes);
        assert_eq!(frames(&mut whole), expected);
        let mut single = Decoder::default();
        let mut data = Vec::new();
        let mut others = Vec::new();
        for byte in &bytes {
            single.push(&[*byte]);
            for frame in frames(&mut single) {
                match frame {
                    Frame::Data { data: part, .. } => data.extend_from_slice(&part),
                    other => others.push(other),
                }
            }
        }
        assert_eq!(data, b"hello");
        assert_eq!(
            others,
            expected.into_iter().filter(|frame| !matches!(frame, Frame::Data { .. })).collect::<Vec<_>>()
        );
    }

    #[test]
    fn hostile_frames_are_refused_before_they_are_waited_for() {
        let refused = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            decoder.frame().unwrap_err()
        };
        assert_eq!(refused(&[0x80, 2, 0, 6, 0, 0, 0, 4]), Broken::Version(2));
        assert_eq!(refused(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), Broken::TooLong(0x00ff_ffff));
        assert_eq!(refused(&[0x80, 3, 0, 1, 0, 0, 0, 0]), Broken::Malformed { kind: 1, length: 0 });
        assert_eq!(refused(&control(3, &[b"1234"])), Broken::Malformed { kind: 3, length: 4 });
        assert_eq!(refused(&control(4, &[&9u32.to_be_bytes()])), Broken::Malformed { kind: 4, length: 4 });
        assert_eq!(refused(&control(4, &[&u32::MAX.to_be_bytes()])), Broken::Malformed { kind: 4, length: 4 });
    }
}

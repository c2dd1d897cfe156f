//! SPDY/3.1 as far as Kubernetes' streaming protocols use it: many streams of bytes, opened by the client, over one
//! upgraded connection [8.32].
//!
//! The other end is Go's spdystream. It opens streams, sends data, pings and resets; it never grants a window and
//! ignores those that it is granted, so windows bind this end only where the other one counts them
//! ([`connection`]). Everything that the other end may send is bounded: header blocks, streams, what waits to be read.

pub mod connection;
mod dictionary;
pub mod frame;
pub mod headers;
mod window;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a frame of SPDY version {0}")]
    Version(u16),
    #[error("a control frame of {0} bytes")]
    TooLong(usize),
    #[error("a control frame of kind {kind} with {length} bytes")]
    Malformed { kind: u16, length: usize },
    #[error("a header block that cannot be decompressed")]
    Compression,
    #[error("a header block that is larger than {0} bytes")]
    TooLarge(usize),
    #[error("a header block that is no list of names and values")]
    Headers,
    #[error("stream {0}, which a client may not open")]
    StreamId(u32),
    #[error("a window that was opened too far")]
    Window,
}

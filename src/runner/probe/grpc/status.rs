//! PURE: how a gRPC call ended, in the words of Go's client.

use std::fmt;

use h2::Reason;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Response};
use percent_encoding::percent_decode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(u32);

impl Code {
    pub(super) const CANCELED: Code = Code(1);
    pub(super) const UNKNOWN: Code = Code(2);
    pub(super) const DEADLINE_EXCEEDED: Code = Code(4);
    pub(super) const PERMISSION_DENIED: Code = Code(7);
    pub(super) const RESOURCE_EXHAUSTED: Code = Code(8);
    pub(super) const UNIMPLEMENTED: Code = Code(12);
    pub(super) const INTERNAL: Code = Code(13);
    pub(super) const UNAVAILABLE: Code = Code(14);
    pub(super) const UNAUTHENTICATED: Code = Code(16);
}

const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|index| NAMES.get(index)) {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "Code({})", self.0),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rpc error: code = {} desc = {}", self.code, self.message)
    }
}

impl Status {
    /// What the server says of the call, in the headers of an answer without a message or in the trailers.
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Result<(), Status>> {
        let code = headers.get("grpc-status")?;
        let message = headers.get("grpc-message").map_or(&[][..], |message| message.as_bytes());
        let message = percent_decode(message).decode_utf8_lossy().into_owned();
        Some(match code.to_str().ok().and_then(|code| code.parse().ok()) {
            Some(0) => Ok(()),
            Some(code) => Err(Status { code: Code(code), message }),
            None => Err(Status { code: Code::UNKNOWN, message: format!("malformed grpc-status: {code:?}") }),
        })
    }

    /// Whether a gRPC server answers at all: others have HTTP's codes, or another kind of content.
    pub(super) fn of_http<T>(response: &Response<T>) -> Result<(), Status> {
        let status = response.status();
        let content = response.headers().get(CONTENT_TYPE).map_or(&[][..], |content| content.as_bytes());
        let code = match status.as_u16() {
            200 if content.starts_with(b"application/grpc") => return Ok(()),
            400 => Code::INTERNAL,
            401 => Code::UNAUTHENTICATED,
            403 => Code::PERMISSION_DENIED,
            404 => Code::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Code::UNAVAILABLE,
            _ => Code::UNKNOWN,
        };
        let message = match status.as_u16() {
            200 => format!("received unexpected content-type {:?}", String::from_utf8_lossy(content)),
            _ => format!("unexpected HTTP status code received from server: {status}"),
        };
        Err(Status { code, message })
    }
}

impl From<h2::Error> for Status {
    fn from(error: h2::Error) -> Self {
        let code = match error.reason() {
            _ if error.is_io() || error.is_go_away() => Code::UNAVAILABLE,
            Some(Reason::REFUSED_STREAM) => Code::UNAVAILABLE,
            Some(Reason::CANCEL) => Code::CANCELED,
            Some(Reason::ENHANCE_YOUR_CALM) => Code::RESOURCE_EXHAUSTED,
            Some(Reason::INADEQUATE_SECURITY) => Code::PERMISSION_DENIED,
            _ => Code::INTERNAL,
        };
        Status { code, message: error.to_string() }
    }
}

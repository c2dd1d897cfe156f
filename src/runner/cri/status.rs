//! PURE: errors as gRPC's codes.

use tonic::{Code, Status};

use super::select::Miss;
use crate::error::chain_of;
use crate::runner::runtime::RuntimeError;
use crate::runner::status::api::cut;

/// Bytes of a message, which travels in a header.
const MAX_MESSAGE: usize = 2048;

pub(super) fn status(error: RuntimeError) -> Status {
    let code = match error {
        RuntimeError::ImageNotPresent(_) | RuntimeError::NotFound { .. } => Code::NotFound,
        RuntimeError::BadConfig(_) => Code::InvalidArgument,
        // as containerd does
        RuntimeError::PullFailed { .. } => Code::Unknown,
        RuntimeError::TimedOut => Code::DeadlineExceeded,
        RuntimeError::Other(_) => Code::Internal,
    };
    Status::new(code, cut(&chain_of(&error.into()), MAX_MESSAGE))
}

pub(super) fn missing(kind: &'static str, given: &str, miss: &Miss) -> Status {
    match miss {
        Miss::Absent => status(RuntimeError::NotFound { kind, id: given.to_owned() }),
        Miss::Ambiguous => Status::invalid_argument(format!("several ids of a {kind} begin with `{given}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_codes_and_short_messages() {
        let of = |error| status(error).code();
        assert_eq!(of(RuntimeError::ImageNotPresent("a".to_owned())), Code::NotFound);
        assert_eq!(of(RuntimeError::BadConfig("a".to_owned())), Code::InvalidArgument);
        let long = status(RuntimeError::BadConfig("é".repeat(5000)));
        assert!(long.message().len() <= MAX_MESSAGE);
        assert_eq!(missing("container", "a", &Miss::Absent).message(), "there is no container `a`");
        assert_eq!(missing("container", "a", &Miss::Ambiguous).code(), Code::InvalidArgument);
    }
}

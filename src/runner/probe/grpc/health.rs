//! PURE: the two messages of `grpc.health.v1`, in gRPC's frame: a byte for compression, the length, the message.
//!
//! ```proto
//! message HealthCheckRequest { string service = 1; }
//! message HealthCheckResponse { ServingStatus status = 1; }
//! ```

use hyper::body::Bytes;

pub(super) const SERVING: u64 = 1;
const NAMES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// The number where no name is known, as Go prints one.
pub(super) fn name(status: u64) -> String {
    let known = usize::try_from(status).ok().and_then(|index| NAMES.get(index));
    known.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

/// The service of the empty name is the server as a whole; an empty field is not written.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    // a manifest has at most 10 MiB
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), message.as_slice()].concat().into()
}

/// `status` of a framed answer: 0 when it is not there, the last one when there are several.
pub(super) fn status(frame: &[u8]) -> Result<u64, String> {
    let (compressed, rest) = frame.split_first().ok_or("the answer has no message")?;
    if *compressed != 0 {
        return Err("the message is compressed, which was not offered".to_owned());
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("the message is cut off")?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let mut message = rest.get(..length).ok_or("the message is cut off")?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => skip(&mut message, 8)?,
            (_, 2) => {
                let length = varint(&mut message)?;
                skip(&mut message, length)?;
            }
            (_, 5) => skip(&mut message, 4)?,
            (field, kind) => return Err(format!("the message is malformed: field {field} is of wire type {kind}")),
        }
    }
    Ok(status)
}

fn varint(message: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or("the message is malformed: a number is cut off")?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("the message is malformed: a number is too long".to_owned())
}

fn skip(message: &mut &[u8], length: u64) -> Result<(), String> {
    let rest = usize::try_from(length).ok().and_then(|length| message.get(length..));
    *message = rest.ok_or("the message is malformed: a field is cut off")?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_their_service() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = request(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn answers_are_read_whatever_else_is_in_them() {
        for (frame, expected) in [
            (&[0, 0, 0, 0, 0][..], 0),
            (&[0, 0, 0, 0, 2, 8, 1], 1),
            (&[0, 0, 0, 0, 3, 8, 0x80, 1], 128),
            // fields that a later version may add
            (&[0, 0, 0, 0, 9, 0x12, 1, 7, 0x18, 5, 8, 2, 0x20, 0], 2),
            (&[0, 0, 0, 0, 7, 0x15, 0, 0, 0, 0, 8, 3], 3),
        ] {
            assert_eq!(status(frame).unwrap(), expected, "{frame:?}");
        }
        assert_eq!([0, 1, 2, 3, 9].map(name), ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "9"]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for frame in [
            &[][..],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0],
            &[0, 0, 0, 0, 2, 8],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x12, 9],
            &[0, 0, 0, 0, 1, 0x0b],
            &[0, 0, 0, 0, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(status(frame).is_err(), "{frame:?}");
        }
    }
}

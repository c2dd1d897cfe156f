//! Container output as lines of a CRI log file. PURE but for [`file`].
//!
//! `<RFC 3339 time> stdout|stderr F|P <text>`: `F` ends a line, `P` is a part of one [6.2].

pub mod file;
pub mod rotated;

/// The longest text of one record, containerd's [6.3].
pub const MAX_TEXT: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// What happens to a line that has no end yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// It stays where it is: the rest may follow.
    Keep,
    /// It is written as a part: nothing follows soon, or at all.
    Write,
}

/// Appends the records that `input` makes to `records`, until those take `room` bytes; returns how many bytes of
/// `input` they stand for.
pub fn frame(
    input: &[u8],
    stream: Stream,
    time: &str,
    unfinished: Unfinished,
    room: usize,
    records: &mut Vec<u8>,
) -> usize {
    let mut consumed = 0;
    while consumed < input.len() && records.len() < room {
        let rest = &input[consumed..];
        let head = &rest[..rest.len().min(MAX_TEXT + 1)];
        let (text, tag, taken) = match head.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&head[..end], b'F', end + 1),
            None if head.len() > MAX_TEXT => (&head[..MAX_TEXT], b'P', MAX_TEXT),
            None if unfinished == Unfinished::Write => (head, b'P', head.len()),
            None => break,
        };
        records.extend_from_slice(time.as_bytes());
        records.push(b' ');
        records.extend_from_slice(stream.name().as_bytes());
        records.extend_from_slice(&[b' ', tag, b' ']);
        records.extend_from_slice(text);
        records.push(b'\n');
        consumed += taken;
    }
    consumed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn framed(input: &[u8], unfinished: Unfinished) -> (usize, String) {
        let mut records = Vec::new();
        let consumed = frame(input, Stream::Stderr, "T", unfinished, usize::MAX, &mut records);
        (consumed, String::from_utf8(records).unwrap())
    }

    #[test]
    fn lines_become_records_and_a_rest_waits() {
        assert_eq!(
            framed(b"one\n\ntwo\nrest", Unfinished::Keep),
            (9, "T stderr F one\nT stderr F \nT stderr F two\n".into())
        );
        assert_eq!(framed(b"rest", Unfinished::Keep), (0, String::new()));
        assert_eq!(framed(b"one\nrest", Unfinished::Write), (8, "T stderr F one\nT stderr P rest\n".into()));
        assert_eq!(framed(b"", Unfinished::Write), (0, String::new()));
    }

    #[test]
    fn long_lines_are_cut_at_the_limit() {
        let exact = [vec![b'x'; MAX_TEXT], b"\n".to_vec()].concat();
        let (consumed, records) = framed(&exact, Unfinished::Keep);
        assert_eq!((consumed, records.lines().count()), (exact.len(), 1));
        assert!(records.starts_with("T stderr F xxx"));
        assert_eq!(framed(&exact[..MAX_TEXT], Unfinished::Keep).0, 0, "its end may follow");
        let long = [vec![b'x'; 2 * MAX_TEXT + 5], b"\n".to_vec()].concat();
        let (consumed, records) = framed(&long, Unfinished::Keep);
        let shape: Vec<_> = records.lines().map(|line| (line.as_bytes()[9], line.len() - 11)).collect();
        assert_eq!((consumed, shape), (long.len(), vec![(b'P', MAX_TEXT), (b'P', MAX_TEXT), (b'F', 5)]));
    }

    #[test]
    fn records_stop_when_the_room_is_used() {
        let mut records = Vec::new();
        let consumed = frame(&b"\n".repeat(1000), Stream::Stdout, "T", Unfinished::Keep, 100, &mut records);
        assert!((1..20).contains(&consumed) && records.len() < 120);
    }
}

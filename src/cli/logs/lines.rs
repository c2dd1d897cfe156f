//! PURE: from the records of a CRI log to the lines that the container wrote [6.2, 6.9].

/// Joins the parts of long lines, each stream's for itself.
#[derive(Debug)]
pub(super) struct Joiner {
    timestamps: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Joiner {
    pub(super) fn new(timestamps: bool) -> Self {
        Joiner { timestamps, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// The line that this record ends, if it ends one. What is no record is a line as it is.
    pub(super) fn push(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let Some([time, stream, tag, content]) = parts(record) else { return Some(record.to_vec()) };
        let pending = if stream == b"stderr" { &mut self.stderr } else { &mut self.stdout };
        if pending.is_empty() && self.timestamps {
            pending.extend_from_slice(time);
            pending.push(b' ');
        }
        if tag.first() == Some(&b'P') {
            pending.extend_from_slice(content.strip_suffix(b"\n").unwrap_or(content));
            return None;
        }
        pending.extend_from_slice(content);
        Some(std::mem::take(pending))
    }

    /// What was written last without the end of a line.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.stdout);
        rest.append(&mut self.stderr);
        rest
    }
}

/// Time, stream, tag and content.
fn parts(record: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = record.splitn(4, |byte| *byte == b' ');
    let (time, stream, tag, content) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    [b"stdout", b"stderr"].contains(&<&[u8; 6]>::try_from(stream).ok()?).then_some([time, stream, tag, content])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(records: &[&str], timestamps: bool) -> String {
        let mut joiner = Joiner::new(timestamps);
        let mut text: Vec<u8> = records.iter().filter_map(|record| joiner.push(record.as_bytes())).flatten().collect();
        text.extend(joiner.rest());
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn parts_of_a_line_are_joined_each_stream_for_itself() {
        let records = [
            "T1 stdout F one\n",
            "T2 stdout P two-\n",
            "T3 stderr P err-\n",
            "T4 stdout P two-\n",
            "T5 stderr F err\n",
            "T6 stdout F two\n",
            "T7 stdout F \n",
            "no record\n",
            "T8 stdout P end",
        ];
        assert_eq!(joined(&records, false), "one\nerr-err\ntwo-two-two\n\nno record\nend");
        assert_eq!(joined(&records[..6], true), "T1 one\nT3 err-err\nT2 two-two-two\n");
    }

    #[test]
    fn blanks_in_a_line_stay() {
        assert_eq!(joined(&["T stdout F  a  b \n"], false), " a  b \n");
    }
}

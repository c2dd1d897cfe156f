//! PURE: from the records of a CRI log to the lines that the container wrote [6.2, 6.9].

use jiff::Timestamp;

/// One line, with its end if it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// When it began, as it stands in the log; empty where the log is none of a container.
    time: Vec<u8>,
    text: Vec<u8>,
}

impl Line {
    /// Whether it began at that time or later. A line without a time counts as new.
    pub fn is_since(&self, since: Timestamp) -> bool {
        let time = std::str::from_utf8(&self.time).ok().and_then(|time| time.parse::<Timestamp>().ok());
        time.is_none_or(|time| time >= since)
    }

    pub fn write(&self, timestamps: bool, to: &mut Vec<u8>) {
        if timestamps && !self.time.is_empty() {
            to.extend_from_slice(&self.time);
            to.push(b' ');
        }
        to.extend_from_slice(&self.text);
    }
}

/// Joins the parts of long lines, each stream's for itself.
#[derive(Debug, Default)]
pub struct Joiner {
    stdout: Line,
    stderr: Line,
}

impl Joiner {
    /// The line that this record ends, if it ends one. What is no record is a line as it is.
    pub fn push(&mut self, record: &[u8]) -> Option<Line> {
        let Some([time, stream, tag, content]) = parts(record) else {
            return Some(Line { time: Vec::new(), text: record.to_vec() });
        };
        let pending = if stream == b"stderr" { &mut self.stderr } else { &mut self.stdout };
        if pending.time.is_empty() {
            pending.time.extend_from_slice(time);
        }
        if tag.first() == Some(&b'P') {
            pending.text.extend_from_slice(content.strip_suffix(b"\n").unwrap_or(content));
            return None;
        }
        pending.text.extend_from_slice(content);
        Some(std::mem::take(pending))
    }

    /// What was written last without the end of a line.
    pub fn rest(&mut self) -> impl Iterator<Item = Line> {
        let rest = [std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr)];
        rest.into_iter().filter(|line| !line.time.is_empty())
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
        let mut joiner = Joiner::default();
        let lines: Vec<_> = records.iter().filter_map(|record| joiner.push(record.as_bytes())).collect();
        let mut text = Vec::new();
        lines.into_iter().chain(joiner.rest()).for_each(|line| line.write(timestamps, &mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn case_149_parts_of_a_line_are_joined_each_stream_for_itself() {
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
    fn case_149_a_record_has_a_time_a_stream_tags_and_a_text() {
        for (record, expected) in [
            ("T stdout F text\n", "T text\n"),
            ("T stderr F text\n", "T text\n"),
            ("T stdout P text\n", "T text"),
            ("T stdout F:later:tags text\n", "T text\n"),
            ("T stdout P:later:tags text\n", "T text"),
            ("T stdout F \n", "T \n"),
            // no records
            ("T stdin F text\n", "T stdin F text\n"),
            ("T stdout\n", "T stdout\n"),
            ("{\"log\":\"text\"}\n", "{\"log\":\"text\"}\n"),
            ("\n", "\n"),
        ] {
            assert_eq!(joined(&[record], true), expected, "{record}");
        }
    }

    #[test]
    fn blanks_in_a_line_stay() {
        assert_eq!(joined(&["T stdout F  a  b \n"], false), " a  b \n");
    }
}

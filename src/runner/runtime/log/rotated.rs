//! PURE: the rotated files of a log, by their names [6.6].
//!
//! `<log>.<YYYYMMDD-hhmmss>`, the time of the rotation in UTC. A further rotation within the same second, or after the
//! clock was set back, has the newest name's time and a number: `….001`, `….002`. What is compressed ends with `.gz`,
//! what is being compressed with `.tmp`.

use jiff::Timestamp;

/// When it was rotated: the order of the files of one log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    time: String,
    /// Among those of one second; the first has no number.
    number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Compressed,
    /// Of a compression that goes on, or that was interrupted.
    Temporary,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    pub name: String,
    pub age: Age,
    pub form: Form,
}

impl Rotated {
    /// `name` as one of the log's rotated files, if it is one. `log` and `name` are file names.
    pub fn parse(log: &str, name: &str) -> Option<Rotated> {
        let rest = name.strip_prefix(log)?.strip_prefix('.')?;
        let (rest, form) = match (rest.strip_suffix(".gz"), rest.strip_suffix(".tmp")) {
            (Some(rest), _) => (rest, Form::Compressed),
            (_, Some(rest)) => (rest, Form::Temporary),
            _ => (rest, Form::Plain),
        };
        let (time, number) = match rest.split_once('.') {
            Some((time, number)) => (time, number.parse().ok()?),
            None => (rest, 0),
        };
        let is_digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let (date, clock) = time.split_once('-')?;
        if !is_digits(date, 8) || !is_digits(clock, 6) {
            return None;
        }
        Some(Rotated { name: name.to_owned(), age: Age { time: time.to_owned(), number }, form })
    }
}

/// The name that the log gets now: newer than all that there are.
pub fn next(log: &str, now: Timestamp, found: &[Rotated]) -> String {
    let now = now.strftime("%Y%m%d-%H%M%S").to_string();
    match found.iter().map(|file| &file.age).max().filter(|newest| newest.time >= now) {
        Some(Age { time, number }) => format!("{log}.{time}.{:03}", number.saturating_add(1)),
        None => format!("{log}.{now}"),
    }
}

/// What must go so that no more than the newest `kept` rotations are left. What is being compressed does not count.
pub fn excess(found: &[Rotated], kept: usize) -> Vec<&Rotated> {
    let mut files: Vec<_> = found.iter().filter(|file| file.form != Form::Temporary).collect();
    files.sort_unstable_by(|one, other| one.age.cmp(&other.age));
    let mut ages: Vec<_> = files.iter().map(|file| &file.age).collect();
    ages.dedup();
    let Some(oldest_kept) = ages.len().checked_sub(kept).map(|gone| ages.get(gone).copied()) else { return Vec::new() };
    files.retain(|file| oldest_kept.is_none_or(|oldest| file.age < *oldest));
    files
}

/// What is to be compressed: all but the newest rotation, oldest first.
pub fn uncompressed(found: &[Rotated]) -> Vec<&Rotated> {
    let newest = found.iter().filter(|file| file.form != Form::Temporary).map(|file| &file.age).max();
    let mut plain: Vec<_> = found.iter().filter(|file| file.form == Form::Plain && Some(&file.age) != newest).collect();
    plain.sort_unstable_by(|one, other| one.age.cmp(&other.age));
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<Rotated> {
        names.iter().map(|name| Rotated::parse("0.log", name).unwrap_or_else(|| panic!("{name}"))).collect()
    }

    fn names(files: Vec<&Rotated>) -> Vec<&str> {
        files.into_iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn only_a_logs_own_rotated_files_are_taken_for_such() {
        for (name, number, form) in [
            ("0.log.20261126-031343", 0, Form::Plain),
            ("0.log.20261126-031343.gz", 0, Form::Compressed),
            ("0.log.20261126-031343.tmp", 0, Form::Temporary),
            ("0.log.20261126-031343.012", 12, Form::Plain),
            ("0.log.20261126-031343.012.gz", 12, Form::Compressed),
            // as an earlier version has named them
            ("0.log.20261126-031343.123456", 123_456, Form::Plain),
        ] {
            let file = Rotated::parse("0.log", name).unwrap();
            assert_eq!(
                (file.age.time.as_str(), file.age.number, file.form),
                ("20261126-031343", number, form),
                "{name}"
            );
        }
        for other in [
            "0.log",
            "1.log.20261126-031343",
            "10.log.20261126-031343",
            "0.log.old",
            "0.log.20261126",
            "0.log.2026112-0313431",
            "0.log.20261126-031343.x",
            "0.log.20261126-031343.gz.tmp.x",
            "0.log20261126-031343",
        ] {
            assert_eq!(Rotated::parse("0.log", other), None, "{other}");
        }
    }

    #[test]
    fn case_149_a_name_is_newer_than_all_before() {
        let now: Timestamp = "2026-11-26T03:13:43.9Z".parse().unwrap();
        for (there, expected) in [
            (&[][..], "0.log.20261126-031343"),
            (&["0.log.20261126-031342.007.gz"], "0.log.20261126-031343"),
            (&["0.log.20261126-031343"], "0.log.20261126-031343.001"),
            (&["0.log.20261126-031343", "0.log.20261126-031343.999"], "0.log.20261126-031343.1000"),
            (&["0.log.20261126-031343.001.gz", "0.log.20261126-031343.gz"], "0.log.20261126-031343.002"),
            (&["0.log.20261127-000000"], "0.log.20261127-000000.001"),
        ] {
            let files = files(there);
            let name = next("0.log", now, &files);
            assert_eq!(name, expected);
            let age = Rotated::parse("0.log", &name).unwrap().age;
            assert!(files.iter().all(|file| file.age < age), "{name}");
        }
    }

    #[test]
    fn case_149_the_oldest_are_too_many() {
        let found = files(&[
            "0.log.20261126-031345",
            "0.log.20261126-031343.tmp",
            "0.log.20261126-031343.002.gz",
            "0.log.20261126-031343.gz",
            "0.log.20261126-031343.1000",
        ]);
        for (kept, expected) in [(0, 4), (1, 3), (2, 2), (3, 1), (4, 0), (9, 0)] {
            let all = [
                "0.log.20261126-031343.gz",
                "0.log.20261126-031343.002.gz",
                "0.log.20261126-031343.1000",
                "0.log.20261126-031345",
            ];
            assert_eq!(names(excess(&found, kept)), all[..expected], "{kept}");
        }
        let both = files(&["0.log.20261126-031343", "0.log.20261126-031343.gz", "0.log.20261126-031344"]);
        assert_eq!(names(excess(&both, 1)), ["0.log.20261126-031343", "0.log.20261126-031343.gz"], "one rotation");
    }

    #[test]
    fn all_but_the_newest_are_compressed() {
        let found = files(&[
            "0.log.20261126-031346",
            "0.log.20261126-031345",
            "0.log.20261126-031344.tmp",
            "0.log.20261126-031343.gz",
            "0.log.20261126-031344",
        ]);
        assert_eq!(names(uncompressed(&found)), ["0.log.20261126-031344", "0.log.20261126-031345"]);
        assert_eq!(names(uncompressed(&found[..1])), [""; 0]);
        assert_eq!(names(uncompressed(&files(&["0.log.20261126-031347.tmp", "0.log.20261126-031346"]))), [""; 0]);
    }
}

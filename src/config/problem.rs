//! What is wrong with the configuration: every finding with its field, and where the user wrote it.
//!
//! All of them are reported together, one per line, and end the program with exit code 2.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Fault;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, from 1.
    Line(u64),
    /// The file as a whole.
    File,
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

/// Where fields were written, by dotted path (`apiServer.extraArgs[0].name`).
#[derive(Debug, Clone, Default)]
pub struct Origins {
    places: BTreeMap<String, Origin>,
    /// What fields are called in the older version of the API that they were written in.
    older_names: BTreeMap<String, String>,
}

impl Origins {
    pub fn insert(&mut self, field: impl Into<String>, origin: Origin) {
        self.places.insert(field.into(), origin);
    }

    /// The field was written under another name, which is the one that the user knows.
    pub fn rename(&mut self, field: impl Into<String>, written: impl Into<String>) {
        self.older_names.insert(field.into(), written.into());
    }

    /// The field as the user wrote it.
    pub fn name_of(&self, field: &str) -> String {
        let older = ancestry(field).find_map(|path| self.older_names.get(path).map(|name| (path.len(), name)));
        older.map_or_else(|| field.to_owned(), |(length, name)| format!("{name}{}", &field[length..]))
    }

    /// Where the field itself, or the nearest field around it, was written. Takes the name as the user wrote it.
    pub fn place_of(&self, name: &str) -> Option<&Origin> {
        ancestry(name).find_map(|path| self.places.get(path))
    }
}

/// A dotted path, then those of the fields around it, innermost first.
fn ancestry(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| Some(&path[..path.rfind(['.', '['])?]))
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the field; empty when it is about the file or the command line as a whole.
    pub field: String,
    pub message: String,
    pub origin: Option<Origin>,
}

impl Problem {
    /// Place, field and message in one line. `file` is the configuration file's name, as the user gave it.
    pub fn in_file(&self, file: Option<&str>) -> String {
        let place = match (&self.origin, file) {
            (Some(Origin::Line(line)), Some(file)) => format!("{file}:{line}: "),
            (Some(Origin::Line(line)), None) => format!("line {line}: "),
            (Some(Origin::File), Some(file)) => format!("{file}: "),
            (Some(Origin::Flag(flag)), _) => format!("{flag}: "),
            (Some(Origin::File) | None, _) => String::new(),
        };
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        format!("{place}{field}{}", self.message)
    }
}

/// All findings of one configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The configuration file's name, as the user gave it.
    file: Option<String>,
    list: Vec<Problem>,
}

impl Problems {
    pub fn new(file: Option<String>, mut list: Vec<Problem>) -> Self {
        // flags and whole-file findings first, then by line; equal ones keep their order
        list.sort_by_key(|problem| match problem.origin {
            Some(Origin::Line(line)) => line,
            _ => 0,
        });
        Problems { file, list }
    }

    /// These findings and more, in the order of the file.
    pub fn and(self, more: Vec<Problem>) -> Self {
        Problems::new(self.file, [self.list, more].concat())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.list.iter().take(MOST_SHOWN).map(|problem| problem.in_file(self.file.as_deref()));
        f.write_str(&shown.collect::<Vec<_>>().join("\n"))?;
        match self.list.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Fault {
    fn from(problems: Problems) -> Fault {
        Fault::usage(problems.to_string())
    }
}

/// Findings that are told one by one; a file with more of them is not what it claims to be.
const MOST_SHOWN: usize = 50;
/// Characters of a value that a message shows.
const LONGEST_VALUE: usize = 160;
/// And of a reason, which may repeat a part of the value.
const LONGEST_REASON: usize = 400;

/// Collects findings and knows where their fields were written.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) origins: Origins,
    pub(super) list: Vec<Problem>,
}

impl Collector {
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = self.origins.name_of(&field.into());
        let origin = self.origins.place_of(&field).cloned();
        self.list.push(Problem { field, message: message.into(), origin });
    }

    /// `field: Invalid value: "value": reason`, the API machinery's form. Of a long value the beginning is shown.
    pub(super) fn invalid(&mut self, field: impl Into<String>, value: &str, reason: impl fmt::Display) {
        let (value, cut) = beginning(value, LONGEST_VALUE);
        let reason = reason.to_string();
        let (reason, more) = beginning(&reason, LONGEST_REASON);
        self.add(field, format!("Invalid value: {value:?}{cut}: {reason}{more}"));
    }
}

/// As many characters of a text as will do, and a sign for those left out.
fn beginning(text: &str, most: usize) -> (&str, &'static str) {
    text.char_indices().nth(most).map_or((text, ""), |(end, _)| (&text[..end], "…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{self, Exit};

    #[test]
    fn problems_are_sorted_by_line_and_say_where_they_are() {
        let mut collector = Collector::default();
        collector.origins.insert("networking", Origin::Line(7));
        collector.origins.insert("apiServer.certSANs[1]", Origin::Line(3));
        collector.origins.insert("imageRepository", Origin::Flag("--image-repository"));
        collector.invalid("networking.dnsDomain", "A", "no");
        collector.add("apiServer.certSANs[1]", "bad");
        collector.add("imageRepository", "bad");
        let problems = Problems::new(Some("a.yaml".into()), collector.list);
        assert_eq!(
            problems.to_string(),
            "--image-repository: imageRepository: bad\n\
             a.yaml:3: apiServer.certSANs[1]: bad\n\
             a.yaml:7: networking.dnsDomain: Invalid value: \"A\": no"
        );
        assert_eq!(error::exit_of(&Fault::from(problems).into()), Exit::Usage);
    }

    #[test]
    fn fields_keep_the_names_of_the_version_they_were_written_in() {
        let mut collector = Collector::default();
        collector.origins.insert("scheduler.extraArgs.v", Origin::Line(4));
        collector.origins.rename("scheduler.extraArgs[0].value", "scheduler.extraArgs.v");
        collector.add("scheduler.extraArgs[0].value", "bad");
        collector.add("scheduler.extraArgs[1].value", "bad");
        assert_eq!(collector.list[0].field, "scheduler.extraArgs.v");
        assert_eq!(collector.list[0].origin, Some(Origin::Line(4)));
        assert_eq!(collector.list[1].field, "scheduler.extraArgs[1].value");
    }

    #[test]
    fn findings_without_end_are_counted() {
        let mut collector = Collector::default();
        (0..53).for_each(|_| collector.add("dns", "bad"));
        let text = Problems::new(None, collector.list).to_string();
        assert_eq!((text.lines().count(), text.lines().last()), (51, Some("and 3 more")));
    }

    #[test]
    fn of_a_long_value_only_the_beginning_is_shown() {
        let mut collector = Collector::default();
        collector.invalid("clusterName", &"ä".repeat(1000), "no");
        assert_eq!(collector.list[0].message, format!("Invalid value: \"{}\"…: no", "ä".repeat(160)));
    }
}

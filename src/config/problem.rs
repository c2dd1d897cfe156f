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
pub type Origins = BTreeMap<String, Origin>;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted path of the field; empty when it is about the file or the command line as a whole.
    pub field: String,
    pub message: String,
    pub origin: Option<Origin>,
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

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&problem.origin, &self.file) {
                (Some(Origin::Line(line)), Some(file)) => write!(f, "{file}:{line}: ")?,
                (Some(Origin::Line(line)), None) => write!(f, "line {line}: ")?,
                (Some(Origin::File), Some(file)) => write!(f, "{file}: ")?,
                (Some(Origin::Flag(flag)), _) => write!(f, "{flag}: ")?,
                (Some(Origin::File) | None, _) => {}
            }
            if !problem.field.is_empty() {
                write!(f, "{}: ", problem.field)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Fault {
    fn from(problems: Problems) -> Fault {
        Fault::usage(problems.to_string())
    }
}

/// Collects findings and knows where their fields were written.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) origins: Origins,
    pub(super) list: Vec<Problem>,
}

impl Collector {
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        let origin = self.origin_of(&field);
        self.list.push(Problem { field, message: message.into(), origin });
    }

    /// `field: Invalid value: "value": reason`, the API machinery's form.
    pub(super) fn invalid(&mut self, field: impl Into<String>, value: &str, reason: impl fmt::Display) {
        self.add(field, format!("Invalid value: {value:?}: {reason}"));
    }

    /// A field of the API that this program does not act upon.
    pub(super) fn unsupported(&mut self, field: impl Into<String>, instead: &str) {
        self.add(field, format!("not supported: {instead}"));
    }

    /// Where the field itself, or the nearest field around it, was written.
    fn origin_of(&self, field: &str) -> Option<Origin> {
        let mut path = field;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin.clone());
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{self, Exit};

    #[test]
    fn problems_are_sorted_by_line_and_say_where_they_are() {
        let mut collector = Collector::default();
        collector.origins.insert("networking".into(), Origin::Line(7));
        collector.origins.insert("apiServer.certSANs[1]".into(), Origin::Line(3));
        collector.origins.insert("imageRepository".into(), Origin::Flag("--image-repository"));
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
}

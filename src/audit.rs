//! `bootstrap audit`: the CIS Kubernetes Benchmark 1.12, item by item, against what really runs.
//!
//! Pure: `list` holds the items as data, `rule` judges one of them over the `facts` that `host::audit` has gathered.
//! Numbers and expected values are the benchmark's, as kube-bench checks them; the words are ours.

pub mod facts;
mod list;
mod rule;

use serde::Serialize;

use facts::Facts;
use rule::Rule;

/// The benchmark's name and version.
pub const BENCHMARK: &str = "CIS Kubernetes Benchmark 1.12";

/// One item of the benchmark.
#[derive(Debug)]
pub struct Item {
    pub id: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    rule: Rule,
}

/// Whether the benchmark leaves the item to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Automated,
    /// A person decides: what does not hold is a warning.
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    #[serde(rename = "PASS")]
    Pass,
    #[serde(rename = "FAIL")]
    Fail,
    /// A person has to look.
    #[serde(rename = "WARN")]
    Warn,
    /// There is nothing here that the item could be about.
    #[serde(rename = "N-A")]
    NotApplicable,
}

impl Status {
    /// As it is printed and counted.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pass => "PASS",
            Status::Fail => "FAIL",
            Status::Warn => "WARN",
            Status::NotApplicable => "N-A",
        }
    }
}

/// What became of one item.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub id: &'static str,
    pub title: &'static str,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub status: Status,
    pub expected: String,
    pub found: String,
    /// What makes it pass, where something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What `audit -o json` prints; a field is never renamed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub benchmark: &'static str,
    pub profile: &'static str,
    /// Of the API server, where its image tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    pub items: Vec<Finding>,
    pub summary: Summary,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub pass: usize,
    pub fail: usize,
    pub warn: usize,
    pub not_applicable: usize,
}

/// Every item, in the benchmark's order.
pub fn items() -> impl Iterator<Item = &'static Item> {
    list::SECTIONS.iter().flat_map(|section| section.iter())
}

/// Judges every item.
pub fn audit(facts: &Facts) -> Report {
    let items: Vec<Finding> = items().map(|item| item.judged(facts)).collect();
    let count = |status| items.iter().filter(|finding| finding.status == status).count();
    let summary = Summary {
        pass: count(Status::Pass),
        fail: count(Status::Fail),
        warn: count(Status::Warn),
        not_applicable: count(Status::NotApplicable),
    };
    let kubernetes_version = facts.version.as_ref().map(ToString::to_string);
    Report { benchmark: BENCHMARK, profile: "cis", kubernetes_version, items, summary }
}

impl Report {
    /// The numbers of the items with this status.
    pub fn ids(&self, status: Status) -> Vec<&'static str> {
        self.items.iter().filter(|finding| finding.status == status).map(|finding| finding.id).collect()
    }
}

impl Item {
    fn judged(&'static self, facts: &Facts) -> Finding {
        let verdict = self.rule.judge(self.id, facts);
        let status = match (verdict.status, self.kind) {
            (Status::Fail, Kind::Manual) => Status::Warn,
            (status, _) => status,
        };
        Finding {
            id: self.id,
            title: self.title,
            kind: self.kind,
            status,
            expected: verdict.expected,
            found: verdict.found,
            fix: verdict.fix,
        }
    }
}

#[cfg(test)]
mod tests;

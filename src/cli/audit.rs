//! `bootstrap audit`: what runs here against the CIS Kubernetes Benchmark.

use clap::{Args, ValueEnum};

use super::Invocation;
use super::profile::ProfileName;
use crate::audit::{self, Finding, Report, Status};
use crate::error::{Fault, Result};
use crate::host;

#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The benchmark
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProfileName::Cis)]
    profile: ProfileName,
    /// A table for people, or everything as one JSON document
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

pub fn run(args: AuditArgs, invocation: &Invocation) -> Result<()> {
    let AuditArgs { profile: ProfileName::Cis, output } = args;
    if !nix::unistd::geteuid().is_root() {
        return Err(Fault::usage("the user is not root").hint("run it as root: it reads root's files").into());
    }
    let facts = host::audit::look(&invocation.layout)?;
    if !facts.is_control_plane() {
        return Err(Fault::usage(format!("no control plane is under `{}`", invocation.layout.root().display()))
            .hint("`bootstrap init` brings one up; `--root` names another place")
            .into());
    }
    let report = audit::audit(&facts);
    match output {
        Form::Text => tell(&report, invocation),
        Form::Json => invocation.report.json(&report)?,
    }
    let failed = report.ids(Status::Fail);
    if failed.is_empty() {
        return Ok(());
    }
    Err(Fault::failed(format!(
        "{} of {}: {}",
        count(failed.len(), "item fails", "items fail"),
        report.benchmark,
        failed.join(", ")
    ))
    .into())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A row for each item; those that do not pass with all that is known.
fn tell(report: &Report, invocation: &Invocation) {
    for finding in &report.items {
        invocation.report.line(format!("{:<7} {:<4}  {}", finding.id, finding.status.word(), finding.title));
        for (name, text) in details(finding) {
            invocation.report.line(format!("              {name:<9} {text}"));
        }
    }
    let summary = &report.summary;
    let version = report.kubernetes_version.as_deref().unwrap_or("of an unknown version");
    invocation.report.line(format!(
        "\n{}, Kubernetes {version}: {} PASS, {} FAIL, {} WARN (a person has to look), {} N-A",
        report.benchmark, summary.pass, summary.fail, summary.warn, summary.not_applicable
    ));
}

fn details(finding: &Finding) -> Vec<(&'static str, &str)> {
    match finding.status {
        Status::Pass => Vec::new(),
        Status::NotApplicable => vec![("found:", finding.found.as_str())],
        Status::Fail | Status::Warn => {
            let known = [("expected:", finding.expected.as_str()), ("found:", finding.found.as_str())];
            known.into_iter().chain(finding.fix.as_deref().map(|fix| ("fix:", fix))).collect()
        }
    }
}

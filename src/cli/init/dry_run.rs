//! `init --dry-run`: the plan in words, or as a tree of files.

use std::collections::BTreeSet;
use std::path::Path;

use super::Decided;
use super::preflight::Preflight;
use super::progress::Silent;
use crate::apply::{Order, apply};
use crate::cli::Invocation;
use crate::error::{Context, Fault, Result};
use crate::host::dry_run::{Describe, WriteTree};
use crate::host::probe::Reach;
use crate::phase::{PHASES, PREFLIGHT, URGENT};
use crate::plan::{Action, Decision, Step};
use crate::preflight::{Severity, Verdict};

pub(super) async fn run(decided: &Decided, out: Option<&Path>, invocation: &Invocation) -> Result<()> {
    decided.plan.refusals()?;
    let verdicts = match decided.selection.includes_preflight() {
        true => verdicts(decided, invocation).await,
        false => Vec::new(),
    };
    match out {
        None => {
            apply(&decided.plan, Order::Listed, &Describe, &Silent).await?;
            describe(decided, &verdicts, invocation);
            Ok(())
        }
        Some(out) => {
            verdicts.iter().for_each(|verdict| invocation.report.note(verdict.to_string()));
            write(decided, out, invocation).await
        }
    }
}

/// As far as they can be known without asking anybody or trying anything. They refuse nothing here.
async fn verdicts(decided: &Decided, invocation: &Invocation) -> Vec<Verdict> {
    let preflight = Preflight::look(decided, &invocation.layout, Reach::Reading).await;
    let is_told = |verdict: &&Verdict| verdict.severity != Severity::Ok || invocation.verbose > 0;
    preflight.verdicts().iter().filter(is_told).cloned().collect()
}

fn describe(decided: &Decided, verdicts: &[Verdict], invocation: &Invocation) {
    let report = &invocation.report;
    let config = &decided.desired.config;
    report.line(format!("Kubernetes {}, node `{}`", config.kubernetes_version, config.node.name));
    if decided.selection.includes_preflight() {
        report.line(format!("\n{}: {}", PREFLIGHT.name, PREFLIGHT.about));
        verdicts.iter().for_each(|verdict| report.line(format!("  {verdict}")));
        if verdicts.is_empty() {
            report.line("  nothing is in the way");
        }
    }
    // a directory is told once, and only if it is missing; users and groups are told once
    let mut told = BTreeSet::new();
    let mut is_news = |action: &Action| match action {
        Action::MakeDirectory { path, .. } if invocation.layout.under(path).is_dir() => false,
        Action::MakeDirectory { path, .. } => told.insert(path.display().to_string()),
        Action::MakeAccounts { .. } => told.insert(action.to_string()),
        _ => true,
    };
    for phase in PHASES {
        let steps: Vec<_> = decided.plan.steps.iter().filter(|step| step.phase == phase.name).collect();
        if steps.is_empty() {
            continue;
        }
        report.line(format!("\n{}: {}", phase.name, phase.about));
        for step in steps {
            report.line(format!("  {}", headline(step)));
            for action in step.actions.iter().filter(|action| is_news(action)) {
                report.line(format!("    {action}"));
            }
        }
    }
    report.line("\nNothing was done.");
}

fn headline(step: &Step) -> String {
    let name = step.item.as_deref().unwrap_or(step.phase);
    match &step.decision {
        Decision::Create => format!("{name}: create"),
        Decision::Keep => format!("{name}: keep"),
        Decision::Replace(reason) => format!("{name}: replace, because {reason}"),
        Decision::Refuse(reason) => format!("{name}: refuse, because {reason}"),
        Decision::Do => name.to_owned(),
    }
}

async fn write(decided: &Decided, out: &Path, invocation: &Invocation) -> Result<()> {
    let out = std::path::absolute(out).with_context(|| format!("cannot make `{}` absolute", out.display()))?;
    if std::fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Fault::usage(format!("`{}` is not empty", out.display()))
            .hint("`--out` takes a directory that is empty or does not exist")
            .into());
    }
    let moment = time::OffsetDateTime::from_unix_timestamp(decided.now.as_second())?;
    let tree = WriteTree::new(&decided.desired, invocation.layout.clone(), out.clone(), moment);
    apply(&decided.plan, Order::Urgent(URGENT), &tree, &Silent).await?;
    let applying: Vec<_> = decided
        .plan
        .steps
        .iter()
        .flat_map(|step| &step.actions)
        .filter_map(|action| match action {
            Action::ApplyObjects { step } => Some(*step),
            Action::MarkNode(_) => Some("mark-control-plane"),
            _ => None,
        })
        .collect();
    if !applying.is_empty() {
        tree.write_objects(&applying, decided.now)?;
    }
    invocation.report.line(format!("Wrote what init would write below {}.", out.display()));
    Ok(())
}

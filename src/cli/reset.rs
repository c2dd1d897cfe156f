//! `bootstrap reset`: take away what init made, and prove that nothing is left.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Invocation;
use crate::apply::{Observe, Order, apply};
use crate::error::{Fault, Result};
use crate::host::journal::{self, Record};
use crate::host::lock::InstanceLock;
use crate::host::proof::{self, Evidence};
use crate::host::teardown::{Teardown, WAVES};
use crate::layout::Layout;
use crate::linux::Leftover;
use crate::phase::undo::{self, OwnState};
use crate::plan::{Plan, Step};
use crate::runner::teardown::remove_leftovers;

#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Keep the image store
    #[arg(long)]
    keep_images: bool,
}

pub fn run(args: ResetArgs, invocation: &Invocation) -> Result<()> {
    let (layout, report) = (&invocation.layout, &invocation.report);
    if !args.dry_run && !nix::unistd::geteuid().is_root() {
        return Err(Fault::usage("the user is not root").hint("run it as root; `--dry-run` shows the plan").into());
    }
    if args.dry_run {
        let plan = undo::plan(&journal::read(layout)?.made, &own_state(layout), args.keep_images);
        for action in plan.steps.iter().flat_map(|step| &step.actions) {
            report.line(action.to_string());
        }
        report.line("\nNothing was done.");
        return Ok(());
    }
    if !args.force {
        confirm(invocation)?;
    }
    // before the journal is read: another init may be writing it
    let lock = InstanceLock::take_if_any(layout)?;
    if lock.is_none() && !layout.journal().exists() {
        report.note("nothing of a control plane is here");
    }
    let record = journal::read(layout)?;
    let plan = undo::plan(&record.made, &own_state(layout), args.keep_images);
    let leftovers = take_away(&plan, layout, invocation)?;
    prove(&args, layout, &record, &leftovers, invocation)
}

fn take_away(plan: &Plan, layout: &Layout, invocation: &Invocation) -> Result<Vec<Leftover>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let leftover_pods = layout.clone();
    let teardown = Teardown::new(
        layout.clone(),
        Box::new(move || {
            let layout = leftover_pods.clone();
            Box::pin(async move { remove_leftovers(&layout, &WAVES).await })
        }),
    );
    runtime.block_on(apply(plan, Order::Listed, &teardown, &Tell(invocation)))?;
    Ok(teardown.into_leftovers())
}

fn own_state(layout: &Layout) -> OwnState {
    let node = |path: PathBuf| Path::new("/").join(path.strip_prefix(layout.root()).unwrap_or(&path));
    OwnState {
        home: node(layout.state()),
        images: node(layout.images()),
        pods: node(layout.pods()),
        records: node(layout.records()),
        serving: node(layout.serving()),
        run: node(layout.run()),
        runner_log: node(layout.runner_log()),
        journal: node(layout.journal()),
    }
}

/// kubeadm's question [7.3].
fn confirm(invocation: &Invocation) -> Result<()> {
    let question = "This takes the control plane away, with everything in its etcd. Go on? [y/N]: ";
    if io::stdin().is_terminal() {
        invocation.report.prompt(question);
    }
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Fault::usage("reset was not confirmed").hint("answer `y`, or use `--force`").into())
}

/// One line for each step.
struct Tell<'a>(&'a Invocation);

impl Observe for Tell<'_> {
    fn began(&self, _step: &Step) {}

    fn ended(&self, step: &Step, took: Duration) {
        self.0.report.note(format!("[{}] undone in {:.2} s", step.name(), took.as_secs_f64()));
    }
}

/// Looks for anything left and prints what was found; leftovers of ours are a failure, the user's own files are not.
fn prove(
    args: &ResetArgs,
    layout: &Layout,
    record: &Record,
    leftovers: &[Leftover],
    invocation: &Invocation,
) -> Result<()> {
    let report = &invocation.report;
    let kept = match args.keep_images {
        true => vec![layout.images(), layout.journal()],
        false => Vec::new(),
    };
    let evidence = proof::look(layout, &record.made, &kept)?;
    let rows: Vec<_> = evidence.iter().map(row).collect();
    report.table(&["LOOKED FOR", "LEFT"], &rows);
    for leftover in leftovers {
        report.line(format!("left alone: {leftover}"));
    }
    if args.keep_images {
        report.line(format!("kept: {}", layout.images().display()));
    }
    let left: Vec<_> = evidence.iter().flat_map(|evidence| &evidence.found).cloned().collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(Fault::failed(format!("something of the control plane is left: {}", left.join(", ")))
        .hint("a second `bootstrap reset` tries again")
        .into())
}

fn row(evidence: &Evidence) -> Vec<String> {
    let left = match evidence.found.as_slice() {
        [] => "nothing".to_owned(),
        found => found.join(", "),
    };
    vec![evidence.kind.to_owned(), left]
}

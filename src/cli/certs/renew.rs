//! `bootstrap certs renew`

use std::sync::Mutex;
use std::time::Duration;

use clap::Args;

use super::{SourceArgs, check_clock, settings};
use crate::apply::{Observe, Order, apply};
use crate::cli::Invocation;
use crate::config::EncryptionAlgorithm;
use crate::control::client;
use crate::desired::renewal::{RENEWABLE, Renewable, Settings};
use crate::desired::verify::stamp;
use crate::error::{Fault, Result};
use crate::host::lock::InstanceLock;
use crate::host::manifests::{self, Manifests};
use crate::host::writer::Writer;
use crate::host::{found, renew};
use crate::phase::renew::{PlacedPod, Renewing, files, plan};
use crate::plan::{Action, Plan, Step};

#[derive(Debug, Args)]
pub(super) struct RenewArgs {
    /// A certificate as `certs check-expiration` names it, or `all`
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Leave the pods that read the certificates alone
    #[arg(long)]
    no_restart: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: RenewArgs, invocation: &Invocation) -> Result<()> {
    check_clock()?;
    if !args.dry_run && !nix::unistd::geteuid().is_root() {
        return Err(Fault::usage("the user is not root").hint("run it as root; `--dry-run` shows the plan").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(renew(&args, invocation));
    // a key that nobody waits for any more
    runtime.shutdown_background();
    done
}

async fn renew(args: &RenewArgs, invocation: &Invocation) -> Result<()> {
    let (layout, report) = (&invocation.layout, &invocation.report);
    // also about the name, before anything is asked
    let named = find(&args.name)?;
    let settings = settings(&args.source, invocation).await?;
    let selected = select(&settings, named)?;
    // before anything is read: another command may be writing it
    let _lock = if args.dry_run { None } else { Some(InstanceLock::take(layout)?) };
    let now = jiff::Timestamp::now();
    let found = found::read(layout, files(&settings, &selected), now)?;
    let runner = client::is_running(layout).await;
    let directory = match runner {
        true => renew::status(layout).await?.runner.manifests,
        false => layout.manifests(),
    };
    let Manifests { pods, others } = manifests::read(&directory)?;
    let Renewing { plan, notes, missing, warnings } = plan(&settings, &selected, &found, &pods);
    plan.refusals()?;
    for warning in warnings {
        report.warning(warning);
    }
    for other in others {
        let path = other.display();
        report.warning(format!("`{path}` is no pod: if an older version of it runs, it is not restarted"));
    }
    notes.iter().for_each(|note| report.line(note));
    for what in &missing {
        if named.is_some() {
            let message = format!("{} does not exist: {}", what.name, what.about);
            return Err(Fault::failed(message).hint("`bootstrap init` makes what is missing").into());
        }
        report.line(format!("!MISSING! {} ({})", what.name, what.about));
    }
    let restarts = match (args.no_restart, runner) {
        (true, _) => Restarts::NotWanted,
        (false, true) => Restarts::ByRunner,
        (false, false) => Restarts::NoRunner,
    };
    let (plan, left) = restarts.split(plan);
    if args.dry_run {
        plan.steps.iter().flat_map(|step| &step.actions).for_each(|action| report.line(action.to_string()));
        restarts.tell(&left, invocation);
        report.line("\nNothing was done.");
        return Ok(());
    }
    carry_out(&plan, &settings, &pods, now, invocation).await?;
    restarts.tell(&left, invocation);
    Ok(())
}

async fn carry_out(
    plan: &Plan,
    settings: &Settings,
    pods: &[PlacedPod],
    now: jiff::Timestamp,
    invocation: &Invocation,
) -> Result<()> {
    let (layout, report) = (&invocation.layout, &invocation.report);
    let moment = time::OffsetDateTime::from_unix_timestamp(now.as_second())?;
    let usual = settings.algorithm.unwrap_or(EncryptionAlgorithm::Rsa2048);
    let performer = renew::Renewer {
        layout,
        writer: Writer::new(layout.clone(), layout.clone(), usual, moment),
        pods,
        patience: settings.patience,
        tell: Box::new(|text| report.note(text)),
        written_at: Mutex::default(),
    };
    let tell = Tell { invocation, until: stamp(moment + settings.validity) };
    let applied = tokio::select! {
        applied = apply(plan, Order::Listed, &performer, &tell) => applied,
        _ = tokio::signal::ctrl_c() => Err(Fault::failed("interrupted").into()),
    };
    applied.map_err(|error| {
        let hint = match crate::error::hint_of(&error) {
            Some(hint) => format!("{hint}; then run the same command again: it goes through everything once more"),
            None => "run the same command again: it goes through everything once more".to_owned(),
        };
        Fault::new(crate::error::exit_of(&error), "the renewal did not finish").hint(hint).because(error).into()
    })
}

/// `None` for `all`.
fn find(name: &str) -> Result<Option<&'static Renewable>> {
    match Renewable::find(name) {
        None if name == "all" => Ok(None),
        None => {
            let names: Vec<_> = RENEWABLE.iter().map(|what| what.name).collect();
            let hint = format!("there are {}, and `all`", names.join(", "));
            Err(Fault::usage(format!("there is no certificate `{name}`")).hint(hint).into())
        }
        found => Ok(found),
    }
}

fn select(settings: &Settings, named: Option<&'static Renewable>) -> Result<Vec<&'static Renewable>> {
    let all: Vec<_> = settings.renewables().collect();
    match named {
        None => Ok(all),
        Some(what) if all.contains(&what) => Ok(vec![what]),
        Some(what) => Err(Fault::usage(format!("this control plane has no `{}`: {}", what.name, what.about)).into()),
    }
}

/// What becomes of the pods that read renewed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restarts {
    ByRunner,
    NotWanted,
    NoRunner,
}

impl Restarts {
    /// The plan with the restarts that are made, and the names of the pods that are left alone.
    fn split(self, plan: Plan) -> (Plan, Vec<String>) {
        let is_restart = |step: &Step| step.actions.iter().any(|action| matches!(action, Action::RestartPod { .. }));
        if self == Restarts::ByRunner {
            return (plan, Vec::new());
        }
        let (restarts, steps): (Vec<_>, Vec<_>) = plan.steps.into_iter().partition(is_restart);
        (Plan { steps }, restarts.into_iter().filter_map(|step| step.item).collect())
    }

    fn tell(self, left: &[String], invocation: &Invocation) {
        if left.is_empty() {
            return;
        }
        let names = left.join(", ");
        match self {
            Restarts::NoRunner => invocation.report.warning(format!(
                "no runner is running: whatever runs of {names} uses the old certificates until it is restarted"
            )),
            Restarts::NotWanted | Restarts::ByRunner => invocation
                .report
                .line(format!("{names}: in use are the old certificates until `bootstrap restart`, in this order")),
        }
    }
}

/// One line for each step.
struct Tell<'a> {
    invocation: &'a Invocation,
    until: String,
}

impl Observe for Tell<'_> {
    fn began(&self, _step: &Step) {}

    fn ended(&self, step: &Step, took: Duration) {
        let report = &self.invocation.report;
        for action in &step.actions {
            match action {
                Action::Renew(renewal) => {
                    let what = renewal.what;
                    report.line(format!("{} ({}) renewed until {}", what.name, what.about, self.until));
                }
                Action::RestartPod { name, .. } => {
                    report.line(format!("{name} restarted in {:.1} s", took.as_secs_f64()));
                }
                _ => {}
            }
        }
    }
}

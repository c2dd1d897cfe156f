//! `bootstrap init`: bring the control plane up, or show what that would do.

mod dry_run;
pub(super) mod flags;
mod images;
mod join;
mod patches;
mod preflight;
mod print;
mod progress;
mod run;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use self::flags::{ConfigFlags, PhaseFlags};
use super::Invocation;
use super::config::read_config;
use super::images::pull::RegistryArgs;
use crate::config::Config;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::desired::{self, Desired, patch};
use crate::error::{Fault, Result};
use crate::host::{facts, found, users};
use crate::phase::{self, Selection};
use crate::plan::Plan;
use crate::plan::found::Found;
use crate::secret::Secret;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InitArgs {
    #[command(subcommand)]
    command: Option<InitCommand>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum InitCommand {
    /// Run one phase, or one step of it: `certs`, `certs all`, `certs apiserver`, `certs/apiserver`
    Phase {
        /// The phase, with its step behind a `/` or as a word of its own; `bootstrap phases` lists them
        #[arg(required = true, num_args = 1..=2, value_name = "NAME[/ITEM]")]
        name: Vec<String>,
        #[command(flatten)]
        flags: PhaseFlags,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    #[command(flatten)]
    config: ConfigFlags,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: write the files that init would write below DIR, as if DIR were /
    #[arg(long, value_name = "DIR", requires = "dry_run")]
    out: Option<PathBuf>,
    /// How to tell what happens: text for people, one JSON object per event for programs
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Put the certificates and keys that further control planes need into the cluster, encrypted, for two hours
    #[arg(long)]
    upload_certs: bool,
    #[command(flatten)]
    withhold: join::Withhold,
    #[command(flatten)]
    registries: RegistryArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Everything that is decided before anything is done.
struct Decided {
    desired: Desired,
    found: Found,
    plan: Plan,
    selection: Selection,
    now: jiff::Timestamp,
    /// The content of `--kubeconfig`.
    kubeconfig: Option<Secret>,
}

pub fn run(args: InitArgs, invocation: &Invocation) -> Result<()> {
    let (only, flags, options) = match args.command {
        Some(InitCommand::Phase { name, flags, options }) => (Some(name.join("/")), flags, options),
        None => (None, PhaseFlags::default(), args.options),
    };
    let decided = decide(only.as_deref(), &flags, &options, invocation)?;
    if flags.print_manifest {
        return print::objects(&decided, invocation);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if options.dry_run || decided.desired.config.dry_run {
        return runtime.block_on(dry_run::run(&decided, options.out.as_deref(), invocation));
    }
    let done = runtime.block_on(run::run(&decided, &options, invocation));
    // a key or a layer that nobody waits for any more
    runtime.shutdown_background();
    done
}

/// Reads configuration and machine, and decides. Nothing is changed.
fn decide(only: Option<&str>, flags: &PhaseFlags, options: &Options, invocation: &Invocation) -> Result<Decided> {
    let mut facts = facts::gather(&invocation.layout)?;
    let file = options.config.file.as_deref().map(read_config).transpose()?;
    let kubeconfig = flags.kubeconfig.as_deref().map(read_kubeconfig).transpose()?;
    let written =
        Flags { extra_args: flags.extra_args(), upload_certs: options.upload_certs, ..options.config.to_flags() };
    let config: Config = resolve(&written, file, &facts).map_err(Fault::from)?;
    for warning in &config.warnings {
        invocation.report.warning(warning);
    }
    let selection = Selection::new(only, &config.skip_phases)?;
    facts.external_ca = facts::has_external_ca(&invocation.layout, &config.certificates_dir);
    let needed = desired::accounts(&config);
    facts.accounts = needed.map(|accounts| users::look(&invocation.layout, &accounts)).transpose()?;
    // a dry run takes no ids: it shows those of users that are there
    let is_dry_run = options.dry_run || config.dry_run;
    let known = facts.accounts.iter().find(|allocation| !is_dry_run || allocation.is_complete());
    facts.identities = known.map(|allocation| allocation.identities.clone());
    let patches = config.patches_directory.as_deref().map(facts::patches).transpose()?.unwrap_or_default();
    for sentence in patch::passed_over(&patches)? {
        invocation.report.warning(format!("patches.directory: {sentence}"));
    }
    let desired = Desired::new(config, &facts, &patches)?;
    for warning in &desired.warnings {
        invocation.report.warning(warning);
    }
    patches::tell(&desired, options.dry_run || desired.config.dry_run, invocation)?;
    let found = found::look(&invocation.layout, &desired, facts.now)?;
    let everything = phase::plan(&desired, &found);
    let used = phase::check_dependencies(&desired, &found, &everything, &selection, flags.given())?;
    let plan = selection.of(&everything);
    for sentence in used {
        invocation.report.warning(sentence);
    }
    for warning in phase::warnings(&desired, &found, &plan) {
        invocation.report.warning(warning);
    }
    Ok(Decided { desired, found, plan, selection, now: facts.now, kubeconfig })
}

fn read_kubeconfig(path: &Path) -> Result<Secret> {
    let read = std::fs::read_to_string(path);
    read.map(Secret::new)
        .map_err(|error| Fault::usage(format!("--kubeconfig: cannot read `{}`", path.display())).because(error).into())
}

//! The command line: one short file per command; clap's types stay in here.

pub mod age;
pub mod audit;
pub mod certs;
pub mod config;
pub mod describe;
pub mod events;
pub mod exec;
pub mod images;
pub mod init;
pub mod kubeconfig;
pub mod logs;
pub mod phases;
mod pod_name;
pub mod profile;
pub mod ps;
pub mod report;
pub mod reset;
pub mod restart;
pub mod runner;
pub mod status;
pub mod stop;
pub mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ContextKind;
use clap::{Args, Parser, Subcommand};

use crate::error::{self, Context, Exit, Result};
use crate::layout::Layout;
use report::Report;

/// Two lines of a terminal.
const LONGEST_USAGE: usize = 160;

/// Turns a bare Linux machine into a Kubernetes control plane.
#[derive(Debug, Parser)]
#[command(name = "bootstrap", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Put every path under DIR
    #[arg(long, value_name = "DIR", default_value = "/", global = true, help_heading = "Global options")]
    root: PathBuf,
    /// Say more about what goes on; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Global options")]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the control plane up
    Init(Box<init::InitArgs>),
    /// Take away what init made
    Reset(reset::ResetArgs),
    /// Tell when certificates expire, renew them, ask others for them
    Certs(certs::CertsArgs),
    /// Make a kubeconfig for another user
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// List the phases of init
    Phases(phases::PhasesArgs),
    /// Run the static pods in the foreground
    Runner(runner::RunnerArgs),
    /// Show every pod and container, also while the API is down
    Status(status::StatusArgs),
    /// Tell the story of a pod: what happened, why, and what comes next
    Describe(describe::DescribeArgs),
    /// Show what has happened to pods and containers, also while the API is down
    Events(events::EventsArgs),
    /// Show a container's log
    Logs(logs::LogsArgs),
    /// Run a command in a container
    Exec(exec::ExecArgs),
    /// List the containers
    Ps(ps::PsArgs),
    /// Check what runs against a hardening benchmark
    Audit(audit::AuditArgs),
    /// End a pod and start it anew, without back-off
    Restart(restart::RestartArgs),
    /// Stop one container; its pod's restart policy then applies
    Stop(stop::StopArgs),
    /// Print, check and migrate configurations, and list and pull their images
    Config(config::ConfigArgs),
    /// Make, list and delete the tokens that nodes join with
    Token(token::TokenArgs),
    /// List, pull, import and build images
    Images(images::ImagesArgs),
}

/// What a command gets besides its own arguments.
#[derive(Debug)]
pub struct Invocation {
    pub layout: Layout,
    pub report: Report,
    /// How often `-v` was given.
    pub verbose: u8,
}

/// Parses the command line, runs the command and reports its failure.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut usage) => {
            drop_long_usage(&mut usage);
            let code = if usage.use_stderr() { Exit::Usage as u8 } else { 0 };
            // a closed pipe is the reader's choice
            let _ = usage.print();
            return ExitCode::from(code);
        }
    };
    let report = Report::new();
    match run(cli, &report) {
        Ok(code) => code,
        Err(failure) => {
            report.failure(&failure);
            ExitCode::from(error::exit_of(&failure) as u8)
        }
    }
}

/// A usage that names every flag of init hides what is wrong.
fn drop_long_usage(error: &mut clap::Error) {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    if usage.len() > LONGEST_USAGE {
        error.remove(ContextKind::Usage);
    }
}

fn run(cli: Cli, report: &Report) -> Result<ExitCode> {
    let root = std::path::absolute(&cli.global.root).context("cannot make `--root` absolute")?;
    report.log(cli.global.verbose, matches!(cli.command, Command::Runner(_)));
    let context = Invocation { layout: Layout::new(root), report: report.clone(), verbose: cli.global.verbose };
    match cli.command {
        Command::Init(args) => init::run(*args, &context),
        Command::Reset(args) => reset::run(args, &context),
        Command::Certs(args) => certs::run(args, &context),
        Command::Kubeconfig(args) => kubeconfig::run(args, &context),
        Command::Phases(args) => phases::run(args, &context),
        Command::Runner(args) => runner::run(args, &context),
        Command::Status(args) => status::run(args, &context),
        Command::Describe(args) => describe::run(args, &context),
        Command::Events(args) => events::run(args, &context),
        Command::Logs(args) => logs::run(args, &context),
        // the code is the command's own
        Command::Exec(args) => return exec::run(args, &context).map(ExitCode::from),
        Command::Ps(args) => ps::run(args, &context),
        Command::Audit(args) => audit::run(args, &context),
        Command::Restart(args) => restart::run(args, &context),
        Command::Stop(args) => stop::run(args, &context),
        Command::Config(args) => config::run(args, &context),
        Command::Token(args) => token::run(args, &context),
        Command::Images(args) => images::run(args, &context),
    }
    .map(|()| ExitCode::SUCCESS)
}

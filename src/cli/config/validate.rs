//! `bootstrap config validate`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::read_config;
use crate::cli::Invocation;
use crate::config::Config;
use crate::config::facts::Facts;
use crate::config::file::{self, FileInput};
use crate::config::flags::Flags;
use crate::config::problem::{Problem, Problems};
use crate::config::resolve::resolve;
use crate::desired::{Desired, component_config};
use crate::error::{Fault, Result};

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &ValidateArgs, invocation: &Invocation) -> Result<()> {
    let file = read_config(&args.config)?;
    let (written, _) = file::decode(&file.text);
    let facts = Facts::placeholder(Timestamp::now());
    let config = resolved(file, written.foreign, &facts)?;
    for warning in &config.warnings {
        invocation.report.warning(warning);
    }
    // what the configurations of other components and all flags come to
    let desired = Desired::new(config, &facts, &[])?;
    no_strangers(&desired.config)?;
    invocation.report.line("ok");
    Ok(())
}

/// init leaves out what a component's configuration does not know, and says so; whoever asks wants to know.
pub(super) fn no_strangers(config: &Config) -> Result<()> {
    let strangers = component_config::strangers(config)?;
    if strangers.is_empty() { Ok(()) } else { Err(Fault::usage(strangers.join(" ")).into()) }
}

/// The configuration, unless something is wrong with it or it holds documents that have no business there.
pub(super) fn resolved(file: FileInput, refused: Vec<Problem>, facts: &Facts) -> Result<Config> {
    let name = file.name.clone();
    match resolve(&Flags::default(), Some(file), facts) {
        Ok(config) if refused.is_empty() => Ok(config),
        Ok(_) => Err(Fault::from(Problems::new(Some(name), refused)).into()),
        Err(problems) => Err(Fault::from(problems.and(refused)).into()),
    }
}

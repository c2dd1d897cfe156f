//! `bootstrap config`

mod images;
mod migrate;
mod print;
mod validate;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand};

use super::Invocation;
use crate::config::file::{FileInput, MAX_BYTES};
use crate::error::{Context, Fault, Result};

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration that init would use, with all that it found out, as a file for `--config`
    Print(Box<print::PrintArgs>),
    /// Check a configuration file; prints `ok`
    Validate(validate::ValidateArgs),
    /// Write a configuration file of an older version in the newest
    Migrate(migrate::MigrateArgs),
    /// List or pull the images of a configuration
    Images(images::ConfigImagesArgs),
}

pub fn run(args: ConfigArgs, invocation: &Invocation) -> Result<()> {
    match args.command {
        ConfigCommand::Print(args) => print::run(*args, invocation),
        ConfigCommand::Validate(args) => validate::run(&args, invocation),
        ConfigCommand::Migrate(args) => migrate::run(&args, invocation),
        ConfigCommand::Images(args) => images::run(args, invocation),
    }
}

/// Reads a configuration file. No more of it than a configuration can have: it may be a device.
pub(super) fn read_config(path: &Path) -> Result<FileInput> {
    let name = path.display().to_string();
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content))
        .with_context(|| format!("cannot read `{name}`"))
        .map_err(|error| Fault::usage("no configuration").because(error))?;
    if content.len() > MAX_BYTES {
        return Err(Fault::usage(format!("the configuration `{name}` has more than {MAX_BYTES} bytes")).into());
    }
    let text = String::from_utf8(content).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Fault::usage(format!("{name}:{line}: the configuration is not UTF-8"))
    })?;
    Ok(FileInput { name, text })
}

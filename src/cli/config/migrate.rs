//! `bootstrap config migrate`

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::{read_config, validate};
use crate::cli::Invocation;
use crate::config::facts::Facts;
use crate::config::file;
use crate::config::{Config, TokenSource};
use crate::desired::config_file;
use crate::error::{Context, Result};
use crate::files;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// The configuration file to read
    #[arg(long, value_name = "FILE")]
    old_config: PathBuf,
    /// Where to write the newer one; only its owner may read it if it holds a token or a key [default: standard output]
    #[arg(long, value_name = "FILE")]
    new_config: Option<PathBuf>,
}

/// Anybody may read it.
const PUBLIC: u32 = 0o644;
/// Only its owner may.
const SECRET: u32 = 0o600;

pub(super) fn run(args: &MigrateArgs, invocation: &Invocation) -> Result<()> {
    let old = read_config(&args.old_config)?;
    let (written, _) = file::decode(&old.text);
    let lost = [written.others.clone(), written.foreign.clone()].concat();
    let config = validate::resolved(old, lost, &Facts::placeholder(Timestamp::now()))?;
    validate::no_strangers(&config)?;
    for warning in config.warnings.iter().skip(written.deprecated.len()) {
        invocation.report.warning(warning);
    }
    let text = config_file::migrated(&written, &config)?;
    match &args.new_config {
        None => invocation.report.line(text.trim_end()),
        Some(path) => {
            let path = std::path::absolute(path).with_context(|| format!("cannot find `{}`", path.display()))?;
            files::write(&path, text.as_bytes(), if holds_secret(&config) { SECRET } else { PUBLIC })?;
        }
    }
    Ok(())
}

fn holds_secret(config: &Config) -> bool {
    let is_given = |token: &crate::config::BootstrapToken| token.source == TokenSource::Given;
    config.certificate_key.is_some() || config.bootstrap_tokens.iter().any(is_given)
}

//! `bootstrap phases`: the phases of init, in order.

use clap::Args;

use super::Invocation;
use crate::error::Result;
use crate::phase::{PHASES, PREFLIGHT, PREFLIGHT_ABOUT};

#[derive(Debug, Args)]
pub struct PhasesArgs {}

pub fn run(_args: PhasesArgs, invocation: &Invocation) -> Result<()> {
    let first = vec![PREFLIGHT.to_owned(), PREFLIGHT_ABOUT.to_owned()];
    let rows: Vec<_> = std::iter::once(first)
        .chain(PHASES.iter().map(|phase| vec![phase.name.to_owned(), phase.about.to_owned()]))
        .collect();
    invocation.report.table(&["PHASE", "ABOUT"], &rows);
    Ok(())
}

//! `bootstrap phases`: the phases of init with their steps, in order.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Invocation;
use crate::error::Result;
use crate::phase::{Item, PHASES, PREFLIGHT};

#[derive(Debug, Args)]
pub struct PhasesArgs {
    /// Text for people, JSON for programs
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(args: PhasesArgs, invocation: &Invocation) -> Result<()> {
    let phases = std::iter::once((PREFLIGHT.name, PREFLIGHT.about, &[][..]))
        .chain(PHASES.iter().map(|phase| (phase.name, phase.about, phase.items)));
    match args.output {
        Output::Json => {
            let phases: Vec<_> = phases.map(|(name, about, items)| as_json(name, about, items)).collect();
            invocation.report.json(&json!({ "phases": phases }))?;
        }
        Output::Text => {
            let row = |name: String, about: &str| vec![name, about.to_owned()];
            let rows = phases.flat_map(|(phase, about, items)| {
                let steps = items.iter().map(move |item| row(format!("{phase}/{}", item.name), item.about));
                std::iter::once(row(phase.to_owned(), about)).chain(steps)
            });
            invocation.report.table(&["PHASE", "ABOUT"], &rows.collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn as_json(name: &str, about: &str, items: &[Item]) -> Value {
    let steps: Vec<_> = items.iter().map(|item| json!({ "name": item.name, "about": item.about })).collect();
    json!({ "name": name, "about": about, "steps": steps })
}

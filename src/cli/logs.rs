//! `bootstrap logs`: reads the files themselves, so that it works without a runner and without an API server.

mod find;

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Invocation;
use super::report::Report;
use crate::error::Result;
use crate::runner::logs::reader::{self, Followed, Wanted};
use find::Container;

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name of the pod, with or without the node's name
    #[arg(value_name = "POD")]
    pod: String,
    /// Name of the container, if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Go on with what is written, over rotations and restarts
    #[arg(short, long)]
    follow: bool,
    /// Show the run before the current one
    #[arg(short, long, conflicts_with = "follow")]
    previous: bool,
    /// Show only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Begin each line with the time it was written at
    #[arg(long)]
    timestamps: bool,
}

pub fn run(args: LogsArgs, invocation: &Invocation) -> Result<()> {
    let container = find::container(&invocation.layout, &args.pod, args.container.as_deref())?;
    let path = container.log(args.previous)?;
    let shown = show(&args, container, path, &invocation.report);
    match shown {
        // the reader has seen enough
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        shown => shown,
    }
}

fn show(args: &LogsArgs, container: Container, path: PathBuf, report: &Report) -> Result<()> {
    let wanted = Wanted { timestamps: args.timestamps, tail: args.tail, ..Wanted::default() };
    let followed: Option<&dyn Followed> = if args.follow { Some(&container) } else { None };
    reader::read(path, wanted, followed, &mut |block| report.raw(block))
}

impl Followed for Container {
    fn current(&self) -> Option<PathBuf> {
        self.latest()
    }

    /// Whoever reads interrupts it.
    fn is_over(&self) -> bool {
        false
    }
}

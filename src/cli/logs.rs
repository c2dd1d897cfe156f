//! `bootstrap logs`: reads the files themselves, so that it works without a runner and without an API server.

mod find;
mod lines;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Invocation;
use super::report::Report;
use crate::error::{Context, Result};
use find::Container;
use lines::Joiner;

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

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(100);

pub fn run(args: LogsArgs, invocation: &Invocation) -> Result<()> {
    let container = find::container(&invocation.layout, &args.pod, args.container.as_deref())?;
    let path = container.log(args.previous)?;
    let shown = show(&args, &container, path, &invocation.report);
    match shown {
        // the reader has seen enough
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        shown => shown,
    }
}

fn show(args: &LogsArgs, container: &Container, path: PathBuf, report: &Report) -> Result<()> {
    let mut log = Log::open(path)?;
    let mut joiner = Joiner::new(args.timestamps);
    match args.tail {
        Some(count) => {
            let mut last = VecDeque::new();
            while let Some(record) = log.next()? {
                last.extend(joiner.push(&record));
                while last.len() > count {
                    last.pop_front();
                }
            }
            for line in last {
                report.raw(&line)?;
            }
        }
        None => log.print(&mut joiner, report)?,
    }
    if !args.follow {
        return Ok(report.raw(&joiner.rest())?);
    }
    loop {
        log.print(&mut joiner, report)?;
        if let Some(next) = container.latest().filter(|latest| !log.is(latest)) {
            // what was written between the last look and the rename or the restart
            log.print(&mut joiner, report)?;
            log = Log::open(next)?;
        } else {
            std::thread::sleep(POLL);
        }
    }
}

/// A log file being read; what it was renamed to does not matter.
struct Log {
    reader: BufReader<File>,
    identity: (u64, u64),
    /// The beginning of a record that is still being written.
    partial: Vec<u8>,
}

impl Log {
    fn open(path: PathBuf) -> Result<Self> {
        let cannot = || format!("cannot read `{}`", path.display());
        let file = File::open(&path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Log { reader: BufReader::new(file), identity, partial: Vec::new() })
    }

    fn is(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }

    /// The next whole record, or `None` while there is none.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.reader.read_until(b'\n', &mut self.partial).context("cannot read the log")?;
        if self.partial.ends_with(b"\n") { Ok(Some(std::mem::take(&mut self.partial))) } else { Ok(None) }
    }

    fn print(&mut self, joiner: &mut Joiner, report: &Report) -> Result<()> {
        let mut block = Vec::new();
        while let Some(record) = self.next()? {
            joiner.push(&record).into_iter().for_each(|line| block.extend(line));
            if block.len() > 1 << 16 {
                report.raw(&std::mem::take(&mut block))?;
            }
        }
        Ok(report.raw(&block)?)
    }
}

//! The only writer to stdout and stderr.
//!
//! Results go to stdout, everything about the way there to stderr. On a terminal a line may be redrawn; otherwise
//! every event is a line of its own.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::{self, Result};

/// Cheap to clone; every clone writes to the same streams.
#[derive(Debug, Clone)]
pub struct Report {
    terminal: bool,
}

impl Default for Report {
    fn default() -> Self {
        Report::new()
    }
}

impl Report {
    pub fn new() -> Self {
        Report { terminal: io::stderr().is_terminal() }
    }

    /// Lines may be redrawn in place.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The result goes to a terminal, which may be wiped.
    pub fn is_screen(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// What follows replaces what is on the screen; elsewhere an empty line parts it from what came before.
    pub fn begin_picture(&self) {
        // to the upper left, and clear from there on
        self.line(if self.is_screen() { "\x1b[H\x1b[J" } else { "" });
    }

    /// A line of the result. A reader that has gone away ends nothing but the output.
    pub fn line(&self, text: impl AsRef<str>) {
        let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
    }

    /// Bytes of the result, as they are: log contents.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Bytes that a command of somebody else's has meant for stderr.
    pub fn raw_error(&self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(bytes)
    }

    /// The result as one JSON document.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(text);
        Ok(())
    }

    /// A line about the way there.
    pub fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    /// A question, with the cursor left behind it.
    pub fn prompt(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    pub fn warning(&self, text: impl AsRef<str>) {
        self.note(format!("warning: {}", text.as_ref()));
    }

    /// Sends the events of this program to stderr from now on: for a command that does not end, a line for all that
    /// happens, with its time; for the others only warnings. More with each `-v`.
    pub fn log(&self, verbose: u8, is_endless: bool) {
        use tracing_subscriber::filter::{LevelFilter, Targets};
        use tracing_subscriber::prelude::*;
        let own = match verbose {
            0 if is_endless => LevelFilter::INFO,
            0 => LevelFilter::WARN,
            1 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        // the libraries below speak of their own affairs
        let others = match verbose {
            0 | 1 if is_endless => LevelFilter::WARN,
            // a failure of theirs is told by the command, or passes
            0 | 1 => LevelFilter::OFF,
            _ => LevelFilter::DEBUG,
        };
        let filter = Targets::new().with_target("bootstrap", own).with_default(others);
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
        let subscriber = tracing_subscriber::registry().with(filter);
        // systemd's journal has times of its own (systemd.exec(5))
        let is_timed = is_endless && std::env::var_os("JOURNAL_STREAM").is_none();
        // a second call changes nothing
        let _ = match is_timed {
            true => subscriber.with(lines).try_init(),
            false => subscriber.with(lines.without_time()).try_init(),
        };
    }

    /// The end of a command that failed: the chain, then the hint.
    pub fn failure(&self, failure: &anyhow::Error) {
        self.note(format!("error: {}", error::chain_of(failure)));
        if let Some(hint) = error::hint_of(failure) {
            self.note(format!("hint: {hint}"));
        }
    }

    /// Columns under their heads, padded to the widest cell; the last column is not padded.
    pub fn table(&self, heads: &[&str], rows: &[Vec<String>]) {
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let draw = |cells: &mut dyn Iterator<Item = &str>| {
            let line: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            self.line(line.join("   ").trim_end());
        };
        draw(&mut heads.iter().copied());
        for row in rows {
            draw(&mut row.iter().map(String::as_str));
        }
    }
}

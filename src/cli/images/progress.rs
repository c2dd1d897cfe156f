//! How a pull is shown: a bar for each layer on a terminal, otherwise a line for each event.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::report::Report;
use crate::image::digest::Digest;
use crate::image::pull::{Event, Progress};
use crate::image::reference::Reference;

/// Shows the progress of one image after the other.
pub struct Shown {
    report: Report,
    bars: MultiProgress,
    layers: Mutex<BTreeMap<Digest, ProgressBar>>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl Shown {
    pub fn new(report: &Report) -> Shown {
        let target = if report.is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Shown { report: report.clone(), bars: MultiProgress::with_draw_target(target), layers: Mutex::default() }
    }

    fn note(&self, text: String) {
        self.bars.suspend(|| self.report.note(text));
    }

    /// On a terminal the bars say it.
    fn line(&self, text: String) {
        if !self.report.is_terminal() {
            self.report.note(text);
        }
    }

    fn with_bar(&self, layer: &Digest, change: impl Fn(&ProgressBar)) {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.get(layer).into_iter().for_each(change);
    }

    fn add_bars(&self, layers: Vec<(Digest, u64)>) {
        let style = ProgressStyle::with_template("  {prefix} [{bar:30}] {bytes:>10}/{total_bytes:<10} {msg}")
            .expect("the template is valid")
            .progress_chars("=> ");
        let mut shown = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        for (layer, size) in layers {
            let bar = self.bars.add(ProgressBar::new(size).with_style(style.clone()).with_prefix(layer.short()));
            shown.insert(layer, bar);
        }
    }
}

impl Progress for Shown {
    fn on(&self, image: &Reference, event: Event) {
        match event {
            Event::Resolved { layers, .. } => {
                let size = super::size(layers.iter().map(|(_, size)| size).sum());
                self.note(format!("pulling {image}: {} layers, {size}", layers.len()));
                self.add_bars(layers);
            }
            Event::Downloading { layer, done, .. } => self.with_bar(&layer, |bar| bar.set_position(done)),
            Event::Unpacking { layer } => self.with_bar(&layer, |bar| bar.set_message("unpacking")),
            Event::Present { layer } => {
                self.with_bar(&layer, |bar| {
                    bar.set_position(bar.length().unwrap_or_default());
                    bar.finish_with_message("already here");
                });
                self.line(format!("layer {} is already here", layer.short()));
            }
            Event::Unpacked { layer } => {
                self.with_bar(&layer, |bar| bar.finish_with_message("done"));
                self.line(format!("layer {} is done", layer.short()));
            }
            Event::Retrying { reason, pause } => {
                self.note(format!("{reason}; trying again in {:.1} s", pause.as_secs_f32()));
            }
            Event::UpToDate => self.note(format!("{image} is up to date")),
            Event::Done => self.line(format!("{image} is pulled")),
        }
    }
}

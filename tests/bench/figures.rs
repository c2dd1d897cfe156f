//! Figures of several rounds, and the lines that hold them against their targets.

use std::time::Duration;

/// The same figure of every round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure(Vec<f64>);

impl Figure {
    /// A figure that was taken once; 0 where there is no floor.
    pub(crate) fn single(value: f64) -> Figure {
        Figure(vec![value])
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn took(&mut self, duration: Duration) {
        self.add(duration.as_secs_f64());
    }

    pub(crate) fn min(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn print(&self, name: &str, unit: &str) {
        println!("  {name:<44} min {:>8.3} {unit}   median {:>8.3} {unit}", self.min(), self.median());
    }
}

/// A line of the verdict: `floor` is what is measured from, `allowed` how much may come on top. Noise only adds, so a
/// target that even the minima miss is missed; one that only the medians miss may be the machine's other work.
pub(crate) fn judge(name: &str, unit: &str, figure: &Figure, floor: &Figure, allowed: f64) {
    let over = |of: fn(&Figure) -> f64| of(figure) - of(floor);
    let verdict = match (over(Figure::min) <= allowed, over(Figure::median) <= allowed) {
        (_, true) => "ok",
        (true, false) => "ok by its minima",
        (false, false) => "MISSED",
    };
    let times = match floor.median() {
        0.0 => String::new(),
        floor => format!(", {:.2} times the floor", figure.median() / floor),
    };
    let (min, median) = (over(Figure::min), over(Figure::median));
    println!("  {name:<44} min {min:>+8.3}   median {median:>+8.3}   of {allowed} {unit}{times}: {verdict}");
}

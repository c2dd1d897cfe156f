//! PURE: how many equal outcomes in a row make a verdict [5.8].

#[derive(Debug, Clone)]
pub struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    count: u32,
}

impl Tally {
    pub fn new(success_threshold: u32, failure_threshold: u32) -> Self {
        Tally { success_threshold, failure_threshold, last: None, count: 0 }
    }

    /// The verdict, once, when this outcome makes its threshold full.
    pub fn record(&mut self, success: bool) -> Option<bool> {
        if self.last == Some(success) {
            self.count = self.count.saturating_add(1);
        } else {
            (self.last, self.count) = (Some(success), 1);
        }
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        (self.count == threshold.max(1)).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_148_only_unbroken_rows_make_a_verdict() {
        let mut tally = Tally::new(2, 3);
        let verdicts: Vec<_> = "ssffsfffffss".chars().map(|outcome| tally.record(outcome == 's')).collect();
        let expected = [None, Some(true), None, None, None, None, None, Some(false), None, None, None, Some(true)];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_threshold_of_one_speaks_at_once() {
        let mut tally = Tally::new(1, 1);
        assert_eq!(
            [true, true, false, true].map(|outcome| tally.record(outcome)),
            [Some(true), None, Some(false), Some(true)]
        );
    }
}

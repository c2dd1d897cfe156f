//! Preflight of `init`: looks at the machine, and has what it found judged.

use std::time::Duration;

use super::Decided;
use crate::error::Result;
use crate::host::probe::{self, Probe, Reach};
use crate::layout::Layout;
use crate::phase;
use crate::plan::Plan;
use crate::preflight::{self, Extent, Given, Machine, Verdict};

/// For names, where preflight is all there is: their answers do not come later. More than a resolver gets at most.
const PATIENT: Duration = Duration::from_secs(10);

/// What was found, and what may still come.
pub(super) struct Preflight<'a> {
    decided: &'a Decided,
    plan: Plan,
    machine: Machine,
    /// `None` when only the checks that are always run were wanted.
    probe: Option<Probe<'a>>,
    verdicts: Vec<Verdict>,
}

impl<'a> Preflight<'a> {
    /// With only a part of init wanted, only the checks that are always run.
    pub(super) async fn look(decided: &'a Decided, layout: &'a Layout, reach: Reach) -> Preflight<'a> {
        let (desired, selection) = (&decided.desired, &decided.selection);
        // preflight alone is about what a whole init would do
        let plan = match selection.is_preflight_alone() {
            true => phase::plan(desired, &decided.found),
            false => decided.plan.clone(),
        };
        let (machine, probe) = match selection.includes_preflight() {
            true => {
                let mut probe = Probe::begin(layout, desired, reach);
                let patience = if selection.is_preflight_alone() { PATIENT } else { Duration::ZERO };
                (probe.look(&plan, patience).await, Some(probe))
            }
            false => (probe::least(layout, desired), None),
        };
        let mut preflight = Preflight { decided, plan, machine, probe, verdicts: Vec::new() };
        let extents = if preflight.probe.is_some() { Extent::ALL } else { &[Extent::Always] };
        let verdicts = preflight.judge(extents);
        preflight.verdicts = if reach == Reach::Whole { preflight::user_first(verdicts) } else { verdicts };
        preflight
    }

    fn judge(&self, extents: &[Extent]) -> Vec<Verdict> {
        let Decided { desired, found, .. } = self.decided;
        let given = Given { desired, found, plan: &self.plan, machine: &self.machine };
        let is_ignored = |check: &str| desired.config.ignores_preflight(check);
        preflight::settle(preflight::check_all(&given, extents), is_ignored)
    }

    pub(super) fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Fails when a verdict refuses.
    pub(super) fn refuse(&self) -> Result<()> {
        preflight::refuse(&self.verdicts)
    }

    /// Verdicts that have come to be known since.
    pub(super) fn catch_up(&mut self) -> Vec<Verdict> {
        let Some(probe) = &mut self.probe else { return Vec::new() };
        probe.catch_up(&mut self.machine);
        let late = self.judge(&[Extent::Late]);
        late.into_iter().filter(|verdict| !self.verdicts.contains(verdict)).collect()
    }
}

//! PURE: whose turn it is in a pod: init containers, sidecars and the rest, at the start and at the end [3.B, 2.34].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::container::{LEAST_GRACE, succeeded};
use super::state::{Cause, Command, Run, Stage, Tag, Up};
use super::whole::Failure;
use crate::runner::pod::ContainerKind;

impl Up {
    fn kind(&self, index: usize) -> ContainerKind {
        self.pod.containers[index].kind
    }

    fn of_kind(&self, kind: ContainerKind) -> impl Iterator<Item = usize> {
        let kinds: Vec<_> = self.pod.containers.iter().map(|container| container.kind).collect();
        (0..kinds.len()).filter(move |index| kinds[*index] == kind)
    }

    fn is_over(&self, index: usize) -> bool {
        matches!(self.slots[index].run, Run::Done)
    }

    /// An init container failed and is not tried again: the pod has failed, its regular containers never run [3.11].
    pub fn has_failed(&self) -> bool {
        let failed = |index: usize| {
            let last = self.slots[index].last.as_ref();
            self.is_over(index) && last.is_some_and(|last| !succeeded(ContainerKind::Init, &last.exit))
        };
        !self.initialized && self.resetting.is_none() && self.of_kind(ContainerKind::Init).any(failed)
    }

    /// What comes after it may start.
    fn lets_pass(&self, index: usize) -> bool {
        match self.kind(index) {
            ContainerKind::Init => self.is_over(index),
            ContainerKind::Sidecar => self.slots[index].started,
            ContainerKind::Regular => true,
        }
    }

    /// Nothing that comes before it holds it up.
    pub(super) fn may_start(&self, index: usize) -> bool {
        let is_free = || (0..index).all(|before| self.lets_pass(before));
        self.ending.is_none() && (self.initialized || !self.has_failed() && is_free())
    }

    /// Starts the first container that is due, unless another is being made.
    pub(super) fn start_next(&mut self, generation: u64, now: Instant, commands: &mut Vec<Command>) {
        if self.is_busy() {
            return;
        }
        let is_due = |index: &usize| {
            let is_due = matches!(&self.slots[*index].run, Run::Waiting { due, .. } if *due <= now);
            is_due && self.may_start(*index)
        };
        let Some(index) = (0..self.slots.len()).find(is_due) else { return };
        self.initialized |= self.kind(index) == ContainerKind::Regular;
        let tag = self.tag(generation, index);
        let slot = &mut self.slots[index];
        if let Run::Waiting { after, why, .. } = &slot.run {
            if let Some(after) = after {
                slot.backoff.restart(*after, now);
            }
            slot.run = Run::Pulling { why: why.clone() };
            commands.push(Command::Pull { tag, pod: Arc::clone(&self.pod) });
        }
    }

    /// Nothing runs or will run but sidecars.
    pub(super) fn has_run(&self) -> bool {
        let regular = || self.of_kind(ContainerKind::Regular);
        self.has_failed() || self.initialized && regular().all(|index| self.is_over(index))
    }

    /// The pod is over, its sidecars too.
    pub fn is_finished(&self, failure: Option<Failure>) -> bool {
        let is_over = failure.is_some() || self.resetting.is_none() && self.has_run();
        is_over && self.slots.iter().all(|slot| slot.live().is_none())
    }

    /// Begins to stop the sidecars when nothing is left that they are there for [3.15].
    pub(super) fn retire(&mut self, generation: u64, now: Instant, commands: &mut Vec<Command>) {
        if self.ending.is_none() && self.has_run() {
            self.stop(self.pod.grace, generation, now, commands);
        }
    }

    /// The pod is to end within `grace`: what does not run never will. A later call can only shorten it [2.33].
    pub(super) fn stop(&mut self, grace: Duration, generation: u64, now: Instant, commands: &mut Vec<Command>) {
        self.ending = Some(self.ending.map_or(now + grace, |ending| ending.min(now + grace)));
        for index in 0..self.slots.len() {
            match &self.slots[index].run {
                Run::Waiting { .. } | Run::Pulling { .. } => self.slots[index].run = Run::Done,
                Run::Starting | Run::Running(_) | Run::Killing { .. } | Run::Done => {}
            }
            self.kill(index, Cause::Pod, grace, generation, now, commands);
        }
    }

    /// Signals every container that is to end and has its turn; repeats stops that failed.
    pub(super) fn signal(&mut self, generation: u64, now: Instant, commands: &mut Vec<Command>) {
        for index in 0..self.slots.len() {
            let has_turn = self.may_be_signalled(index, now);
            let tag = self.tag(generation, index);
            if let Run::Killing { live, until, stage, .. } = &mut self.slots[index].run
                && (*stage == Stage::Turn && has_turn || matches!(stage, Stage::Retry(at) if *at <= now))
            {
                *stage = Stage::Signalled;
                let grace = until.saturating_duration_since(now).max(LEAST_GRACE);
                commands.push(Command::Stop { tag, id: live.id.clone(), grace });
            }
        }
    }

    /// A sidecar waits for everything that was started after it, but not longer than the pod's grace [2.34].
    fn may_be_signalled(&self, index: usize, now: Instant) -> bool {
        let is_ordered = self.kind(index) == ContainerKind::Sidecar
            && matches!(&self.slots[index].run, Run::Killing { cause: Cause::Pod, .. });
        let is_last = || {
            let after = |other: &usize| *other > index || self.kind(*other) != ContainerKind::Sidecar;
            (0..self.slots.len()).filter(after).all(|other| self.is_over(other))
        };
        !is_ordered || self.ending.is_none_or(|ending| ending <= now) || is_last()
    }

    pub(super) fn tag(&self, generation: u64, index: usize) -> Tag {
        Tag { generation, container: index, attempt: self.slots[index].attempt }
    }
}

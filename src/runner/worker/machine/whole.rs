//! PURE: what befalls a pod as a whole: the end of its time [2.43], and the restart of all its containers [3.16].

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::state::{Command, Life, Run, State, Up, Why};

/// Why a pod has failed, whatever its containers do; it never runs again [7.4].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It has been there for longer than its `activeDeadlineSeconds` [2.43].
    DeadlineExceeded,
}

impl Failure {
    /// In the kubelet's words.
    pub fn why(self) -> Why {
        match self {
            Failure::DeadlineExceeded => {
                let message = "Pod was active on the node longer than the specified deadline";
                Why::new("DeadlineExceeded", message.to_owned())
            }
        }
    }
}

impl State {
    /// When the pod's time is over, while that can still make it fail.
    pub(super) fn end_of_time(&self) -> Option<Instant> {
        let pod = match &self.life {
            Life::Retrying { pod, .. } => pod,
            Life::Up(up) if !up.has_run() => &up.pod,
            // what is being made cannot be called back; what is over, or on its way out, is not failed by that
            Life::Up(_)
            | Life::Absent
            | Life::Making { .. }
            | Life::Stopping(_)
            | Life::Clearing { .. }
            | Life::Finished(_) => return None,
        };
        let began = self.began.filter(|_| self.failure.is_none())?;
        began.checked_add(pod.active_deadline?)
    }

    pub(super) fn keep_time(&mut self, now: Instant) {
        if self.end_of_time().is_some_and(|end| end <= now) {
            self.failure = Some(Failure::DeadlineExceeded);
        }
    }
}

impl Up {
    /// Begins to stop every container of a pod that has failed, or whose containers are all to be restarted.
    pub(super) fn stop_all(
        &mut self,
        failure: Option<Failure>,
        generation: u64,
        now: Instant,
        commands: &mut Vec<Command>,
    ) {
        if failure.is_some() {
            self.resetting = None;
        }
        if self.ending.is_none() && (failure.is_some() || self.resetting.is_some()) {
            self.stop(self.pod.grace, generation, now, commands);
        }
    }

    /// All containers have ended to be restarted: they begin anew, in order, in the same sandbox. Who asked for it has
    /// its back-off to wait for; for the others it was no crash.
    pub(super) fn reset(&mut self, now: Instant) {
        let trigger = self.resetting.take();
        (self.ending, self.initialized) = (None, false);
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let has_run = slot.last.as_ref().is_some_and(|last| last.attempt == slot.attempt);
            slot.attempt += u32::from(has_run);
            slot.run = match &slot.last {
                Some(last) if trigger == Some(index) => slot.waiting(last.at, None, None, &self.pod, index),
                _ => Run::Waiting { due: now, after: None, why: None },
            };
        }
    }
}

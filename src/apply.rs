//! The one loop that performs a plan, whoever performs it.
//!
//! A step begins when everything it needs is done, so what can happen side by side does: keys are made while the
//! runner starts, etcd runs while other certificates are still being signed. The first failure ends the loop; steps
//! under way are dropped, which is safe since every effect is whole or absent.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::error::{Context, Result};
use crate::plan::{Action, Plan, Step};

/// Performs actions: the machine, the dry run or a test's recorder.
pub trait Perform {
    /// Called once before the first action, with the steps in the order in which they should begin.
    fn prepare(&self, steps: &[&Step]) -> impl Future<Output = Result<()>>;
    fn perform(&self, step: &Step, action: &Action) -> impl Future<Output = Result<()>>;
}

/// Is told how the plan proceeds.
pub trait Observe {
    fn began(&self, step: &Step);
    fn ended(&self, step: &Step, took: Duration);
}

/// In which order steps that could begin together do.
#[derive(Debug, Clone, Copy)]
pub enum Order<'a> {
    /// One after the other, as the plan lists them.
    Listed,
    /// Side by side, what these steps need first.
    Urgent(&'a [&'a str]),
}

/// Performs every step of the plan.
pub async fn apply(plan: &Plan, order: Order<'_>, performer: &impl Perform, observer: &impl Observe) -> Result<()> {
    let schedule = match order {
        Order::Listed => (0..plan.steps.len()).collect(),
        Order::Urgent(goals) => plan.schedule(goals),
    };
    let mut waiting: Vec<&Step> = schedule.iter().map(|index| &plan.steps[*index]).collect();
    performer.prepare(&waiting).await?;

    let one_by_one = matches!(order, Order::Listed);
    let mut unfinished: BTreeSet<String> = waiting.iter().map(|step| step.name()).collect();
    let mut running = FuturesUnordered::new();
    loop {
        let mut still_waiting = Vec::with_capacity(waiting.len());
        for step in waiting {
            let ready = match one_by_one {
                true => running.is_empty(),
                false => !step.needs.iter().any(|need| unfinished.contains(need)),
            };
            if ready {
                running.push(perform(step, performer, observer));
            } else {
                still_waiting.push(step);
            }
        }
        waiting = still_waiting;
        match running.next().await {
            Some(done) => drop(unfinished.remove(&done?)),
            None if waiting.is_empty() => return Ok(()),
            None => anyhow::bail!(
                "steps wait for each other: {}",
                waiting.iter().map(|step| step.name()).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

async fn perform(step: &Step, performer: &impl Perform, observer: &impl Observe) -> Result<String> {
    let begin = Instant::now();
    observer.began(step);
    for action in &step.actions {
        performer.perform(step, action).await.with_context(|| format!("{} failed", step.name()))?;
    }
    observer.ended(step, begin.elapsed());
    Ok(step.name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::plan::Decision;

    /// Writes down the order in which steps begin and end; every action takes one turn of the executor.
    #[derive(Default)]
    struct Recorder {
        history: RefCell<Vec<String>>,
        fail: Option<&'static str>,
    }

    impl Perform for Recorder {
        async fn prepare(&self, steps: &[&Step]) -> Result<()> {
            self.history.borrow_mut().push(format!("prepare {}", steps.len()));
            Ok(())
        }

        async fn perform(&self, step: &Step, _action: &Action) -> Result<()> {
            tokio::task::yield_now().await;
            match self.fail {
                Some(name) if name == step.phase => anyhow::bail!("no"),
                _ => Ok(()),
            }
        }
    }

    impl Observe for Recorder {
        fn began(&self, step: &Step) {
            self.history.borrow_mut().push(format!("+{}", step.phase));
        }

        fn ended(&self, step: &Step, _took: Duration) {
            self.history.borrow_mut().push(format!("-{}", step.phase));
        }
    }

    fn plan() -> Plan {
        let step = |phase, needs: &[&str]| Step {
            phase,
            item: None,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            decision: Decision::Do,
            actions: vec![Action::StartRunner],
        };
        Plan { steps: vec![step("a", &[]), step("b", &["a"]), step("c", &[])] }
    }

    async fn history(order: Order<'_>) -> String {
        let recorder = Recorder::default();
        apply(&plan(), order, &recorder, &recorder).await.unwrap();
        recorder.history.into_inner().join(" ")
    }

    #[tokio::test]
    async fn listed_steps_follow_each_other() {
        assert_eq!(history(Order::Listed).await, "prepare 3 +a -a +b -b +c -c");
    }

    #[tokio::test]
    async fn free_steps_run_side_by_side() {
        let listed = history(Order::Urgent(&[])).await;
        assert!(listed.starts_with("prepare 3 +a +c "), "{listed}");
        assert!(listed.find("-a") < listed.find("+b"), "{listed}");
        let urgent = history(Order::Urgent(&["c"])).await;
        assert!(urgent.starts_with("prepare 3 +c +a "), "{urgent}");
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_loop_and_names_its_step() {
        let recorder = Recorder { fail: Some("a"), ..Recorder::default() };
        let error = apply(&plan(), Order::Urgent(&[]), &recorder, &recorder).await.unwrap_err();
        assert_eq!(crate::error::chain_of(&error), "a failed: no");
        assert!(!recorder.history.borrow().contains(&"+b".to_owned()));
    }

    #[tokio::test]
    async fn steps_that_wait_for_each_other_are_an_error() {
        let mut plan = plan();
        plan.steps[0].needs.push("b".to_owned());
        let recorder = Recorder::default();
        let error = apply(&plan, Order::Urgent(&[]), &recorder, &recorder).await.unwrap_err();
        assert!(error.to_string().contains("b, a"), "{error}");
    }
}

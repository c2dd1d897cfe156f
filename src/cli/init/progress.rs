//! Tells how init proceeds, and measures where the time went.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Output;
use crate::apply::Observe;
use crate::cli::report::Report;
use crate::plan::{Decision, Step};
use crate::preflight::{Severity, Verdict};

/// Says nothing.
pub(super) struct Silent;

impl Observe for Silent {
    fn began(&self, _step: &Step) {}
    fn ended(&self, _step: &Step, _took: Duration) {}
}

/// One line for each step that did something.
pub(super) struct Progress {
    report: Report,
    output: Output,
    begin: Instant,
    ends: RefCell<BTreeMap<String, Duration>>,
}

/// Where the time from the start to the end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) total: Duration,
    /// From etcd's manifest to its health.
    pub(super) etcd: Duration,
    /// From etcd's health to `/readyz`.
    pub(super) api_server: Duration,
    /// From `/readyz` until the controller manager and the scheduler are healthy.
    pub(super) components: Duration,
}

impl Split {
    /// All the rest is ours.
    pub(super) fn ours(&self) -> Duration {
        self.total.saturating_sub(self.etcd + self.api_server + self.components)
    }
}

impl Progress {
    pub(super) fn new(report: Report, output: Output, begin: Instant) -> Progress {
        Progress { report, output, begin, ends: RefCell::default() }
    }

    /// Something worth saying that is no step.
    pub(super) fn tell(&self, text: &str) {
        match self.output {
            Output::Text => self.report.note(text),
            Output::Json => self.event(json!({ "event": "note", "message": text })),
        }
    }

    /// One line, or one event, for each verdict; good ones are told to people only with `-v`.
    pub(super) fn verdicts(&self, verdicts: &[Verdict], verbose: u8) {
        for verdict in verdicts {
            match self.output {
                Output::Text if verdict.severity == Severity::Ok && verbose == 0 => {}
                Output::Text => self.report.note(verdict.to_string()),
                Output::Json => self.event(json!({
                    "event": "verdict",
                    "check": verdict.check,
                    "severity": verdict.severity.to_string(),
                    "message": verdict.message,
                })),
            }
        }
    }

    /// The end of preflight alone, when nothing refuses.
    pub(super) fn preflight_summary(&self, verdicts: &[Verdict]) {
        let warnings = verdicts.iter().filter(|verdict| verdict.severity == Severity::Warning).count();
        match self.output {
            Output::Text => {
                let warnings = if warnings == 1 { "1 warning".to_owned() } else { format!("{warnings} warnings") };
                self.report
                    .line(format!("This machine can run the control plane: {} checks, {warnings}.", verdicts.len()));
            }
            Output::Json => self.event(json!({ "event": "done", "warnings": warnings })),
        }
    }

    fn event(&self, mut event: serde_json::Value) {
        event["milliseconds"] = json!(milliseconds(self.begin.elapsed()));
        self.report.line(event.to_string());
    }

    pub(super) fn split(&self) -> Split {
        let ends = self.ends.borrow();
        let end = |name: &str| ends.get(name).copied();
        let between = |from: Option<Duration>, to: Option<Duration>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            _ => Duration::ZERO,
        };
        let etcd = end("wait-control-plane/etcd");
        let api_server = end("wait-control-plane/kube-apiserver");
        let components =
            end("wait-control-plane/kube-controller-manager").max(end("wait-control-plane/kube-scheduler"));
        Split {
            total: self.begin.elapsed(),
            etcd: between(end("etcd/local").max(end("runner-start")), etcd),
            api_server: between(etcd.max(end("control-plane/apiserver")), api_server),
            components: between(api_server, components),
        }
    }

    /// The last event of `-o json`.
    pub(super) fn summary(&self, split: &Split, kubeconfig: &str, join: serde_json::Value) {
        self.event(json!({
            "event": "done",
            "kubeconfig": kubeconfig,
            "joinCommands": join,
            "split": {
                "totalMilliseconds": milliseconds(split.total),
                "oursMilliseconds": milliseconds(split.ours()),
                "etcdMilliseconds": milliseconds(split.etcd),
                "apiServerMilliseconds": milliseconds(split.api_server),
                "componentsMilliseconds": milliseconds(split.components),
            },
        }));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Observe for Progress {
    fn began(&self, step: &Step) {
        if self.output == Output::Json {
            self.event(json!({ "event": "began", "step": step.name() }));
        }
    }

    fn ended(&self, step: &Step, took: Duration) {
        self.ends.borrow_mut().insert(step.name(), self.begin.elapsed());
        let decision = match &step.decision {
            Decision::Create => "created".to_owned(),
            Decision::Keep => "kept".to_owned(),
            Decision::Replace(reason) => format!("replaced: {reason}"),
            Decision::Refuse(_) | Decision::Do => "done".to_owned(),
        };
        match self.output {
            Output::Json => self.event(json!({
                "event": "ended",
                "step": step.name(),
                "result": decision,
                "tookMilliseconds": milliseconds(took),
            })),
            Output::Text => {
                let at = self.begin.elapsed().as_secs_f64();
                self.report.note(format!("{at:7.3} s  [{}] {decision}", step.name()));
            }
        }
    }
}

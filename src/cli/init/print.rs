//! `init phase addon --print-manifest`: the objects for somebody else to apply.

use super::Decided;
use crate::cli::Invocation;
use crate::desired::object::{self, Late};
use crate::error::{Fault, Result};
use crate::plan::Action;

pub(super) fn objects(decided: &Decided, invocation: &Invocation) -> Result<()> {
    if decided.selection.phase() != Some("addon") {
        return Err(Fault::usage("`--print-manifest` belongs to `bootstrap init phase addon`").into());
    }
    let desired = &decided.desired;
    let late = Late {
        // no addon carries it
        ca_certificate_pem: String::new(),
        now: decided.now,
        proxy_environment: desired.proxy_environment.clone(),
        patches: desired.patches.clone(),
        uploaded: Default::default(),
        live: Default::default(),
    };
    for action in decided.plan.steps.iter().flat_map(|step| &step.actions) {
        let Action::ApplyObjects { step } = action else { continue };
        for object in object::of_step(step, &desired.config, &late)? {
            invocation.report.line(format!("---\n{}", object.to_yaml()?.trim_end()));
        }
    }
    Ok(())
}

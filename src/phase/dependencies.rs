//! Whether a selection leaves out what it needs: found out before anything is done.
//!
//! A step that needs another one's files can do without that step where the files are there. What another step waits
//! for or applies cannot be seen from here; a step that needs it finds out, and says so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{PHASES, Selection, certs, manifest_path, manifest_step};
use crate::desired::Desired;
use crate::desired::manifest::Component;
use crate::desired::pki;
use crate::error::{Fault, Result};
use crate::plan::found::Found;
use crate::plan::{Decision, Plan};

/// `given` are the steps whose results the command line names. Returns what is used as it is although an init would
/// have changed it, one sentence each.
///
/// # Errors
/// All that is missing and who needs it.
pub fn check(
    desired: &Desired,
    found: &Found,
    everything: &Plan,
    selection: &Selection,
    given: &[&str],
) -> Result<Vec<String>> {
    let selected = selection.of(everything);
    let is_selected = |name: &str| selected.steps.iter().any(|step| step.name() == name);
    let mut missing = Missing::default();
    let mut used = BTreeMap::new();
    for step in &selected.steps {
        for need in step.needs.iter().filter(|need| !is_selected(need) && !given.contains(&need.as_str())) {
            let Some(other) = everything.steps.iter().find(|other| other.name() == *need) else { continue };
            if results(desired, need).iter().any(|path| !found.exists(path)) {
                missing.add(need, step.phase, step.name());
            } else if let Decision::Replace(reason) | Decision::Refuse(reason) = &other.decision {
                used.insert(need.clone(), format!("{need} is left out, and what is there is used: {reason}"));
            }
        }
    }
    for phase in PHASES.iter().filter(|phase| selected.steps.iter().any(|step| step.phase == phase.name)) {
        for needed in phase.depends_on {
            let is_made = || selected.steps.iter().any(|step| step.phase == *needed);
            // one that has nothing to do is only missed by whoever is told to skip it, as with kubeadm [5.3]
            let has_steps = everything.steps.iter().any(|step| step.phase == *needed);
            if selection.skips(needed) || has_steps && !is_made() {
                missing.add(needed, phase.name, phase.name.to_owned());
            }
        }
    }
    missing.refuse(everything, selection)?;
    Ok(used.into_values().collect())
}

/// The files that others take from a step; none for a step that makes no file.
fn results(desired: &Desired, step: &str) -> Vec<PathBuf> {
    match step.split_once('/') {
        Some(("certs", "sa")) => {
            let (key, public) = pki::service_account_paths(&desired.config);
            vec![key, public]
        }
        Some(("certs", name)) => {
            let file = desired.certificates.iter().find(|file| file.name == name);
            let paths = file.map(|file| (certs::paths(desired, file), file.spec.purpose.signer().is_some()));
            match paths {
                Some((paths, true)) => vec![paths.certificate, paths.key],
                // an authority's key may be elsewhere; who signs with it looks for it
                Some((paths, false)) => vec![paths.certificate],
                None => Vec::new(),
            }
        }
        // whoever would ask with it asks as the ordinary administrator where it was taken away
        Some(("kubeconfig", "super-admin")) => Vec::new(),
        Some(("hardening", name)) => {
            desired.profile_files.iter().filter(|file| file.name == name).map(|file| file.path.into()).collect()
        }
        Some(("kubeconfig", name)) => {
            desired.kubeconfigs.iter().filter(|file| file.name == name).map(|file| file.path()).collect()
        }
        Some(step) => {
            let component = Component::ALL.into_iter().find(|component| manifest_step(*component) == step);
            component.map(manifest_path).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// What is missing, by the phase that would make it.
#[derive(Default)]
struct Missing(BTreeMap<String, Gap>);

/// The part of a phase that is missing.
#[derive(Default)]
struct Gap {
    steps: Vec<String>,
    needed_by: Vec<(&'static str, String)>,
}

impl Missing {
    fn add(&mut self, need: &str, phase: &'static str, by: String) {
        let gap = self.0.entry(need.split('/').next().unwrap_or(need).to_owned()).or_default();
        if !gap.steps.iter().any(|step| step == need) {
            gap.steps.push(need.to_owned());
        }
        if !gap.needed_by.iter().any(|(_, step)| *step == by) {
            gap.needed_by.push((phase, by));
        }
    }

    /// In kubeadm's words, so that they are found.
    fn refuse(self, everything: &Plan, selection: &Selection) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let steps_of = |phase: &str| everything.steps.iter().filter(|step| step.phase == phase).count();
        let mut commands = Vec::new();
        let told: Vec<_> = self
            .0
            .into_iter()
            .map(|(phase, Gap { steps, needed_by })| {
                let is_whole = steps.len() >= steps_of(&phase);
                let missing = if is_whole { vec![phase] } else { steps };
                commands
                    .extend(missing.iter().map(|name| format!("`bootstrap init phase {}`", name.replace('/', " "))));
                let mut by: Vec<String> = Vec::new();
                for (phase, step) in &needed_by {
                    let all = needed_by.iter().filter(|(other, _)| other == phase).count() >= steps_of(phase);
                    let name = if all { (*phase).to_owned() } else { step.clone() };
                    if !by.contains(&name) {
                        by.push(name);
                    }
                }
                format!("missing {}, needed by {}", missing.join(", "), by.join(", "))
            })
            .collect();
        let hint = match selection.is_whole() {
            true => "leave what is missing out of `--skip-phases` and `skipPhases`".to_owned(),
            false => format!("run {} before", commands.join(", ")),
        };
        let hint = format!("{hint}; nothing was changed");
        Err(Fault::usage(format!("unresolved dependencies: {}", told.join("; "))).hint(hint).into())
    }
}

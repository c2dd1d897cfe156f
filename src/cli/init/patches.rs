//! Tells what patches have done, and what the runner is going to say of the pods that came out.

use crate::cli::Invocation;
use crate::desired::Desired;
use crate::desired::manifest::Manifest;
use crate::desired::patch::Target;
use crate::error::{Fault, Result, chain_of};
use crate::phase;
use crate::runner::pod;
use crate::runner::source::Origin;

/// A patched pod that the runner would reject ends an init before it begins; a dry run only says so, since its tree may
/// be meant for a kubelet.
pub(super) fn tell(desired: &Desired, is_dry_run: bool, invocation: &Invocation) -> Result<()> {
    for applied in &desired.applied_patches {
        match is_dry_run {
            true => invocation.report.note(applied.to_string()),
            false => tracing::debug!("{applied}"),
        }
    }
    let rejected: Vec<_> =
        desired.manifests.iter().filter_map(|manifest| rejection(desired, manifest, invocation)).collect();
    match (rejected.is_empty(), is_dry_run) {
        (true, _) => Ok(()),
        (false, true) => {
            rejected.iter().for_each(|reason| invocation.report.warning(reason));
            Ok(())
        }
        (false, false) => Err(Fault::usage(rejected.join("; "))
            .hint("docs/runner.md lists what the runner supports; nothing was changed")
            .into()),
    }
}

/// Why the runner rejects what patches have made of a manifest.
fn rejection(desired: &Desired, manifest: &Manifest, invocation: &Invocation) -> Option<String> {
    let own = desired.applied_patches.iter().filter(|applied| applied.target == Target::from(manifest.component));
    let mut files: Vec<_> = own.map(|applied| format!("`{}`", applied.path.display())).collect();
    files.dedup();
    if files.is_empty() {
        return None;
    }
    let place = Origin::File(invocation.layout.under(phase::manifest_path(manifest.component)));
    let error = pod::decode(manifest.yaml.as_bytes(), &place, &desired.config.node.name).err()?;
    Some(format!("the runner rejects {} as patched by {}: {}", manifest.component, files.join(", "), chain_of(&error)))
}

//! `images`: one step for each manifest, with the images that it names.

use crate::desired::Desired;
use crate::plan::found::Found;
use crate::plan::{Action, Decision, Step};

pub(super) fn steps(desired: &Desired, _found: &Found) -> Vec<Step> {
    let policy = desired.config.node.image_pull_policy;
    desired
        .manifests
        .iter()
        .map(|manifest| Step {
            phase: "images",
            item: Some(manifest.component.name().to_owned()),
            needs: Vec::new(),
            decision: Decision::Do,
            actions: manifest
                .images()
                .into_iter()
                .map(|image| Action::ObtainImage { reference: image.to_owned(), policy })
                .collect(),
        })
        .collect()
}

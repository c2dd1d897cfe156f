//! Gets the control plane's images, and draws the progress.

use std::sync::Arc;

use super::Options;
use crate::cli::images::progress::Shown;
use crate::cli::report::Report;
use crate::error::Result;
use crate::host::perform::ObtainImage;
use crate::image::pull::Puller;
use crate::image::reference::Reference;
use crate::image::registry::credentials::Credentials;
use crate::image::store::Store;
use crate::layout::Layout;

/// What the plan's performer calls for each image.
pub(super) fn obtainer(layout: &Layout, options: &Options, report: &Report) -> Result<Box<ObtainImage>> {
    let settings = options.registries.settings(layout)?;
    let puller = Arc::new(Puller::new(Store::open(layout), settings, Credentials::of_user(layout)));
    let report = report.clone();
    Ok(Box::new(move |reference, policy| {
        let (puller, report) = (Arc::clone(&puller), report.clone());
        let reference = reference.parse::<Reference>();
        Box::pin(async move {
            puller.ensure(&reference?, policy, &Shown::new(&report)).await?;
            Ok(())
        })
    }))
}

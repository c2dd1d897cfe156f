//! The images that a container needs: those that it mounts and its own, each by its pull policy [4.68, 9.1].

use tokio::time::Instant;

use super::Site;
use super::machine::{Event, Tag, Why};
use super::words::{cause, label};
use crate::image::policy::PullPolicy;
use crate::image::reference::{InvalidReference, Reference};
use crate::image::registry::source::is_unavailable;
use crate::runner::event::Told;
use crate::runner::pod::Pod;
use crate::runner::runtime::{Runtime, RuntimeError};
use crate::runner::volume;

/// Has them in the store; the first that cannot be had is told.
pub(super) async fn pull<R: Runtime>(site: &Site<R>, tag: Tag, pod: &Pod) -> Event {
    let container = &pod.containers[tag.container];
    let own = (container.image.as_str(), container.pull);
    for (image, policy) in volume::images(pod, container).chain([own]) {
        if let Err(why) = ensure(site, tag, pod, image, policy).await {
            return Event::PullFailed { tag, why };
        }
    }
    Event::Pulled { tag }
}

async fn ensure<R: Runtime>(site: &Site<R>, tag: Tag, pod: &Pod, image: &str, policy: PullPolicy) -> Result<(), Why> {
    let tell = |reason, message: String| site.recorder.container(pod, tag.container, Told::normal(reason, message));
    if let Err(error) = image.parse::<Reference>() {
        let error: InvalidReference = error;
        return Err(Why::new("InvalidImageName", error.of_a_pod()));
    }
    let is_present = match policy {
        PullPolicy::Always => false,
        PullPolicy::IfNotPresent | PullPolicy::Never => {
            let present = site.runtime.image_status(image).await;
            present.map_err(|error| Why::new("ImageInspectError", cause(error)))?.is_some()
        }
    };
    if is_present {
        let message = format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
        tell("Pulled", message);
        return Ok(());
    }
    if policy == PullPolicy::Never {
        let message = format!("Container image \"{image}\" is not present with pull policy of Never");
        return Err(Why::new("ErrImageNeverPull", message));
    }
    tracing::info!("{}: pulling image `{image}`", label(pod, tag.container));
    tell("Pulling", format!("Pulling image \"{image}\""));
    let begin = Instant::now();
    match site.runtime.pull_image(image).await {
        Ok(_) => {
            let took = begin.elapsed().as_secs_f64();
            let took = format!("in {took:.3}s ({took:.3}s including waiting)");
            tell("Pulled", format!("Successfully pulled image \"{image}\" {took}."));
            Ok(())
        }
        Err(error) => {
            let reason = reason(&error);
            Err(Why { reason, message: cause(error), image: Some(image.to_owned()) })
        }
    }
}

/// The kubelet's class of a failed pull [9.7].
fn reason(error: &RuntimeError) -> &'static str {
    match error {
        RuntimeError::PullFailed { source, .. } if is_unavailable(source) => "RegistryUnavailable",
        _ => "ErrImagePull",
    }
}

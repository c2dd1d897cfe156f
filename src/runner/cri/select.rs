//! PURE: which of the things that there are a client means: by id or the beginning of one, by filter, by a name of an
//! image.

use std::collections::{BTreeMap, HashMap};

use super::convert::answer::{container_state, sandbox_state};
use super::v1;
use crate::image::reference::Reference;
use crate::runner::runtime::{Container, Image, PodSandbox};

/// Why nothing was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    Absent,
    /// Several begin so.
    Ambiguous,
}

/// The one whose id is `given`, or the only one whose id begins with it.
pub fn by_id<'a, T>(all: &'a [T], id: impl Fn(&T) -> &str, given: &str) -> Result<&'a T, Miss> {
    if let Some(exact) = all.iter().find(|one| id(one) == given) {
        return Ok(exact);
    }
    let mut beginning = all.iter().filter(|one| !given.is_empty() && id(one).starts_with(given));
    match (beginning.next(), beginning.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Miss::Absent),
        (Some(_), Some(_)) => Err(Miss::Ambiguous),
    }
}

/// An image, and its reference that was meant; by its id, or the beginning of one, it is any.
pub fn image<'a>(images: &'a [Image], given: &str) -> Result<(&'a Image, Option<&'a str>), Miss> {
    let hex = given.strip_prefix("sha256:").unwrap_or(given);
    let bare = |image: &'a Image| image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    if let Some(image) = images.iter().find(|image| bare(image) == hex) {
        return Ok((image, None));
    }
    if let Ok(reference) = given.parse::<Reference>() {
        let name = reference.to_string();
        let named = images.iter().find_map(|image| Some((image, image.references.iter().find(|of| **of == name)?)));
        if let Some((image, reference)) = named {
            return Ok((image, Some(reference)));
        }
        let digest = reference.digest().map(|digest| format!("{}@{digest}", reference.name()));
        let digested = images.iter().find(|image| digest.as_ref().is_some_and(|of| image.repo_digests.contains(of)));
        if let Some(image) = digested {
            return Ok((image, None));
        }
    }
    let ids: Vec<_> = images.iter().map(|image| (bare(image), image)).collect();
    by_id(&ids, |(id, _)| id, hex).map(|(_, image)| (*image, None))
}

fn has(labels: &BTreeMap<String, String>, selector: &HashMap<String, String>) -> bool {
    selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

fn begins(id: &str, given: &str) -> bool {
    given.is_empty() || id.starts_with(given)
}

pub fn is_sandbox_in(filter: Option<&v1::PodSandboxFilter>, sandbox: &PodSandbox) -> bool {
    filter.is_none_or(|filter| {
        let state = filter.state.as_ref();
        begins(&sandbox.id, &filter.id)
            && state.is_none_or(|wanted| wanted.state() == sandbox_state(sandbox.state))
            && has(&sandbox.config.labels, &filter.label_selector)
    })
}

pub fn is_container_in(filter: Option<&v1::ContainerFilter>, container: &Container) -> bool {
    filter.is_none_or(|filter| {
        let state = filter.state.as_ref();
        begins(&container.id, &filter.id)
            && begins(&container.sandbox_id, &filter.pod_sandbox_id)
            && state.is_none_or(|wanted| wanted.state() == container_state(&container.state))
            && has(&container.config.labels, &filter.label_selector)
    })
}

/// A filter of statistics says the same without a state.
pub fn of_stats(filter: Option<v1::ContainerStatsFilter>) -> Option<v1::ContainerFilter> {
    filter.map(|filter| v1::ContainerFilter {
        id: filter.id,
        state: None,
        pod_sandbox_id: filter.pod_sandbox_id,
        label_selector: filter.label_selector,
    })
}

/// A filter of pods' statistics says the same without a state.
pub fn of_sandbox_stats(filter: Option<v1::PodSandboxStatsFilter>) -> Option<v1::PodSandboxFilter> {
    filter.map(|filter| v1::PodSandboxFilter { id: filter.id, state: None, label_selector: filter.label_selector })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::layout::Layout;
    use crate::runner::cri::convert::sandbox as from_sandbox;
    use crate::runner::cri::convert::sandbox::tests as sandboxes;
    use crate::runner::runtime::SandboxState;

    #[test]
    fn an_id_may_be_cut_short() {
        let all = ["abc", "abd", "ab", "x"];
        let find = |given| by_id(&all, |id| id, given).copied();
        assert_eq!((find("ab"), find("abc"), find("x")), (Ok("ab"), Ok("abc"), Ok("x")));
        assert_eq!((find("a"), find("y"), find("")), (Err(Miss::Ambiguous), Err(Miss::Absent), Err(Miss::Absent)));
    }

    #[test]
    fn images_have_many_names() {
        let image_of = |digit: &str, reference: &str| Image {
            id: format!("sha256:{}", digit.repeat(64)),
            references: vec![reference.to_owned()],
            repo_digests: vec![format!("docker.io/library/busybox@sha256:{}", digit.repeat(64))],
            size: 0,
            user: None,
        };
        let images = [image_of("a", "docker.io/library/busybox:latest"), image_of("b", "registry.k8s.io/etcd:3")];
        let find = |given: &str| image(&images, given).map(|(image, reference)| (image.id[7..8].to_owned(), reference));
        let tag = Some("docker.io/library/busybox:latest");
        assert_eq!(find("busybox"), Ok(("a".to_owned(), tag)));
        assert_eq!(find("registry.k8s.io/etcd:3").unwrap().0, "b");
        for by_id in [images[1].id.as_str(), &images[1].id[7..], "sha256:bbbb", "bbbbbb"] {
            assert_eq!(find(by_id), Ok(("b".to_owned(), None)), "{by_id}");
        }
        assert_eq!(find(&format!("busybox@sha256:{}", "b".repeat(64))), Ok(("b".to_owned(), None)));
        assert_eq!((find("busybox:2"), find("cc")), (Err(Miss::Absent), Err(Miss::Absent)));
    }

    #[test]
    fn a_filter_is_met_in_all_its_parts() {
        let config = from_sandbox::config(&sandboxes::asked(), "", "node", &Layout::default()).unwrap();
        let (state, created_at) = (SandboxState::NotReady, Timestamp::UNIX_EPOCH);
        let sandbox = PodSandbox { id: "p1".into(), state, created_at, ips: vec![], config };
        let filter = |id: &str, state: Option<i32>, label: &str| {
            let filter = v1::PodSandboxFilter {
                id: id.to_owned(),
                state: state.map(|state| v1::PodSandboxStateValue { state }),
                label_selector: [("app".to_owned(), label.to_owned())].into(),
            };
            is_sandbox_in(Some(&filter), &sandbox)
        };
        assert!(is_sandbox_in(None, &sandbox) && filter("p", Some(1), "web") && filter("", None, "web"));
        assert!(!filter("p2", None, "web") && !filter("p1", Some(0), "web") && !filter("p1", None, "db"));
    }
}

//! `kubernetesVersion`: a version, or a label that stands for one [4.5].
//!
//! kubeadm looks labels up in the network and takes its own version where there is none. Nothing is looked up here: the
//! same file brings up the same cluster tomorrow.

use super::Resolver;
use crate::release::{DEFAULT_VERSION, SUPPORTED_MINORS, Version};

const FIELD: &str = "kubernetesVersion";

impl Resolver<'_> {
    /// The default where nothing is written.
    pub(super) fn version(&mut self, text: &str) -> Option<Version> {
        let text = if text.is_empty() { DEFAULT_VERSION } else { text };
        // where releases are kept, which is where everything is kept that is not of the CI
        let plain = text.strip_prefix("release/").unwrap_or(text);
        let reason = match (plain.parse::<Version>(), label(plain)) {
            (Ok(version), _) => return Some(version),
            (Err(_), Some(Label::Newest)) => {
                self.warn(FIELD, format_args!("`{text}` is not looked up in the network; {DEFAULT_VERSION} is taken"));
                return DEFAULT_VERSION.parse().ok();
            }
            (Err(_), Some(Label::Minor(minor))) if SUPPORTED_MINORS.contains(&minor) => {
                format!("labels are not looked up in the network; name a version such as `v1.{minor}.0`")
            }
            (Err(_), Some(Label::Minor(_) | Label::Build)) => {
                format!("labels are not looked up in the network; name a release such as `{DEFAULT_VERSION}`")
            }
            (Err(reason), None) => reason,
        };
        self.problems.invalid(FIELD, text, reason);
        None
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Label {
    /// Of no minor in particular, or of the newest one.
    Newest,
    Minor(u64),
    /// Of Kubernetes' continuous integration.
    Build,
}

/// `stable`, `latest-1`, `stable-1.35`, `ci/latest`.
fn label(text: &str) -> Option<Label> {
    if text.starts_with("ci/") || text.starts_with("ci-cross/") {
        return Some(Label::Build);
    }
    let rest = text.strip_prefix("stable").or_else(|| text.strip_prefix("latest"))?;
    match rest {
        "" | "-1" => Some(Label::Newest),
        _ => match rest.strip_prefix("-1.")?.parse().ok()? {
            minor if minor == *SUPPORTED_MINORS.end() => Some(Label::Newest),
            minor => Some(Label::Minor(minor)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, expected) in [
            ("stable", Some(Label::Newest)),
            ("stable-1", Some(Label::Newest)),
            ("latest-1.36", Some(Label::Newest)),
            ("stable-1.35", Some(Label::Minor(35))),
            ("latest-1.99", Some(Label::Minor(99))),
            ("ci/latest-1.36", Some(Label::Build)),
            ("ci/v1.36.0", Some(Label::Build)),
            ("stable-2", None),
            ("stable-1.x", None),
            ("newest", None),
        ] {
            assert_eq!(label(text), expected, "{text}");
        }
    }
}

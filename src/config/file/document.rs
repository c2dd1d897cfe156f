//! Which documents a configuration file may hold, and what becomes of the others [4.1].
//!
//! A document that kubeadm passes over with a warning is passed over here; one that was probably meant to be ours is
//! refused, so that a slip of the finger does not turn a whole document into defaults.

use super::node::{Node, Value};
use super::suggest::nearest;
use super::{v1beta3, v1beta4};
use crate::config::problem::{Origin, Problem};

pub(super) const INIT: &str = "InitConfiguration";
pub(super) const CLUSTER: &str = "ClusterConfiguration";
const KUBELET: &str = "KubeletConfiguration";
const KUBE_PROXY: &str = "KubeProxyConfiguration";
/// The one version of the API of each component.
const COMPONENT_KINDS: [(&str, &str, Place); 2] = [
    ("kubelet.config.k8s.io/v1beta1", KUBELET, Place::Kubelet),
    ("kubeproxy.config.k8s.io/v1alpha1", KUBE_PROXY, Place::KubeProxy),
];
const GROUP: &str = "kubeadm.k8s.io/";
/// Kinds of the same API that other commands of kubeadm read.
const OTHER_KINDS: [&str; 3] = ["JoinConfiguration", "ResetConfiguration", "UpgradeConfiguration"];
/// The last kubeadm that reads a version of the API no longer known [4.1].
const OLD_VERSIONS: [(&str, &str); 5] =
    [("v1alpha1", "v1.11"), ("v1alpha2", "v1.12"), ("v1alpha3", "v1.14"), ("v1beta1", "v1.15"), ("v1beta2", "v1.22")];

/// A version of kubeadm's API that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiVersion {
    V1Beta3,
    V1Beta4,
}

/// What a document is to `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Init(ApiVersion),
    Cluster(ApiVersion),
    Kubelet,
    KubeProxy,
    /// Of another command of kubeadm's, in words.
    Other(String),
    /// Of nothing that is known, in words.
    Foreign(String),
}

/// What a document says that it is.
pub(super) struct Header<'a> {
    api_version: &'a str,
    version_line: u64,
    pub(super) kind: &'a str,
    kind_line: u64,
}

/// A finding about the file as a whole, or about a line of it.
pub(super) fn about_file(line: Option<u64>, message: impl Into<String>) -> Problem {
    Problem { field: String::new(), message: message.into(), origin: Some(line.map_or(Origin::File, Origin::Line)) }
}

pub(super) fn header(document: &Node) -> Result<Header<'_>, Problem> {
    let Value::Map(entries) = &document.value else {
        return Err(about_file(Some(document.line), "the document is not a mapping of fields to values"));
    };
    let text_of = |name: &str| {
        let node = entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value);
        match node.map(|node| (&node.value, node.line)) {
            Some((Value::Text(text), line)) if !text.is_empty() => Ok((text.as_str(), line)),
            found => Err(Problem {
                field: name.to_owned(),
                message: "Required value: a document needs `apiVersion` and `kind`".to_owned(),
                origin: Some(Origin::Line(found.map_or(document.line, |(_, line)| line))),
            }),
        }
    };
    let (api_version, version_line) = text_of("apiVersion")?;
    let (kind, kind_line) = text_of("kind")?;
    Ok(Header { api_version, version_line, kind, kind_line })
}

impl Header<'_> {
    /// Where the document belongs, or why it is refused.
    pub(super) fn place(&self) -> Result<Place, Problem> {
        let is_ours = [INIT, CLUSTER].contains(&self.kind);
        let Some(version) = self.api_version.strip_prefix(GROUP) else {
            return if is_ours { Err(self.unknown_version()) } else { self.place_outside() };
        };
        if let Some((_, kubeadm)) = OLD_VERSIONS.iter().find(|(old, _)| *old == version) {
            let message = format!(
                "`{}` is too old; `kubeadm config migrate --old-config FILE` of kubeadm {kubeadm} writes a newer one",
                self.api_version
            );
            return Err(self.about_version(message));
        }
        let version = match self.api_version {
            v1beta4::API_VERSION => Some(ApiVersion::V1Beta4),
            v1beta3::API_VERSION => Some(ApiVersion::V1Beta3),
            _ => None,
        };
        match (self.kind, version) {
            (INIT, Some(version)) => Ok(Place::Init(version)),
            (CLUSTER, Some(version)) => Ok(Place::Cluster(version)),
            (INIT | CLUSTER, None) => Err(self.unknown_version()),
            (kind, _) if OTHER_KINDS.contains(&kind) => Ok(Place::Other(format!("{kind} is not for `init`"))),
            (kind, _) => match meant(kind) {
                Some(meant) => Err(self.about_kind(format!("unknown kind `{kind}`; did you mean `{meant}`?"))),
                None => Ok(Place::Foreign(format!("unknown kind `{kind}` of `{}`", self.api_version))),
            },
        }
    }

    /// Of an API that is not kubeadm's.
    fn place_outside(&self) -> Result<Place, Problem> {
        let group = |api: &str| api.split('/').next().unwrap_or_default().to_owned();
        let component = COMPONENT_KINDS.iter().find(|(api, ..)| group(api) == group(self.api_version));
        match component {
            Some((api, kind, place)) if *api == self.api_version && *kind == self.kind => Ok(place.clone()),
            Some((api, kind, _)) if *api == self.api_version => {
                Err(self.about_kind(format!("unknown kind `{}`; expected `{kind}`", self.kind)))
            }
            Some((api, ..)) => {
                Err(self.about_version(format!("unknown version `{}`; expected `{api}`", self.api_version)))
            }
            None => Ok(Place::Foreign(format!("{} of `{}` is not for `init`", self.kind, self.api_version))),
        }
    }

    fn unknown_version(&self) -> Problem {
        self.about_version(format!("unknown version `{}`; expected `{}`", self.api_version, v1beta4::API_VERSION))
    }

    fn about_version(&self, message: String) -> Problem {
        Problem { field: "apiVersion".to_owned(), message, origin: Some(Origin::Line(self.version_line)) }
    }

    fn about_kind(&self, message: String) -> Problem {
        Problem { field: "kind".to_owned(), message, origin: Some(Origin::Line(self.kind_line)) }
    }
}

/// The kind that an unknown one was probably meant to be: a mistyped or shortened one.
fn meant(kind: &str) -> Option<&'static str> {
    let shortened = |whole: &&&str| kind.len() > 3 && whole.starts_with(kind);
    nearest(kind, &[INIT, CLUSTER]).or_else(|| [INIT, CLUSTER].iter().find(shortened).copied())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::file::node::parse;

    fn place(api_version: &str, kind: &str) -> Result<Place, String> {
        let document = parse(&format!("apiVersion: {api_version}\nkind: {kind}\n")).unwrap().remove(0);
        header(&document).and_then(|header| header.place()).map_err(|problem| problem.message)
    }

    #[test]
    fn documents_have_their_places() {
        let foreign = |why: &str| Place::Foreign(why.to_owned());
        let other = |why: &str| Place::Other(why.to_owned());
        for (version, kind, expected) in [
            ("kubeadm.k8s.io/v1beta4", INIT, Place::Init(ApiVersion::V1Beta4)),
            ("kubeadm.k8s.io/v1beta3", CLUSTER, Place::Cluster(ApiVersion::V1Beta3)),
            ("kubelet.config.k8s.io/v1beta1", KUBELET, Place::Kubelet),
            ("kubeproxy.config.k8s.io/v1alpha1", KUBE_PROXY, Place::KubeProxy),
            ("kubeadm.k8s.io/v1beta4", "JoinConfiguration", other("JoinConfiguration is not for `init`")),
            ("kubeadm.k8s.io/v9", "ResetConfiguration", other("ResetConfiguration is not for `init`")),
            ("kubeadm.k8s.io/v1beta4", "Cat", foreign("unknown kind `Cat` of `kubeadm.k8s.io/v1beta4`")),
            ("apps/v1", "Deployment", foreign("Deployment of `apps/v1` is not for `init`")),
            ("v1", "ConfigMap", foreign("ConfigMap of `v1` is not for `init`")),
        ] {
            assert_eq!(place(version, kind), Ok(expected), "{version} {kind}");
        }
    }

    #[test]
    fn what_was_meant_to_be_ours_is_refused() {
        for (version, kind, expected) in [
            ("kubeadm.k8s.io/v1beta2", CLUSTER, "kubeadm v1.22 writes a newer one"),
            ("kubeadm.k8s.io/v1alpha1", "MasterConfiguration", "kubeadm v1.11 writes a newer one"),
            ("kubeadm.k8s.io/v9", CLUSTER, "unknown version `kubeadm.k8s.io/v9`; expected `kubeadm.k8s.io/v1beta4`"),
            ("v1", INIT, "unknown version `v1`; expected `kubeadm.k8s.io/v1beta4`"),
            ("kubeadm.k8s.io/v1beta4", "ClusterConfig", "unknown kind `ClusterConfig`; did you mean"),
            ("kubeadm.k8s.io/v1beta4", "clusterConfigurations", "did you mean `ClusterConfiguration`?"),
            ("kubelet.config.k8s.io/v1beta2", KUBELET, "expected `kubelet.config.k8s.io/v1beta1`"),
            ("kubelet.config.k8s.io/v1beta1", "CredentialProviderConfig", "expected `KubeletConfiguration`"),
        ] {
            let refused = place(version, kind).unwrap_err();
            assert!(refused.contains(expected), "{version} {kind}: {refused}");
        }
    }
}

//! What the items are judged by, and where it is looked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::desired::manifest::Component;
use crate::layout::{ETCD_DATA, KUBERNETES, PKI};
use crate::phase::manifest_path;
use crate::release::Version;

/// Everything that is looked at. Paths are those of the node, without the instance's root.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// That of the API server; `None` where its image does not tell it.
    pub version: Option<Version>,
    pub processes: Processes,
    /// Files and directories that exist.
    pub files: BTreeMap<PathBuf, FileFact>,
    /// Content of files that flags name.
    pub texts: BTreeMap<PathBuf, Vec<u8>>,
}

/// Command lines of the processes that run, without the program.
pub type Processes = BTreeMap<Component, Vec<String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// Permission bits.
    pub mode: u32,
    /// `user:group`, by name where they have one.
    pub owner: String,
}

/// The value of a flag on a command line: the last counts, and one without a value is switched on.
pub fn flag<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let named = |word: &'a String| word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?.strip_prefix(name);
    let index =
        arguments.iter().rposition(|word| named(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))?;
    let rest = named(&arguments[index])?;
    let next = || arguments.get(index + 1).filter(|word| !word.starts_with('-')).map(String::as_str);
    Some(rest.strip_prefix('=').or_else(next).unwrap_or("true"))
}

/// The version in the image of a kube-apiserver's manifest.
pub fn version_of(manifest: &[u8]) -> Option<Version> {
    let pod: Pod = serde_yaml::from_str(std::str::from_utf8(manifest).ok()?).ok()?;
    let container = pod.spec?.containers.into_iter().next()?;
    container.image?.rsplit_once(':')?.1.parse().ok()
}

/// What `host::audit` has to look at, once it knows the processes.
#[derive(Debug, PartialEq, Eq)]
pub struct Sought {
    /// Mode and owner of each.
    pub files: Vec<PathBuf>,
    /// Mode and owner of each and of everything below.
    pub trees: Vec<PathBuf>,
    /// Content.
    pub texts: Vec<PathBuf>,
}

impl Sought {
    pub fn by(processes: &Processes) -> Sought {
        let named = |component, flags: &[&str]| -> Vec<PathBuf> {
            let arguments = processes.get(&component).map(Vec::as_slice).unwrap_or_default();
            flags.iter().filter_map(|name| flag(arguments, name)).map(PathBuf::from).collect()
        };
        let mut files: Vec<PathBuf> = Component::ALL.map(manifest_path).into();
        files.extend(KUBECONFIGS.map(kubeconfig));
        files.push(etcd_data(processes));
        let mut texts =
            named(Component::ApiServer, &["client-ca-file", "encryption-provider-config", "audit-policy-file"]);
        texts.extend(named(Component::Etcd, &["trusted-ca-file"]));
        Sought { files, trees: [pki(processes)].into_iter().chain(CNI.map(PathBuf::from)).collect(), texts }
    }
}

const KUBECONFIGS: [&str; 5] =
    ["admin.conf", "super-admin.conf", "scheduler.conf", "controller-manager.conf", "kubelet.conf"];
/// Where network plugins have their configuration and their leases.
const CNI: [&str; 2] = ["/etc/cni/net.d", "/var/lib/cni/networks"];

fn kubeconfig(name: &str) -> PathBuf {
    Path::new(KUBERNETES).join(name)
}

fn etcd_data(processes: &Processes) -> PathBuf {
    let named = processes.get(&Component::Etcd).and_then(|arguments| flag(arguments, "data-dir"));
    named.unwrap_or(ETCD_DATA).into()
}

/// Where the API server has its authority from.
fn pki(processes: &Processes) -> PathBuf {
    let named = processes.get(&Component::ApiServer).and_then(|arguments| flag(arguments, "client-ca-file"));
    let directory = named.and_then(|file| Path::new(file).parent());
    directory.unwrap_or(Path::new(PKI)).to_owned()
}

/// A set of files that an item is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Manifest(Component),
    Kubeconfigs(&'static [&'static str]),
    EtcdData,
    Pki,
    PkiCertificates,
    PkiKeys,
    /// The authority that clients are checked with.
    Authority,
    Cni,
}

impl Place {
    /// Those of the place that exist.
    pub(super) fn files(self, facts: &Facts) -> Vec<(&Path, &FileFact)> {
        let below = |directory: PathBuf, suffix: &'static str| {
            let is_in = move |path: &Path| path.starts_with(&directory) && path.to_string_lossy().ends_with(suffix);
            facts.files.iter().filter(move |(path, _)| is_in(path)).map(|(path, fact)| (path.as_path(), fact)).collect()
        };
        let named = |paths: Vec<PathBuf>| {
            let found = paths.iter().filter_map(|path| facts.files.get_key_value(path));
            found.map(|(path, fact)| (path.as_path(), fact)).collect()
        };
        let pki = pki(&facts.processes);
        match self {
            Place::Manifest(component) => named(vec![manifest_path(component)]),
            Place::Kubeconfigs(names) => named(names.iter().map(|name| kubeconfig(name)).collect()),
            // without etcd, a directory of that name is somebody else's
            Place::EtcdData if !facts.has(Component::Etcd) => Vec::new(),
            Place::EtcdData => named(vec![etcd_data(&facts.processes)]),
            Place::Pki => below(pki, ""),
            Place::PkiCertificates => below(pki, ".crt"),
            Place::PkiKeys => below(pki, ".key"),
            Place::Authority => named(vec![pki.join("ca.crt")]),
            Place::Cni => CNI.iter().flat_map(|directory| -> Vec<_> { below(directory.into(), "") }).collect(),
        }
    }
}

impl Facts {
    /// The component belongs on this node, running or not.
    pub(super) fn has(&self, component: Component) -> bool {
        self.processes.contains_key(&component) || self.files.contains_key(&manifest_path(component))
    }

    /// Something of a control plane is here.
    pub fn is_control_plane(&self) -> bool {
        Component::ALL.into_iter().any(|component| self.has(component))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts_in_any_form() {
        for (arguments, value) in [
            ("--a=1 --a=2", Some("2")),
            ("--a 3 --b", Some("3")),
            ("--b --a", Some("true")),
            ("--a --b", Some("true")),
            ("-a=1", Some("1")),
            ("--a=", Some("")),
            ("--ab=1", None),
        ] {
            assert_eq!(flag(&words(arguments), "a"), value, "{arguments}");
        }
    }

    #[test]
    fn flags_say_where_to_look() {
        let processes = Processes::from([
            (Component::ApiServer, words("--client-ca-file=/opt/pki/ca.crt --audit-policy-file=/p.yaml")),
            (Component::Etcd, words("--data-dir=/data --trusted-ca-file=/opt/pki/etcd/ca.crt")),
        ]);
        let sought = Sought::by(&processes);
        assert!(sought.files.contains(&"/data".into()) && sought.trees.contains(&"/opt/pki".into()));
        assert_eq!(sought.texts, ["/opt/pki/ca.crt", "/p.yaml", "/opt/pki/etcd/ca.crt"].map(PathBuf::from));
        let default = Sought::by(&Processes::new());
        assert!(default.files.contains(&ETCD_DATA.into()) && default.trees.contains(&PKI.into()));
    }

    #[test]
    fn the_image_tells_the_version() {
        let manifest = |image: &str| format!("kind: Pod\nspec: {{containers: [{{name: a, image: '{image}'}}]}}\n");
        let version = |image: &str| version_of(manifest(image).as_bytes()).map(|version| version.to_string());
        assert_eq!(version("registry.k8s.io:443/kube-apiserver:v1.20.2").as_deref(), Some("v1.20.2"));
        assert_eq!(version("localhost:5000/kube-apiserver"), None);
        assert_eq!(version_of(b"no pod"), None);
    }
}

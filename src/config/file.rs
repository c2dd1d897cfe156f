//! The configuration file as it was written: which documents it holds, decoded strictly.
//!
//! Text in, values and findings out; nothing is defaulted or validated here. Documents are YAML or JSON, separated by
//! `---` [4.1].

mod decode;
mod hint;
mod node;
mod suggest;
pub mod v1beta4;

use std::collections::BTreeMap;

use node::{Node, Value};
use serde::de::DeserializeOwned;
use suggest::nearest;
use v1beta4::{ClusterConfiguration, InitConfiguration};

use super::ComponentConfigs;
use super::problem::{Origin, Origins, Problem};

/// A configuration file that was read already.
#[derive(Debug, Clone)]
pub struct FileInput {
    /// As the user gave it, for messages.
    pub name: String,
    pub text: String,
}

/// What the file says.
#[derive(Debug, Default)]
pub struct Written {
    pub init: InitConfiguration,
    pub cluster: ClusterConfiguration,
    pub component_configs: ComponentConfigs,
    /// The line of every field in the file.
    pub origins: Origins,
}

const KUBELET: &str = "KubeletConfiguration";
const KUBE_PROXY: &str = "KubeProxyConfiguration";
/// Kinds of other APIs that have a place in the file, each in its one version [4.1].
const COMPONENT_KINDS: [(&str, &str); 2] =
    [("kubelet.config.k8s.io/v1beta1", KUBELET), ("kubeproxy.config.k8s.io/v1alpha1", KUBE_PROXY)];
const GROUP: &str = "kubeadm.k8s.io/";
const INIT: &str = "InitConfiguration";
const CLUSTER: &str = "ClusterConfiguration";
/// Kinds of the same API that other commands read.
const OTHER_KINDS: [&str; 3] = ["JoinConfiguration", "ResetConfiguration", "UpgradeConfiguration"];
/// The last kubeadm that reads a version of the API no longer known [4.1].
const OLD_VERSIONS: [(&str, &str); 6] = [
    ("v1alpha1", "v1.11"),
    ("v1alpha2", "v1.12"),
    ("v1alpha3", "v1.14"),
    ("v1beta1", "v1.15"),
    ("v1beta2", "v1.22"),
    ("v1beta3", "v1.36"),
];

/// Decodes a configuration file. The findings are empty when all of it was understood.
pub fn decode(text: &str) -> (Written, Vec<Problem>) {
    let mut written = Written::default();
    let documents = match node::parse(text) {
        Ok(documents) => documents,
        Err((line, message)) => return (written, vec![about_file(line, format!("not valid YAML: {message}"))]),
    };
    let mut problems = Vec::new();
    let mut lines = BTreeMap::new();
    for document in documents {
        let (line, kind) = match kind_of(&document) {
            Ok(kind) => (document.line, kind),
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if let Some(first) = lines.insert(kind, line) {
            problems.push(about_file(Some(line), format!("a second {kind}, the first is on line {first}")));
            continue;
        }
        let components = &mut written.component_configs;
        problems.extend(match kind {
            KUBELET => decode_into(components.kubelet.insert(Default::default()), document),
            KUBE_PROXY => decode_into(components.kube_proxy.insert(Default::default()), document),
            _ => {
                record_lines(&document, &mut String::new(), &mut written.origins);
                match kind {
                    INIT => decode_into(&mut written.init, document),
                    _ => decode_into(&mut written.cluster, document),
                }
            }
        });
    }
    if !lines.contains_key(INIT) && !lines.contains_key(CLUSTER) && problems.is_empty() {
        problems.push(about_file(None, format!("holds neither {INIT} nor {CLUSTER}")));
    }
    (written, problems)
}

fn decode_into<T: DeserializeOwned + Default>(place: &mut T, document: Node) -> Vec<Problem> {
    let (value, found) = decode::decode(document);
    *place = value;
    found
}

fn about_file(line: Option<u64>, message: impl Into<String>) -> Problem {
    Problem { field: String::new(), message: message.into(), origin: Some(line.map_or(Origin::File, Origin::Line)) }
}

/// The kind, if it is one of those that the file may hold, or why not.
fn kind_of(document: &Node) -> Result<&'static str, Problem> {
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
    let refuse = |field: &str, line, message| {
        Err(Problem { field: field.to_owned(), message, origin: Some(Origin::Line(line)) })
    };
    let Some(version) = api_version.strip_prefix(GROUP) else {
        return match COMPONENT_KINDS.iter().find(|(_, name)| *name == kind) {
            Some((expected, name)) if *expected == api_version => Ok(name),
            Some((expected, _)) => {
                refuse("apiVersion", version_line, format!("unknown version `{api_version}`; expected `{expected}`"))
            }
            None => {
                let reason = format!("{kind}: unknown API `{api_version}`; expected `{}`", v1beta4::API_VERSION);
                refuse("kind", kind_line, reason)
            }
        };
    };
    if let Some((_, kubeadm)) = OLD_VERSIONS.iter().find(|(old, _)| *old == version) {
        let message = format!(
            "`{api_version}` is too old; `kubeadm config migrate --old-config FILE` of kubeadm {kubeadm} writes a newer one"
        );
        return refuse("apiVersion", version_line, message);
    }
    if api_version != v1beta4::API_VERSION {
        let message = format!("unknown version `{api_version}`; expected `{}`", v1beta4::API_VERSION);
        return refuse("apiVersion", version_line, message);
    }
    match kind {
        INIT => Ok(INIT),
        CLUSTER => Ok(CLUSTER),
        _ if OTHER_KINDS.contains(&kind) => {
            refuse("kind", kind_line, format!("{kind} is not for `init`; remove the document"))
        }
        _ => {
            let hint =
                nearest(kind, &[INIT, CLUSTER]).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            refuse("kind", kind_line, format!("unknown kind `{kind}`{hint}"))
        }
    }
}

fn record_lines(node: &Node, path: &mut String, origins: &mut Origins) {
    let length = path.len();
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                decode::push_key(path, &entry.key);
                origins.insert(path.clone(), Origin::Line(entry.key_line));
                record_lines(&entry.value, path, origins);
                path.truncate(length);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                origins.insert(path.clone(), Origin::Line(item.line));
                record_lines(item, path, origins);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let (_, problems) = decode(text);
        problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
    }

    #[test]
    fn both_documents_are_found_in_any_order() {
        let (written, problems) = decode(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: c\n---\n\
             {\"apiVersion\": \"kubeadm.k8s.io/v1beta4\", \"kind\": \"InitConfiguration\", \"dryRun\": true}\n",
        );
        assert_eq!(problems, []);
        assert_eq!(written.cluster.cluster_name, "c");
        assert!(written.init.dry_run);
        assert_eq!(written.origins.get("clusterName"), Some(&Origin::Line(3)));
    }

    #[test]
    fn documents_that_are_not_ours_are_refused_by_name() {
        let document = |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\n");
        for (version, kind, expected) in [
            ("kubeadm.k8s.io/v1beta3", "ClusterConfiguration", "kubeadm v1.36 writes a newer one"),
            ("kubeadm.k8s.io/v1beta2", "ClusterConfiguration", "kubeadm v1.22 writes a newer one"),
            ("kubeadm.k8s.io/v9", "ClusterConfiguration", "unknown version `kubeadm.k8s.io/v9`"),
            ("kubeadm.k8s.io/v1beta4", "ClusterConfig", "unknown kind `ClusterConfig`"),
            ("kubeadm.k8s.io/v1beta4", "ClusterConfigurations", "did you mean `ClusterConfiguration`?"),
            ("kubeadm.k8s.io/v1beta4", "JoinConfiguration", "JoinConfiguration is not for `init`"),
            ("kubelet.config.k8s.io/v1beta2", "KubeletConfiguration", "expected `kubelet.config.k8s.io/v1beta1`"),
            ("apps/v1", "Deployment", "unknown API `apps/v1`"),
        ] {
            let found = messages(&document(version, kind));
            assert!(found.len() == 1 && found[0].contains(expected), "{version} {kind}: {found:?}");
        }
    }

    #[test]
    fn files_without_a_document_of_ours_are_refused() {
        assert!(messages("")[0].contains("holds neither"));
        assert!(messages("# nothing\n---\n")[0].contains("holds neither"));
        assert!(messages("kind: ClusterConfiguration\n")[0].starts_with("apiVersion: Required value"));
        assert!(messages("- a\n")[0].contains("not a mapping"));
        assert!(messages("a: [\n")[0].contains("not valid YAML"));
        let twice = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
        assert!(messages(&format!("{twice}---\n{twice}"))[0].contains("a second InitConfiguration"));
    }
}

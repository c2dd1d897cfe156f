//! The configuration file as it was written: which documents it holds, decoded strictly.
//!
//! Text in, values and findings out; nothing is defaulted or validated here. Documents are YAML or JSON, separated by
//! `---` [4.1]. Every document is in the terms of v1beta4 when it leaves this module.

mod complaint;
mod decode;
mod document;
mod hint;
mod node;
pub(crate) mod suggest;
pub mod v1beta3;
pub mod v1beta4;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

pub use self::node::MAX_BYTES;

use self::document::{ApiVersion, CLUSTER, INIT, Place, about_file};
use self::node::{Node, Value};
use self::v1beta4::{ClusterConfiguration, InitConfiguration};
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
    /// Documents that kubeadm has other commands for, passed over.
    pub others: Vec<Problem>,
    /// Documents that are nobody's business here, passed over.
    pub foreign: Vec<Problem>,
    /// Documents of a version of the API that will not be read for ever.
    pub deprecated: Vec<Problem>,
}

/// A path that is longer is of no field that anything is said about; its parent's line has to do.
const LONGEST_PATH: usize = 256;

/// Decodes a configuration file. The findings are empty when all of it was understood.
pub fn decode(text: &str) -> (Written, Vec<Problem>) {
    let mut written = Written::default();
    let documents = match node::parse(text) {
        Ok(documents) => documents,
        Err((line, message)) => return (written, vec![about_file(line, format!("not valid YAML: {message}"))]),
    };
    let mut problems = Vec::new();
    let mut lines = BTreeMap::new();
    let mut timeout = v1beta3::HealthCheckTimeout::default();
    for document in documents {
        let place = document::header(&document).and_then(|header| {
            if let Some(first) = lines.insert(header.kind.to_owned(), document.line) {
                let message = format!("a second {}, the first is on line {first}", header.kind);
                return Err(about_file(Some(document.line), message));
            }
            header.place()
        });
        let Written { init, cluster, component_configs, origins, others, foreign, deprecated } = &mut written;
        if let Ok(Place::Init(version) | Place::Cluster(version)) = &place {
            record_lines(&document, &mut String::new(), origins);
            if *version == ApiVersion::V1Beta3 {
                let message = format!(
                    "`{}` is deprecated; `bootstrap config migrate` writes the newer version",
                    v1beta3::API_VERSION
                );
                deprecated.push(about_file(Some(document.line), message));
            }
        }
        problems.extend(match place {
            Err(problem) => vec![problem],
            Ok(Place::Other(why)) => {
                others.push(about_file(Some(document.line), why));
                Vec::new()
            }
            Ok(Place::Foreign(why)) => {
                foreign.push(about_file(Some(document.line), why));
                Vec::new()
            }
            Ok(Place::Kubelet) => decode_into(component_configs.kubelet.insert(Default::default()), document),
            Ok(Place::KubeProxy) => decode_into(component_configs.kube_proxy.insert(Default::default()), document),
            Ok(Place::Init(ApiVersion::V1Beta4)) => decode_into(init, document),
            Ok(Place::Cluster(ApiVersion::V1Beta4)) => decode_into(cluster, document),
            Ok(Place::Init(ApiVersion::V1Beta3)) => {
                let (older, found) = decode::decode::<v1beta3::InitConfiguration>(document, ApiVersion::V1Beta3);
                *init = older.upgrade(origins);
                found
            }
            Ok(Place::Cluster(ApiVersion::V1Beta3)) => {
                let (older, found) = decode::decode::<v1beta3::ClusterConfiguration>(document, ApiVersion::V1Beta3);
                (*cluster, timeout) = older.upgrade(origins);
                found
            }
        });
    }
    timeout.apply(&mut written.init.timeouts, &mut written.origins);
    if !lines.contains_key(INIT) && !lines.contains_key(CLUSTER) && problems.is_empty() {
        problems.push(about_file(None, format!("holds neither {INIT} nor {CLUSTER}")));
        problems.append(&mut written.others);
        problems.append(&mut written.foreign);
    }
    (written, problems)
}

fn decode_into<T: DeserializeOwned + Default>(place: &mut T, document: Node) -> Vec<Problem> {
    let (value, found) = decode::decode(document, ApiVersion::V1Beta4);
    *place = value;
    found
}

fn record_lines(node: &Node, path: &mut String, origins: &mut Origins) {
    let length = path.len();
    if length > LONGEST_PATH {
        return;
    }
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
        assert_eq!(written.origins.place_of("clusterName"), Some(&Origin::Line(3)));
    }

    #[test]
    fn files_without_a_document_of_ours_are_refused() {
        assert!(messages("")[0].contains("holds neither"));
        assert!(messages("# nothing\n---\n")[0].contains("holds neither"));
        assert!(messages("kind: ClusterConfiguration\n")[0].starts_with("apiVersion: Required value"));
        assert!(messages("- a\n")[0].contains("not a mapping"));
        assert!(messages("a: [\n")[0].contains("not valid YAML"));
        assert!(messages("apiVersion: v1\nkind: ConfigMap\n")[1].contains("ConfigMap of `v1` is not for `init`"));
        let twice = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
        assert!(messages(&format!("{twice}---\n{twice}"))[0].contains("a second InitConfiguration"));
    }

    #[test]
    fn what_is_not_ours_is_passed_over_beside_what_is() {
        let ours = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n---\n";
        let (written, problems) = decode(&format!("{ours}apiVersion: v1\nkind: ConfigMap\ndata: 7\n"));
        assert_eq!(problems, []);
        assert_eq!(written.foreign[0].origin, Some(Origin::Line(4)));
    }

    #[test]
    fn the_older_version_becomes_the_newer_one() {
        let (written, problems) = decode(
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\napiServer:\n  extraArgs: {v: '4', a: b}\n  \
             timeoutForControlPlane: 6m\n---\n\
             apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\ntimeouts: {controlPlaneComponentHealthCheck: 1m}\n",
        );
        assert_eq!(problems, []);
        let args: Vec<_> = written.cluster.api_server.extra_args.iter().map(|arg| arg.name.as_str()).collect();
        assert_eq!(args, ["a", "v"]);
        assert_eq!(written.init.timeouts.control_plane_component_health_check.as_deref(), Some("6m"));
        assert_eq!(written.deprecated.len(), 1);
        assert_eq!(written.origins.name_of("apiServer.extraArgs[1].value"), "apiServer.extraArgs.v");
    }

    #[test]
    fn only_a_timeout_that_says_something_is_taken_over() {
        for (text, expected) in [("0s", None), ("4m", None), ("240s", None), ("5m", Some("5m")), ("soon", Some("soon"))]
        {
            let (written, _) = decode(&format!(
                "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n\
                 apiServer: {{timeoutForControlPlane: {text}}}\n"
            ));
            assert_eq!(written.init.timeouts.control_plane_component_health_check.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn fields_of_the_newer_version_are_unknown_to_the_older_one() {
        let found = messages(
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nencryptionAlgorithm: RSA-2048\n\
             apiServer:\n  extraArgs: [{name: v, value: '4'}]\n  extraEnvs: []\nproxy: {}\nnodeRegistration: {}\n",
        );
        for expected in [
            "encryptionAlgorithm: unknown field; it is one of v1beta4",
            "apiServer.extraArgs: expected a mapping, found a list; write each flag as `name: value`",
            "apiServer.extraEnvs: unknown field; it is one of v1beta4",
            "proxy: unknown field; it is one of v1beta4",
            "nodeRegistration: unknown field; it belongs to InitConfiguration",
        ] {
            assert!(found.iter().any(|message| message == expected), "{expected}: {found:#?}");
        }
    }

    #[test]
    fn components_are_carried_as_they_are() {
        let head = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n---\n\
                    apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        let (written, problems) = decode(&format!("{head}maxPods: 50\nclusterDNS: null\nevictionHard: {{a: ''}}\n"));
        assert_eq!(problems, []);
        let kubelet = serde_json::to_value(written.component_configs.kubelet).unwrap_or_default();
        assert_eq!(kubelet["maxPods"], 50);
        assert_eq!(kubelet["evictionHard"], serde_json::json!({"a": ""}));
        let (_, problems) = decode(&format!("{head}evictionHard:\n  a: b\n  a: c\n"));
        assert_eq!(problems[0].in_file(Some("f")), "f:8: evictionHard.a: given twice, first on line 7");
    }

    #[test]
    fn a_long_key_costs_nothing() {
        let items = "x, ".repeat(10_000);
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n? {}\n: [{items}]\n",
            "k".repeat(500_000)
        );
        let found = messages(&text);
        assert!(found.len() == 1 && found[0].len() < 500, "{}", found.len());
    }
}

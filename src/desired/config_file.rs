//! Configuration files as `bootstrap config` writes them: kubeadm's documents in kubeadm's form, keys sorted [4.9].

use serde_json::Value;

use super::component_config;
pub use super::object::to_yaml;
use crate::config::facts::Facts;
use crate::config::file::Written;
use crate::config::file::v1beta4::{ClusterConfiguration, InitConfiguration};
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::config::{ComponentConfigs, Config, express};
use crate::error::{Fault, Result};
use crate::secret::Secret;

/// Stands for a token where a file has to have one; it says of itself that it is none.
const PLACEHOLDER_TOKEN: &str = "abcdef.0123456789abcdef";

/// A kind of configuration that kubeadm has defaults for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    Kubelet,
    KubeProxy,
}

/// A file to start from: what `init` does when nobody says otherwise, on a machine that does not exist.
pub fn init_defaults(facts: &Facts, components: &[ComponentKind]) -> Result<String> {
    let config = resolve(&Flags::default(), None, facts).map_err(Fault::from)?;
    let mut init = express::init_configuration(&config);
    init.node_registration.taints = None;
    for token in &mut init.bootstrap_tokens {
        token.token = Some(Secret::new(PLACEHOLDER_TOKEN));
        token.description.clear();
    }
    let mut cluster = express::cluster_configuration(&config);
    // the first of its minor, without a `v`: as kubeadm writes it here and nowhere else
    cluster.kubernetes_version = format!("1.{}.0", config.kubernetes_version.minor());
    let components = components.iter().map(|kind| match kind {
        ComponentKind::Kubelet => component_config::kubelet(&config),
        ComponentKind::KubeProxy => component_config::kube_proxy(&config),
    });
    documents(&init, &cluster, &components.collect::<Result<Vec<_>>>()?)
}

/// What a file would have to say to mean this configuration, wherever it is read.
pub fn resolved(config: &Config) -> Result<String> {
    let (init, cluster) = (express::init_configuration(config), express::cluster_configuration(config));
    documents(&init, &cluster, &written_components(&config.component_configs))
}

/// `written` in the newest version of the API, with the defaults that do not depend on a machine. `config` is what it
/// resolves to somewhere.
pub fn migrated(written: &Written, config: &Config) -> Result<String> {
    let mut init = express::init_configuration(config);
    init.node_registration.name.clone_from(&written.init.node_registration.name);
    init.node_registration.taints.clone_from(&written.init.node_registration.taints);
    init.local_api_endpoint.advertise_address.clone_from(&written.init.local_api_endpoint.advertise_address);
    let cluster = express::cluster_configuration(config);
    documents(&init, &cluster, &written_components(&config.component_configs))
}

/// The user's own documents, as they are.
fn written_components(components: &ComponentConfigs) -> Vec<Value> {
    [&components.kubelet, &components.kube_proxy].into_iter().flatten().cloned().map(Value::Object).collect()
}

fn documents(init: &InitConfiguration, cluster: &ClusterConfiguration, components: &[Value]) -> Result<String> {
    let mut texts = vec![to_yaml(init)?, to_yaml(cluster)?];
    for component in components {
        texts.push(to_yaml(component)?);
    }
    Ok(texts.join("---\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::file::{self, FileInput};

    fn facts() -> Facts {
        Facts::placeholder("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn resolve_text(text: &str) -> Config {
        let file = FileInput { name: "config.yaml".to_owned(), text: text.to_owned() };
        resolve(&Flags::default(), Some(file), &facts()).unwrap()
    }

    const TEXT: &str = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n\
        apiServer: {extraArgs: {v: '4', a: b}, timeoutForControlPlane: 5m}\nnetworking: {podSubnet: 10.244.0.0/16}\n---\n\
        apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 50\n";

    #[test]
    fn what_is_written_is_read_back_to_the_same() {
        let config = resolve_text(TEXT);
        let once = resolved(&config).unwrap();
        let again = resolve_text(&once);
        assert_eq!(resolved(&again).unwrap(), once);
        assert!(again.warnings.is_empty(), "{:?}", again.warnings);
        assert!(once.contains("token: null\n") && once.contains("maxPods: 50"), "{once}");
    }

    #[test]
    fn a_migrated_file_says_nothing_about_the_machine() {
        let (written, _) = file::decode(TEXT);
        let text = migrated(&written, &resolve_text(TEXT)).unwrap();
        assert!(!text.contains("1.2.3.4") && !text.contains("name: node"), "{text}");
        for expected in [
            "controlPlaneComponentHealthCheck: 5m0s",
            "  extraArgs:\n  - name: a\n    value: b\n  - name: v\n    value: \"4\"\n",
            "taints: null",
            "kind: KubeletConfiguration",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn defaults_come_with_components_when_asked_for() {
        let text = init_defaults(&facts(), &[ComponentKind::Kubelet, ComponentKind::KubeProxy]).unwrap();
        let kinds: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
        let expected = ["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"];
        assert_eq!(kinds, expected);
        resolve_text(&text);
    }
}

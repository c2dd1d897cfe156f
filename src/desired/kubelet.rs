//! What a kubelet on this node would read, as kubeadm writes it: a kubelet can take the static pods over, and the node
//! into the cluster [5.5]. Nothing here starts one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifest::command::Defaults;
use super::patch::{self, Applied, PatchFile, Target};
use super::{component_config, object};
use crate::config::Config;
use crate::config::facts::Facts;
use crate::error::{Context, Result};
use crate::layout;

/// A file for everybody to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletFile {
    pub path: PathBuf,
    pub content: String,
}

/// The resolvers that systemd-resolved itself asks: its stub in `/etc/resolv.conf` would answer itself from a pod [4.7].
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Flags, this node's own settings where the version knows them, and the configuration, in kubeadm's order; and the
/// patches that the configuration got.
pub fn files(config: &Config, facts: &Facts, patches: &[PatchFile]) -> Result<(Vec<KubeletFile>, Vec<Applied>)> {
    let file = |name: &str, content: String| KubeletFile { path: Path::new(layout::KUBELET).join(name), content };
    let (configuration, applied) = configuration(config, facts, patches)?;
    let mut files = vec![file("kubeadm-flags.env", flags(config, facts))];
    if config.kubernetes_version.kubelet_reads_socket_from_file() {
        files.push(file("instance-config.yaml", instance(config)));
    }
    files.push(file("config.yaml", object::to_yaml(&configuration)?));
    Ok((files, applied))
}

/// What the kubelet's unit takes from its environment: one line.
fn flags(config: &Config, facts: &Facts) -> String {
    let version = &config.kubernetes_version;
    let mut defaults = Defaults::default();
    if config.node.name != facts.hostname.trim().to_lowercase() {
        defaults.set("hostname-override", config.node.name.as_str());
    }
    if !version.kubelet_reads_socket_from_file() {
        defaults.set("container-runtime-endpoint", config.node.cri_socket.as_str());
    }
    if version.kubelet_knows_docker() {
        defaults.set("container-runtime", "remote");
    }
    if version.kubelet_is_told_pause_image() {
        let image = format!("{}/pause:{}", config.image_repository, version.pause_tag());
        defaults.set("pod-infra-container-image", image);
    }
    let flags: Vec<_> = defaults.flags(&config.node.kubelet_extra_args, version).collect();
    format!("KUBELET_KUBEADM_ARGS={}\n", go_quoted(&flags.join(" ")))
}

fn instance(config: &Config) -> String {
    format!("containerRuntimeEndpoint: {}\n", go_quoted(&config.node.cri_socket))
}

/// The cluster's configuration of kubelets, what this node adds, the patches, and at last the socket.
fn configuration(config: &Config, facts: &Facts, patches: &[PatchFile]) -> Result<(Value, Vec<Applied>)> {
    let mut value = component_config::kubelet(config)?;
    if facts.systemd_resolved && value["resolvConf"].is_null() {
        value["resolvConf"] = json!(RESOLVED);
    }
    let applied = patch::apply(Target::KubeletConfiguration, &mut value, patches, check)?;
    if config.kubernetes_version.kubelet_reads_socket_from_file() {
        value["containerRuntimeEndpoint"] = json!(config.node.cri_socket);
    }
    Ok((value, applied))
}

fn check(value: &Value) -> Result<(), String> {
    match value["kind"] == "KubeletConfiguration" && value["apiVersion"].is_string() {
        true => Ok(()),
        false => Err("it is no KubeletConfiguration".to_owned()),
    }
}

/// Where a kubelet keeps the newest of the client certificates that it renews itself; `kubeletExtraArgs` may move it.
pub fn client_certificate(config: &Config) -> PathBuf {
    let directory = config.node.kubelet_extra_args.iter().rev().find(|arg| arg.name == "cert-dir");
    let directory = directory.map_or_else(|| Path::new(layout::KUBELET).join("pki"), |arg| PathBuf::from(&arg.value));
    directory.join("kubelet-client-current.pem")
}

/// A kubeconfig whose user logs in with that certificate instead of one that grows old; `None` where it does.
pub fn with_client_certificate(kubeconfig: &[u8], certificate: &Path) -> Result<Option<String>> {
    let text = std::str::from_utf8(kubeconfig).context("it is not UTF-8")?;
    // the parser's own words would quote the file
    let mut content: Value = serde_yaml::from_str(text).map_err(|_| anyhow::anyhow!("it is no YAML"))?;
    let named = |list: &Value, name: &Value| list.as_array()?.iter().position(|entry| entry["name"] == *name);
    let context = named(&content["contexts"], &content["current-context"]).context("it has no current context")?;
    let user = named(&content["users"], &content["contexts"][context]["context"]["user"]).context("it has no user")?;
    let fields = content["users"][user]["user"].as_object_mut().context("its user is empty")?;
    let path = json!(certificate);
    if ["client-certificate", "client-key"].iter().all(|field| fields.get(*field) == Some(&path)) {
        return Ok(None);
    }
    fields.retain(|field, _| !field.starts_with("client-"));
    fields.extend(["client-certificate", "client-key"].map(|field| (field.to_owned(), path.clone())));
    object::to_yaml(&content).map(Some)
}

/// As Go's `%q`: what systemd, which reads the flags, understands as well.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_kubelet_logs_in_with_the_certificate_that_it_renews() {
        let before = "apiVersion: v1\nclusters: []\ncontexts:\n- {context: {cluster: c, user: u}, name: x}\n\
                      current-context: x\nkind: Config\nusers:\n- name: u\n  user: {client-certificate-data: YQ==, \
                      client-key-data: Yg==}\n";
        let path = Path::new("/var/lib/kubelet/pki/kubelet-client-current.pem");
        let after = with_client_certificate(before.as_bytes(), path).unwrap().unwrap();
        assert!(!after.contains("-data") && after.contains(&format!("client-key: {}", path.display())), "{after}");
        assert_eq!(with_client_certificate(after.as_bytes(), path).unwrap(), None);
        assert!(with_client_certificate(b"users: []", path).is_err());
    }
}

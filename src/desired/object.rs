//! What `init` applies to the API once it answers, as kubeadm makes it: for a cluster that has no nodes yet.
//!
//! Objects are rendered from `templates/objects` in the order of application; the steps of `init` take theirs from the
//! function of their name.

pub(super) mod addon;
pub mod dns;
pub mod live;
pub mod token;
pub mod uploaded;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::EnvVar;
use serde::Serialize;
use serde_json::{Value, json};

use self::live::Live;
use super::node::Marks;
use super::patch::PatchFile;
use super::template;
use crate::config::{Config, defaults, express};
use crate::error::{Context, Result};

/// Who owns what init applies: server-side apply's field manager.
pub const FIELD_MANAGER: &str = "bootstrap";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Where the control plane's own objects are.
pub const NAMESPACE: &str = "kube-system";

/// What the configuration does not know; most of it is known only when the objects are about to be applied.
#[derive(Debug, Clone)]
pub struct Late {
    /// `ca.crt`; clients get its first certificate.
    pub ca_certificate_pem: String,
    /// Lifetimes of tokens count from here.
    pub now: Timestamp,
    /// Variables of the node about HTTP proxies.
    pub proxy_environment: Vec<EnvVar>,
    /// Those of CoreDNS's Deployment are applied.
    pub patches: Vec<PatchFile>,
    /// Encrypted files by their key in the Secret `kubeadm-certs`; empty for one that does not exist.
    pub uploaded: BTreeMap<String, Vec<u8>>,
    pub live: Live,
}

/// One API object. `Debug` leaves its content out: it may hold a token.
#[derive(Clone, PartialEq)]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    /// `None` for objects of the whole cluster.
    pub namespace: Option<String>,
    pub name: String,
    pub value: Value,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for Object {
    /// ConfigMap `kube-system/coredns`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} `{namespace}/{}`", self.kind, self.name),
            None => write!(f, "{} `{}`", self.kind, self.name),
        }
    }
}

impl Object {
    fn from_value(value: Value) -> Result<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let needed = |pointer: &str| text(pointer).with_context(|| format!("the object has no `{pointer}`"));
        Ok(Object {
            api_version: needed("/apiVersion")?,
            kind: needed("/kind")?,
            namespace: text("/metadata/namespace"),
            name: needed("/metadata/name")?,
            value,
        })
    }

    /// Its content is not for everybody's eyes.
    pub fn is_secret(&self) -> bool {
        self.kind == "Secret"
    }

    /// What is sent to the API server: with the defaults that it would fill in within lists which it compares as a
    /// whole. Without them the same list counts as changed each time (v1.20).
    pub fn applied(&self) -> Value {
        let mut value = self.value.clone();
        let subjects = value.pointer_mut("/subjects").and_then(Value::as_array_mut);
        for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
            if ["User", "Group"].map(Value::from).iter().any(|kind| subject.get("kind") == Some(kind)) {
                subject.entry("apiGroup").or_insert_with(|| RBAC.into());
            }
        }
        value
    }

    /// Completes the references to an owner that was applied just before: the cluster has given it its uid.
    pub fn set_owner(&mut self, owner: &Object, uid: &str) {
        let references = self.value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
        for reference in references.into_iter().flatten() {
            if reference["kind"] == owner.kind.as_str() && reference["name"] == owner.name.as_str() {
                reference["uid"] = Value::from(uid);
            }
        }
    }

    /// `001-clusterrolebinding-kubeadm-cluster-admins` for the first object: a file name that sorts by application.
    pub fn file_stem(&self, index: usize) -> String {
        let words = format!("{}-{}", self.kind, self.name).to_lowercase();
        let words: String =
            words.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        format!("{:03}-{words}", index + 1)
    }

    pub fn to_yaml(&self) -> Result<String> {
        to_yaml(&self.value)
    }
}

/// Every object, in the order of application.
pub fn objects(config: &Config, late: &Late) -> Result<Vec<Object>> {
    let mut objects = admin_access(config)?;
    objects.extend(kubeadm_config(config)?);
    objects.extend(kubelet_config(config)?);
    objects.extend(uploaded::objects(config, late)?);
    objects.extend(node(config)?);
    objects.extend(bootstrap_tokens(config, late)?);
    objects.extend(dns::objects(config, &late.live.dns, &late.patches)?.0);
    objects.extend(kube_proxy(config, late)?);
    Ok(objects)
}

/// What one step of init applies; nothing for a step that has no objects.
pub fn of_step(step: &str, config: &Config, late: &Late) -> Result<Vec<Object>> {
    match step {
        "wait-control-plane/admin-rbac" => admin_access(config),
        "upload-config/kubeadm" => kubeadm_config(config),
        "upload-config/kubelet" => kubelet_config(config),
        "upload-certs" => uploaded::objects(config, late),
        "mark-control-plane" => node(config),
        "bootstrap-token" => bootstrap_tokens(config, late),
        "addon/coredns" => dns::objects(config, &late.live.dns, &late.patches).map(|(objects, _)| objects),
        "addon/kube-proxy" => kube_proxy(config, late),
        _ => Ok(Vec::new()),
    }
}

/// What a person should know about the objects of a step: something of theirs is kept.
pub fn remarks(step: &str, config: &Config, late: &Late) -> Result<Vec<String>> {
    match step {
        "addon/coredns" => dns::remarks(config, &late.live.dns),
        _ => Ok(Vec::new()),
    }
}

/// What gives `admin.conf` its rights, where its certificate alone does not [2].
pub fn admin_access(config: &Config) -> Result<Vec<Object>> {
    let version = &config.kubernetes_version;
    if !version.binds_admin_to_cluster_admin() {
        return Ok(Vec::new());
    }
    render("objects/admin-access.yaml", &json!({ "group": version.admin_organization() }))
}

/// The cluster's configuration for whoever joins or upgrades it later [5.7].
pub fn kubeadm_config(config: &Config) -> Result<Vec<Object>> {
    let values = json!({
        "cluster_configuration": to_yaml(&express::cluster_configuration(config))?,
        "token_group": defaults::TOKEN_GROUP,
    });
    render("objects/kubeadm-config.yaml", &values)
}

/// The configuration of every kubelet that joins [5.7].
pub fn kubelet_config(config: &Config) -> Result<Vec<Object>> {
    render("objects/kubelet-config.yaml", &addon::kubelet_config(config)?)
}

/// This node, as it is made where nobody has registered it [5.4].
pub fn node(config: &Config) -> Result<Vec<Object>> {
    Ok(vec![Object::from_value(Marks::of(config).object())?])
}

/// What makes service addresses work on every node, unless it is disabled [5.9].
pub fn kube_proxy(config: &Config, late: &Late) -> Result<Vec<Object>> {
    if config.proxy_disabled {
        return Ok(Vec::new());
    }
    render("objects/kube-proxy.yaml", &addon::kube_proxy(config, late)?)
}

/// The bootstrap tokens, what may be done with them, and where new nodes learn of the cluster [5.8].
pub fn bootstrap_tokens(config: &Config, late: &Late) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for token in token::settle(&config.bootstrap_tokens, &late.live.tokens, late.now) {
        objects.push(token::object(&token, late.now)?);
    }
    let values = json!({
        "token_group": defaults::TOKEN_GROUP,
        "kubelet_client_binding": config.kubernetes_version.kubelet_client_organization().is_none(),
    });
    objects.extend(render("objects/node-bootstrap.yaml", &values)?);
    let kubeconfig = json!({
        "certificate_authority_data": STANDARD.encode(first_certificate(&late.ca_certificate_pem)),
        "server": config.server(),
    });
    let kubeconfig = template::render("objects/cluster-info-kubeconfig.yaml", &kubeconfig)?;
    objects.extend(render("objects/cluster-info.yaml", &json!({ "kubeconfig": kubeconfig }))?);
    Ok(objects)
}

/// A bundle's first certificate is the authority, the others are its intermediates.
fn first_certificate(pem: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----\n";
    pem.find(END).map_or(pem, |end| &pem[..end + END.len()])
}

/// The documents of a rendered template.
fn render(name: &str, values: &Value) -> Result<Vec<Object>> {
    let text = template::render(name, values)?;
    let documents: Vec<Value> =
        serde_yaml::from_multiple(&text).with_context(|| format!("the template `{name}` does not make YAML"))?;
    documents.into_iter().map(Object::from_value).collect()
}

/// YAML that Go reads back as it was meant: keys sorted, lists not indented, no block scalars.
pub fn to_yaml(value: &impl Serialize) -> Result<String> {
    let mut value = serde_json::to_value(value).context("cannot turn the object into YAML")?;
    value.sort_all_objects();
    let options = serde_yaml::ser_options! { prefer_block_scalars: false };
    serde_yaml::to_string_with_options(&value, options).context("cannot turn the object into YAML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_sort_by_application_and_are_file_names() {
        let object = Object {
            api_version: "rbac.authorization.k8s.io/v1".into(),
            kind: "ClusterRoleBinding".into(),
            namespace: None,
            name: "kubeadm:cluster-admins".into(),
            value: Value::Null,
        };
        assert_eq!(object.file_stem(0), "001-clusterrolebinding-kubeadm-cluster-admins");
        let hostile = Object { name: "../x".into(), ..object };
        assert_eq!(hostile.file_stem(41), "042-clusterrolebinding-..-x");
    }

    #[test]
    fn subjects_are_sent_with_their_defaults() {
        let binding = |subjects: Value| Object {
            api_version: "rbac.authorization.k8s.io/v1".into(),
            kind: "RoleBinding".into(),
            namespace: None,
            name: "a".into(),
            value: json!({ "subjects": subjects }),
        };
        let kinds =
            json!([{"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "name": "s"}, {"name": "odd"}, 7]);
        let mut expected = kinds.clone();
        expected[0]["apiGroup"] = RBAC.into();
        assert_eq!(binding(kinds).applied()["subjects"], expected);
    }

    #[test]
    fn only_the_first_certificate_is_published() {
        let one = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n";
        assert_eq!(first_certificate(&format!("{one}{one}")), one);
        assert_eq!(first_certificate(one), one);
    }
}

//! KubeletConfiguration and KubeProxyConfiguration: the user's document with kubeadm's defaults filled in [4.7], written
//! as kubeadm writes it.

mod kube_proxy;
mod kubelet;
mod logging;
mod shape;

use serde_json::{Map, Value, json};

use super::pki;
use crate::config::{Config, Document};
use crate::error::{Fault, Result};
use shape::{Field, Reader};

/// Where every CoreDNS of kubeadm's is: this address of the service network.
const DNS_INDEX: u32 = 10;

/// The address of the cluster's DNS service; empty only where the service network has no room for it.
pub fn cluster_dns(config: &Config) -> String {
    let subnet = config.networking.service_subnets.first();
    subnet.and_then(|subnet| pki::address_at(subnet, DNS_INDEX)).map(|address| address.to_string()).unwrap_or_default()
}

/// The kubelets' configuration. Fails where the user's has another shape than the API.
pub fn kubelet(config: &Config) -> Result<Value> {
    Ok(kubelet_kind(config).written(config)?.document)
}

/// The configuration of every kube-proxy. Fails where the user's has another shape than the API.
pub fn kube_proxy(config: &Config) -> Result<Value> {
    Ok(kube_proxy_kind(config).written(config)?.document)
}

/// What of the two documents is left out, or is not as kubeadm would have it: one sentence each. Fails as the others do.
pub fn warnings(config: &Config) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for kind in [kubelet_kind(config), kube_proxy_kind(config)] {
        let written = kind.written(config)?;
        warnings.extend(written.warnings);
        warnings.extend(written.strangers.into_iter().map(|stranger| format!("{stranger} It is left out.")));
    }
    Ok(warnings)
}

/// Fields of the two documents that nobody knows, one sentence each. Fails as the others do.
pub fn strangers(config: &Config) -> Result<Vec<String>> {
    let mut strangers = kubelet_kind(config).written(config)?.strangers;
    strangers.extend(kube_proxy_kind(config).written(config)?.strangers);
    Ok(strangers)
}

/// A document as kubeadm would write it.
struct Written {
    document: Value,
    /// Where it is not as kubeadm recommends.
    warnings: Vec<String>,
    /// What it has no place for.
    strangers: Vec<String>,
}

/// A kind of configuration, and what kubeadm puts where the user says nothing.
struct Kind<'a> {
    name: &'static str,
    api_version: &'static str,
    fields: &'static [Field],
    given: Option<&'a Document>,
    /// Paths in the document; kubeadm recommends these values.
    defaults: Vec<(&'static str, Value)>,
    /// What the user cannot change.
    forced: Vec<(&'static str, Value)>,
}

fn kubelet_kind(config: &Config) -> Kind<'_> {
    let mut defaults = vec![
        ("staticPodPath", json!("/etc/kubernetes/manifests")),
        ("clusterDNS", json!([cluster_dns(config)])),
        ("clusterDomain", json!(config.networking.dns_domain)),
        ("authentication.x509.clientCAFile", json!(config.pki_file("ca.crt").to_string_lossy())),
        ("authentication.anonymous.enabled", json!(false)),
        ("authentication.webhook.enabled", json!(true)),
        ("authorization.mode", json!("Webhook")),
        ("healthzBindAddress", json!("127.0.0.1")),
        ("healthzPort", json!(10248)),
    ];
    if config.kubernetes_version.sets_cgroup_driver() {
        defaults.push(("cgroupDriver", json!("systemd")));
    }
    Kind {
        name: "KubeletConfiguration",
        api_version: "kubelet.config.k8s.io/v1beta1",
        fields: kubelet::KUBELET,
        given: config.component_configs.kubelet.as_ref(),
        defaults,
        // without it a node drops out of the cluster after a year
        forced: vec![("rotateCertificates", json!(true))],
    }
}

fn kube_proxy_kind(config: &Config) -> Kind<'_> {
    let bind_address = if config.local_api_endpoint.advertise_address.is_ipv4() { "0.0.0.0" } else { "::" };
    Kind {
        name: "KubeProxyConfiguration",
        api_version: "kubeproxy.config.k8s.io/v1alpha1",
        fields: kube_proxy::KUBE_PROXY,
        given: config.component_configs.kube_proxy.as_ref(),
        defaults: vec![
            ("bindAddress", json!(bind_address)),
            ("clusterCIDR", json!(config.networking.pod_subnet)),
            ("clientConnection.kubeconfig", json!("/var/lib/kube-proxy/kubeconfig.conf")),
        ],
        forced: Vec::new(),
    }
}

impl Kind<'_> {
    fn written(self, config: &Config) -> Result<Written> {
        let mut warnings = Vec::new();
        let mut document = self.given.cloned().unwrap_or_default();
        document.shift_remove("apiVersion");
        document.shift_remove("kind");
        for (path, value) in &self.defaults {
            if let Some(other) = fill(&mut document, path, value)
                && *value != ""
            {
                warnings.push(format!("{}: {path}: `{value}` is recommended, not `{other}`", self.name));
            }
        }
        for (path, value) in &self.forced {
            if document.insert((*path).to_owned(), value.clone()).is_some_and(|other| other != *value) {
                warnings.push(format!("{}: {path}: is always `{value}`", self.name));
            }
        }
        let mut reader = Reader::new(config.kubernetes_version.component_config_minor());
        let mut written = reader.structure(self.fields, &document, "");
        if !reader.misfits.is_empty() {
            return Err(Fault::usage(format!("cannot use the {}: {}", self.name, reader.misfits.join("; "))).into());
        }
        let strangers = reader.strangers.into_iter().map(|stranger| format!("{}: {stranger}", self.name));
        let strangers = strangers.collect();
        written.insert("apiVersion".to_owned(), self.api_version.into());
        written.insert("kind".to_owned(), self.name.into());
        Ok(Written { document: Value::Object(written), warnings, strangers })
    }
}

/// Puts `value` where nothing is, `null` or an empty text. Returns what the user has put there instead.
fn fill(document: &mut Map<String, Value>, path: &str, value: &Value) -> Option<Value> {
    let (name, below) = path.split_once('.').map_or((path, None), |(name, below)| (name, Some(below)));
    let place = document.entry(name).or_insert(Value::Null);
    if let Some(below) = below {
        if place.is_null() {
            *place = json!({});
        }
        // another shape is the reader's to complain of
        return place.as_object_mut().and_then(|inner| fill(inner, below, value));
    }
    if place.is_null() || place.as_str().is_some_and(str::is_empty) {
        *place = value.clone();
    }
    (place != value).then(|| place.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::shape::Shape::{Bool, Duration, DurationOrNanoseconds, List, Map, Number, Quantity, Struct, Text};
    use super::shape::{INT32, always, if_given, or_null, unless_zero};
    use super::*;

    const INNER: &[Field] = &[always("text", Text), unless_zero("list", List(&Text))];
    const FIELDS: &[Field] = &[
        always("duration", Duration),
        always("flush", DurationOrNanoseconds),
        always("inner", Struct(INNER)),
        always("list", List(&Text)),
        if_given("pointer", INT32),
        or_null("null", Bool),
        unless_zero("map", Map(&Quantity)),
        unless_zero("number", Number),
        unless_zero("late", Text).since(30),
        unless_zero("early", Text).until(29),
    ];

    fn written(given: Value) -> (Value, Vec<String>, Vec<String>) {
        let mut reader = Reader::new(30);
        let written = reader.structure(FIELDS, given.as_object().unwrap(), "");
        (Value::Object(written), reader.misfits, reader.strangers)
    }

    #[test]
    fn zeros_are_written_or_left_out_as_the_type_says() {
        let nothing = json!({
            "duration": "0s", "flush": 0, "inner": {"text": ""}, "list": null, "null": null,
        });
        assert_eq!(written(json!({})), (nothing.clone(), vec![], vec![]));
        let zeros = json!({"map": {}, "number": 0, "late": "", "inner": {"list": []}, "duration": null});
        assert_eq!(written(zeros), (nothing, vec![], vec![]));
        let given = json!({"list": [], "pointer": 0, "null": false});
        let (value, ..) = written(given);
        assert_eq!((&value["list"], &value["pointer"], &value["null"]), (&json!([]), &json!(0), &json!(false)));
    }

    #[test]
    fn values_have_one_form() {
        let given = json!({"duration": "90s", "flush": "5000ms", "map": {"a": "1024Mi", "b": 2}, "number": 5.0, "pointer": 7.0});
        let (value, ..) = written(given);
        assert_eq!(value["duration"], "1m30s");
        assert_eq!(value["flush"], "5s");
        assert_eq!(value["map"], json!({"a": "1Gi", "b": "2"}));
        assert_eq!((&value["number"], &value["pointer"]), (&json!(5), &json!(7)));
        assert_eq!(written(json!({"flush": 5_000_000_000_i64})).0["flush"], 5_000_000_000_i64);
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_path() {
        let given = json!({
            "duration": "soon", "inner": {"text": 1, "lst": []}, "list": "x", "pointer": 1.5, "null": "yes",
            "map": {"a": "many"}, "early": "x",
        });
        let (_, misfits, strangers) = written(given);
        assert_eq!(
            misfits,
            [
                "`duration`: not a duration; write it as in `1h30m`, `90s` or `500ms`",
                "`inner.text` has to be a text",
                "`list` has to be a list",
                "`pointer` has to be a whole number from -2147483648 to 2147483647",
                "`null` has to be true or false",
                "`map.a` has to be a quantity such as `512Mi`",
            ]
        );
        assert_eq!(strangers, ["early: unknown field.", "inner.lst: unknown field; did you mean `list`?"]);
    }

    #[test]
    fn defaults_go_where_nothing_is() {
        let mut document = json!({"a": {"b": ""}, "c": null, "d": "x", "e": 1}).as_object().unwrap().clone();
        for (path, other) in [("a.b", None), ("c", None), ("d", Some(json!("x"))), ("e.f", None), ("g.h", None)] {
            assert_eq!(fill(&mut document, path, &json!("default")), other, "{path}");
        }
        let expected = json!({"a": {"b": "default"}, "c": "default", "d": "x", "e": 1, "g": {"h": "default"}});
        assert_eq!(Value::Object(document), expected);
    }
}

//! PURE: a network configuration of the node, and what each of its plugins gets to read [CNI 1.0, sections 1 and 3].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Context, Result};
use crate::runner::runtime::PortMapping;

/// Those whose results name addresses in one way.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// From here on, `DEL` gets the result of `ADD`.
const LAST_WITHOUT_RESULT: &str = "0.3.1";
const PORT_MAPPINGS: &str = "portMappings";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::runner::net) struct NetworkConfiguration {
    #[serde(rename = "cniVersion")]
    version: String,
    pub(super) name: String,
    pub(super) plugins: Vec<Plugin>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plugin {
    /// The name of its program.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl NetworkConfiguration {
    /// Reads a list of plugins, or one plugin alone.
    pub(super) fn parse(bytes: &[u8]) -> Result<NetworkConfiguration> {
        let mut value: Value = serde_json::from_slice(bytes)?;
        if value.get("plugins").is_none() {
            value = json!({ "cniVersion": value["cniVersion"], "name": value["name"], "plugins": [value] });
        }
        let found: NetworkConfiguration = serde_json::from_value(value)?;
        let NetworkConfiguration { version, name, plugins } = &found;
        anyhow::ensure!(VERSIONS.contains(&version.as_str()), "cniVersion `{version}` is none of {VERSIONS:?}");
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.chars().all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other))
        };
        anyhow::ensure!(is_name(name), "name `{name}` is not made of letters, digits, `.`, `-` and `_`");
        anyhow::ensure!(!plugins.is_empty(), "there are no plugins");
        for Plugin { kind, .. } in plugins {
            anyhow::ensure!(is_name(kind), "type `{kind}` is no name of a program");
        }
        Ok(found)
    }

    /// Standard input of a plugin.
    pub(super) fn input(&self, plugin: &Plugin, ports: &[PortMapping], previous: Option<&Value>) -> Value {
        let mut fields = plugin.fields.clone();
        let capabilities = fields.remove("capabilities").unwrap_or_default();
        fields.insert("cniVersion".to_owned(), json!(self.version));
        fields.insert("name".to_owned(), json!(self.name));
        fields.insert("type".to_owned(), json!(plugin.kind));
        if capabilities[PORT_MAPPINGS] == true && !ports.is_empty() {
            let mappings: Vec<_> = ports.iter().map(port_mapping).collect();
            fields.insert("runtimeConfig".to_owned(), json!({ PORT_MAPPINGS: mappings }));
        }
        if let Some(previous) = previous {
            fields.insert("prevResult".to_owned(), previous.clone());
        }
        Value::Object(fields)
    }

    /// What of the result of `ADD` is told to `DEL`.
    pub(super) fn told_at_the_end<'a>(&self, result: Option<&'a Value>) -> Option<&'a Value> {
        result.filter(|_| self.version.as_str() > LAST_WITHOUT_RESULT)
    }
}

fn port_mapping(port: &PortMapping) -> Value {
    let mut mapping = json!({
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol.to_string().to_lowercase(),
    });
    if let Some(ip) = port.host_ip {
        mapping["hostIP"] = json!(ip);
    }
    mapping
}

/// The first of these files that is a configuration, in lexical order.
pub(super) fn first_of(names: impl Iterator<Item = String>) -> Option<String> {
    let is_configuration = |name: &String| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|extension| ["conflist", "conf", "json"].contains(&extension))
    };
    names.filter(is_configuration).min()
}

/// The names of the pod, for plugins that know Kubernetes; others ignore them.
pub(super) fn arguments(namespace: &str, name: &str, sandbox: &str, uid: &str) -> String {
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
         K8S_POD_INFRA_CONTAINER_ID={sandbox};K8S_POD_UID={uid}"
    )
}

/// The addresses of a result that are the pod's, in its order.
pub(super) fn addresses(result: &Value) -> Result<Vec<std::net::IpAddr>> {
    let list = |key: &str| result[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for ip in list("ips") {
        let interface = ip["interface"].as_u64().and_then(|index| list("interfaces").get(index as usize));
        // an interface without a sandbox is the node's
        if interface.is_some_and(|interface| interface["sandbox"].as_str().unwrap_or_default().is_empty()) {
            continue;
        }
        let text = ip["address"].as_str().unwrap_or_default();
        let address = text.split('/').next().unwrap_or_default();
        found.push(address.parse().with_context(|| format!("`{text}` is no address"))?);
    }
    anyhow::ensure!(!found.is_empty(), "the result has no address of the pod");
    Ok(found)
}

/// What a plugin that has failed says on standard output.
pub(super) fn reason(output: &[u8]) -> Option<String> {
    let error: Value = serde_json::from_slice(output).ok()?;
    let message = error["msg"].as_str()?;
    let details = error["details"].as_str().filter(|details| !details.is_empty());
    let code = error["code"].as_u64().map(|code| format!(" (code {code})")).unwrap_or_default();
    Some(format!("{message}{}{code}", details.map(|details| format!(": {details}")).unwrap_or_default()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::runtime::Protocol;

    fn parse(value: &Value) -> Result<NetworkConfiguration> {
        NetworkConfiguration::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_plugin_reads_its_own_part_and_what_the_runtime_adds() {
        let list = json!({
            "cniVersion": "1.0.0", "name": "pods", "disableCheck": true,
            "plugins": [
                { "type": "bridge", "bridge": "cni0", "ipam": { "type": "host-local" } },
                { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
            ],
        });
        let list = parse(&list).unwrap();
        let host_ip = Some("127.0.0.1".parse().unwrap());
        let port = PortMapping { protocol: Protocol::Tcp, container_port: 80, host_port: 8080, host_ip };
        let [bridge, portmap] = &list.plugins[..] else { panic!("{list:?}") };
        assert_eq!(
            list.input(bridge, std::slice::from_ref(&port), None),
            json!({ "bridge": "cni0", "ipam": { "type": "host-local" }, "cniVersion": "1.0.0", "name": "pods",
                    "type": "bridge" })
        );
        let previous = json!({ "ips": [] });
        let mappings = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" }]);
        assert_eq!(
            list.input(portmap, &[port], Some(&previous)),
            json!({ "snat": true, "cniVersion": "1.0.0", "name": "pods", "type": "portmap",
                    "runtimeConfig": { "portMappings": mappings }, "prevResult": previous })
        );
        assert_eq!(list.input(portmap, &[], None).get("runtimeConfig"), None);
        assert_eq!(list.told_at_the_end(Some(&previous)), Some(&previous));
        // what is kept is read again
        assert_eq!(serde_json::from_value::<NetworkConfiguration>(json!(list)).unwrap(), list);
    }

    #[test]
    fn one_plugin_alone_is_a_list_of_it() {
        let list = parse(&json!({ "cniVersion": "0.3.1", "name": "one", "type": "ptp", "mtu": 1400 })).unwrap();
        assert_eq!(list.input(&list.plugins[0], &[], None)["mtu"], 1400);
        assert_eq!(list.told_at_the_end(Some(&json!({}))), None);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let plugin = json!({ "type": "bridge" });
        for (list, expected) in [
            (json!({ "cniVersion": "0.2.0", "name": "a", "plugins": [plugin] }), "cniVersion `0.2.0` is none of"),
            (json!({ "cniVersion": "1.0.0", "name": "a/b", "plugins": [plugin] }), "name `a/b`"),
            (json!({ "cniVersion": "1.0.0", "name": "a", "plugins": [] }), "there are no plugins"),
            (json!({ "cniVersion": "1.0.0", "name": "a", "plugins": [{ "type": "../sh" }] }), "type `../sh`"),
            (json!({ "cniVersion": "1.0.0", "name": "a", "plugins": [{}] }), "missing field `type`"),
            (json!({ "name": "a", "type": "bridge" }), "expected a string"),
        ] {
            let error = format!("{:#}", parse(&list).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        assert!(NetworkConfiguration::parse(b"{").is_err());
    }

    #[test]
    fn the_first_configuration_is_taken() {
        let first = |names: &[&str]| first_of(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(first(&["20-b.conf", "10-a.conflist", "00-x.conf.bak", "README"]), Some("10-a.conflist".into()));
        assert_eq!(first(&["b.json", "c.conf"]), Some("b.json".into()));
        assert_eq!(first(&[".keep", "conflist"]), None);
    }

    #[test]
    fn addresses_are_those_inside() {
        let result = json!({
            "interfaces": [{ "name": "cni0" }, { "name": "eth0", "sandbox": "/x" }],
            "ips": [
                { "address": "10.1.0.1/24", "interface": 0 },
                { "address": "10.1.0.5/24", "interface": 1 },
                { "address": "fd00::5/64" },
            ],
        });
        let expected: Vec<std::net::IpAddr> = vec!["10.1.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(addresses(&result).unwrap(), expected);
        assert!(addresses(&json!({})).unwrap_err().to_string().contains("no address"));
        assert!(addresses(&json!({ "ips": [{ "address": "x" }] })).unwrap_err().to_string().contains("`x`"));
    }

    #[test]
    fn errors_are_told_whole() {
        let reason = |value: Value| reason(value.to_string().as_bytes());
        let full = json!({ "cniVersion": "1.0.0", "code": 7, "msg": "bad", "details": "no subnet" });
        assert_eq!(reason(full).unwrap(), "bad: no subnet (code 7)");
        assert_eq!(reason(json!({ "msg": "bad" })).unwrap(), "bad");
        assert_eq!(reason(json!({})), None);
    }
}

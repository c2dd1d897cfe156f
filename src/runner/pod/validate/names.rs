//! PURE: what the pod is called [3.89], and how it resolves names [1.68].

use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodSpec;

use super::{Found, is_label, is_subdomain};

/// The kernel takes no longer one.
const MAX_HOST_NAME: usize = 64;

impl Found {
    pub(super) fn names(&mut self, spec: &PodSpec) {
        self.own_names(spec);
        let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
        self.one_of(&spec.dns_policy, "spec.dnsPolicy", &policies);
        let config = spec.dns_config.as_ref();
        let servers = config.and_then(|config| config.nameservers.as_deref()).unwrap_or_default();
        let searches = config.and_then(|config| config.searches.as_deref()).unwrap_or_default();
        let path = "spec.dnsConfig.nameservers";
        self.unless(spec.dns_policy.as_deref() != Some("None") || !servers.is_empty(), path, || {
            "Required value: at least one where `dnsPolicy` is `None`".to_owned()
        });
        self.unless(servers.len() <= 3, path, || "Too many: at most 3".to_owned());
        for (index, server) in servers.iter().enumerate() {
            self.address(server, &format!("{path}[{index}]"));
        }
        let path = "spec.dnsConfig.searches";
        self.unless(searches.len() <= 32, path, || "Too many: at most 32".to_owned());
        self.unless(searches.join(" ").len() <= 2048, path, || "Too long: at most 2048 characters".to_owned());
        for (index, search) in searches.iter().enumerate() {
            // a `.` at its end, or alone, is the root; `_` is in names of services
            let name = search.trim_end_matches('.').replace('_', "-");
            self.unless(search == "." || is_subdomain(&name), &format!("{path}[{index}]"), || {
                format!("Invalid value: `{search}`: not a DNS subdomain")
            });
        }
        let options = config.into_iter().flat_map(|config| config.options.iter().flatten());
        for (index, option) in options.enumerate() {
            let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
            let name = option.name.as_deref().unwrap_or_default();
            let value = option.value.as_deref().is_none_or(|value| value.is_empty() || is_word(value));
            self.unless(is_word(name) && value, &format!("spec.dnsConfig.options[{index}]"), || {
                "Invalid value: a name, and a value perhaps, without blanks".to_owned()
            });
        }
        for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
            let path = format!("spec.hostAliases[{index}]");
            self.address(&alias.ip, &format!("{path}.ip"));
            for name in alias.hostnames.iter().flatten() {
                self.unless(is_subdomain(name), &format!("{path}.hostnames"), || {
                    format!("Invalid value: `{name}`: not a DNS subdomain")
                });
            }
        }
    }

    fn own_names(&mut self, spec: &PodSpec) {
        for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
            let name = name.as_deref().unwrap_or_default();
            self.unless(name.is_empty() || is_label(name), &format!("spec.{field}"), || {
                format!("Invalid value: `{name}`: not a DNS label")
            });
        }
        let path = "spec.hostnameOverride";
        let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) else { return };
        self.unless(is_subdomain(name), path, || format!("Invalid value: `{name}`: not a DNS subdomain"));
        self.unless(name.len() <= MAX_HOST_NAME, path, || {
            format!("Invalid value: `{name}`: must be no more than {MAX_HOST_NAME} characters")
        });
        self.unless(spec.host_network != Some(true), path, || {
            "Forbidden: may not be set when `hostNetwork` is enabled".to_owned()
        });
        self.unless(spec.set_hostname_as_fqdn != Some(true), path, || {
            "Forbidden: may not be set when `setHostnameAsFQDN` is enabled".to_owned()
        });
    }

    fn address(&mut self, text: &str, path: &str) {
        self.unless(text.parse::<IpAddr>().is_ok(), path, || format!("Invalid value: `{text}`: not an IP address"));
    }
}

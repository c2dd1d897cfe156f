//! Would the components ask the API server, services or pods through an HTTP proxy? They are Go programs, so Go's
//! reading of the environment decides (golang.org/x/net/http/httpproxy).

use std::net::IpAddr;

use ipnet::IpNet;

use super::Given;
use super::verdict::Finding;

/// `https` without a port in the URL.
const HTTPS: u16 = 443;

pub(super) fn api_server(given: &Given) -> Vec<Finding> {
    let endpoint = given.desired.config.local_api_endpoint;
    let proxy = Environment::of(given).proxy_for(endpoint.advertise_address, endpoint.bind_port);
    vec![match proxy {
        None => Finding::ok(format!("`https://{endpoint}` is asked directly")),
        Some(proxy) => Finding::warning(format!(
            "`https://{endpoint}` is asked through the proxy `{proxy}`: add `{}` to NO_PROXY if that is not meant",
            endpoint.advertise_address
        )),
    }]
}

/// The first address of each subnet stands for all of it [6.2].
pub(super) fn networks(given: &Given) -> Vec<Finding> {
    let networking = &given.desired.config.networking;
    let environment = Environment::of(given);
    let judge = |subnet: &IpNet| {
        let proxy = subnet.hosts().next().and_then(|first| environment.proxy_for(first, HTTPS));
        match proxy {
            None => Finding::ok(format!("`{subnet}` is asked directly")),
            Some(proxy) => Finding::warning(format!(
                "addresses of `{subnet}` are asked through the proxy `{proxy}`: add `{subnet}` to NO_PROXY"
            )),
        }
    };
    networking.service_subnets.iter().chain(&networking.pod_subnets).map(judge).collect()
}

struct Environment<'a> {
    https_proxy: Option<&'a str>,
    no_proxy: &'a str,
}

impl<'a> Environment<'a> {
    /// Of the manifests: what the components will see.
    fn of(given: &Given<'a>) -> Environment<'a> {
        let variables = &given.desired.proxy_environment;
        let value = |name: &str| {
            let found = variables.iter().find(|variable| variable.name == name);
            found.and_then(|variable| variable.value.as_deref()).filter(|value| !value.is_empty())
        };
        Environment {
            https_proxy: value("HTTPS_PROXY").or_else(|| value("https_proxy")),
            no_proxy: value("NO_PROXY").or_else(|| value("no_proxy")).unwrap_or_default(),
        }
    }

    /// The proxy between here and an address, without its credentials.
    fn proxy_for(&self, address: IpAddr, port: u16) -> Option<String> {
        let is_direct = address.is_loopback() || self.no_proxy.split(',').any(|entry| covers(entry, address, port));
        self.https_proxy.filter(|_| !is_direct).map(without_credentials)
    }
}

/// An entry of NO_PROXY: everything, a network, an address, or an address with a port. Names never fit an address.
fn covers(entry: &str, address: IpAddr, port: u16) -> bool {
    let entry = entry.trim();
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return network.contains(&address);
    }
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    match (bare(entry), entry.rsplit_once(':')) {
        (Some(named), _) => named == address,
        (None, Some((host, its_port))) => bare(host) == Some(address) && its_port.parse() == Ok(port),
        (None, None) => false,
    }
}

fn without_credentials(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").map_or(("", proxy), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, told};
    use super::*;

    fn scene(environment: &[(&str, &str)]) -> Scene {
        let mut scene = Scene::new("networking:\n  podSubnet: 10.244.0.0/16\n");
        let variable = |(name, value): &(&str, &str)| k8s_openapi::api::core::v1::EnvVar {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            value_from: None,
        };
        scene.desired.proxy_environment = environment.iter().map(variable).collect();
        scene
    }

    #[test]
    fn entries_cover_as_go_reads_them() {
        let covered = |entry: &str, address: &str| covers(entry, address.parse().unwrap_or(IpAddr::from([0; 4])), 6443);
        for (entry, address, expected) in [
            ("*", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.5", true),
            (" 10.0.0.5 ", "10.0.0.5", true),
            ("10.0.0.5:6443", "10.0.0.5", true),
            ("10.0.0.5:443", "10.0.0.5", false),
            ("10.0.0.0/24", "10.0.0.5", true),
            ("10.0.1.0/24", "10.0.0.5", false),
            ("10.0.0", "10.0.0.5", false),
            (".5", "10.0.0.5", false),
            ("", "10.0.0.5", false),
            ("fd00::/8", "fd00::5", true),
            ("fd00::5", "fd00::5", true),
            ("[fd00::5]:6443", "fd00::5", true),
            ("[fd00::5]:443", "fd00::5", false),
        ] {
            assert_eq!(covered(entry, address), expected, "{entry} {address}");
        }
    }

    #[test]
    fn a_proxy_in_between_is_told_without_its_password() {
        let through = scene(&[("HTTPS_PROXY", "http://me:secret@proxy:3128"), ("NO_PROXY", "10.96.0.0/12,localhost")]);
        let api_server = told(super::api_server(&through.given()));
        assert!(
            api_server[0]
                .starts_with("warning: `https://10.0.0.5:6443` is asked through the proxy `http://proxy:3128`")
        );
        let networks = told(super::networks(&through.given()));
        assert_eq!(networks[0], "ok: `10.96.0.0/12` is asked directly");
        assert!(networks[1].starts_with("warning: addresses of `10.244.0.0/16`"), "{networks:?}");
        let direct = scene(&[("https_proxy", "proxy:3128"), ("no_proxy", "10.0.0.5,10.96.0.0/12,10.244.0.0/16")]);
        assert!(told(super::api_server(&direct.given()))[0].starts_with("ok: "));
        assert!(told(super::networks(&direct.given())).iter().all(|finding| finding.starts_with("ok: ")));
        let only_http = scene(&[("HTTP_PROXY", "http://proxy:3128")]);
        assert!(told(super::api_server(&only_http.given()))[0].starts_with("ok: "));
    }
}

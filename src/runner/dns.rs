//! PURE: how a pod resolves names: its `/etc/resolv.conf` and `/etc/hosts` [3.90–3.92].

use super::event::Told;
use std::net::IpAddr;

use super::hostname;
use super::node::Node;
use super::pod::{DnsOption, DnsPolicy, Pod};
use super::runtime::DnsConfig;

/// What resolvers take into account [1.68].
const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

/// What every pod with a network of its own calls itself.
const OWN_HOSTS: &str = "# Kubernetes-managed hosts file.\n\
    127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    fe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\n\
    fe00::2\tip6-allrouters\n";

/// What the pod asks for, and what had to be left out of it; `None` where the node's own file will do. `file` is
/// its text.
pub fn of_pod(pod: &Pod, node: &Node, file: &str) -> (Option<DnsConfig>, Vec<Told>) {
    let Some(own) = &pod.dns else { return (None, Vec::new()) };
    let mut warnings = Vec::new();
    let mut config = match own.policy {
        DnsPolicy::None => DnsConfig::default(),
        DnsPolicy::Node => parse(file),
        DnsPolicy::Cluster if !node.cluster_dns.is_empty() => of_cluster(pod, node, file),
        DnsPolicy::Cluster => {
            let message = format!(
                "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
                 policy. Falling back to \"Default\" policy.",
                pod.name
            );
            warnings.push(Told::warning("MissingClusterDNS", message));
            parse(file)
        }
    };
    config.servers.extend(own.servers.iter().cloned());
    config.searches.extend(own.searches.iter().cloned());
    for DnsOption { name, value } in &own.options {
        config.options.retain(|option| option.split(':').next() != Some(name));
        config.options.push(value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")));
    }
    for list in [&mut config.servers, &mut config.searches] {
        let mut seen = Vec::new();
        list.retain(|item| !seen.contains(item) && (seen.push(item.clone()), true).1);
    }
    warnings.extend(fit(&mut config).into_iter().map(|message| Told::warning("DNSConfigForming", message)));
    (Some(config), warnings)
}

/// The cluster's name servers alone; names are looked for in the cluster first, then where the node does [3.90].
fn of_cluster(pod: &Pod, node: &Node, file: &str) -> DnsConfig {
    let domain = &node.cluster_domain;
    let mut searches = vec![format!("{}.svc.{domain}", pod.namespace), format!("svc.{domain}"), domain.clone()];
    searches.extend(parse(file).searches);
    DnsConfig {
        servers: node.cluster_dns.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => config.servers.extend(words.next()),
            // the last line counts (resolv.conf(5))
            Some("search" | "domain") => config.searches = words.collect(),
            Some("options") => config.options.extend(words),
            _ => {}
        }
    }
    config
}

/// Cuts what no resolver would use, and says so.
fn fit(config: &mut DnsConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.servers.len() > MAX_SERVERS {
        config.servers.truncate(MAX_SERVERS);
        let line = config.servers.join(" ");
        warnings.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {line}"
        ));
    }
    let is_too_long =
        |searches: &[String]| searches.len() > MAX_SEARCHES || searches.join(" ").len() > MAX_SEARCH_CHARACTERS;
    if is_too_long(&config.searches) {
        while is_too_long(&config.searches) {
            config.searches.pop();
        }
        let line = config.searches.join(" ");
        warnings.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {line}"
        ));
    }
    warnings
}

/// The pod's `/etc/hosts`: its own names, or what the node has in `file`; then the pod's aliases [3.92]. `ips` are those
/// of a network of its own.
pub fn hosts(pod: &Pod, node: &Node, ips: &[IpAddr], file: &str) -> String {
    let mut text = match &pod.network {
        None => format!("# Kubernetes-managed hosts file (host network).\n{file}"),
        Some(network) => {
            let names = match hostname::qualified(pod, node) {
                Some(qualified) => format!("{qualified}\t{}", network.hostname),
                None => network.hostname.clone(),
            };
            let own: String = ips.iter().map(|ip| format!("{ip}\t{names}\n")).collect();
            format!("{OWN_HOSTS}{own}")
        }
    };
    if !pod.host_aliases.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in &pod.host_aliases {
            text.push_str(&format!("{}\t{}\n", alias.ip, alias.names.join("\t")));
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::pod::{HostAlias, PodDns, PodNetwork};
    use crate::runner::testing;

    const NODE: &str = "# x\nnameserver 10.0.0.1\nsearch old\ndomain a.example b.example\noptions ndots:1 rotate\n";

    fn asked(policy: DnsPolicy, servers: &[&str], searches: &[&str], options: &[(&str, Option<&str>)]) -> Pod {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        let option =
            |(name, value): &(&str, Option<&str>)| DnsOption { name: (*name).into(), value: value.map(str::to_owned) };
        let dns = PodDns {
            policy,
            servers: owned(servers),
            searches: owned(searches),
            options: options.iter().map(option).collect(),
        };
        Pod { dns: Some(dns), ..testing::pod("a") }
    }

    #[test]
    fn what_the_pod_asks_for_comes_after_what_the_node_has() {
        let pod = asked(
            DnsPolicy::Node,
            &["1.1.1.1", "10.0.0.1"],
            &["b.example", "c"],
            &[("ndots", Some("5")), ("edns0", None)],
        );
        let (config, warnings) = of_pod(&pod, &testing::node(), NODE);
        assert_eq!(
            config.map(|config| config.to_string()).as_deref(),
            Some(
                "search a.example b.example c\nnameserver 10.0.0.1\nnameserver 1.1.1.1\noptions rotate ndots:5 edns0\n"
            )
        );
        assert!(warnings.is_empty());
        let (alone, _) = of_pod(&asked(DnsPolicy::None, &["1.1.1.1"], &[], &[]), &testing::node(), NODE);
        assert_eq!(alone.map(|config| config.to_string()).as_deref(), Some("nameserver 1.1.1.1\n"));
        assert_eq!(of_pod(&testing::pod("a"), &testing::node(), NODE), (None, Vec::new()));
    }

    #[test]
    fn what_is_too_much_is_left_out_and_told() {
        let many: Vec<String> = (0..40).map(|index| format!("s{index}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (config, warnings) =
            of_pod(&asked(DnsPolicy::Cluster, &["1.1.1.1", "2.2.2.2", "3.3.3.3"], &many, &[]), &testing::node(), NODE);
        let config = config.unwrap_or_default();
        assert_eq!((config.servers.len(), config.searches.len(), warnings.len()), (3, 32, 3));
        assert!(
            warnings[1].message.ends_with("the applied nameserver line is: 10.0.0.1 1.1.1.1 2.2.2.2"),
            "{warnings:?}"
        );
    }

    #[test]
    fn names_are_looked_for_in_the_cluster_first() {
        let node = Node { cluster_dns: vec!["10.96.0.10".parse().unwrap()], ..testing::node() };
        let (config, warnings) = of_pod(&asked(DnsPolicy::Cluster, &[], &[], &[]), &node, NODE);
        assert_eq!(
            config.map(|config| config.to_string()).as_deref(),
            Some(
                "search default.svc.cluster.local svc.cluster.local cluster.local a.example b.example\n\
                 nameserver 10.96.0.10\noptions ndots:5\n"
            )
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn case_145_a_pod_with_a_network_of_its_own_knows_its_names() {
        let network = |subdomain: Option<&str>| PodNetwork {
            hostname: "h".into(),
            subdomain: subdomain.map(str::to_owned),
            ..PodNetwork::default()
        };
        let mut pod = Pod { network: Some(network(None)), ..testing::pod("a") };
        let ips = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let text = hosts(&pod, &testing::node(), &ips, "127.0.0.1 x\n");
        assert_eq!(text, format!("{OWN_HOSTS}10.0.0.2\th\nfd00::2\th\n"));
        assert_eq!(OWN_HOSTS.lines().nth(2), Some("::1\tlocalhost ip6-localhost ip6-loopback"));
        pod.network = Some(network(Some("s")));
        let text = hosts(&pod, &testing::node(), &ips[..1], "");
        assert_eq!(text, format!("{OWN_HOSTS}10.0.0.2\th.s.default.svc.cluster.local\th\n"));
    }

    #[test]
    fn aliases_follow_the_nodes_hosts() {
        let mut pod = testing::pod("a");
        assert_eq!(
            hosts(&pod, &testing::node(), &[], "127.0.0.1 x\n"),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 x\n"
        );
        pod.host_aliases = vec![HostAlias { ip: "1.2.3.4".into(), names: vec!["a".into(), "b".into()] }];
        assert!(
            hosts(&pod, &testing::node(), &[], "127.0.0.1 x")
                .ends_with("x\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
        );
    }
}

//! PURE: the sandbox that a client asks for.

use super::{CRI, OWNER, Problems, resources};
use crate::layout::Layout;
use crate::runner::container::log_directory;
use crate::runner::cri::v1::{self, NamespaceMode};
use crate::runner::pod::sysctls;
use crate::runner::runtime::{
    CgroupParent, DnsConfig, NamespaceOptions, PodMetadata, PodSandboxConfig, PortMapping, Protocol, Resources,
};

/// `host_name`: the node's. `Err` tells every field that cannot be met.
///
/// Of `linux.cgroup_parent` the tier counts, since everything that an instance runs is in its own cgroup; the pod's
/// limits come from `linux.resources`. What the security context says of a process of the sandbox's own has nobody to hold for.
pub fn config(
    asked: &v1::PodSandboxConfig,
    handler: &str,
    host_name: &str,
    layout: &Layout,
) -> Result<PodSandboxConfig, String> {
    let mut problems = Problems::default();
    problems.refuse(!handler.is_empty(), "runtime_handler");
    let metadata = metadata(asked.metadata.as_ref(), &mut problems);
    let linux = asked.linux.clone().unwrap_or_default();
    problems.refuse(asked.windows.is_some(), "windows");
    let namespaces = namespaces(linux.security_context.as_ref(), &mut problems);
    for name in linux.sysctls.keys() {
        let may_set = sysctls::may_set(name, namespaces.host_network, namespaces.host_ipc);
        problems.refuse(!may_set, &format!("linux.sysctls.{name}"));
    }
    // on the node's network a container listens at the node's ports itself
    let port_mappings =
        if namespaces.host_network { Vec::new() } else { port_mappings(&asked.port_mappings, &mut problems) };
    let mut annotations: std::collections::BTreeMap<_, _> = asked.annotations.clone().into_iter().collect();
    annotations.insert(OWNER.to_owned(), CRI.to_owned());
    let limits = linux.resources.map(|asked| resources(&asked, "linux.resources", &mut problems));
    let config = PodSandboxConfig {
        attempt: asked.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
        hostname: if asked.hostname.is_empty() { host_name.to_owned() } else { asked.hostname.clone() },
        dns: asked.dns_config.as_ref().and_then(dns),
        log_directory: match asked.log_directory.as_str() {
            "" => log_directory(layout, &metadata),
            directory => directory.into(),
        },
        namespaces,
        port_mappings,
        sysctls: linux.sysctls.into_iter().collect(),
        cgroup_parent: cgroup_parent(&linux.cgroup_parent),
        resources: Resources { oom_score_adj: None, ..limits.unwrap_or_default() },
        labels: asked.labels.clone().into_iter().collect(),
        annotations,
        metadata,
    };
    problems.or(config)
}

/// A client that counts in tiers names the pod's own cgroup: `/kubepods/burstable/pod<uid>`, or
/// `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice`. Of any other pod nothing is known.
fn cgroup_parent(asked: &str) -> CgroupParent {
    let is_in = |tier: &str| {
        let slice = format!("kubepods-{tier}.slice");
        asked.split('/').any(|part| part == tier || part == slice)
    };
    match (is_in("burstable"), is_in("besteffort")) {
        (true, _) => CgroupParent::Burstable,
        (false, true) => CgroupParent::BestEffort,
        (false, false) => CgroupParent::Pods,
    }
}

fn metadata(asked: Option<&v1::PodSandboxMetadata>, problems: &mut Problems) -> PodMetadata {
    let asked = asked.cloned().unwrap_or_default();
    for (name, value) in [("name", &asked.name), ("namespace", &asked.namespace), ("uid", &asked.uid)] {
        // they become parts of file names
        if value.is_empty() || value.contains(['/', '\0']) {
            problems.add(&format!("metadata.{name}"), format!("{value:?} cannot name a pod"));
        }
    }
    PodMetadata { name: asked.name, namespace: asked.namespace, uid: asked.uid }
}

fn namespaces(security: Option<&v1::LinuxSandboxSecurityContext>, problems: &mut Problems) -> NamespaceOptions {
    const FIELD: &str = "linux.security_context";
    let Some(security) = security else { return NamespaceOptions::default() };
    let selinux = security.selinux_options.as_ref().is_some_and(|options| *options != Default::default());
    problems.refuse(selinux, &format!("{FIELD}.selinux_options"));
    let Some(options) = &security.namespace_options else { return NamespaceOptions::default() };
    let field = |name: &str| format!("{FIELD}.namespace_options.{name}");
    let own_users = options.userns_options.as_ref().is_some_and(|users| users.mode() != NamespaceMode::Node);
    problems.refuse(own_users, &field("userns_options"));
    let mut is_nodes = |mode: NamespaceMode, name: &str, supported: &[NamespaceMode]| {
        if mode != NamespaceMode::Node && !supported.contains(&mode) {
            problems.add(&field(name), format!("{} is not supported", mode.as_str_name()));
        }
        mode == NamespaceMode::Node
    };
    NamespaceOptions {
        host_network: is_nodes(options.network(), "network", &[NamespaceMode::Pod]),
        host_pid: is_nodes(options.pid(), "pid", &[NamespaceMode::Pod, NamespaceMode::Container]),
        host_ipc: is_nodes(options.ipc(), "ipc", &[NamespaceMode::Pod]),
        share_process: options.pid() == NamespaceMode::Pod,
    }
}

/// Ports of the containers that are no port of the node need nothing.
fn port_mappings(asked: &[v1::PortMapping], problems: &mut Problems) -> Vec<PortMapping> {
    let mut mappings = Vec::new();
    for mapping in asked.iter().filter(|mapping| mapping.host_port != 0) {
        let port = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
        let host_ip = match mapping.host_ip.as_str() {
            "" => Ok(None),
            ip => ip.parse().map(Some),
        };
        let (Some(container_port), Some(host_port), Ok(host_ip)) =
            (port(mapping.container_port), port(mapping.host_port), host_ip)
        else {
            let (from, to, ip) = (mapping.host_port, mapping.container_port, &mapping.host_ip);
            problems.add("port_mappings", format!("{ip:?} {from} to {to} is not an address with two ports"));
            continue;
        };
        let protocol = match mapping.protocol() {
            v1::Protocol::Tcp => Protocol::Tcp,
            v1::Protocol::Udp => Protocol::Udp,
            v1::Protocol::Sctp => Protocol::Sctp,
        };
        mappings.push(PortMapping { protocol, container_port, host_port, host_ip });
    }
    mappings
}

/// `None` where nothing is said: the node's own is copied then.
fn dns(asked: &v1::DnsConfig) -> Option<DnsConfig> {
    let (servers, searches) = (asked.servers.clone(), asked.searches.clone());
    Some(DnsConfig { servers, searches, options: asked.options.clone() }).filter(|dns| *dns != DnsConfig::default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    pub(crate) fn asked() -> v1::PodSandboxConfig {
        let namespaces =
            v1::NamespaceOption { network: NamespaceMode::Node.into(), pid: 1, ipc: 0, ..Default::default() };
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: "web".into(),
                uid: "u-1".into(),
                namespace: "default".into(),
                attempt: 2,
            }),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            annotations: [("note".to_owned(), "x".to_owned()), (OWNER.to_owned(), "me".to_owned())].into(),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: "/kubepods/podu-1".into(),
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn converted(asked: &v1::PodSandboxConfig) -> Result<PodSandboxConfig, String> {
        config(asked, "", "node", &Layout::new("/srv/a"))
    }

    #[test]
    fn a_sandbox_is_what_is_asked_for() {
        let config = converted(&asked()).unwrap();
        assert_eq!((config.metadata.name.as_str(), config.attempt, config.hostname.as_str()), ("web", 2, "node"));
        assert_eq!(config.log_directory, Path::new("/srv/a/var/log/pods/default_web_u-1"));
        assert!(config.namespaces.host_network && !config.namespaces.host_pid && !config.namespaces.host_ipc);
        assert_eq!((config.dns, config.annotations["note"].as_str()), (None, "x"));
        assert_eq!(config.annotations[OWNER], CRI, "whatever the client says");
        let dns = v1::DnsConfig { servers: vec!["10.0.0.10".into()], ..Default::default() };
        let with = v1::PodSandboxConfig {
            hostname: "h".into(),
            log_directory: "/var/log/pods/x".into(),
            dns_config: Some(dns),
            ..asked()
        };
        let config = converted(&with).unwrap();
        assert_eq!((config.hostname.as_str(), config.log_directory.as_path()), ("h", Path::new("/var/log/pods/x")));
        assert_eq!(config.dns.unwrap().to_string(), "nameserver 10.0.0.10\n");
    }

    #[test]
    fn a_clients_tier_is_found_in_either_drivers_words() {
        for (asked, expected) in [
            ("", CgroupParent::Pods),
            ("/kubepods/podburstable", CgroupParent::Pods),
            ("/kubepods/burstable/podu-1", CgroupParent::Burstable),
            ("/kubepods/besteffort/podu-1", CgroupParent::BestEffort),
            ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice", CgroupParent::Burstable),
        ] {
            assert_eq!(cgroup_parent(asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_pod_of_its_own_has_ports_and_processes_together() {
        let of = |host_port, host_ip: &str| {
            let mapping = v1::PortMapping { protocol: 1, container_port: 53, host_port, host_ip: host_ip.into() };
            let mut asked = v1::PodSandboxConfig { port_mappings: vec![mapping], ..asked() };
            let security = asked.linux.as_mut().unwrap().security_context.as_mut().unwrap();
            security.namespace_options = Some(v1::NamespaceOption::default());
            converted(&asked)
        };
        let config = of(5353, "127.0.0.1").unwrap();
        assert!(config.namespaces.share_process && !config.namespaces.host_network);
        let host_ip = Some("127.0.0.1".parse().unwrap());
        let expected = PortMapping { protocol: Protocol::Udp, container_port: 53, host_port: 5353, host_ip };
        assert_eq!(config.port_mappings, [expected]);
        assert_eq!(of(0, "").unwrap().port_mappings, []);
        assert!(of(70_000, "").unwrap_err().contains("port_mappings"));
        assert!(of(1, "x").unwrap_err().contains("port_mappings"));
    }

    #[test]
    fn what_cannot_be_met_is_refused_all_at_once() {
        let mut wrong = asked();
        wrong.metadata.as_mut().unwrap().name = "../x".into();
        let linux = wrong.linux.as_mut().unwrap();
        linux.sysctls = [("kernel.shmmax".to_owned(), "1".to_owned())].into();
        let options = linux.security_context.as_mut().unwrap().namespace_options.as_mut().unwrap();
        options.set_pid(NamespaceMode::Target);
        options.userns_options = Some(v1::UserNamespace::default());
        let problems = converted(&wrong).unwrap_err();
        for expected in [
            "`metadata.name`: \"../x\" cannot name a pod",
            "`linux.sysctls.kernel.shmmax`: not supported",
            "`linux.security_context.namespace_options.pid`: TARGET is not supported",
            "namespace_options.userns_options`: not supported",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(config(&asked(), "gvisor", "node", &Layout::default()).unwrap_err().contains("runtime_handler"));
        assert!(converted(&Default::default()).unwrap_err().contains("metadata.uid"));
    }
}

//! The network of pods that are not on the node's.
//!
//! ```text
//! pod: eth0 ═══ veth… ─┐
//! pod: eth0 ═══ veth… ─┴─ bridge ── node ── (masquerade) ── world
//!                          ▲ ports of the node, by the packet filter
//! ```
//!
//! Where the node has a CNI configuration, its plugins make all this instead.
//!
//! Blocking, and in the network namespace of the calling thread. What there is follows from which sandboxes there are:
//! every change writes all rules anew, and with the last sandbox the bridge goes.

mod address;
mod cni;
mod nftables;
mod ruleset;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::Ipv4Net;

use self::address::Addresses;
use self::cni::Plugins;
use super::runtime::{PodSandbox, PodSandboxConfig, PortMapping};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::linux::namespace::{self, Kind};
use crate::linux::{link, netfilter, sysctl};

/// What a pod's interface is called inside.
const INTERFACE: &str = "eth0";

#[derive(Debug)]
pub struct Network {
    /// There while there is anything.
    directory: PathBuf,
    bridge: String,
    /// Of the packet filter.
    table: String,
    subnet: Ipv4Net,
    addresses: Addresses,
    plugins: Plugins,
    attached: Mutex<BTreeMap<String, Attached>>,
}

/// A sandbox at the bridge.
#[derive(Debug)]
struct Attached {
    pod: String,
    ip: Ipv4Addr,
    ports: Vec<PortMapping>,
}

impl Network {
    /// `subnet`: where pods get their addresses from, other than the instance's own choice.
    pub fn new(layout: &Layout, subnet: Option<Ipv4Net>) -> Network {
        let (instance, directory) = (layout.instance(), layout.run_network());
        Network {
            bridge: bridge_name(&instance),
            subnet: subnet.unwrap_or_else(|| default_subnet(&instance)),
            table: instance,
            addresses: Addresses::new(directory.join("addresses")),
            directory,
            plugins: Plugins::new(layout),
            attached: Mutex::default(),
        }
    }

    /// Gives the network namespace at `namespace` its interfaces; returns the sandbox's addresses.
    pub fn attach(&self, id: &str, config: &PodSandboxConfig, namespace: &Path) -> Result<Vec<IpAddr>> {
        if let Some(configuration) = self.plugins.configuration()? {
            return self.plugins.add(id, config, namespace, configuration);
        }
        let mut attached = self.attached();
        let pod = format!("{}/{}", config.metadata.namespace, config.metadata.name);
        if let Some((port, other)) = taken_port(&attached, &config.port_mappings) {
            let PortMapping { host_port, protocol, .. } = port;
            anyhow::bail!("port {host_port}/{protocol} of the node is that of pod `{other}` already");
        }
        let joined = self.join(id, namespace).and_then(|ip| {
            attached.insert(id.to_owned(), Attached { pod, ip, ports: config.port_mappings.clone() });
            self.settle(&attached)?;
            Ok(ip)
        });
        match joined {
            Ok(ip) => Ok(vec![ip.into()]),
            Err(error) => {
                if let Err(error) = self.leave(id, &mut attached) {
                    tracing::warn!("{}", crate::error::chain_of(&error));
                }
                Err(error)
            }
        }
    }

    /// Takes away whatever the sandbox has of the network; nothing is no error.
    pub fn detach(&self, id: &str) -> Result<()> {
        self.plugins.delete(id)?;
        let mut attached = self.attached();
        if !attached.contains_key(id) && !self.directory.exists() {
            return Ok(());
        }
        self.leave(id, &mut attached)
    }

    /// Takes over what an earlier runner has made for these sandboxes, and takes the rest away.
    pub fn restore<'a>(&self, sandboxes: impl Iterator<Item = &'a PodSandbox>) -> Result<()> {
        let sandboxes: BTreeMap<_, _> = sandboxes.map(|sandbox| (sandbox.id.as_str(), sandbox)).collect();
        let deleted = self.plugins.delete_unless(|id| sandboxes.contains_key(id));
        let mut attached = self.attached();
        if !self.directory.exists() {
            return deleted;
        }
        self.addresses.keep(|owner| sandboxes.contains_key(owner))?;
        for (ip, owner) in self.addresses.all()? {
            if let Some(PodSandbox { config, .. }) = sandboxes.get(owner.as_str()) {
                let pod = format!("{}/{}", config.metadata.namespace, config.metadata.name);
                attached.insert(owner, Attached { pod, ip, ports: config.port_mappings.clone() });
            }
        }
        self.settle(&attached).and(deleted)
    }

    /// Takes everything away; nobody needs the network any more.
    pub fn tear_down(&self) -> Result<()> {
        let deleted = self.plugins.delete_unless(|_| false);
        let mut attached = self.attached();
        if !self.directory.exists() {
            return deleted;
        }
        attached.clear();
        self.addresses.keep(|_| false)?;
        self.settle(&attached).and(deleted)
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<String, Attached>> {
        // what is half-changed by a panic is put right by the next change
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, id: &str, namespace: &Path) -> Result<Ipv4Addr> {
        let ip = self.addresses.take(self.subnet, id)?;
        let (gateway, prefix) = (address::gateway(self.subnet)?, self.subnet.prefix_len());
        link::ensure_bridge(&self.bridge, gateway, prefix)?;
        sysctl::set("net.ipv4.ip_forward", "1")?;
        // the node reaches its pods' ports at 127.0.0.1, too
        sysctl::set(&format!("net/ipv4/conf/{}/route_localnet", self.bridge), "1")?;
        let opened = File::open(namespace).with_context(|| format!("cannot open `{}`", namespace.display()))?;
        link::add_pair(&interface_name(id), &self.bridge, INTERFACE, ip, &opened)?;
        namespace::within(Kind::Network, namespace, || link::configure(INTERFACE, ip, prefix, gateway))?;
        Ok(ip)
    }

    fn leave(&self, id: &str, attached: &mut BTreeMap<String, Attached>) -> Result<()> {
        attached.remove(id);
        // the rules first: nothing is sent any more to an address that is free
        self.settle(attached)?;
        link::remove(&interface_name(id))?;
        self.addresses.release(id)?;
        self.settle(attached)
    }

    /// Makes the rules those of the sandboxes there are; without any, nothing is left.
    fn settle(&self, attached: &BTreeMap<String, Attached>) -> Result<()> {
        let cannot = || format!("cannot write the packet filter's table `{}`", self.table);
        if attached.is_empty() {
            netfilter::commit(&nftables::replace(&self.table, None)).with_context(cannot)?;
            link::remove(&self.bridge)?;
            return match fs::remove_dir_all(&self.directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove `{}`", self.directory.display()))
                }
                _ => Ok(()),
            };
        }
        let pods = attached.values().map(|attached| (attached.ip, attached.ports.as_slice()));
        let table = ruleset::table(&self.table, &self.bridge, self.subnet, pods);
        netfilter::commit(&nftables::replace(&self.table, Some(&table))).with_context(cannot)
    }
}

/// The first of these ports that another pod has, and that pod's name.
fn taken_port<'a>(
    attached: &'a BTreeMap<String, Attached>,
    ports: &'a [PortMapping],
) -> Option<(&'a PortMapping, &'a str)> {
    let others = || attached.values().flat_map(|other| other.ports.iter().map(move |port| (port, other.pod.as_str())));
    ports.iter().find_map(|port| others().find(|(other, _)| port.collides(other)).map(|(_, pod)| (port, pod)))
}

/// Names of interfaces have at most 15 characters.
fn bridge_name(instance: &str) -> String {
    match instance.strip_prefix("bootstrap-") {
        Some(digits) => format!("boot-{digits}"),
        None => "bootstrap0".to_owned(),
    }
}

/// The node's end of a sandbox's interface.
fn interface_name(sandbox: &str) -> String {
    format!("veth{}", sandbox.get(..11).unwrap_or(sandbox))
}

/// Instances that share a machine should not share addresses.
fn default_subnet(instance: &str) -> Ipv4Net {
    let digits = instance.strip_prefix("bootstrap-").and_then(|digits| digits.get(..2));
    let network = match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => Ipv4Addr::new(10, 91, byte, 0),
        None => Ipv4Addr::new(10, 90, 0, 0),
    };
    Ipv4Net::new_assert(network, 24)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::runtime::Protocol;

    #[test]
    fn names_fit_and_differ() {
        let (default, other) = (Layout::default().instance(), Layout::new("/srv/a").instance());
        assert_ne!(bridge_name(&default), bridge_name(&other));
        assert_ne!(default_subnet(&default), default_subnet(&other));
        assert!(
            [bridge_name(&default), bridge_name(&other), interface_name(&"f".repeat(32))]
                .iter()
                .all(|name| name.len() <= 15)
        );
    }

    #[test]
    fn a_port_is_one_pods() {
        let port = |host_port, protocol, ip: Option<&str>| PortMapping {
            protocol,
            container_port: 1,
            host_port,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
        };
        let other = vec![port(80, Protocol::Tcp, None), port(81, Protocol::Tcp, Some("127.0.0.1"))];
        let other = Attached { pod: "default/other".into(), ip: Ipv4Addr::LOCALHOST, ports: other };
        let attached = BTreeMap::from([("x".to_owned(), other)]);
        for (asked, is_taken) in [
            (port(80, Protocol::Tcp, None), true),
            (port(80, Protocol::Tcp, Some("10.0.0.1")), true),
            (port(80, Protocol::Udp, None), false),
            (port(81, Protocol::Tcp, Some("10.0.0.1")), false),
            (port(81, Protocol::Tcp, Some("0.0.0.0")), true),
            (port(82, Protocol::Tcp, None), false),
        ] {
            let asked = [asked];
            assert_eq!(
                taken_port(&attached, &asked).map(|(_, pod)| pod),
                is_taken.then_some("default/other"),
                "{asked:?}"
            );
        }
    }
}

//! Gathers the few facts of the machine that configuration defaults depend on.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use nix::ifaddrs::getifaddrs;

use crate::config::facts::{Facts, OPTIONAL_CA_DIRECTORIES, TokenSeed};
use crate::desired::patch::{self, PatchFile};
use crate::error::{Context, Fault, Result};
use crate::layout::Layout;
use crate::linux::calls;

/// Whether the certificates directory has an authority whose key is kept elsewhere [1.8].
pub fn has_external_ca(layout: &Layout, certificates_dir: &Path) -> bool {
    let directory = layout.under(certificates_dir);
    directory.join("ca.crt").exists() && !directory.join("ca.key").exists()
}

/// The files below `directory`, in the order of a walk by name. Fails where it is no directory itself: a symbolic link
/// is none. Of a file that is no patch only the name is taken [3.11].
pub fn patches(directory: &Path) -> Result<Vec<PatchFile>> {
    let named = || format!("patches.directory: cannot read `{}`", directory.display());
    let metadata = std::fs::symlink_metadata(directory).map_err(|error| Fault::usage(named()).because(error))?;
    if !metadata.is_dir() {
        return Err(Fault::usage(format!("patches.directory: `{}` is not a directory", directory.display())).into());
    }
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let entries = std::fs::read_dir(&path).with_context(named)?;
            let mut entries: Vec<_> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().with_context(named)?;
            entries.sort_by(|a, b| b.cmp(a));
            waiting.extend(entries);
        } else {
            let text = match patch::is_patch(&path) {
                true => std::fs::read_to_string(&path).map_err(|error| {
                    Fault::usage(format!("cannot read the patch `{}`", path.display())).because(error)
                })?,
                false => String::new(),
            };
            files.push(PatchFile { path, text });
        }
    }
    Ok(files)
}

/// kubeadm asks the service manager, too: the files of systemd-resolved outlive it.
fn is_resolved_active() -> bool {
    let is_active = || {
        let mut systemctl = std::process::Command::new("systemctl");
        let status = systemctl.args(["is-active", "--quiet", "systemd-resolved"]).stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    Path::new("/run/systemd/system").is_dir() && is_active()
}

/// Reads host name, default route, directories, environment and clock.
pub fn gather(layout: &Layout) -> Result<Facts> {
    let hostname = nix::unistd::gethostname().context("cannot read the host name")?;
    if !calls::has_randomness() {
        return Err(Fault::usage("the kernel's random number generator is not ready: no key made now would be secret")
            .hint("wait a moment and run it again; a virtual machine may need a virtio-rng device")
            .into());
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let addresses = addresses();
    Ok(Facts {
        hostname: hostname.to_string_lossy().into_owned(),
        default_address: default_address(&addresses),
        loopback_address: addresses.iter().find(|(name, ip)| name == "lo" && usable(ip)).map(|(_, ip)| *ip),
        ca_directories: OPTIONAL_CA_DIRECTORIES
            .map(PathBuf::from)
            .into_iter()
            .filter(|path| layout.under(path).is_dir())
            .collect(),
        external_ca: false,
        accounts: None,
        identities: None,
        systemd_resolved: is_resolved_active(),
        // a variable that is not UTF-8 is no proxy's
        proxy_environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| name.to_lowercase().ends_with("_proxy") && !value.is_empty())
            .collect(),
        now: Timestamp::now(),
        token_seed: TokenSeed::new(seed),
    })
}

/// The first usable address of the interface that a default route leaves from, IPv4 routes first [4.5].
fn default_address(addresses: &[(String, IpAddr)]) -> Option<IpAddr> {
    let routes4 = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let routes6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    choose(&routes4, &routes6, addresses)
}

/// Every address of every interface of this network namespace.
fn addresses() -> Vec<(String, IpAddr)> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::V4(v4.ip()),
                (_, Some(v6)) => IpAddr::V6(v6.ip()),
                _ => return None,
            };
            Some((interface.interface_name, ip))
        })
        .collect()
}

fn choose(routes4: &str, routes6: &str, addresses: &[(String, IpAddr)]) -> Option<IpAddr> {
    let of = |interface: &str, family: fn(&IpAddr) -> bool| {
        addresses.iter().find(|(name, ip)| name == interface && family(ip) && usable(ip)).map(|(_, ip)| *ip)
    };
    let v4 = default_interface4(routes4).and_then(|interface| of(interface, IpAddr::is_ipv4));
    v4.or_else(|| default_interface6(routes6).and_then(|interface| of(interface, IpAddr::is_ipv6)))
}

/// `/proc/net/route`: Iface Destination Gateway Flags …, addresses in hexadecimal; flag 1 is "up".
fn default_interface4(routes: &str) -> Option<&str> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let up = u32::from_str_radix(fields.get(3)?, 16).ok()? & 1 == 1;
        (up && fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")).then(|| fields[0])
    })
}

/// `/proc/net/ipv6_route`: destination, prefix length, source, its length, next hop, metric, …, interface.
fn default_interface6(routes: &str) -> Option<&str> {
    routes.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let interface = *fields.get(9)?;
        let default = fields[0].bytes().all(|byte| byte == b'0') && fields[1] == "00";
        (default && interface != "lo").then_some(interface)
    })
}

/// Global unicast as Go understands it: private addresses count.
fn usable(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROUTES4: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
        eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n";
    const ROUTES6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth2\n";

    fn addresses(list: &[(&str, &str)]) -> Vec<(String, IpAddr)> {
        list.iter().map(|(name, ip)| ((*name).to_owned(), ip.parse().unwrap())).collect()
    }

    #[test]
    fn the_default_routes_interface_gives_the_address() {
        let both =
            addresses(&[("lo", "127.0.0.1"), ("eth1", "192.168.0.4"), ("eth0", "192.168.2.7"), ("eth2", "fd00::7")]);
        assert_eq!(choose(ROUTES4, ROUTES6, &both), Some("192.168.2.7".parse().unwrap()));
        assert_eq!(choose("", ROUTES6, &both), Some("fd00::7".parse().unwrap()));
        assert_eq!(choose("", "", &both), None);
        let link_local = addresses(&[("eth0", "169.254.3.4"), ("eth2", "fe80::1")]);
        assert_eq!(choose(ROUTES4, ROUTES6, &link_local), None);
    }
}

//! This network namespace: which addresses can be listened on, and is there IPv6?

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::preflight::machine::Network;

/// A connection within the machine is made at once, unless a packet filter swallows it.
const ANSWER: Duration = Duration::from_secs(1);

pub(super) fn look(addresses: &BTreeSet<IpAddr>) -> Network {
    let unusable = |address: &IpAddr| Some((*address, listen(*address).err()?));
    let is_disabled = first_byte("/proc/sys/net/ipv6/conf/all/disable_ipv6") == Some(b'1');
    let is_on = |file: &str| first_byte(file).map(|byte| byte == b'1');
    Network {
        unusable: addresses.iter().filter_map(unusable).collect(),
        has_ipv6: Path::new("/proc/net/if_inet6").exists() && !is_disabled,
        forwards_ipv4: is_on("/proc/sys/net/ipv4/ip_forward"),
        forwards_ipv6: is_on("/proc/sys/net/ipv6/conf/default/forwarding"),
    }
}

/// On a port of the kernel's choice, for a moment; the error in the kernel's words. A loopback address is also
/// connected to: without its interface it can still be listened on, and nobody hears.
fn listen(address: IpAddr) -> Result<(), String> {
    let words = |error: io::Error| match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    };
    let tried = TcpListener::bind((address, 0)).and_then(|listener| match address.is_loopback() {
        true => TcpStream::connect_timeout(&listener.local_addr()?, ANSWER).map(drop),
        false => Ok(()),
    });
    tried.map_err(words)
}

fn first_byte(file: &str) -> Option<u8> {
    fs::read(file).ok()?.first().copied()
}

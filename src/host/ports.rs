//! Which process listens on a TCP port.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn6, sockopt};
use procfs::net::TcpState;
use procfs::process::FDTarget;

use crate::layout::Layout;
use crate::preflight::machine::Listener;

/// A process that has been killed shows no descriptors any more a while before the kernel closes them.
const DYING: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Who listens on `ports`, on any address of this network namespace. Blocks for up to a second while a port is held by
/// a process that cannot be seen.
pub fn listeners(layout: &Layout, ports: &[u16]) -> Vec<Listener> {
    let begin = Instant::now();
    loop {
        let listeners = look(layout, ports);
        if listeners.iter().all(|listener| listener.process.is_some()) || begin.elapsed() > DYING {
            return listeners;
        }
        thread::sleep(PAUSE);
    }
}

fn look(layout: &Layout, ports: &[u16]) -> Vec<Listener> {
    // the kernel's list of every connection takes milliseconds to read
    if ports.iter().all(|port| is_free(*port)) {
        return Vec::new();
    }
    let entries = procfs::net::tcp().into_iter().flatten().chain(procfs::net::tcp6().into_iter().flatten());
    let mut inodes: HashMap<u64, u16> = entries
        .filter(|entry| entry.state == TcpState::Listen && ports.contains(&entry.local_address.port()))
        .map(|entry| (entry.inode, entry.local_address.port()))
        .collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let instance = layout.instance();
    let mut listeners: Vec<Listener> = Vec::new();
    // a process may end while it is looked at: then it holds no port
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        let Ok(descriptors) = process.fd() else { continue };
        for descriptor in descriptors.flatten() {
            let FDTarget::Socket(inode) = descriptor.target else { continue };
            let Some(port) = inodes.remove(&inode) else { continue };
            let command = process.stat().map(|stat| stat.comm).unwrap_or_default();
            let ours = process.cgroups().is_ok_and(|cgroups| {
                cgroups.0.iter().any(|cgroup| cgroup.pathname.split('/').any(|part| part == instance))
            });
            listeners.push(Listener { port, process: Some((process.pid(), command)), ours });
        }
    }
    // a listener in another PID namespace has no process that can be seen
    listeners.extend(inodes.into_values().map(|port| Listener { port, process: None, ours: false }));
    listeners.sort_by_key(|listener| (listener.port, listener.ours));
    listeners
}

/// Whether surely nobody listens on the port, on any address. What is bound to find out never listens and shares the
/// address, so it is in nobody's way.
fn is_free(port: u16) -> bool {
    let bind = || {
        let socket = socket::socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        // IPv4 as well
        socket::setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(any))
    };
    bind().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_on_whatever_address_it_listens() {
        let layout = Layout::new("/nowhere");
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let found = listeners(&layout, &[port]);
            let process = found[0].process.as_ref().map(|(pid, _)| pid.cast_unsigned());
            assert_eq!((found.len(), process), (1, Some(std::process::id())), "{address}");
            drop(listener);
            assert!(is_free(port), "{address}");
        }
    }
}

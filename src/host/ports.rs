//! Which process listens on a TCP port.

use std::collections::HashMap;

use procfs::net::TcpState;
use procfs::process::FDTarget;

use crate::layout::Layout;
use crate::preflight::machine::Listener;

/// Who listens on `ports`, on any address of this network namespace.
pub fn listeners(layout: &Layout, ports: &[u16]) -> Vec<Listener> {
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

//! The kernel's parameters, each in the namespaces of the calling thread where it belongs to one.

use std::fs;
use std::path::PathBuf;

use crate::error::{Context, Result};

/// Sets one, by its name with slashes or with dots.
pub fn set(name: &str, value: &str) -> Result<()> {
    fs::write(path(name), value).with_context(|| format!("cannot set sysctl `{name}` to `{value}`"))
}

fn path(name: &str) -> PathBuf {
    // whichever stands first separates, as with sysctl(8); the other is part of the names
    let separator =
        if name.find('/') < name.find('.') && name.contains('/') || !name.contains('.') { '/' } else { '.' };
    let parts = name.split(separator).map(|part| match separator {
        '.' => part.replace('/', "."),
        _ => part.to_owned(),
    });
    // no part leads out of the directory
    let parts = parts.filter(|part| !["", ".", ".."].contains(&part.as_str()));
    PathBuf::from("/proc/sys").join(parts.collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_either_separator() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
            ("../../etc/passwd", "/proc/sys/.etc.passwd"),
            ("/kernel/../shm", "/proc/sys/kernel/shm"),
        ] {
            assert_eq!(path(name), PathBuf::from(expected), "{name}");
        }
    }
}

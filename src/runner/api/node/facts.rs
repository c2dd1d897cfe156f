//! What the machine is, asked once, and how it does, asked again and again.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use procfs::FromRead;

use crate::layout::Layout;
use crate::runner::node::Node;

#[derive(Debug, Clone, Default)]
pub(in crate::runner::api) struct Facts {
    pub(super) name: String,
    pub(super) host_name: String,
    pub(super) ip: Option<IpAddr>,
    /// Bytes.
    pub(super) memory: i64,
    /// Thousandths of a CPU.
    pub(super) cpu: i64,
    /// Bytes of the filesystem that holds the runner's state.
    pub(super) storage: u64,
    /// Size of the pages, such as `2Mi`, and how many bytes of them there are.
    pub(super) huge_pages: Vec<(String, u64)>,
    pub(super) machine_id: String,
    pub(super) system_uuid: String,
    pub(super) boot_id: String,
    pub(super) kernel: String,
    pub(super) os_image: String,
    /// Go's word: `amd64`.
    pub(super) architecture: &'static str,
    pub(super) server_port: Option<u16>,
    /// Of the cluster, such as `v1.36.2`.
    pub(super) version: Option<String>,
    /// Where it is seen whether the disk is full.
    pub(super) state: PathBuf,
}

impl Facts {
    /// What cannot be read is empty, as in the kubelet's object.
    pub(in crate::runner::api) fn gather(node: &Node, layout: &Layout, server_port: Option<u16>) -> Facts {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let name = uname();
        let kernel = name.as_ref().map(|name| name.release().to_string_lossy().into_owned());
        let state = layout.state();
        Facts {
            name: node.name.clone(),
            host_name: node.host_name.clone(),
            ip: Some(node.ip),
            memory: node.memory,
            cpu: node.cpu,
            storage: storage(&state).map_or(0, |storage| storage.size),
            huge_pages: huge_pages(Path::new("/sys/kernel/mm/hugepages")),
            machine_id: read("/etc/machine-id"),
            system_uuid: read("/sys/class/dmi/id/product_uuid"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel: kernel.unwrap_or_default(),
            os_image: pretty_name(&read("/etc/os-release")).unwrap_or_else(|| "Linux".to_owned()),
            architecture: architecture(std::env::consts::ARCH),
            server_port,
            version: None,
            state,
        }
    }
}

/// As Go names it.
fn architecture(name: &'static str) -> &'static str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// `PRETTY_NAME` of os-release(5).
fn pretty_name(text: &str) -> Option<String> {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

fn huge_pages(directory: &Path) -> Vec<(String, u64)> {
    let of = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count: u64 = fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
        let size = match kib {
            kib if kib.is_multiple_of(1 << 20) => format!("{}Gi", kib >> 20),
            kib if kib.is_multiple_of(1 << 10) => format!("{}Mi", kib >> 10),
            kib => format!("{kib}Ki"),
        };
        Some((size, count * kib * 1024))
    };
    let mut pages: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().filter_map(of).collect();
    pages.sort();
    pages
}

struct Storage {
    size: u64,
    /// Shares of a hundred that are free.
    free: u64,
    free_inodes: u64,
}

fn storage(path: &Path) -> Option<Storage> {
    // a state that nothing has been written to yet will be on its parent's filesystem
    let path = path.ancestors().find(|path| path.exists())?;
    let found = statvfs(path).ok()?;
    let share = |free: u64, all: u64| (free * 100).checked_div(all).unwrap_or(100);
    Some(Storage {
        size: found.blocks() * found.fragment_size(),
        free: share(found.blocks_available(), found.blocks()),
        free_inodes: share(found.files_available(), found.files()),
    })
}

/// What the node is short of, by the kubelet's default thresholds [7.73].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pressure {
    /// Less than 100 MiB are available.
    pub(super) memory: bool,
    /// Less than a tenth of the bytes, or a twentieth of the inodes.
    pub(super) disk: bool,
    /// Less than a tenth of the process ids.
    pub(super) pids: bool,
}

impl Pressure {
    pub(super) fn measure(facts: &Facts) -> Pressure {
        let available = procfs::Meminfo::from_file("/proc/meminfo").ok().and_then(|memory| memory.mem_available);
        let disk = storage(&facts.state).is_some_and(|storage| storage.free < 10 || storage.free_inodes < 5);
        Pressure { memory: available.is_some_and(|bytes| bytes < 100 << 20), disk, pids: few_pids().unwrap_or(false) }
    }
}

fn few_pids() -> Option<bool> {
    let most: u64 = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?.trim().parse().ok()?;
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let used: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(used > most / 10 * 9)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::testing;

    #[test]
    fn this_machine_has_its_facts() {
        let directory = tempfile::tempdir().unwrap();
        let facts = Facts::gather(&testing::node(), &Layout::new(directory.path()), Some(10250));
        assert!(facts.storage > 0 && !facts.kernel.is_empty() && !facts.boot_id.is_empty());
        assert_eq!(facts.server_port, Some(10250));
    }

    #[test]
    fn names_are_the_fields_own() {
        assert_eq!(
            (architecture("x86_64"), architecture("aarch64"), architecture("s390x")),
            ("amd64", "arm64", "s390x")
        );
        let text = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(pretty_name(text).unwrap(), "Debian GNU/Linux 12");
        assert_eq!(pretty_name("ID=x"), None);
        let directory = tempfile::tempdir().unwrap();
        for (name, count) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "0\n")] {
            fs::create_dir(directory.path().join(name)).unwrap();
            fs::write(directory.path().join(name).join("nr_hugepages"), count).unwrap();
        }
        let expected = [("1Gi".to_owned(), 0), ("2Mi".to_owned(), 6 << 20)];
        assert_eq!(huge_pages(directory.path()), expected);
    }
}

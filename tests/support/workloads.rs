//! What the static pods of the tests run: nginx and busybox as Debian packages them, in a real registry.
//!
//! The images have the names, the entry points and the ports that manifests in books and tutorials expect. They are made
//! once for a test process of what packaging/workloads has unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::json;

use super::images::own_directory;
use super::node::Node;
use super::registry::{Content, Registry};

/// Where packaging/workloads has put nginx, curl, busybox and their libraries.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let cache = || {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        cache.join("bootstrap/workloads/root")
    };
    let root = std::env::var_os("WORKLOADS").map_or_else(cache, PathBuf::from);
    assert!(root.join("bin").is_dir(), "`{}` is missing: packaging/workloads makes it", root.display());
    root
});

/// What the registry of every node stores.
static DATA: LazyLock<PathBuf> = LazyLock::new(|| {
    let data = own_directory("registry");
    let registry = Registry::of(&data);
    let (busybox, nginx, bitnami) = (busybox(), nginx(), bitnami());
    for (repository, tag, content) in [
        ("library/busybox", "1.28", &busybox),
        ("library/busybox", "latest", &busybox),
        ("library/nginx", "latest", &nginx),
        ("library/nginx", "mainline", &nginx),
        ("bitnami/nginx", "latest", &bitnami),
    ] {
        registry.push(repository, tag, content);
    }
    data
});

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\n";
const APPLETS: [&str; 22] = [
    "cat", "chmod", "date", "dd", "echo", "env", "false", "grep", "hostname", "id", "ip", "ls", "mkdir", "nc", "ps",
    "seq", "sh", "sleep", "test", "touch", "true", "wget",
];

/// A registry in the node's network with all the images, which the node takes for Docker's.
pub(crate) fn serve(node: &Node) -> Registry {
    let data: &Path = &DATA;
    node.network.enter();
    let registry = Registry::of(data);
    let settings = node.path("etc/bootstrap/registries.yaml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(settings, format!("mirrors:\n  docker.io: [\"{}\"]\n", registry.host)).unwrap();
    registry
}

/// A shell and its tools, which is what runs unless a manifest says something else.
fn busybox() -> Content {
    let mut layer = Layer::new();
    layer.directories(&["bin", "etc", "tmp"]);
    layer.file("bin/busybox", &fs::read(ROOT.join("usr/bin/busybox")).unwrap(), 0o755);
    layer.applets("bin");
    layer.file("etc/passwd", PASSWD.as_bytes(), 0o644);
    layer.file("etc/group", GROUP.as_bytes(), 0o644);
    image(vec![layer.finish()], json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}))
}

/// Port 80, and the files in `/usr/share/nginx/html`.
fn nginx() -> Content {
    web("listen 80; root /usr/share/nginx/html;")
}

/// Port 8080, and the files in `/app`.
fn bitnami() -> Content {
    web("listen 8080; root /app;")
}

fn web(server: &str) -> Content {
    let configuration = format!(
        "user www-data;\nworker_processes 1;\npid /run/nginx.pid;\nerror_log /dev/stderr notice;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log /dev/stdout; types {{ text/html html; }} server {{ {server} }} }}\n"
    );
    let mut layer = Layer::new();
    layer.directories(&["app", "root", "run", "tmp", "var/lib/nginx"]);
    layer.applets("usr/bin");
    layer.file("app/index.html", &fs::read(ROOT.join("usr/share/nginx/html/index.html")).unwrap(), 0o644);
    layer.file("etc/nginx/nginx.conf", configuration.as_bytes(), 0o644);
    layer.file("etc/passwd", PASSWD.as_bytes(), 0o644);
    layer.file("etc/group", GROUP.as_bytes(), 0o644);
    let process = json!({
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "StopSignal": "SIGQUIT",
    });
    image(vec![programs(), layer.finish()], process)
}

fn image(layers: Vec<Vec<u8>>, process: serde_json::Value) -> Content {
    Content::of(layers, process, &bootstrap::image::manifest::Platform::this().architecture)
}

/// The layer that all web servers share.
fn programs() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all("", &*ROOT).unwrap();
    tar.into_inner().unwrap()
}

/// A layer that is written file by file, everything root's.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header
    }

    fn directories(&mut self, names: &[&str]) {
        for name in names {
            let mode = if *name == "tmp" { 0o1777 } else { 0o755 };
            let mut header = Layer::header(tar::EntryType::Directory, mode, 0);
            self.0.append_data(&mut header, format!("{name}/"), &[][..]).unwrap();
        }
    }

    fn file(&mut self, name: &str, content: &[u8], mode: u32) {
        let mut header = Layer::header(tar::EntryType::Regular, mode, content.len() as u64);
        self.0.append_data(&mut header, name, content).unwrap();
    }

    /// The tools of the shell, beside busybox.
    fn applets(&mut self, directory: &str) {
        for applet in APPLETS {
            let mut header = Layer::header(tar::EntryType::Symlink, 0o777, 0);
            self.0.append_link(&mut header, format!("{directory}/{applet}"), "busybox").unwrap();
        }
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

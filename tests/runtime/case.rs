//! A root directory, a runtime and an image made of busybox; everything is gone at the end, or the test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bootstrap::image::archive::import;
use bootstrap::image::pull::Puller;
use bootstrap::image::store::Store;
use bootstrap::layout::Layout;
use bootstrap::runner::runtime::embedded::{Embedded, Settings, tear_down};
use bootstrap::runner::runtime::log::file::Rotation;
use bootstrap::runner::runtime::{
    Container, ContainerConfig, ContainerState, Exit, NamespaceOptions, PodMetadata, PodSandbox, PodSandboxConfig,
    Resources, Runtime, SecurityContext,
};

const BUSYBOX: &str = "/bin/busybox";

/// Names and contents of the image's text files.
const FILES: [(&str, &str); 2] = [
    ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"),
    ("etc/group", "root:x:0:\napp:x:1001:\nextra:x:2000:app\n"),
];
const APPLETS: &str = "sh cat sleep kill id ls mount mkdir dd true unshare head yes stat readlink grep chroot mknod seq wc tail env mv rm touch df tr hostname nc ip ipcs cut httpd wget timeout chmod";

/// Imports `busybox:latest`, an image with one layer and `config` as its process.
fn import_busybox(layout: &Layout, directory: &Path, config: serde_json::Value) {
    assert!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is missing: install it with `apt-get install busybox-static`");
    let mut layer = tar::Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    };
    for name in ["bin/", "etc/", "tmp/", "data/"] {
        let mode = if name == "tmp/" { 0o1777 } else { 0o755 };
        layer.append_data(&mut header(tar::EntryType::Directory, mode, 0), name, &[][..]).unwrap();
    }
    let busybox = fs::read(BUSYBOX).unwrap();
    let mut file = header(tar::EntryType::Regular, 0o755, busybox.len() as u64);
    layer.append_data(&mut file, "bin/busybox", &busybox[..]).unwrap();
    for applet in APPLETS.split(' ') {
        let mut link = header(tar::EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut link, format!("bin/{applet}"), "busybox").unwrap();
    }
    for (name, content) in FILES {
        let mut file = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        layer.append_data(&mut file, name, content.as_bytes()).unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let diff_id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&layer));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let image = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(fs::File::create(directory.join("image.tar")).unwrap());
    let contents = [
        ("config.json", image.to_string().into_bytes()),
        ("manifest.json", manifest.to_string().into_bytes()),
        ("layer.tar", layer),
    ];
    for (name, content) in contents {
        let mut file = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        archive.append_data(&mut file, name, &content[..]).unwrap();
    }
    archive.finish().unwrap();
    import(&Store::open(layout), &directory.join("image.tar"), None).unwrap();
}

/// Control groups that an instance has without any pod.
const STAYS: [&str; 4] = ["/shims", "/kubepods", "/kubepods/burstable", "/kubepods/besteffort"];

pub(super) struct Case {
    directory: tempfile::TempDir,
    pub(super) layout: Layout,
    pub(super) settings: Settings,
    pub(super) runtime: Embedded,
}

impl Case {
    pub(super) async fn new() -> Case {
        Case::with(Rotation::default(), serde_json::json!({})).await
    }

    /// `image` is the process of the image's configuration, in Docker's spelling.
    pub(super) async fn with(rotation: Rotation, image: serde_json::Value) -> Case {
        let directory = tempfile::Builder::new().prefix("bootstrap-runtime-").tempdir().unwrap();
        // longer than the path of a socket may be
        let layout = Layout::new(directory.path().join("a-root-directory-with-a-rather-long-name-of-its-own"));
        import_busybox(&layout, directory.path(), image);
        let settings = Settings { program: env!("CARGO_BIN_EXE_bootstrap").into(), rotation, ..Settings::default() };
        let runtime = open(&layout, &settings).await;
        Case { directory, layout, settings, runtime }
    }

    /// What the next runner would get.
    pub(super) async fn reopen(&mut self) {
        self.runtime = open(&self.layout, &self.settings).await;
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn sandbox_config(&self) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: PodMetadata { name: "pod".into(), namespace: "kube-system".into(), uid: "0123abcd".into() },
            attempt: 0,
            hostname: "node".into(),
            dns: None,
            log_directory: self.layout.pod_logs().join("kube-system_pod_0123abcd"),
            namespaces: NamespaceOptions { host_network: true, ..NamespaceOptions::default() },
            port_mappings: Vec::new(),
            sysctls: Default::default(),
            cgroup_parent: Default::default(),
            resources: Resources::default(),
            labels: Default::default(),
            annotations: Default::default(),
        }
    }

    pub(super) async fn sandbox(&self) -> PodSandbox {
        self.runtime.run_pod_sandbox(&self.sandbox_config()).await.unwrap()
    }

    /// Creates and starts a container that runs `script`, in a sandbox of its own.
    pub(super) async fn run(&self, script: &str) -> Container {
        self.run_with(config(script)).await
    }

    pub(super) async fn run_with(&self, config: ContainerConfig) -> Container {
        let sandbox = self.sandbox().await;
        let container = self.runtime.create_container(&sandbox.id, &config).await.unwrap();
        self.runtime.start_container(&container.id).await.unwrap();
        container
    }

    /// Runs `script` to its end; its exit and its log's text.
    pub(super) async fn output_of(&self, mut config: ContainerConfig) -> (Exit, String) {
        let attempt = self.runtime.list_containers().await.unwrap().len();
        config.log_path = format!("main/{attempt}.log").into();
        let container = self.run_with(config).await;
        let exit = self.wait(&container).await;
        (exit, self.text(&container))
    }

    pub(super) async fn wait(&self, container: &Container) -> Exit {
        let waiting = self.runtime.wait_container(&container.id);
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it exits within a minute").unwrap()
    }

    pub(super) fn log(&self, container: &Container) -> PathBuf {
        self.sandbox_config().log_directory.join(&container.config.log_path)
    }

    pub(super) fn records(&self, container: &Container) -> Vec<Record> {
        fs::read_to_string(self.log(container)).unwrap().lines().map(Record::parse).collect()
    }

    /// What the container has written: all of standard output, then all of standard error. Their order among each
    /// other is nobody's.
    pub(super) fn text(&self, container: &Container) -> String {
        let (stdout, stderr): (Vec<_>, Vec<_>) =
            self.records(container).into_iter().partition(|record| record.stream == "stdout");
        stdout.iter().chain(&stderr).map(Record::text).collect()
    }

    pub(super) fn state_directory(&self, container: &Container) -> PathBuf {
        self.layout.run_pods().join(&container.sandbox_id).join(&container.id)
    }

    pub(super) fn shim_of(&self, container: &Container) -> u32 {
        let lock = fs::read_to_string(self.state_directory(container).join("shim.lock")).unwrap();
        serde_json::from_str::<serde_json::Value>(&lock).unwrap()["pid"].as_u64().unwrap() as u32
    }

    pub(super) async fn pid_of(&self, container: &Container) -> u32 {
        match self.runtime.container_status(&container.id).await.unwrap().state {
            ContainerState::Running { pid, .. } => pid,
            other => panic!("not running: {other:?}"),
        }
    }

    /// Waits until the container's log holds `text`.
    pub(super) async fn until_logged(&self, container: &Container, text: &str) {
        let log = self.log(container);
        until(|| fs::read_to_string(&log).is_ok_and(|found| found.contains(text))).await;
    }

    /// Removes all sandboxes and checks that nothing of them is left anywhere.
    pub(super) async fn finish(self) {
        for sandbox in self.runtime.list_pod_sandboxes().await.unwrap() {
            self.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
        assert_eq!(self.runtime.list_containers().await.unwrap(), []);
        let left: Vec<_> = fs::read_dir(self.layout.run_pods()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(!self.layout.pods().join("0123abcd").exists(), "the pod's layers");
        let stays = |trace: &String| STAYS.iter().any(|group| trace.ends_with(group));
        until(|| self.traces().iter().all(stays)).await;
        assert_eq!(tear_down(&self.layout).unwrap(), []);
        assert_eq!(self.traces(), Vec::<String>::new());
    }

    /// Mounts, processes and cgroups of this instance.
    pub(super) fn traces(&self) -> Vec<String> {
        let root = self.directory.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut traces: Vec<_> = mounts.lines().filter(|line| line.contains(root)).map(str::to_owned).collect();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(root) {
                traces.push(format!("process {:?}: {}", process.file_name(), String::from_utf8_lossy(&command)));
            }
        }
        let instance = self.layout.instance();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path()) {
            for root in [hierarchy.join(&instance), Path::new("/sys/fs/cgroup").join(&instance)] {
                traces.extend(groups_below(&root).iter().map(|group| group.display().to_string()));
            }
        }
        traces.sort();
        traces.dedup();
        traces
    }
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = entries.filter(|path| path.is_dir());
    below.flat_map(|path| [vec![path.clone()], groups_below(&path)].concat()).collect()
}

pub(super) async fn open(layout: &Layout, settings: &Settings) -> Embedded {
    Embedded::open(layout, Puller::open(layout).unwrap(), settings.clone()).await.unwrap()
}

impl Drop for Case {
    fn drop(&mut self) {
        // after a failed test
        let _ = self.runtime.tear_down();
    }
}

/// Runs `script` in the shell.
pub(super) fn config(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        attempt: 0,
        image: "busybox".into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        args: vec![],
        working_dir: None,
        env: vec![],
        mounts: vec![],
        log_path: "main/0.log".into(),
        resources: Resources::default(),
        security: SecurityContext::default(),
        stdin: false,
        stdin_once: false,
        tty: false,
        labels: Default::default(),
        annotations: Default::default(),
    }
}

/// A line of a CRI log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) stream: String,
    pub(super) is_full: bool,
    pub(super) content: String,
}

impl Record {
    pub(super) fn parse(line: &str) -> Record {
        let [time, stream, tag, content] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        time.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert!(["stdout", "stderr"].contains(&stream) && ["F", "P"].contains(&tag), "{line:?}");
        Record { stream: stream.into(), is_full: tag == "F", content: content.into() }
    }

    pub(super) fn text(&self) -> String {
        if self.is_full { format!("{}\n", self.content) } else { self.content.clone() }
    }
}

/// Waits for something that nothing announces.
pub(super) async fn until(condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not happen within a minute");
}

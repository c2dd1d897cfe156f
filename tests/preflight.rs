//! Preflight on real machines: each a root directory, a network and a mount table of its own, spoiled in one way.

mod docs;
mod etcd;
mod files;
mod network;
mod programs;
mod report;
mod system;

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::support::images::TEMPORARY;
use crate::support::network::Network;
use crate::support::{Bootstrap, Run};

/// A machine without a node: nothing is ever brought up on it.
struct Machine {
    directory: TempDir,
    network: Network,
}

/// Runs a test on a machine of its own, in a thread of its own: namespaces are a thread's.
#[track_caller]
fn on_a_machine<T: Send>(test: impl FnOnce(&Machine) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace needs root: run `sudo make test`");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
            let directory = tempfile::Builder::new().prefix("machine-").tempdir_in(TEMPORARY).unwrap();
            fs::create_dir(directory.path().join("root")).unwrap();
            let machine = Machine { directory, network: Network::new() };
            machine.network.enter();
            test(&machine)
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What is mounted on it would keep its directory from being removed.
impl Drop for Machine {
    fn drop(&mut self) {
        uncover(self.directory.path());
    }
}

impl Machine {
    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A directory of the machine, made.
    fn path(&self, path: &str) -> PathBuf {
        let path = self.root().join(path.trim_start_matches('/'));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn tmpfs(&self, path: &str, flags: MsFlags, options: &str) {
        mount(Some("tmpfs"), &self.path(path), Some("tmpfs"), flags, Some(options)).unwrap();
    }

    /// `bootstrap init` with these words, under a node name that resolves without a name server.
    fn init(&self, words: &[&str]) -> Bootstrap {
        let root = format!("--root={}", self.root().display());
        let words = ["init"].iter().chain(words).copied().map(str::to_owned);
        Bootstrap::new(words.chain([root, "--node-name=localhost".to_owned()]))
    }

    fn preflight(&self, flags: &[&str]) -> Verdicts {
        Verdicts::of(self.init(&[&["phase", "preflight", "--output=json"], flags].concat()).run())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// What preflight said, as `-o json` tells it.
struct Verdicts {
    run: Run,
    /// Name, severity and message.
    list: Vec<(String, String, String)>,
}

/// What is not well, for a test that fails.
impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (check, severity, message) in self.list.iter().filter(|(_, severity, _)| severity != "ok") {
            writeln!(f, "{severity}: [{check}] {message}")?;
        }
        write!(f, "exit code {}: {}", self.run.code, self.run.stderr)
    }
}

impl Verdicts {
    fn of(run: Run) -> Verdicts {
        let events = run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap().to_owned();
        let verdicts = events.filter(|event| event["event"] == "verdict");
        let list = verdicts.map(|event| (text(&event, "check"), text(&event, "severity"), text(&event, "message")));
        let list = list.collect();
        Verdicts { run, list }
    }

    /// The check says this, with these words in it.
    #[track_caller]
    fn says(&self, check: &str, severity: &str, words: &[&str]) -> &Verdicts {
        let fits = |(name, found, message): &(String, String, String)| {
            name == check && found == severity && words.iter().all(|word| message.contains(word))
        };
        assert!(self.list.iter().any(fits), "`{severity}: [{check}] … {words:?}` is not in:\n{self:?}");
        self
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Verdicts {
        assert_eq!(self.run.code, code, "{self:?}");
        self
    }
}

/// Unmounts all that is mounted at or below a directory, as this thread sees it.
fn uncover(directory: &Path) {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let below: Vec<_> = paths.filter(|path| path.starts_with(directory)).collect();
    for path in below.into_iter().rev() {
        umount2(path, MntFlags::MNT_DETACH).unwrap();
    }
}

/// A copy of a program that does nothing, under another name: how a process is recognised.
fn idler(directory: &Path, name: &str) -> std::process::Child {
    let program = directory.join(name);
    fs::copy("/bin/sleep", &program).unwrap();
    std::process::Command::new(program).arg("600").spawn().unwrap()
}

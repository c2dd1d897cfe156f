//! What the tests share: the program as a user runs it, and pictures of directories.

pub(crate) mod components;
pub(crate) mod cri;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod nodes_api;
pub(crate) mod openssl;
pub(crate) mod options;
pub(crate) mod registry;
pub(crate) mod runner;
pub(crate) mod sweep;
pub(crate) mod workloads;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One run of the program.
pub(crate) struct Bootstrap {
    command: Command,
}

/// What a run said and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bootstrap {
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Bootstrap {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        command.args(args);
        // proxies of the machine would show up in the manifests
        for name in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        Bootstrap { command }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Bootstrap {
        self.command.env(name, value);
        self
    }

    /// Runs as the user `nobody`.
    pub(crate) fn without_root(mut self) -> Bootstrap {
        self.command.uid(65534).gid(65534);
        self
    }

    pub(crate) fn run(mut self) -> Run {
        let output = self.command.output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Run {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Ends with the code, and says each of these on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Run {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for text in says {
            assert!(self.stderr.contains(text), "`{text}` is not in:\n{}", self.stderr);
        }
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Everything below a directory by relative path: kind, mode, owner and content.
pub(crate) fn picture(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut entries = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                directories.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            };
            let facts = format!("{:o} {}:{} {content}", metadata.mode(), metadata.uid(), metadata.gid());
            entries.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
        }
    }
    entries
}

/// Copies a tree with modes and owners.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

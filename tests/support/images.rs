//! The control plane's images: built once for all nodes, and linked into the store of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::components::{COMPONENTS, NAMES};

/// Where the tests' files are: on the disk of `target/`, since stores are linked from one place to another.
pub(crate) const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// The root directory that has nothing but the images.
static STORE: LazyLock<PathBuf> = LazyLock::new(build);

fn build() -> PathBuf {
    let store = own_directory("images");
    for name in NAMES {
        let output = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .arg(format!("--root={}", store.display()))
            .args(["images", "build", &COMPONENTS.image(name), "--binary"])
            .arg(COMPONENTS.binary(name))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    store
}

/// A place of this process. Nothing runs when a test process ends, so a later one tidies up.
pub(crate) fn own_directory(kind: &str) -> PathBuf {
    for entry in fs::read_dir(TEMPORARY).unwrap().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(kind)?.strip_prefix('-'));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    Path::new(TEMPORARY).join(format!("{kind}-{}", std::process::id()))
}

/// Gives the node at `root` every image of the control plane: layers and blobs are shared, the store's own files are
/// copied, since one is the lock.
pub(crate) fn give(root: &Path) {
    let status = Command::new("cp").arg("-al").arg(STORE.join(".")).arg(root).status().unwrap();
    assert!(status.success());
    for entry in fs::read_dir(root.join("var/lib/bootstrap/images")).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            let copy = entry.path().with_extension("copy");
            fs::copy(entry.path(), &copy).unwrap();
            fs::rename(copy, entry.path()).unwrap();
        }
    }
}

//! Looks for anything of an instance that is left on the machine: the end of a reset.

use std::path::{Path, PathBuf};

use super::users;
use crate::desired::account::Database;
use crate::error::Result;
use crate::layout::Layout;
use crate::linux::cgroup::Cgroups;
use crate::linux::mount;
use crate::phase::undo::{Made, MadeKind};

/// One thing that was looked for, and what was found of it.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// `processes`, `mounts`, …
    pub kind: &'static str,
    pub found: Vec<String>,
}

/// Looks for processes, mounts, control groups, sockets, files, users and groups. `made` is what the journal names;
/// `kept` are the paths that the user asked to keep.
pub fn look(layout: &Layout, made: &[Made], kept: &[PathBuf]) -> Result<Vec<Evidence>> {
    let owned: Vec<PathBuf> = [layout.run(), layout.pods(), layout.records(), layout.images()].into();
    let mounts = mount::mounts()?
        .into_iter()
        .filter(|mount| owned.iter().any(|directory| mount.path.starts_with(directory)))
        .map(|mount| mount.path.display().to_string())
        .collect();
    let files = made
        .iter()
        .filter(|made| !matches!(made.kind, MadeKind::Account(_)))
        .map(|made| layout.under(&made.path))
        .chain(owned)
        .filter(|path| !kept.iter().any(|kept| kept.starts_with(path) || path.starts_with(kept)))
        .filter(|path| path.symlink_metadata().is_ok_and(|found| !found.is_dir() || path.starts_with(layout.state())))
        .map(|path| path.display().to_string())
        .collect();
    let socket = layout.control_socket();
    let sockets = if socket.exists() { vec![socket.display().to_string()] } else { Vec::new() };
    Ok(vec![
        Evidence { kind: "processes", found: processes(layout) },
        Evidence { kind: "mounts", found: mounts },
        Evidence { kind: "control groups", found: control_groups(layout) },
        Evidence { kind: "sockets", found: sockets },
        Evidence { kind: "files", found: files },
        Evidence { kind: "users and groups", found: accounts(layout, made)? },
    ])
}

fn accounts(layout: &Layout, made: &[Made]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for made in made {
        let database = Database::ALL.into_iter().find(|database| database.path() == made.path);
        if let (MadeKind::Account(name), Some(database)) = (&made.kind, database)
            && users::exists(layout, database, name)?
        {
            found.push(format!("{database} {name}"));
        }
    }
    Ok(found)
}

/// Processes in the instance's control groups, and runners or shims that name its directories.
fn processes(layout: &Layout) -> Vec<String> {
    let instance = layout.instance();
    let run = layout.run_pods().display().to_string();
    let mut found = Vec::new();
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        if process.pid() == std::process::id().cast_signed() {
            continue;
        }
        let arguments = process.cmdline().unwrap_or_default();
        let grouped = process
            .cgroups()
            .is_ok_and(|groups| groups.0.iter().any(|group| group.pathname.split('/').any(|part| part == instance)));
        let shim = arguments.get(1).is_some_and(|word| word == "shim")
            && arguments.iter().any(|argument| argument.starts_with(&run));
        if grouped || shim || is_runner(&arguments, layout.root()) {
            let name = arguments.first().cloned().unwrap_or_default();
            found.push(format!("{} (pid {})", name, process.pid()));
        }
    }
    found
}

/// By the name of this very program, the command and the root, in any of the ways to write it.
fn is_runner(arguments: &[String], root: &Path) -> bool {
    let own = std::env::current_exe().unwrap_or_default();
    let is_own = arguments.first().is_some_and(|program| Path::new(program).file_name() == own.file_name());
    let after = |flag: &str| arguments.iter().skip_while(|word| *word != flag).nth(1).map(String::as_str);
    let named = arguments.iter().find_map(|word| word.strip_prefix("--root=")).or_else(|| after("--root"));
    is_own && arguments.iter().any(|word| word == "runner") && Path::new(named.unwrap_or("/")) == root
}

fn control_groups(layout: &Layout) -> Vec<String> {
    let Ok(cgroups) = Cgroups::detect() else { return Vec::new() };
    let instance = layout.instance();
    let paths = cgroups.mount_points().map(|mount| mount.join(&instance));
    paths.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_known_by_its_command_line() {
        let own = std::env::current_exe().unwrap_or_default().display().to_string();
        let is = |words: &[&str], root: &str| {
            let arguments: Vec<_> = [own.as_str()].iter().chain(words).map(|word| (*word).to_owned()).collect();
            is_runner(&arguments, Path::new(root))
        };
        assert!(is(&["runner"], "/") && is(&["--root=/a", "runner"], "/a") && is(&["runner", "--root", "/a"], "/a"));
        assert!(!is(&["runner"], "/a") && !is(&["--root=/a", "runner"], "/") && !is(&["status"], "/"));
        assert!(!is_runner(&["other".to_owned(), "runner".to_owned()], Path::new("/")));
    }
}

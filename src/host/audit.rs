//! Looks at what an audit judges: the processes that really run, files with their modes and owners.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::audit::facts::{Facts, FileFact, Processes, Sought, version_of};
use crate::desired::manifest::Component;
use crate::error::{Context, Result};
use crate::files;
use crate::layout::Layout;
use crate::phase::manifest_path;

/// Looks at the instance. What does not exist is not in the facts; what cannot be read is an error.
pub fn look(layout: &Layout) -> Result<Facts> {
    let processes = processes(layout);
    let sought = Sought::by(&processes);
    let names = Names::read(layout)?;
    let mut found = BTreeMap::new();
    for path in sought.files {
        if let Some(metadata) = metadata(&layout.under(&path))? {
            found.insert(path, names.fact(&metadata));
        }
    }
    for tree in sought.trees {
        walk(layout, tree, &names, &mut found)?;
    }
    let mut texts = BTreeMap::new();
    for path in sought.texts {
        if let Some(text) = files::read_if_exists(&layout.under(&path))? {
            texts.insert(path, text);
        }
    }
    let manifest = files::read_if_exists(&layout.under(manifest_path(Component::ApiServer)))?;
    let version = manifest.and_then(|manifest| version_of(&manifest));
    Ok(Facts { version, processes, files: found, texts })
}

/// The command lines of this instance's components, by its control groups: the runner may be down. While one process
/// replaces another, the newer counts.
fn processes(layout: &Layout) -> Processes {
    let instance = layout.instance();
    let mut newest: BTreeMap<Component, (u64, Vec<String>)> = BTreeMap::new();
    // a process may end while it is looked at
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        let Ok(arguments) = process.cmdline() else { continue };
        let Some((component, arguments)) = component_of(arguments) else { continue };
        if !is_in(&process, &instance) {
            continue;
        }
        let started = process.stat().map(|stat| stat.starttime).unwrap_or_default();
        if newest.get(&component).is_none_or(|(other, _)| *other <= started) {
            newest.insert(component, (started, arguments));
        }
    }
    newest.into_iter().map(|(component, (_, arguments))| (component, arguments)).collect()
}

/// Which component a command line is, and its arguments.
fn component_of(command_line: Vec<String>) -> Option<(Component, Vec<String>)> {
    let mut words = command_line.into_iter();
    let program = PathBuf::from(words.next()?);
    let name = program.file_name()?;
    let component = Component::ALL.into_iter().find(|component| name == component.name())?;
    Some((component, words.collect()))
}

fn is_in(process: &Process, instance: &str) -> bool {
    let groups = process.cgroups();
    groups.is_ok_and(|groups| groups.0.iter().any(|group| group.pathname.split('/').any(|part| part == instance)))
}

/// Everything below `path`, itself included. A link counts as what it leads to, and no directory is entered by one.
fn walk(layout: &Layout, path: PathBuf, names: &Names, found: &mut BTreeMap<PathBuf, FileFact>) -> Result<()> {
    let place = layout.under(&path);
    let Some(metadata) = metadata(&place)? else { return Ok(()) };
    found.insert(path.clone(), names.fact(&metadata));
    if place.is_dir() && !place.is_symlink() {
        let named = || format!("cannot read `{}`", place.display());
        for entry in std::fs::read_dir(&place).with_context(named)? {
            walk(layout, path.join(entry.with_context(named)?.file_name()), names, found)?;
        }
    }
    Ok(())
}

fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at `{}`", path.display())),
    }
}

/// Names of users and groups, as the instance's own files give them.
struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    fn read(layout: &Layout) -> Result<Names> {
        let names = |path: &str| -> Result<BTreeMap<u32, String>> {
            let text = files::read_if_exists(&layout.under(path))?.unwrap_or_default();
            Ok(by_id(&String::from_utf8_lossy(&text)))
        };
        Ok(Names { users: names("/etc/passwd")?, groups: names("/etc/group")? })
    }

    fn fact(&self, metadata: &Metadata) -> FileFact {
        let name = |names: &BTreeMap<u32, String>, id: u32| match names.get(&id) {
            Some(name) => name.clone(),
            // also under a root without these files
            None if id == 0 => "root".to_owned(),
            None => id.to_string(),
        };
        let owner = format!("{}:{}", name(&self.users, metadata.uid()), name(&self.groups, metadata.gid()));
        FileFact { mode: metadata.permissions().mode() & 0o7777, owner }
    }
}

/// passwd(5) and group(5): `name:password:id:…`. The first name of an id counts.
fn by_id(text: &str) -> BTreeMap<u32, String> {
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
    });
    let mut names = BTreeMap::new();
    for (id, name) in entries {
        names.entry(id).or_insert(name);
    }
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_known_by_its_program() {
        let of = |words: &[&str]| component_of(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(of(&["/usr/local/bin/etcd", "--a"]), Some((Component::Etcd, vec!["--a".to_owned()])));
        assert_eq!(of(&["bootstrap", "shim", "etcd"]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn files_are_told_by_mode_and_names_and_links_are_not_entered() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let pki = layout.under("/etc/kubernetes/pki");
        std::fs::create_dir_all(&pki).unwrap();
        let own = std::fs::metadata(&pki).unwrap();
        std::fs::write(layout.under("/etc/passwd"), format!("me:x:{}:0::/:\nother:x:{0}:0::/:\n", own.uid())).unwrap();
        std::fs::write(layout.under("/etc/group"), format!("us:x:{}:\n", own.gid())).unwrap();
        files::write(&pki.join("ca.key"), b"", 0o640).unwrap();
        std::os::unix::fs::symlink(&pki, pki.join("again")).unwrap();
        std::os::unix::fs::symlink("ca.key", pki.join("other.key")).unwrap();
        let facts = look(&layout).unwrap();
        let expected = FileFact { mode: 0o640, owner: "me:us".to_owned() };
        for name in ["ca.key", "other.key"] {
            assert_eq!(facts.files.get(&Path::new("/etc/kubernetes/pki").join(name)), Some(&expected));
        }
        assert_eq!(facts.files.len(), 4, "{:?}", facts.files);
        assert!(!facts.is_control_plane());
    }
}

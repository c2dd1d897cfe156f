//! Finds shared libraries by the loader's rules (ld.so(8)), without asking the loader.
//!
//! The order is `DT_RPATH` of the object and of those that led to it, `DT_RUNPATH` of the object, then the machine's
//! directories: those of `/etc/ld.so.conf` and the built-in ones. `LD_LIBRARY_PATH` of this process does not count.
//! A library keeps its path in the image, except that `$ORIGIN` follows the object that says it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use object::elf as constants;

use super::elf::Elf;
use crate::error::{Context, Fault, Result};

/// glibc opens these by itself to look up names.
const OPENED_BY_GLIBC: [&str; 2] = ["libnss_dns.so.2", "libnss_files.so.2"];
/// Configuration files that include one another.
const DEEPEST_INCLUDE: u32 = 8;

/// The libraries of a binary and its loader.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// Path in the image to path on the machine.
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// Directories in the image where the loader looks only if it is told to.
    pub search: BTreeSet<PathBuf>,
}

/// A directory on the machine, and the one that it becomes in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    source: PathBuf,
    target: PathBuf,
}

impl Place {
    fn same(path: PathBuf) -> Place {
        Place { source: path.clone(), target: path }
    }
}

/// An object whose needs are to be met.
struct Object {
    elf: Elf,
    source: PathBuf,
    target: PathBuf,
    /// `DT_RPATH` of the objects that led to it, nearest first.
    inherited: Vec<Place>,
}

/// The libraries of the binary at `source`, which will be at `target`. A static binary has none.
pub fn of(source: &Path, target: &Path, elf: &Elf) -> Result<Libraries> {
    let mut libraries = Libraries::default();
    let Some(interpreter) = &elf.interpreter else {
        if let Some(needed) = elf.needed.first() {
            return Err(Fault::usage(format!("it needs `{needed}` but names no loader")).into());
        }
        return Ok(libraries);
    };
    let loader = PathBuf::from(interpreter);
    if !loader.is_absolute() {
        return Err(Fault::usage(format!("its loader `{interpreter}` is no absolute path")).into());
    }
    if !fits(&loader, elf) {
        return Err(Fault::usage(format!("its loader `{interpreter}` is not on this machine")).into());
    }
    libraries.files.insert(normal(&loader), loader.clone());
    let machine = directories(&loader, elf);

    let mut met: BTreeSet<String> =
        loader.file_name().map(|name| name.to_string_lossy().into_owned()).into_iter().collect();
    let first =
        Object { elf: elf.clone(), source: absolute(source)?, target: target.to_owned(), inherited: Vec::new() };
    let mut open = VecDeque::from([first]);
    let mut from_machine: Vec<PathBuf> = Vec::new();
    while let Some(object) = open.pop_front() {
        let chain: Vec<Place> = places(&object.elf.rpath, &object).chain(object.inherited.iter().cloned()).collect();
        let runpath: Vec<Place> = places(&object.elf.runpath, &object).collect();
        // an object that has the newer list ignores the older ones, also those that led to it
        let own = if object.elf.runpath.is_empty() { &chain } else { &runpath };
        let mut needed: Vec<(&str, bool)> = object.elf.needed.iter().map(|name| (name.as_str(), true)).collect();
        if is_glibc(&object.source) {
            needed.extend(OPENED_BY_GLIBC.map(|name| (name, false)));
        }
        for (name, required) in needed {
            if !met.insert(name.to_owned()) {
                continue;
            }
            let all = own.iter().map(|place| (place, false)).chain(machine.iter().map(|place| (place, true)));
            let mut found =
                all.map(|(place, is_machines)| (place.source.join(name), place.target.join(name), is_machines));
            let Some((source, target, is_machines)) = found.find(|(source, ..)| fits(source, elf)) else {
                if required {
                    return Err(Fault::usage(format!(
                        "`{name}`, which `{}` needs, is not on this machine",
                        object.source.display()
                    ))
                    .hint("install the package that has it, or use a static binary")
                    .into());
                }
                continue;
            };
            if is_machines {
                from_machine.extend(target.parent().map(Path::to_owned));
            }
            let elf = Elf::read(&source).with_context(|| format!("cannot use library `{}`", source.display()))?;
            libraries.files.insert(normal(&target), source.clone());
            open.push_back(Object { elf, source, target, inherited: chain.clone() });
        }
    }
    libraries.search = told(&from_machine, &libraries.files, &loader);
    Ok(libraries)
}

fn is_glibc(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "libc.so.6")
}

/// The directories used that are not built into the loader. It always knows the one where its own C library is, and
/// `/lib` and `/usr/lib`.
pub(super) fn told(used: &[PathBuf], files: &BTreeMap<PathBuf, PathBuf>, loader: &Path) -> BTreeSet<PathBuf> {
    let libc = files.keys().find(|path| is_glibc(path)).and_then(|path| path.parent()).or(loader.parent());
    let trimmed = |path: &Path| path.strip_prefix("/usr").map_or(path.to_owned(), |rest| Path::new("/").join(rest));
    let known = |path: &Path| {
        let path = trimmed(path);
        path == Path::new("/lib") || libc.is_some_and(|libc| trimmed(libc) == path)
    };
    used.iter().filter(|path| !known(path)).map(|path| normal(path)).collect()
}

/// The paths of a `DT_RPATH` or `DT_RUNPATH` with `$ORIGIN` filled in, on the machine and in the image.
fn places<'a>(paths: &'a [String], object: &'a Object) -> impl Iterator<Item = Place> + 'a {
    let origin = |path: &Path| path.parent().map(|parent| parent.to_string_lossy().into_owned()).unwrap_or_default();
    let (source, target) = (origin(&object.source), origin(&object.target));
    paths.iter().filter_map(move |path| {
        let fill = |origin: &str| path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
        let (source, target) = (fill(&source), fill(&target));
        // `$LIB` and `$PLATFORM` differ between loaders; the loader also ignores what is not absolute
        (!source.contains('$') && source.starts_with('/'))
            .then(|| Place { source: source.into(), target: normal(Path::new(&target)) })
    })
}

/// The directories where this machine's loader looks.
fn directories(loader: &Path, elf: &Elf) -> Vec<Place> {
    let name = loader.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(rest) = name.strip_prefix("ld-musl-") {
        let configured = fs::read_to_string(format!("/etc/ld-musl-{}.path", rest.trim_end_matches(".so.1")));
        let text = configured.unwrap_or_else(|_| "/lib:/usr/local/lib:/usr/lib".to_owned());
        let paths = text.split([':', '\n']).filter(|path| path.starts_with('/'));
        return paths.map(|path| Place::same(path.into())).collect();
    }
    let triplet = match elf.machine {
        constants::EM_X86_64 => "x86_64-linux-gnu",
        constants::EM_AARCH64 => "aarch64-linux-gnu",
        constants::EM_386 => "i386-linux-gnu",
        constants::EM_ARM => "arm-linux-gnueabihf",
        constants::EM_PPC64 => "powerpc64le-linux-gnu",
        constants::EM_RISCV => "riscv64-linux-gnu",
        _ => "s390x-linux-gnu",
    };
    let mut paths = Vec::new();
    configured(Path::new("/etc/ld.so.conf"), DEEPEST_INCLUDE, &mut paths);
    let (lib, usr) = (format!("/lib/{triplet}"), format!("/usr/lib/{triplet}"));
    paths.extend([&lib, &usr, "/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
    paths.into_iter().map(Place::same).collect()
}

/// Directories of a loader's configuration file, with those of the files it includes. What is missing is skipped, as
/// the loader does.
fn configured(path: &Path, depth: u32, paths: &mut Vec<PathBuf>) {
    let Ok(text) = fs::read_to_string(path) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if line.starts_with('/') {
            paths.push(line.into());
        } else if let Some(pattern) = line.strip_prefix("include").map(str::trim)
            && depth > 0
        {
            let pattern = path.parent().unwrap_or(Path::new("/")).join(pattern);
            matching(&pattern).iter().for_each(|file| configured(file, depth - 1, paths));
        }
    }
}

/// Files that a pattern with at most one `*`, in its last component, names.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Some((head, tail)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let fits = |name: &str| name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(fits)).map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The loader passes over files for another machine.
fn fits(path: &Path, elf: &Elf) -> bool {
    Elf::read(path).is_ok_and(|its| its.machine == elf.machine && its.is_64_bit == elf.is_64_bit)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))
}

/// Without `.` and `..`, by the names alone: in the image these directories are no links.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            _ => {}
        }
    }
    normal
}

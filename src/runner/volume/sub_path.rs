//! `subPath`: a part of a volume, mounted by itself [4.60-4.62].
//!
//! What a volume holds is the pod's, which may change it at any moment: a path is opened component by component within
//! the volume, and what was opened is bound to a place of ours, which the container then gets.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::layout::{Layout, PRIVATE_DIRECTORY};
use crate::linux::{mount, rooted};

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// For messages.
    pub volume: String,
    /// Where the volume is on the machine.
    pub directory: PathBuf,
    /// Relative, in the volume.
    pub path: PathBuf,
    /// Where the part is to be found then.
    pub place: PathBuf,
}

/// Where the parts of a pod's volumes are bound.
pub fn directory(layout: &Layout, uid: &str) -> PathBuf {
    layout.pods().join(uid).join("volume-subpaths")
}

/// Relative and without `..`, or why not, in the kubelet's words.
pub fn check(path: &str) -> Result<(), String> {
    if Path::new(path).is_absolute() {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    match Path::new(path).components().any(|component| component == Component::ParentDir) {
        true => Err(format!("unable to provision SubPath `{path}`: must not contain '..'")),
        false => Ok(()),
    }
}

/// Binds every part. What is missing in a volume is made as a directory with the mode of the volume's root. Blocks.
pub fn bind(parts: &[Part], container: &str) -> Result<(), String> {
    for part in parts {
        let of = format!("for volumeMount \"{}\" of container \"{container}\"", part.volume);
        // the words do not say more: what is in the volume may be nobody's business
        let failed = |what: &str, error: io::Error| {
            tracing::warn!("{what} {of}: {error}");
            format!("{what} {of}")
        };
        let opened = open(part).map_err(|error| failed("failed to create subPath directory", error))?;
        bind_at(&opened, &part.place).map_err(|error| failed("failed to prepare subPath", error))?;
    }
    Ok(())
}

fn open(part: &Part) -> io::Result<File> {
    let root = File::open(&part.directory)?;
    match rooted::open_within(&root, &part.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = root.metadata()?.permissions();
            rooted::make_within(&root, &part.path, &mode)?;
            rooted::open_within(&root, &part.path)
        }
        opened => opened,
    }
}

fn bind_at(source: &File, place: &Path) -> io::Result<()> {
    let parent = place.parent().ok_or_else(|| io::Error::other("no place"))?;
    crate::files::make_directory(parent, PRIVATE_DIRECTORY).map_err(io::Error::other)?;
    // of the run before, in whatever state a kill has left it
    while mount::unmount(place).is_ok() {}
    match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => fs::remove_dir(place)?,
        Ok(_) => fs::remove_file(place)?,
        Err(_) => {}
    }
    mount::bind_at(source, place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_part_is_a_file_or_a_directory_of_its_volume_and_never_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("volume/html")).unwrap();
        fs::set_permissions(path("volume"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(path("secret"), "outside").unwrap();
        fs::write(path("volume/index.html"), "hello").unwrap();
        symlink("index.html", path("volume/inside")).unwrap();
        symlink("../secret", path("volume/outside")).unwrap();
        symlink("/etc", path("volume/absolute")).unwrap();
        let part = |name: &str| Part {
            volume: "v".to_owned(),
            directory: path("volume"),
            path: name.into(),
            place: path("places").join(name.replace('/', "_")),
        };
        for _ in 0..2 {
            bind(&[part("index.html"), part("html"), part("inside"), part("new/deep")], "c").unwrap();
        }
        assert_eq!(fs::read_to_string(path("places/index.html")).unwrap(), "hello");
        assert_eq!(fs::read_to_string(path("places/inside")).unwrap(), "hello");
        fs::write(path("places/html/file"), "x").unwrap();
        assert!(path("volume/html/file").exists());
        let mode = fs::metadata(path("volume/new/deep")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o750);
        for name in ["outside", "absolute", "absolute/passwd", "index.html/x"] {
            let refused = bind(&[part(name)], "c").unwrap_err();
            assert_eq!(
                refused, "failed to create subPath directory for volumeMount \"v\" of container \"c\"",
                "{name}"
            );
        }
        assert_eq!(super::super::remove_mounted(directory.path()).unwrap(), []);
    }

    #[test]
    fn a_path_stays_inside() {
        assert_eq!(check("a/b..c/."), Ok(()));
        assert_eq!(check("/a"), Err("error SubPath `/a` must not be an absolute path".to_owned()));
        assert_eq!(check("a/../b"), Err("unable to provision SubPath `a/../b`: must not contain '..'".to_owned()));
    }
}

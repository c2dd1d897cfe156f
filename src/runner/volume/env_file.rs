//! The files of variables that a container names: read in the pod's emptyDir volumes each time before it starts.

use std::path::Path;

use super::place;
use crate::layout::Layout;
use crate::linux::rooted;
use crate::runner::env::Files;
use crate::runner::pod::{EnvValue, Pod};

/// Far more than variables need; the kernel takes 128 KiB for one.
const LARGEST: u64 = 1 << 20;

/// What stands in the files that the container's variables come from; one that is missing is left out. `Err` in the
/// kubelet's words; what is in a volume may be nobody's business, and is told in the log alone. Blocks.
pub fn read(pod: &Pod, container: usize, layout: &Layout) -> Result<Files, String> {
    let mut files = Files::new();
    for variable in &pod.containers[container].env {
        let EnvValue::FileKey { volume, path, .. } = &variable.value else { continue };
        let is_mounted = pod.containers.iter().flat_map(|container| &container.mounts);
        let found = pod.volumes.iter().find(|candidate| candidate.name == *volume);
        let found = found.filter(|_| is_mounted.clone().any(|mount| mount.volume == *volume));
        let found = found.ok_or_else(|| format!("cannot find the volume \"{volume}\" referenced by FileKeyRef"))?;
        match text(&place(found, pod, layout), path) {
            Ok(Some(text)) => drop(files.insert((volume.clone(), path.clone()), text)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("{}: volume `{volume}`: `{}`: {error}", pod.name, path.display());
                return Err("couldn't parse env file".to_owned());
            }
        }
    }
    Ok(files)
}

/// Links in the volume lead nowhere but into it.
fn text(volume: &Path, path: &Path) -> std::io::Result<Option<String>> {
    let Some(bytes) = rooted::read(volume, path, LARGEST)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::runner::pod::{EnvVar, Medium, Volume, VolumeMount, VolumeSource};
    use crate::runner::testing;

    fn naming(path: &str) -> Pod {
        let mut pod = testing::pod("a");
        let source = VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None };
        pod.volumes = vec![Volume { name: "v".into(), source }];
        let value = EnvValue::FileKey { volume: "v".into(), path: path.into(), key: "K".into(), optional: false };
        pod.containers[0].env = vec![EnvVar { name: "K".into(), value }];
        pod.containers[0].mounts = vec![VolumeMount {
            volume: "v".into(),
            path: "/v".into(),
            read_only: false,
            propagation: Default::default(),
            sub_path: None,
        }];
        pod
    }

    #[test]
    fn files_are_read_inside_their_volume() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let volume = place(&naming("x").volumes[0], &naming("x"), &layout);
        fs::create_dir_all(volume.join("deep")).unwrap();
        fs::write(volume.join("deep/file"), "K='v'").unwrap();
        fs::write(volume.join("binary"), [0xff]).unwrap();
        fs::write(root.path().join("outside"), "K='secret'").unwrap();
        symlink("/deep/file", volume.join("inside")).unwrap();
        symlink("../../../../../../../../../outside", volume.join("escape")).unwrap();
        let files = |path: &str| read(&naming(path), 0, &layout);
        let expected = |path: &str| Ok(Files::from([(("v".to_owned(), PathBuf::from(path)), "K='v'".to_owned())]));
        assert_eq!(files("deep/file"), expected("deep/file"));
        assert_eq!(files("inside"), expected("inside"));
        assert_eq!(files("escape"), Ok(Files::new()));
        assert_eq!(files("absent"), Ok(Files::new()));
        for path in ["binary", "deep"] {
            assert_eq!(files(path), Err("couldn't parse env file".to_owned()), "{path}");
        }
        let mut unmounted = naming("deep/file");
        unmounted.containers[0].mounts.clear();
        let words = "cannot find the volume \"v\" referenced by FileKeyRef";
        assert_eq!(read(&unmounted, 0, &layout), Err(words.to_owned()));
    }
}

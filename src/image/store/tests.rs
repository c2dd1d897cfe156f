#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::image::rootfs::RootKind;
use crate::image::testing::{Tar, add, configuration, stack, store};
use crate::image::unpack::Limits;

fn base() -> Vec<u8> {
    Tar::new().directory("tmp/", 0o1777).file("etc/a", b"a").file("etc/b", b"b").file("dir/x", b"x").finish()
}

fn upper() -> Vec<u8> {
    Tar::new().file("etc/.wh.a", b"").file("dir/.wh..wh..opq", b"").file("dir/y", b"y").file("tmp/f", b"f").finish()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn names(directory: PathBuf) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Unmounts when the test ends, however it ends.
struct Mounted<'a>(&'a Store, PathBuf);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = self.0.unmount(&self.1);
    }
}

#[test]
fn an_image_is_found_by_every_name_of_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    assert_eq!(store.get(&reference("a")).unwrap(), None);
    let layers = [base()];
    let (staging, manifest) = (Staging::new(&store).unwrap(), Digest::of(b"manifest"));
    let image = staging
        .commit(&staging::Draft {
            references: &[reference("example.com/a:1"), reference("example.com/a:2")],
            configuration: &configuration(&layers),
            digests: &[manifest],
            layers: &stack(&staging, &layers),
        })
        .unwrap();
    assert_eq!(image.repo_digest, Some(format!("example.com/a@{manifest}")));
    assert_eq!((image.id, image.size), (Digest::of(&configuration(&layers)), 3));
    assert_eq!(image.config.entrypoint, ["/bin/a"]);
    for name in ["example.com/a:1", "example.com/a:2", &format!("example.com/a@{manifest}")] {
        assert_eq!(store.get(&reference(name)).unwrap().unwrap().id, image.id, "{name}");
    }
    assert_eq!(store.get(&reference(&format!("example.com/b@{manifest}"))).unwrap(), None);
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn layers_are_shared_and_freed_with_their_last_image() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (one, two) = (add(&store, "one", &[base()]), add(&store, "two", &[base(), upper()]));
    assert_eq!(one.layers[0], two.layers[0]);
    assert_eq!(names(store.directory().join("layers")), 2);
    assert!(store.remove(&one.reference).unwrap());
    assert!(!store.remove(&one.reference).unwrap());
    assert_eq!(store.get(&two.reference).unwrap(), Some(two.clone()));
    assert!(store.remove(&two.reference).unwrap());
    assert_eq!(names(store.directory().join("layers")), 0);
    assert_eq!(names(store.directory().join("blobs/sha256")), 0);
    assert_eq!(names(store.temporary()), 0);
}

#[test]
fn a_moved_tag_frees_what_it_named_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    add(&store, "one", &[base()]);
    let new = add(&store, "one", &[upper()]);
    assert_eq!(store.list().unwrap(), [new]);
    assert_eq!(names(store.directory().join("layers")), 1);
}

#[test]
fn a_mounted_root_shows_the_layers_and_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = add(&store, "one", &[base(), upper()]);
    let (scratch, target) = (directory.path().join("scratch"), directory.path().join("root"));
    fs::create_dir(&target).unwrap();
    assert_eq!(store.mount(&image, &scratch, &target).unwrap(), RootKind::Overlay);
    let mounted = Mounted(&store, target.clone());
    let read = |path: &str| fs::read_to_string(target.join(path)).ok();
    assert_eq!(
        [read("etc/a"), read("etc/b"), read("dir/x"), read("dir/y")],
        [None, Some("b".into()), None, Some("y".into())]
    );
    let tmp = fs::metadata(target.join("tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777, "the upper layer's tar has no entry for this directory");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o755);
    fs::write(target.join("etc/b"), "changed").unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("etc/b")).unwrap(), "b");

    assert!(store.remove(&image.reference).unwrap());
    assert_eq!(read("dir/y").as_deref(), Some("y"));
    assert_eq!(names(store.directory().join("layers")), 2, "a mounted root uses them");
    drop(mounted);
    assert_eq!(names(target), 0);
    add(&store, "two", &[base()]);
    store.remove(&reference("two")).unwrap();
    assert_eq!(names(store.directory().join("layers")), 0);
    assert_eq!(names(store.leases()), 0);
}

#[test]
fn more_layers_than_a_page_of_paths_are_mounted() {
    let directory = tempfile::tempdir().unwrap();
    // a comma would end an option
    let store = store(&directory.path().join("with,comma:and colon"));
    let layers: Vec<_> = (0..60).map(|n| Tar::new().file(&format!("f{n}"), b"x").finish()).collect();
    let image = add(&store, "many", &layers);
    let target = directory.path().join("root");
    fs::create_dir(&target).unwrap();
    store.mount(&image, &directory.path().join("scratch"), &target).unwrap();
    let mounted = Mounted(&store, target.clone());
    assert_eq!(names(target), 60);
    drop(mounted);
}

#[test]
fn where_overlayfs_cannot_write_the_layers_are_copied() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["lower", "upper", "work", "merged", "root"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let path = |name: &str| directory.path().join(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
    let (overlay, merged) = (Some("overlay"), directory.path().join("merged"));
    nix::mount::mount(overlay, &merged, overlay, nix::mount::MsFlags::empty(), Some(options.as_str())).unwrap();
    let outer = Mounted(&Store { directory: directory.path().join("unused") }, merged.clone());

    let store = store(&merged);
    let middle = Tar::new().symlink("dir", "etc").file("etc/c", b"c").finish();
    let image = add(&store, "one", &[base(), middle, upper()]);
    let (scratch, target) = (merged.join("scratch"), directory.path().join("root"));
    assert_eq!(store.mount(&image, &scratch, &target).unwrap(), RootKind::Copy);
    let inner = Mounted(&store, target.clone());
    let read = |path: &str| fs::read_to_string(target.join(path)).ok();
    assert_eq!(
        [read("etc/a"), read("etc/b"), read("dir/x"), read("dir/y")],
        [None, Some("b".into()), None, Some("y".into())]
    );
    assert_eq!(fs::read_dir(target.join("etc")).unwrap().count(), 2, "no marker is left, the link was replaced");
    assert_eq!(fs::metadata(target.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    fs::write(target.join("etc/b"), "changed").unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("etc/b")).unwrap(), "b");
    drop(inner);
    store.mount(&image, &scratch, &target).unwrap();
    let inner = Mounted(&store, target.clone());
    assert_eq!(read("etc/b").as_deref(), Some("changed"), "the same container goes on");
    drop((inner, outer));
}

#[test]
fn a_lease_ends_with_its_mount_point_or_the_boot() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = add(&store, "one", &[base()]);
    let target = directory.path().join("root");
    fs::create_dir(&target).unwrap();
    store.mount(&image, &directory.path().join("scratch"), &target).unwrap();
    let lease = fs::read_dir(store.leases()).unwrap().next().unwrap().unwrap().path();
    let content = fs::read_to_string(&lease).unwrap();
    let _lock = store.lock().unwrap();
    assert_eq!(rootfs::leased(&store.leases()).unwrap().len(), 1);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&lease, content.replace(boot.trim(), "another-boot")).unwrap();
    assert!(rootfs::leased(&store.leases()).unwrap().is_empty());
    assert!(!lease.exists());
    fs::write(&lease, content).unwrap();
    store.unmount(&target).unwrap();
    assert!(!lease.exists());
    store.unmount(&target).unwrap();
}

#[test]
fn what_a_kill_left_is_cleared_and_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let staging = Staging::new(&store).unwrap();
    let unpacked = staging.unpack(&base()[..], &Digest::of(&base()), &Limits::default()).unwrap();
    staging.stack(unpacked, &[]).unwrap();
    // a kill runs no destructor, but closes the descriptors
    let left = store.temporary().join("left");
    fs::rename(staging.path(), &left).unwrap();
    drop(staging);
    assert!(left.exists());
    let next = Staging::new(&store).unwrap();
    assert!(next.find(&Digest::of(&base())).unwrap().is_none(), "an unfinished layer is no layer");
    assert!(!left.exists());
    let other = Staging::new(&store).unwrap();
    assert!(next.path().exists(), "a held directory is left alone");
    drop((next, other));
    assert_eq!(names(store.temporary()), 0);
}

#[test]
fn a_wrong_layer_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let staging = Staging::new(&store).unwrap();
    let error = staging.unpack(&base()[..], &Digest::of(b"other"), &Limits::default()).unwrap_err();
    assert_eq!(crate::error::exit_of(&error), crate::error::Exit::Usage);
    assert!(error.to_string().contains(&Digest::of(&base()).to_string()), "{error}");
    drop(staging);
    assert_eq!(names(store.temporary()), 0);
    assert_eq!(names(store.directory().join("layers")), 0);
}

#[test]
fn a_pinned_layer_survives_a_removal() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = add(&store, "one", &[base()]);
    let staging = Staging::new(&store).unwrap();
    let layer = staging.find(&Digest::of(&base())).unwrap().unwrap();
    store.remove(&image.reference).unwrap();
    let references = [reference("two")];
    let configuration = configuration(&[base()]);
    let draft =
        staging::Draft { references: &references, configuration: &configuration, digests: &[], layers: &[layer] };
    assert_eq!(staging.commit(&draft).unwrap().layers, image.layers);
}

#[test]
fn an_image_without_its_layers_is_absent() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = add(&store, "one", &[base()]);
    fs::remove_dir_all(&image.layers[0]).unwrap();
    assert_eq!(store.get(&image.reference).unwrap(), None);
    assert!(store.mount(&image, &directory.path().join("scratch"), directory.path()).is_err());
}

#[test]
fn a_damaged_index_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    add(&store, "one", &[]);
    fs::write(store.index_path(), "{").unwrap();
    let error = store.list().unwrap_err();
    assert!(crate::error::hint_of(&error).is_some(), "{error:#}");
}

#[test]
fn many_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                let own = Tar::new().file("n", &[number]).finish();
                let image = add(&store, &format!("image{number}"), &[base(), own]);
                assert_eq!(store.get(&image.reference).unwrap(), Some(image.clone()));
                if number % 2 == 0 {
                    assert!(store.remove(&image.reference).unwrap());
                }
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 4);
    assert_eq!(names(store.directory().join("layers")), 5);
    assert_eq!(names(store.temporary()), 0);
}

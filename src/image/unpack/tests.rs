#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::error::{Exit, chain_of, exit_of};
use crate::image::testing::{Tar, gzip};

/// A directory to unpack into, with a neighbour that no layer may touch.
struct Place {
    outer: tempfile::TempDir,
    target: PathBuf,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let target = outer.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::create_dir(outer.path().join("victim")).unwrap();
        fs::write(outer.path().join("victim/file"), "untouched").unwrap();
        Place { outer, target }
    }

    fn unpack(&self, layer: &[u8]) -> Result<Unpacked> {
        self.unpack_within(layer, &Limits::default())
    }

    fn unpack_within(&self, layer: &[u8], limits: &Limits) -> Result<Unpacked> {
        unpack(layer, &self.target, limits)
    }

    fn assert_nothing_outside_changed(&self, case: &str) {
        let mut names: Vec<_> =
            fs::read_dir(self.outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["target", "victim"], "{case}");
        let victim = self.outer.path().join("victim");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1, "{case}");
        assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "untouched", "{case}");
        let metadata = fs::metadata(victim.join("file")).unwrap();
        assert_eq!((metadata.nlink(), metadata.mode() & 0o7777, metadata.uid()), (1, 0o644, 0), "{case}");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.target.join(path)).unwrap()
    }
}

#[test]
fn content_and_metadata_are_kept() {
    let place = Place::new();
    let mut owned = Tar::header(EntryType::Regular, b"bin/su", 0o4755);
    owned.set_uid(7);
    owned.set_gid(9);
    owned.set_size(2);
    let layer = Tar::new()
        .directory("./", 0o755)
        .directory("bin/", 0o511)
        .raw(&owned, b"su")
        .symlink("bin/sh", "/bin/su")
        .link(EntryType::Link, "bin/su2", "bin/su")
        .directory("tmp/", 0o1777)
        .pax(&[
            ("mtime", b"1500000000.25"),
            ("SCHILY.xattr.user.note", b"n\x01\xff"),
            ("SCHILY.xattr.security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.security.selinux", b"label"),
            ("path", &[&b"long/"[..], &[b'n'; 150]].concat()),
        ])
        .file("short", b"x")
        .finish();
    let unpacked = place.unpack(&gzip(&layer)).unwrap();
    assert_eq!(unpacked.diff_id, Digest::of(&layer));
    assert_eq!(unpacked.size, 3);
    assert_eq!(unpacked.implicit, [EntryPath::new(b"long").unwrap()]);
    let su = fs::metadata(place.target.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 7, 9, 2));
    assert_eq!(su.mtime(), 1_000_000_000);
    let bin = fs::metadata(place.target.join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o511, 1_000_000_000), "set after its content was written");
    assert_eq!(fs::read_link(place.target.join("bin/sh")).unwrap(), Path::new("/bin/su"));
    assert_eq!(fs::metadata(place.target.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    let long = place.target.join("long").join("n".repeat(150));
    let metadata = fs::metadata(&long).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_500_000_000, 250_000_000));
    let mut attributes: Vec<_> = xattr::list(&long).unwrap().collect();
    attributes.sort();
    assert_eq!(attributes, ["security.capability", "user.note"]);
    assert_eq!(xattr::get(&long, "user.note").unwrap().unwrap(), b"n\x01\xff");
}

#[test]
fn every_compression_gives_the_same_layer() {
    let layer = Tar::new().file("a", b"content").finish();
    let zstd = zstd::encode_all(&layer[..], 1).unwrap();
    let (head, tail) = layer.split_at(600);
    let members = [gzip(head), gzip(tail)].concat();
    for packed in [layer.clone(), gzip(&layer), zstd, members] {
        let place = Place::new();
        assert_eq!(place.unpack(&packed).unwrap().diff_id, Digest::of(&layer));
        assert_eq!(place.read("a"), "content");
    }
}

#[test]
fn a_layer_without_its_final_padding_is_read() {
    let mut layer = Tar::new().file("a", b"content").unfinished();
    layer.truncate(512 + 7);
    let place = Place::new();
    assert_eq!(place.unpack(&layer).unwrap().diff_id, Digest::of(&layer), "the padding is not part of the digest");
    assert_eq!(place.read("a"), "content");
}

#[test]
fn removals_are_kept_for_overlayfs() {
    let place = Place::new();
    let layer = Tar::new()
        .file("etc/.wh.passwd", b"")
        .directory("var/", 0o755)
        .file("var/.wh..wh..opq", b"")
        .file("var/new", b"new")
        .file(".wh.replaced", b"")
        .file("replaced/inside", b"i")
        .file("own", b"own")
        .file(".wh.own", b"")
        .file(".wh..wh.plnk", b"")
        .finish();
    place.unpack(&layer).unwrap();
    let passwd = fs::symlink_metadata(place.target.join("etc/passwd")).unwrap();
    assert!(passwd.file_type().is_char_device() && passwd.rdev() == 0);
    let opaque = |path: &str| xattr::get(place.target.join(path), "trusted.overlay.opaque").unwrap();
    assert_eq!(opaque("var"), Some(b"y".to_vec()));
    assert_eq!(place.read("var/new"), "new");
    assert_eq!(opaque("replaced"), Some(b"y".to_vec()), "what was below the removed directory stays hidden");
    assert_eq!(place.read("replaced/inside"), "i");
    assert_eq!(place.read("own"), "own", "a removal is about the layers below");
    assert_eq!(fs::read_dir(&place.target).unwrap().count(), 4);
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let place = Place::new();
    let victim = place.outer.path().join("victim/file");
    let layer = Tar::new()
        .symlink("a", victim.to_str().unwrap())
        .file("a", b"file")
        .file("b/deep/er", b"x")
        .symlink("b", "elsewhere")
        .symlink("c", "/")
        .directory("c/", 0o755)
        .file("c/d", b"d")
        .finish();
    place.unpack(&layer).unwrap();
    assert_eq!(place.read("a"), "file");
    assert_eq!(fs::read_link(place.target.join("b")).unwrap(), Path::new("elsewhere"));
    assert_eq!(place.read("c/d"), "d");
    place.assert_nothing_outside_changed("replaced links");
}

#[test]
fn devices_are_left_out() {
    let place = Place::new();
    let mut disk = Tar::header(EntryType::Block, b"dev/sda", 0o666);
    disk.set_device_major(8).unwrap();
    let mut null = Tar::header(EntryType::Char, b"dev/zero-zero", 0o666);
    null.set_device_major(0).unwrap();
    let layer = Tar::new()
        .directory("dev/", 0o755)
        .raw(&disk, b"")
        .raw(&null, b"")
        .raw(&Tar::header(EntryType::Fifo, b"dev/fifo", 0o622), b"")
        .finish();
    place.unpack(&layer).unwrap();
    let names: Vec<_> = fs::read_dir(place.target.join("dev")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["fifo"]);
    assert_eq!(fs::metadata(place.target.join("dev/fifo")).unwrap().permissions().mode() & 0o7777, 0o622);
}

/// Every way out of the directory that archives have been known to try.
#[test]
fn no_entry_leaves_the_directory() {
    let long_symlink = |tar: Tar| tar.symlink("out", "../victim");
    let refused: Vec<(&str, Tar)> = vec![
        ("parent", Tar::new().file("../victim/file", b"evil")),
        ("parent deep", Tar::new().file("a/../../victim/file", b"evil")),
        ("parent last", Tar::new().directory("a/..", 0o777)),
        ("through a link", long_symlink(Tar::new()).file("out/file", b"evil")),
        ("through a link, new name", long_symlink(Tar::new()).file("out/new", b"evil")),
        ("through a link to a link", Tar::new().symlink("x", "..").symlink("y", "x/victim").file("y/file", b"evil")),
        ("directory through a link", long_symlink(Tar::new()).directory("out/d", 0o777)),
        ("link through a link", long_symlink(Tar::new()).symlink("out/l", "/etc/passwd")),
        ("removal through a link", long_symlink(Tar::new()).file("out/.wh.file", b"")),
        ("opaque through a link", long_symlink(Tar::new()).file("out/.wh..wh..opq", b"")),
        (
            "device through a link",
            Tar::new().symlink("out", "../victim").raw(&Tar::header(EntryType::Fifo, b"out/fifo", 0o666), b""),
        ),
        ("hard link to parent", Tar::new().link(EntryType::Link, "h", "../victim/file")),
        ("hard link through a link", long_symlink(Tar::new()).link(EntryType::Link, "h", "out/file")),
        ("hard link into a link", long_symlink(Tar::new()).file("f", b"f").link(EntryType::Link, "out/h", "f")),
        ("hard link to itself", Tar::new().link(EntryType::Link, "h", "h")),
        ("hard link to a directory", Tar::new().directory("d", 0o755).link(EntryType::Link, "h", "d")),
        ("hard link to the root", Tar::new().link(EntryType::Link, "h", "/")),
        ("through a file", Tar::new().file("f", b"f").file("f/g", b"g")),
        ("removal of a parent", Tar::new().file("a/.wh...", b"")),
        ("removal of itself", Tar::new().file("a/.wh..", b"")),
        ("removal of nothing", Tar::new().file("a/.wh.", b"")),
        ("root as a file", Tar::new().file("./", b"").file(".", b"evil")),
        ("root as a link", Tar::new().symlink("/", "../victim")),
        ("long name with a parent", Tar::new().pax(&[("path", b"../victim/file")]).file("ok", b"evil")),
        (
            "long link with a parent",
            Tar::new().pax(&[("linkpath", b"../victim/file")]).link(EntryType::Link, "h", "ok"),
        ),
        ("zero byte", Tar::new().pax(&[("path", b"a\0b")]).file("ok", b"evil")),
        ("too deep", Tar::new().pax(&[("path", "d/".repeat(300).as_bytes())]).directory("ok", 0o755)),
        ("too long", Tar::new().pax(&[("path", &[b'n'; 5000])]).file("ok", b"")),
        ("unchanged owner", Tar::new().pax(&[("uid", b"4294967295")]).file("ok", b"")),
    ];
    for (case, tar) in refused {
        let place = Place::new();
        let error = place.unpack(&tar.finish()).expect_err(case);
        assert_eq!(exit_of(&error), Exit::Usage, "{case}: {}", chain_of(&error));
        place.assert_nothing_outside_changed(case);
    }
}

/// These stay inside, whatever they name.
#[test]
fn names_that_only_look_like_ways_out_stay_inside() {
    let place = Place::new();
    let victim = place.outer.path().join("victim/file");
    let absolute = victim.to_str().unwrap();
    let layer = Tar::new()
        .file(absolute, b"inside")
        .symlink("link", absolute)
        .link(EntryType::Link, "second", "link")
        .file("link", b"own")
        .file("..c", b"c")
        .directory("...", 0o755)
        .finish();
    place.unpack(&layer).unwrap();
    assert_eq!(place.read(absolute.trim_start_matches('/')), "inside");
    assert!(fs::symlink_metadata(place.target.join("second")).unwrap().is_symlink(), "the link itself was linked");
    assert_eq!(place.read("link"), "own");
    place.assert_nothing_outside_changed("look-alikes");
}

#[test]
fn what_is_too_large_is_refused() {
    let limits = Limits { bytes: 100_000, entries: 10, names: 1000, header: 4096 };
    let many = (0..11).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), b""));
    let names = (0..9).fold(Tar::new(), |tar, _| tar.pax(&[("path", &[b'n'; 200])]).file("a", b""));
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("bomb", "larger than 100000", gzip(&Tar::new().file("zeros", &vec![0; 1_000_000]).finish())),
        ("after the end", "larger than 100000", gzip(&[Tar::new().finish(), vec![0; 1_000_000]].concat())),
        ("entries", "too many entries", many.finish()),
        ("names", "too many entries", names.finish()),
        ("headers", "headers of an entry", Tar::new().pax(&[("comment", &[b'c'; 9000])]).file("a", b"").finish()),
        ("sparse", "larger than 100000", sparse(1 << 40)),
    ];
    for (case, part, layer) in cases {
        let error = Place::new().unpack_within(&layer, &limits).expect_err(case);
        assert!(chain_of(&error).contains(part), "{case}: {}", chain_of(&error));
        assert_eq!(exit_of(&error), Exit::Usage, "{case}");
    }
}

/// A sparse file that claims `size` bytes and holds none.
fn sparse(size: u64) -> Vec<u8> {
    let mut header = Tar::header(EntryType::GNUSparse, b"sparse", 0o644);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(size);
    gnu.sparse[0].set_offset(size);
    gnu.sparse[0].set_length(0);
    Tar::new().raw(&header, b"").finish()
}

#[test]
fn a_damaged_stream_is_refused() {
    let layer = Tar::new().file("a", &[b'a'; 3000]).file("b", &[b'b'; 3000]).finish();
    let packed = gzip(&layer);
    let mut flipped = packed.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 0xff;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut gzip", packed[..packed.len() / 2].to_vec()),
        ("gzip without its check", packed[..packed.len() - 4].to_vec()),
        ("flipped gzip", flipped),
        ("cut tar", layer[..2000].to_vec()),
        ("no tar", vec![b'x'; 4096]),
        ("cut zstd", zstd::encode_all(&layer[..], 1).unwrap()[..20].to_vec()),
    ];
    for (case, layer) in cases {
        let cut_tar = case == "cut tar";
        match Place::new().unpack(&layer) {
            Err(error) => assert_eq!(exit_of(&error), Exit::Usage, "{case}: {}", chain_of(&error)),
            // the zeros that stand for padding fill it up; its digest tells
            Ok(unpacked) => assert!(cut_tar && unpacked.diff_id == Digest::of(&layer), "{case}"),
        }
    }
}

#[test]
fn an_empty_stream_is_an_empty_layer() {
    assert_eq!(Place::new().unpack(b"").unwrap().diff_id, Digest::of(b""));
    assert_eq!(Place::new().unpack(&Tar::new().finish()).unwrap().size, 0);
}

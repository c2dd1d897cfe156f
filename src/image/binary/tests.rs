#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::*;
use crate::error::{Exit, chain_of, exit_of, hint_of};
use crate::image::testing::store;

/// A built image, mounted for as long as this lives.
struct Root {
    directory: tempfile::TempDir,
    store: Store,
    image: Image,
}

impl Root {
    fn of(binaries: &[&Path]) -> Root {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let binaries: Vec<PathBuf> = binaries.iter().map(|path| path.to_path_buf()).collect();
        let image = build(&store, &"built".parse().unwrap(), &binaries).unwrap();
        let root = Root { directory, store, image };
        fs::create_dir(root.path()).unwrap();
        root.store.mount(&root.image, &root.directory.path().join("scratch"), &root.path()).unwrap();
        // the loader learns from it what `$ORIGIN` is
        let (from, to) = (Path::new("/proc"), root.path().join("proc"));
        mount(Some(from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        root
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.path()).arg(&self.image.config.entrypoint[0]).args(arguments);
        let environment = self.image.config.env.iter().map(|variable| variable.split_once('=').unwrap());
        let output = command.env_clear().envs(environment).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = umount2(&self.path().join("proc"), MntFlags::MNT_DETACH);
        let _ = self.store.unmount(&self.path());
    }
}

/// Compiles C in `directory`.
fn compile(directory: &Path, source: &str, arguments: &[&str]) {
    fs::write(directory.join("source.c"), source).unwrap();
    let done = Command::new("cc").current_dir(directory).arg("source.c").args(arguments).output();
    let output = done.expect("there is no C compiler: apt-get install gcc libc6-dev");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_dynamic_binary_runs_with_nothing_but_its_image() {
    let root = Root::of(&[Path::new("/bin/ls"), Path::new("/usr/bin/env")]);
    assert_eq!(root.image.config.entrypoint, ["/usr/local/bin/ls"]);
    assert_eq!(root.image.config.env, [PATH], "its libraries are where its loader looks anyway");
    assert_eq!(root.run(&["/usr/local/bin"]), "env\nls\n");
    let user = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(user.starts_with("root:x:0:0:"));
    assert_eq!(fs::metadata(root.path().join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    let ls = fs::metadata(root.path().join("usr/local/bin/ls")).unwrap();
    assert_eq!((ls.mode() & 0o7777, ls.uid(), ls.mtime()), (0o755, 0, 0));
}

#[test]
fn the_same_binaries_give_the_same_image() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let build = |root: &Path| build(&store(root), &"a".parse().unwrap(), &["/usr/bin/env".into()]).unwrap().id;
    assert_eq!(build(one.path()), build(two.path()));
}

#[test]
fn a_static_binary_is_alone() {
    let directory = tempfile::tempdir().unwrap();
    compile(directory.path(), "int main() { return 0; }", &["-static", "-o", "alone"]);
    let root = Root::of(&[&directory.path().join("alone")]);
    assert_eq!(root.run(&[]), "");
    let mut names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dev", "etc", "proc", "root", "sys", "tmp", "usr"]);
}

#[test]
fn libraries_beside_the_binary_stay_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    for name in ["bin", "lib", "deep"] {
        fs::create_dir(place.join(name)).unwrap();
    }
    let library = |name: &str, source: &str, more: &[&str]| {
        compile(
            place,
            source,
            &[
                &["-shared", "-fPIC", "-o", name, &format!("-Wl,-soname,{}", name.split('/').next_back().unwrap())],
                more,
            ]
            .concat(),
        );
    };
    library("deep/libdeep.so", "int deep() { return 40; }", &[]);
    library(
        "lib/libnear.so",
        "int deep(); int near() { return deep() + 2; }",
        &["deep/libdeep.so", "-Wl,-rpath,$ORIGIN/../deep", "-Wl,--enable-new-dtags"],
    );
    compile(
        place,
        "#include <stdio.h>\nint near(); int main() { printf(\"%d\", near()); }",
        &["-o", "bin/app", "lib/libnear.so", "-Wl,-rpath,$ORIGIN/../lib", "-Wl,-rpath-link,deep"],
    );
    let root = Root::of(&[&place.join("bin/app")]);
    assert_eq!(root.run(&[]), "42");
    assert!(root.path().join("usr/local/lib/libnear.so").is_file());
    assert!(root.path().join("usr/local/deep/libdeep.so").is_file());
}

#[test]
fn a_directory_that_only_the_machines_loader_knows_is_told() {
    let found: BTreeMap<PathBuf, PathBuf> = [("/lib/x86_64-linux-gnu/libc.so.6".into(), "/x".into())].into();
    let used = ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib", "/lib/x86_64-linux-gnu"].map(PathBuf::from);
    let told = libraries::told(&used, &found, Path::new("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(Vec::from_iter(told), [Path::new("/usr/local/lib")]);
}

#[test]
fn what_cannot_be_built_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::write(place.join("script"), "#!/bin/sh\n").unwrap();
    fs::write(place.join("empty"), "").unwrap();
    let ls = fs::read("/bin/ls").unwrap();
    fs::write(place.join("cut"), &ls[..3000]).unwrap();
    compile(place, "int lost() { return 0; }", &["-shared", "-fPIC", "-o", "liblost.so", "-Wl,-soname,liblost.so"]);
    compile(place, "int lost(); int main() { return lost(); }", &["-o", "orphan", "liblost.so"]);
    let foreign = [&ls[..18], &[183, 0], &ls[20..]].concat();
    fs::write(place.join("foreign"), foreign).unwrap();
    let cases = [
        ("script", "no ELF binary"),
        ("empty", "no ELF binary"),
        ("cut", "damaged"),
        ("absent", "cannot open"),
        ("orphan", "`liblost.so`, which"),
        ("foreign", "loader"),
        (".", "is no file"),
    ];
    for (name, part) in cases {
        let store = store(&place.join("root"));
        let error = build(&store, &"a".parse().unwrap(), &[place.join(name)]).unwrap_err();
        assert!(chain_of(&error).contains(part), "{name}: {}", chain_of(&error));
        assert_eq!(exit_of(&error), Exit::Usage, "{name}");
        assert!(store.list().unwrap().is_empty());
    }
    let same_name = [PathBuf::from("/bin/ls"), place.join("other/ls")];
    fs::create_dir(place.join("other")).unwrap();
    fs::copy("/bin/cat", place.join("other/ls")).unwrap();
    let error = build(&store(&place.join("root")), &"a".parse().unwrap(), &same_name).unwrap_err();
    assert!(chain_of(&error).contains("a second `/usr/local/bin/ls`"), "{}", chain_of(&error));
    let script = build(&store(&place.join("root")), &"a".parse().unwrap(), &[place.join("script")]).unwrap_err();
    assert!(hint_of(&script).is_some());
}

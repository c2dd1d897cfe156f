#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use tar::EntryType;

use super::*;
use crate::error::{Exit, chain_of, exit_of, hint_of};
use crate::image::testing::{Tar, configuration, gzip, store};

fn layers() -> [Vec<u8>; 2] {
    [Tar::new().file("a", b"one").finish(), Tar::new().file("b", b"two").finish()]
}

fn json(value: serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(&value).unwrap()
}

/// What `docker save` wrote until version 24.
fn docker_save() -> Tar {
    let (layers, configuration) = (layers(), configuration(&layers()));
    let config = format!("{}.json", Digest::of(&configuration).hex());
    let manifest = json(serde_json::json!([
        {"Config": config, "RepoTags": ["a:1", "example.com/b:2"], "Layers": ["1/layer.tar", "2/layer.tar"]}
    ]));
    Tar::new()
        .directory("1/", 0o755)
        .file("1/layer.tar", &layers[0])
        .directory("2/", 0o755)
        .file("shared/layer.tar", &layers[1])
        .symlink("2/layer.tar", "../shared/layer.tar")
        .file(&config, &configuration)
        .file("manifest.json", &manifest)
}

/// The files of an OCI layout with a nested index and compressed layers.
fn oci_layout(annotations: serde_json::Value) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut blob = |content: Vec<u8>, extra: serde_json::Value| {
        let digest = Digest::of(&content);
        let mut descriptor = serde_json::json!({"mediaType": "x", "digest": digest, "size": content.len()});
        descriptor.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        files.push((blob_path(&digest), content));
        descriptor
    };
    let none = serde_json::json!({});
    let layers: Vec<_> = layers().iter().map(|layer| blob(gzip(layer), none.clone())).collect();
    let config = blob(configuration(&self::layers()), none);
    let manifest = json(serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers}));
    let here = serde_json::json!({"os": "linux", "architecture": Platform::this().architecture});
    let manifest = blob(manifest, serde_json::json!({ "platform": here }));
    let foreign = serde_json::json!({"platform": {"os": "linux", "architecture": "pdp11"}});
    let foreign = blob(b"another machine's".to_vec(), foreign);
    let index = json(serde_json::json!({"schemaVersion": 2, "manifests": [foreign, manifest]}));
    let index = blob(index, serde_json::json!({ "annotations": annotations }));
    let top = json(serde_json::json!({"schemaVersion": 2, "manifests": [index]}));
    files.push(("index.json".to_owned(), top));
    files
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files.iter().fold(Tar::new(), |tar, (path, content)| tar.file(path, content)).finish()
}

struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory.path().join("root"));
        Place { directory, store }
    }

    fn archive(&self, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join("archive");
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, content: &[u8]) -> Result<Vec<Image>> {
        import(&self.store, &self.archive(content), None)
    }

    fn references(&self) -> Vec<String> {
        self.store.list().unwrap().iter().map(|image| image.reference.to_string()).collect()
    }
}

#[test]
fn a_docker_archive_is_imported_under_all_its_names() {
    for compress in [|tar: Vec<u8>| tar, |tar: Vec<u8>| gzip(&tar)] {
        let place = Place::new();
        let images = place.import(&compress(docker_save().finish())).unwrap();
        assert_eq!(place.references(), ["docker.io/library/a:1", "example.com/b:2"]);
        assert_eq!(images[0].id, Digest::of(&configuration(&layers())));
        assert_eq!(images[0].repo_digest, None);
        assert_eq!(fs::read(images[0].layers[1].join("b")).unwrap(), b"two");
    }
}

#[test]
fn a_layout_is_imported_from_a_tar_and_from_a_directory() {
    let annotations = serde_json::json!({
        "io.containerd.image.name": "registry.k8s.io/pause:3.10", "org.opencontainers.image.ref.name": "3.10"
    });
    let files = oci_layout(annotations);
    let (place, index) = (Place::new(), Digest::of(&files[files.len() - 2].1));
    let images = place.import(&tar_of(&files)).unwrap();
    assert_eq!(place.references(), ["registry.k8s.io/pause:3.10"]);
    assert_eq!(images[0].repo_digest, Some(format!("registry.k8s.io/pause@{index}")));

    let (place, layout) = (Place::new(), tempfile::tempdir().unwrap());
    for (path, content) in &files {
        let path = layout.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    assert_eq!(import(&place.store, layout.path(), None).unwrap(), {
        let mut same = images;
        same[0].layers = same[0].chains.iter().map(|chain| place.store.layer(chain).join("fs")).collect();
        same
    });
    let blob = layout.path().join(&files[1].0);
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", &blob).unwrap();
    let error = import(&Place::new().store, layout.path(), None).unwrap_err();
    assert!(chain_of(&error).contains("is no file"), "{}", chain_of(&error));
}

#[test]
fn newer_docker_archives_name_their_images_in_the_manifest() {
    let mut files = oci_layout(serde_json::json!({"org.opencontainers.image.ref.name": "1"}));
    let configuration = configuration(&layers());
    let blobs: Vec<_> = layers().iter().map(|layer| blob_path(&Digest::of(&gzip(layer)))).collect();
    files.push((
        "manifest.json".to_owned(),
        json(serde_json::json!([
            {"Config": blob_path(&Digest::of(&configuration)), "RepoTags": ["a:1"], "Layers": blobs}
        ])),
    ));
    let place = Place::new();
    place.import(&tar_of(&files)).unwrap();
    assert_eq!(place.references(), ["docker.io/library/a:1"]);
}

#[test]
fn an_image_without_a_name_can_be_given_one() {
    let place = Place::new();
    let path = place.archive(&tar_of(&oci_layout(serde_json::json!({"org.opencontainers.image.ref.name": "latest"}))));
    let error = import(&place.store, &path, None).unwrap_err();
    assert!(hint_of(&error).unwrap().contains("--name"));
    import(&place.store, &path, Some(&"mine:1".parse().unwrap())).unwrap();
    assert_eq!(place.references(), ["docker.io/library/mine:1"]);
}

/// Each must be refused with the user's exit code, and leave the store as it was.
#[test]
fn hostile_archives_are_refused() {
    let configuration = configuration(&layers());
    let config = format!("{}.json", Digest::of(&configuration).hex());
    let manifest = |config: &str, layers: &[&str]| {
        json(serde_json::json!([{"Config": config, "RepoTags": ["a:1"], "Layers": layers}]))
    };
    let ordinary = manifest(&config, &["1/layer.tar", "2/layer.tar"]);
    let mut cut = docker_save().finish();
    cut.truncate(1500);
    let layout = oci_layout(serde_json::json!({"io.containerd.image.name": "a:1"}));
    let without = |part: usize| {
        let mut files = layout.clone();
        files.remove(part);
        tar_of(&files)
    };
    let mut wrong_blob = layout.clone();
    wrong_blob[3].1.push(b' ');
    let mut wrong_layer = layout.clone();
    wrong_layer[1].1 = gzip(&Tar::new().file("evil", b"evil").finish());
    let mut huge = Tar::header(EntryType::Regular, b"1/layer.tar", 0o644);
    huge.set_size(1 << 40);
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("empty", "neither", vec![]),
        ("no tar", "no tar archive", vec![b'x'; 4096]),
        ("a root file system", "neither", Tar::new().file("etc/passwd", b"").finish()),
        ("cut off", "ends within", cut),
        ("absurd size", "ends within", Tar::new().raw(&huge, b"").finish()),
        (
            "absurd header",
            "headers of a member",
            Tar::new().pax(&[("comment", &vec![0; 3 << 20])]).file("a", b"").finish(),
        ),
        ("path out of it", "leaves", Tar::new().file("../x", b"").file("manifest.json", &ordinary).finish()),
        ("link out of it", "leaves", Tar::new().symlink("1/layer.tar", "../../etc/shadow").finish()),
        ("absolute link", "leaves", Tar::new().symlink("1/layer.tar", "/etc/shadow").finish()),
        (
            "layer out of it",
            "leaves",
            Tar::new()
                .file(&config, &configuration)
                .file("manifest.json", &manifest(&config, &["../../etc/shadow", "x"]))
                .finish(),
        ),
        (
            "links in a circle",
            "circle",
            Tar::new()
                .symlink("1/layer.tar", "../2/layer.tar")
                .symlink("2/layer.tar", "../1/layer.tar")
                .file(&config, &configuration)
                .file("manifest.json", &ordinary)
                .finish(),
        ),
        (
            "missing layer",
            "missing",
            Tar::new().file(&config, &configuration).file("manifest.json", &ordinary).finish(),
        ),
        ("missing configuration", "missing", Tar::new().file("manifest.json", &ordinary).finish()),
        (
            "another configuration",
            "the content of",
            docker_save().file(&config, br#"{"rootfs":{"diff_ids":[]}}"#).finish(),
        ),
        ("another layer", "not `sha256", docker_save().file("1/layer.tar", &layers()[1]).finish()),
        (
            "too few layers",
            "lists 1 layers",
            docker_save().file("manifest.json", &manifest(&config, &["1/layer.tar"])).finish(),
        ),
        ("no manifest", "not that of", Tar::new().file("manifest.json", b"{}").finish()),
        (
            "no name",
            "is not an image reference",
            Tar::new()
                .file(&config, &configuration)
                .file(
                    "manifest.json",
                    &json(serde_json::json!([{"Config": config, "RepoTags": ["A B"], "Layers": []}])),
                )
                .finish(),
        ),
        ("missing blob", "missing", without(1)),
        ("missing manifest", "missing", without(4)),
        ("changed configuration", "the content of", tar_of(&wrong_blob)),
        ("changed layer", "not `sha256", tar_of(&wrong_layer)),
        ("cut gzip", "", gzip(&docker_save().finish())[..200].to_vec()),
    ];
    for (case, part, archive) in cases {
        let place = Place::new();
        let error = place.import(&archive).expect_err(case);
        let text = chain_of(&error);
        assert!(text.contains(part), "{case}: {text}");
        assert_eq!(exit_of(&error), Exit::Usage, "{case}: {text}");
        assert!(place.references().is_empty(), "{case}");
        assert_eq!(fs::read_dir(place.store.temporary()).unwrap().count(), 0, "{case}");
        assert_eq!(fs::read_dir(place.store.directory().join("layers")).unwrap().count(), 0, "{case}");
    }
}

#[test]
fn a_missing_file_is_the_users_mistake() {
    let place = Place::new();
    let error = import(&place.store, Path::new("/nonexistent/archive"), None).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Usage);
}

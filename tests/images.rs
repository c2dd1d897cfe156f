//! Images: pulled from a real registry and from a faulty one (`faults`), imported, built, listed, removed.

mod faults;
mod faulty;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use bootstrap::error::{Exit, chain_of, exit_of, hint_of};
use bootstrap::image::digest::Digest;
use bootstrap::image::policy::PullPolicy;
use bootstrap::image::pull::{Event, Progress, Puller};
use bootstrap::image::reference::Reference;
use bootstrap::image::registry::credentials::Credentials;
use bootstrap::image::registry::settings::Registries;
use bootstrap::image::store::{Image, Store};
use bootstrap::layout::Layout;
use faulty::{Answer, Faulty};

use crate::support::Bootstrap;
use crate::support::registry::{Content, Registry};

/// A store of its own and what pulls into it.
struct Machine {
    directory: tempfile::TempDir,
    store: Store,
    registries: Registries,
    credentials: Credentials,
}

/// Keeps every event.
#[derive(Default)]
struct Seen(Mutex<Vec<Event>>);

impl Progress for Seen {
    fn on(&self, _image: &Reference, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Seen {
    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }
}

impl Machine {
    fn new() -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Layout::new(directory.path()));
        Machine { directory, store, registries: Registries::default(), credentials: Credentials::default() }
    }

    fn mirror(&mut self, registry: &str, mirror: &str) {
        self.registries.mirrors.entry(registry.to_owned()).or_default().push(mirror.parse().unwrap());
    }

    fn puller(&self) -> Puller {
        Puller::new(self.store.clone(), self.registries.clone(), self.credentials.clone())
    }

    fn pull(&self, reference: &str) -> anyhow::Result<(Image, Seen)> {
        let seen = Seen::default();
        let image = block_on(self.puller().ensure(&reference.parse().unwrap(), PullPolicy::Always, &seen))?;
        Ok((image, seen))
    }

    fn assert_empty(&self) {
        assert_eq!(self.store.list().unwrap(), []);
        assert_eq!(fs::read_dir(self.images().join("tmp")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.images().join("blobs/sha256")).unwrap().count(), 0);
    }

    fn images(&self) -> std::path::PathBuf {
        self.directory.path().join("var/lib/bootstrap/images")
    }

    fn bootstrap(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("bootstrap"));
        command.arg("--root").arg(self.directory.path()).arg("images").args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.bootstrap(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

fn block_on<T>(work: impl Future<Output = T> + Send) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
fn an_image_is_pulled_once() {
    let registry = Registry::start();
    let content = Content::new(&["one", "two", "three"]);
    let digest = registry.push("team/app", "1", &content);
    let machine = Machine::new();
    let reference = format!("{}/team/app:1", registry.host);
    let (image, seen) = machine.pull(&reference).unwrap();
    assert_eq!(image.id, Digest::of(&content.configuration));
    assert_eq!(image.repo_digest, Some(format!("{}/team/app@{digest}", registry.host)));
    assert_eq!(image.config.entrypoint, ["/one"]);
    assert_eq!(fs::read_to_string(image.layers[2].join("three")).unwrap(), "three");
    assert_eq!(seen.count(|event| matches!(event, Event::Unpacked { .. })), 3);
    let whole = |event: &Event| matches!(event, Event::Downloading { done, total, .. } if done == total);
    assert_eq!(seen.count(whole), 3);

    let (again, seen) = machine.pull(&reference).unwrap();
    assert_eq!(again, image);
    assert_eq!(*seen.0.lock().unwrap(), [Event::UpToDate]);
    let by_digest = format!("{}/team/app@{digest}", registry.host);
    assert_eq!(machine.pull(&by_digest).unwrap().0.id, image.id);

    registry.push("team/app", "1", &Content::new(&["one", "two", "four"]));
    let (moved, seen) = machine.pull(&reference).unwrap();
    assert_ne!(moved.id, image.id);
    assert_eq!(moved.layers[..2], image.layers[..2]);
    assert_eq!(seen.count(|event| matches!(event, Event::Present { .. })), 2);
    assert_eq!(seen.count(|event| matches!(event, Event::Unpacked { .. })), 1);
}

#[test]
fn the_policy_decides_who_is_asked() {
    let registry = Registry::start();
    registry.push("app", "1", &Content::new(&["one"]));
    let machine = Machine::new();
    let reference: Reference = format!("{}/app:1", registry.host).parse().unwrap();
    let puller = machine.puller();
    let ensure = |policy| block_on(puller.ensure(&reference, policy, &()));
    let error = ensure(PullPolicy::Never).unwrap_err();
    assert!(hint_of(&error).unwrap().contains("images pull"));
    let image = ensure(PullPolicy::IfNotPresent).unwrap();
    drop(registry);
    assert_eq!(ensure(PullPolicy::IfNotPresent).unwrap(), image);
    assert_eq!(ensure(PullPolicy::Never).unwrap(), image);
    let error = ensure(PullPolicy::Always).unwrap_err();
    assert!(chain_of(&error).contains("cannot reach"), "{}", chain_of(&error));
    assert_eq!(machine.store.list().unwrap(), [image]);
}

#[test]
fn what_a_registry_does_not_have_is_said() {
    let registry = Registry::start();
    registry.push("app", "1", &Content::for_machine(&["one"], "pdp11"));
    let machine = Machine::new();
    let error = machine.pull(&format!("{}/app:2", registry.host)).err().unwrap();
    assert!(chain_of(&error).contains("404"), "{}", chain_of(&error));
    let error = machine.pull(&format!("{}/app:1", registry.host)).err().unwrap();
    assert!(chain_of(&error).contains("linux/pdp11"), "{}", chain_of(&error));
    assert_eq!(exit_of(&error), Exit::Failed);
    machine.assert_empty_or_new();
}

#[test]
fn a_private_registry_is_pulled_from_with_its_authority_and_credentials() {
    let registry = Registry::start_private("user", "hunter2");
    registry.push("app", "1", &Content::new(&["one"]));
    let reference = format!("{}/app:1", registry.host);
    let mut machine = Machine::new();
    let error = machine.pull(&reference).err().unwrap();
    assert!(chain_of(&error).to_lowercase().contains("certificate"), "{}", chain_of(&error));

    machine.registries.ca_files.push(registry.authority());
    let error = machine.pull(&reference).err().unwrap();
    assert!(hint_of(&error).unwrap().contains("there are no credentials"), "{error:#}");

    let config = machine.directory.path().join("config.json");
    for (password, works) in [("hunter3", false), ("hunter2", true)] {
        let auths = serde_json::json!({"auths": {&registry.host: {"username": "user", "password": password}}});
        fs::write(&config, auths.to_string()).unwrap();
        machine.credentials = Credentials::in_files(vec![config.clone()]);
        match machine.pull(&reference) {
            Ok((image, _)) => assert!(works, "{image:?}"),
            Err(error) => {
                assert!(!works && hint_of(&error).unwrap().contains("were refused"), "{error:#}");
                assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
            }
        }
    }
    assert!(!format!("{:?}", machine.puller()).contains("hunter2"));
}

#[test]
fn mirrors_are_asked_in_order_and_may_fail() {
    let registry = Registry::start();
    registry.push("library/app", "1", &Content::new(&["one"]));
    registry.push("cache/team/app", "1", &Content::new(&["two"]));
    let mut machine = Machine::new();
    // nobody listens on the discard port
    machine.mirror("docker.io", "127.0.0.1:9");
    machine.mirror("docker.io", &registry.host);
    let (image, seen) = machine.pull("app:1").unwrap();
    assert_eq!(image.reference.to_string(), "docker.io/library/app:1");
    assert_eq!(image.config.entrypoint, ["/one"]);
    assert_eq!(seen.count(|event| matches!(event, Event::Retrying { .. })), 1, "a lost mirror is not asked again");
    machine.mirror("registry.invalid", &format!("{}/cache", registry.host));
    assert_eq!(machine.pull("registry.invalid/team/app:1").unwrap().0.config.entrypoint, ["/two"]);
    let error = machine.pull("registry.invalid/team/other:1").err().unwrap();
    let text = chain_of(&error);
    assert!(text.contains("no mirror helped") && text.contains("404") && text.contains("registry.invalid"), "{text}");
}

#[test]
fn the_commands_show_what_they_did() {
    let registry = Registry::start();
    registry.push("app", "1", &Content::new(&["one"]));
    let machine = Machine::new();
    assert_eq!(machine.run(&["list"]), (Some(0), "REFERENCE   ID   SIZE\n".into(), String::new()));

    let reference = format!("{}/app:1", registry.host);
    let id = Digest::of(&Content::new(&["one"]).configuration).short();
    let (code, out, err) = machine.run(&["pull", &reference]);
    assert_eq!((code, out), (Some(0), format!("{reference} {id}\n")), "{err}");
    assert!(err.contains(&format!("pulling {reference}: 1 layers, ")) && err.contains("is pulled"), "{err}");
    let (_, _, err) = machine.run(&["pull", &reference]);
    assert_eq!(err, format!("{reference} is up to date\n"));

    let (code, out, err) = machine.run(&["build", "tool:1", "--binary", "/usr/bin/env"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("docker.io/library/tool:1 "));
    let (_, out, _) = machine.run(&["list"]);
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["REFERENCE", "ID", "SIZE"]);
    assert_eq!(lines[1][..2], [reference.as_str(), &id]);
    assert_eq!(lines[2][0], "docker.io/library/tool:1");
    let (_, out, _) = machine.run(&["list", "-o", "json"]);
    let images: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(images[0]["reference"], reference);
    assert_eq!(images[1]["config"]["entrypoint"][0], "/usr/local/bin/env");

    assert_eq!(machine.run(&["remove", &reference, "tool:1"]), (Some(0), String::new(), String::new()));
    let (code, _, err) = machine.run(&["remove", "tool:1"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no image `docker.io/library/tool:1`"), "{err}");
    machine.assert_empty();
}

#[test]
fn mistakes_on_the_command_line_exit_with_two() {
    let machine = Machine::new();
    let file = machine.directory.path().join("text");
    fs::write(&file, "not an archive").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["pull"][..],
        &["pull", "NGINX"],
        &["pull", "nginx", "--mirror", "docker.io"],
        &["pull", "nginx", "--mirror", "docker.io=https://m.example"],
        &["pull", "nginx", "--ca-file", "/nonexistent"],
        &["import", file],
        &["import", "/nonexistent"],
        &["import", "--name", "a", file, file],
        &["build", "tool"],
        &["build", "tool", "--binary", file],
    ] {
        let (code, _, err) = machine.run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
    }
}

#[test]
fn a_saved_image_is_imported_from_a_pipe() {
    let content = Content::new(&["one", "two"]);
    let machine = Machine::new();
    let archive = machine.directory.path().join("archive");
    content.save(&archive, "example.com/app:1");
    let output = machine.bootstrap(&["import", "-"]).stdin(fs::File::open(&archive).unwrap()).output().unwrap();
    let id = Digest::of(&content.configuration).short();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("example.com/app:1 {id}\n"), "{output:?}");
    let (code, ..) = machine.run(&["import", "--name", "other", archive.to_str().unwrap()]);
    assert_eq!((code, machine.store.list().unwrap().len()), (Some(0), 2));
}

#[test]
fn processes_that_import_at_once_do_not_disturb_each_other() {
    let machine = Machine::new();
    let archive = |number: usize| machine.directory.path().join(format!("archive{number}"));
    let mut children = Vec::new();
    for number in 0..4 {
        Content::new(&["shared", &format!("own{number}")]).save(&archive(number), &format!("example.com/app:{number}"));
        children.push(machine.bootstrap(&["import", archive(number).to_str().unwrap()]).spawn().unwrap());
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(machine.store.list().unwrap().len(), 4);
    assert_eq!(fs::read_dir(machine.images().join("layers")).unwrap().count(), 5);
}

#[test]
fn of_a_configurations_images_those_of_this_node_are_pulled() {
    let content = Content::new(&["app"]);
    let manifest = content.manifest();
    // every repository and every tag has this image
    let registry = Faulty::start(content, move |request, answer| match request.path.contains("/manifests/") {
        true => Answer { body: manifest.clone(), ..Answer::status(200) },
        false => answer,
    });
    let machine = Machine::new();
    let pull = [
        "config",
        "images",
        "pull",
        &format!("--root={}", machine.directory.path().display()),
        &format!("--image-repository={}/k8s", registry.host),
        "--kubernetes-version=v1.28.15",
    ];
    let run = Bootstrap::new(pull).run().succeeds();
    let name = |line: &str| line.split(['/', ':']).nth(3).unwrap().to_owned();
    let pulled: Vec<_> = run.stdout.lines().map(name).collect();
    assert_eq!(pulled, ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
    assert_eq!(machine.store.list().unwrap().len(), 4);
    for other in ["kube-proxy:v1.28.15", "coredns:v1.10.1", "pause:3.9"] {
        assert!(run.stderr.contains(&format!("{}/k8s/{other}", registry.host)), "{}", run.stderr);
    }
}

impl Machine {
    /// As [`Machine::assert_empty`], also where nothing was ever begun.
    fn assert_empty_or_new(&self) {
        if Path::exists(&self.images()) {
            self.assert_empty();
        }
    }
}

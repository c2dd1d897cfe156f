//! Volumes as containers see them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use bootstrap::control::PodStatus;
use serde_json::{Value, json};

use super::case::until;
use super::node::{Node, container};

fn is_running(pod: &PodStatus) -> bool {
    pod.phase == "Running"
}

#[tokio::test(flavor = "multi_thread")]
async fn case_83_an_empty_dir_in_memory_goes_with_its_pod() {
    let node = Node::new().await;
    let spec = |script: &str| {
        let mut container = container("main", script);
        container["volumeMounts"] = json!([{ "name": "memory", "mountPath": "/memory" }]);
        json!({ "terminationGracePeriodSeconds": 1, "containers": [container],
            "volumes": [{ "name": "memory", "emptyDir": { "medium": "Memory" } }] })
    };
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    node.apply("stopped", spec("echo x > /memory/file; sleep 600"));
    let running = node.pod("stopped", is_running).await;
    let volume = node.path("/var/lib/bootstrap/pods").join(&running.uid).join("volumes/memory");
    assert!(mounts().contains(volume.to_str().unwrap()));
    node.remove("stopped").await;
    assert!(!volume.exists() && !mounts().contains(volume.to_str().unwrap()));
    // one that ends by itself keeps its place in the status, and nothing more
    let ended = node.run("ended", spec("echo x > /memory/file")).await;
    let volume = node.path("/var/lib/bootstrap/pods").join(&ended.uid).join("volumes");
    until(|| !volume.exists()).await;
    node.finish().await;
}

/// Shows the mode and the owners of each path, then what becomes of writing a file of each mode there.
fn matrix(directory: &str) -> String {
    format!(
        "stat -c '%a %u:%g' {directory}; for mode in 0644 0666 0777; do \
         echo text > {directory}/$mode && chmod $mode {directory}/$mode && cat {directory}/$mode && \
         stat -c '%a %u' {directory}/$mode; done"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn case_135_empty_dirs_are_everybodys_whoever_runs() {
    let node = Node::new().await;
    let written = |user: &str| ["644", "666", "777"].map(|mode| format!("text\n{mode} {user}\n")).concat();
    for (name, medium, user, group, root) in [
        ("disk-root", "", 0, None, "777 0:0\n"),
        ("disk-user", "", 1001, None, "777 0:0\n"),
        ("disk-group", "", 1001, Some(123), "2777 0:123\n"),
        ("memory-root", "Memory", 0, None, "1777 0:0\n"),
        ("memory-user", "Memory", 1001, None, "1777 0:0\n"),
        ("memory-group", "Memory", 1001, Some(123), "3777 0:123\n"),
    ] {
        let mut main = container("main", &matrix("/volume"));
        main["volumeMounts"] = json!([{ "name": "volume", "mountPath": "/volume" }]);
        let spec = json!({
            "securityContext": { "runAsUser": user, "fsGroup": group },
            "containers": [main],
            "volumes": [{ "name": "volume", "emptyDir": { "medium": medium } }],
        });
        let ended = node.run(name, spec).await;
        assert_eq!(node.text(&ended, "main"), format!("{root}{}", written(&user.to_string())), "{name}");
    }
    // two containers share one, and a limit holds in memory
    let mut writer = container("writer", "echo shared > /volume/new; mv /volume/new /volume/file");
    let mut reader = container(
        "reader",
        "until [ -e /volume/file ]; do sleep 0.01; done; cat /volume/file; \
         dd if=/dev/zero of=/volume/large bs=1M count=8 2>/dev/null || echo full; df -k /volume | tail -n 1",
    );
    for container in [&mut writer, &mut reader] {
        container["volumeMounts"] = json!([{ "name": "volume", "mountPath": "/volume" }]);
    }
    let ended = node
        .run(
            "shared",
            json!({ "containers": [writer, reader],
            "volumes": [{ "name": "volume", "emptyDir": { "medium": "Memory", "sizeLimit": "4Mi" } }] }),
        )
        .await;
    let text = node.text(&ended, "reader");
    assert!(text.starts_with("shared\nfull\n") && text.contains(" 4096 "), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_135_host_paths_keep_their_modes_and_owners() {
    let node = Node::new().await;
    let path = node.path("/host");
    fs::create_dir_all(path.join("part")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(path.join("part/file"), "part\n").unwrap();
    let mut main = container("main", "stat -c '%a %u:%g' /volume; echo new > /volume/new; cat /part/file; ls /made");
    main["volumeMounts"] = json!([
        { "name": "volume", "mountPath": "/volume" },
        { "name": "volume", "mountPath": "/part", "subPath": "part", "readOnly": true },
        { "name": "made", "mountPath": "/made" },
    ]);
    let spec = json!({
        // fsGroup is of no effect here
        "securityContext": { "fsGroup": 123 },
        "containers": [main],
        "volumes": [
            { "name": "volume", "hostPath": { "path": "/host" } },
            { "name": "made", "hostPath": { "path": "/made", "type": "DirectoryOrCreate" } },
        ],
    });
    let ended = node.run("root", spec.clone()).await;
    assert_eq!(node.text(&ended, "main"), "750 0:0\npart\n");
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "new\n");
    assert_eq!(fs::metadata(node.path("/made")).unwrap().permissions().mode() & 0o7777, 0o755);
    chown(&path, Some(1001), Some(1002)).unwrap();
    fs::remove_file(path.join("new")).unwrap();
    let mut spec = spec;
    spec["securityContext"] = json!({ "runAsUser": 1001 });
    let ended = node.run("user", spec).await;
    assert_eq!(node.text(&ended, "main"), "750 1001:1002\npart\n");
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "new\n");
    node.finish().await;
}

fn item(path: &str, field: &str, mode: Option<u32>) -> Value {
    json!({ "path": path, "fieldRef": { "fieldPath": field }, "mode": mode })
}

#[tokio::test(flavor = "multi_thread")]
async fn case_135_what_a_pod_may_know_of_itself_has_the_modes_asked_for() {
    let node = Node::new().await;
    let resource = |path: &str, name: &str| {
        let of = json!({ "containerName": "main", "resource": name, "divisor": "1Mi" });
        json!({ "path": path, "resourceFieldRef": of })
    };
    let items = json!([
        item("name", "metadata.name", None),
        item("labels", "metadata.labels", Some(0o400)),
        item("annotations", "metadata.annotations", Some(0o444)),
        resource("limit", "limits.memory"),
        resource("request", "requests.memory"),
    ]);
    let script = "for file in name labels annotations limit request; do stat -L -c '%a %u:%g' /volume/$file; \
                  cat /volume/$file; echo; done; echo x > /volume/x";
    for (name, group, modes) in [("plain", None, ["600", "400", "444"]), ("grouped", Some(123), ["640", "440", "444"])]
    {
        for (kind, volume) in [
            ("downward", json!({ "name": "v", "downwardAPI": { "defaultMode": 0o600, "items": items } })),
            (
                "projected",
                json!({ "name": "v", "projected": { "defaultMode": 0o600,
                    "sources": [{ "downwardAPI": { "items": items } }] } }),
            ),
        ] {
            let mut main = container("main", script);
            main["volumeMounts"] = json!([{ "name": "v", "mountPath": "/volume" }]);
            main["resources"] = json!({ "limits": { "memory": "64Mi" }, "requests": { "memory": "32Mi" } });
            let pod = format!("{kind}-{name}");
            let spec = json!({ "securityContext": { "fsGroup": group }, "containers": [main], "volumes": [volume] });
            let ended = node.run(&pod, spec).await;
            let text = node.text(&ended, "main");
            let owner = format!("0:{}", group.unwrap_or(0));
            let [default, labels, annotations] = modes;
            let expected =
                format!("{default} {owner}\n{pod}-n1\n{labels} {owner}\napp=\"{pod}\"\n{annotations} {owner}\n");
            assert!(text.starts_with(&expected), "{text}");
            assert!(text.contains("note=\"a \\\"quoted\\\" note\""), "{text}");
            assert!(text.contains(&format!("{default} {owner}\n64\n{default} {owner}\n32\n")), "{text}");
            assert!(text.contains("can't create /volume/x: Read-only"), "{text}");
        }
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_157_two_containers_share_a_host_path_and_a_file_of_it() {
    let node = Node::new().await;
    let path = node.path("/web");
    let mut writer = container(
        "writer",
        "echo $NAME > /web/$NAME/new && mv /web/$NAME/new /web/$NAME/page; until [ -e /web/read ]; do sleep 0.01; done",
    );
    let mut reader = container(
        "reader",
        "until [ -e /page/page ]; do sleep 0.01; done; cat /page/page /index; \
         echo x > /index || echo read-only; echo > /all/read",
    );
    let name = json!([{ "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]);
    writer["env"] = name.clone();
    reader["env"] = name;
    writer["volumeMounts"] = json!([
        { "name": "web", "mountPath": "/web" },
        { "name": "web", "mountPath": "/index", "subPath": "index.html", "readOnly": true },
        { "name": "web", "mountPath": "/own", "subPathExpr": "$(NAME)" },
    ]);
    reader["volumeMounts"] = json!([
        { "name": "web", "mountPath": "/page", "subPathExpr": "$(NAME)" },
        { "name": "web", "mountPath": "/index", "subPath": "index.html", "readOnly": true },
        { "name": "web", "mountPath": "/all" },
    ]);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("index.html"), "index\n").unwrap();
    let spec = json!({
        "containers": [writer, reader],
        "volumes": [{ "name": "web", "hostPath": { "path": "/web", "type": "DirectoryOrCreate" } }],
    });
    let ended = node.run("web", spec).await;
    assert_eq!(ended.phase, "Succeeded");
    assert!(node.text(&ended, "reader").starts_with("web-n1\nindex\n"), "{}", node.text(&ended, "reader"));
    assert!(node.text(&ended, "reader").contains("read-only"));
    assert_eq!(fs::read_to_string(path.join("index.html")).unwrap(), "index\n");
    // what two pods are given by a hostPath outlives both
    let mut again = container("again", "cat /web/web-n1/page");
    again["volumeMounts"] = json!([{ "name": "web", "mountPath": "/web", "readOnly": true }]);
    let volumes = json!([{ "name": "web", "hostPath": { "path": "/web", "type": "DirectoryOrCreate" } }]);
    let ended = node.run("again", json!({ "containers": [again], "volumes": volumes })).await;
    assert_eq!(node.text(&ended, "again"), "web-n1\n");
    node.finish().await;
}

//! Images that containers mount.

use bootstrap::image::archive::import;
use bootstrap::image::store::Store;
use serde_json::{Value, json};

use super::node::{Node, container, waiting};
use crate::support::registry::Content;

/// A pod whose container mounts an image at `/data`, and a part of it at `/part`.
fn pod(image: &Value, part: &str, script: &str) -> Value {
    let mut container = container("main", script);
    container["volumeMounts"] = json!([
        { "name": "data", "mountPath": "/data" },
        { "name": "data", "mountPath": "/part", "subPath": part },
    ]);
    json!({ "containers": [container], "volumes": [{ "name": "data", "image": image }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_mounted_read_only_with_all_its_layers() {
    let node = Node::new().await;
    let archive = node.case.path("data.tar");
    Content::new(&["first", "deep/second"]).save(&archive, "example.org/data:1");
    import(&Store::open(node.layout()), &archive, None).unwrap();
    let image = json!({ "reference": "example.org/data:1" });
    let script = "cat /data/first /data/deep/second /part/second; echo; echo x > /data/x; echo x > /part/x; \
                  grep -E ' /(data|part) ' /proc/self/mountinfo";
    let ended = node.run("whole", pod(&image, "deep", script)).await;
    let text = node.text(&ended, "main");
    assert!(text.starts_with("firstdeep/seconddeep/second\n"), "{text}");
    assert!(
        text.contains("can't create /data/x: Read-only") && text.contains("can't create /part/x: Read-only"),
        "{text}"
    );
    assert_eq!(text.matches(" ro,nosuid,nodev,noexec").count(), 2, "{text}");

    // a file of an image is a part, too
    let ended = node.run("file", pod(&image, "deep/second", "cat /part")).await;
    assert_eq!(node.text(&ended, "main"), "deep/second");

    node.apply("no-part", pod(&image, "not/there", "true"));
    let told = |reason: &'static str, words: &'static str| {
        move |pod: &bootstrap::control::PodStatus| {
            waiting(pod, "main").is_some_and(|(found, message)| found == reason && message.contains(words))
        }
    };
    node.pod("no-part", told("CreateContainerError", "cannot mount `not/there` of image `example.org/data:1`")).await;
    for (name, image, reason, words) in [
        (
            "never",
            json!({ "reference": "example.org/none:1", "pullPolicy": "Never" }),
            "ErrImageNeverPull",
            "Container image \"example.org/none:1\" is not present with pull policy of Never",
        ),
        ("invalid", json!({ "reference": "No:such:image" }), "InvalidImageName", "invalid reference format"),
        (
            "absent",
            json!({ "reference": "127.0.0.1:1/none:1" }),
            "ImagePullBackOff",
            "Back-off pulling image \"127.0.0.1:1/none:1\": RegistryUnavailable: ",
        ),
        (
            "unresolved",
            json!({ "reference": "registry.invalid/none:1" }),
            "ImagePullBackOff",
            "Back-off pulling image \"registry.invalid/none:1\": ErrImagePull: ",
        ),
    ] {
        node.apply(name, pod(&image, ".", "true"));
        node.pod(name, told(reason, words)).await;
    }
    node.finish().await;
}

//! Variables from files that an init container has written.

use bootstrap::control::PodStatus;
use serde_json::{Value, json};

use super::node::{Node, container, waiting};

const VOLUMES: &str = r#"[{"name": "files", "emptyDir": {}}]"#;

/// A pod whose init container leaves `content` in a volume, and whose container shows variables of the `keys`.
fn pod(content: &str, keys: &[(&str, bool)], script: &str) -> Value {
    let mut writer = container("writer", &format!("cat > /files/deep.env <<'END'\n{content}\nEND"));
    writer["volumeMounts"] = json!([{ "name": "files", "mountPath": "/files" }]);
    let mut reader = container("reader", script);
    reader["env"] = keys.iter().map(|(key, optional)| variable(key, "deep.env", *optional)).collect();
    json!({
        "volumes": serde_json::from_str::<Value>(VOLUMES).unwrap(),
        "initContainers": [writer],
        "containers": [reader],
    })
}

fn variable(key: &str, path: &str, optional: bool) -> Value {
    let from = json!({ "volumeName": "files", "path": path, "key": key, "optional": optional });
    json!({ "name": key, "valueFrom": { "fileKeyRef": from } })
}

#[tokio::test(flavor = "multi_thread")]
async fn case_8_19_variables_come_from_a_file_of_an_init_container() {
    let node = Node::new().await;
    let file = "# written by the init container\nCONFIG_1='value1'\nCONFIG_2 = 'value2'";
    let pod = pod(file, &[("CONFIG_1", false), ("CONFIG_2", false)], "env");
    let ended = node.run("env", pod).await;
    let text = node.text(&ended, "reader");
    assert_eq!(ended.phase, "Succeeded");
    assert!(text.contains("CONFIG_1=value1\n") && text.contains("CONFIG_2=value2\n"), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_132_what_a_file_does_not_give_keeps_its_container_from_starting() {
    let node = Node::new().await;
    let optional = node.run("optional", pod("A='1'", &[("A", false), ("B", true)], "echo ${A-none} ${B-none}")).await;
    assert_eq!(node.text(&optional, "reader"), "1 none\n");

    let mut absent = pod("A='1'", &[], "echo ${C-none}");
    absent["containers"][0]["env"] = json!([variable("C", "absent.env", true)]);
    let absent = node.run("absent", absent).await;
    assert_eq!(node.text(&absent, "reader"), "none\n");

    let mut hooked = pod("A='1'", &[("A", false)], "until [ -e /files/hook ]; do sleep 0.01; done; cat /files/hook");
    hooked["containers"][0]["volumeMounts"] = json!([{ "name": "files", "mountPath": "/files" }]);
    let command = json!({ "command": ["/bin/sh", "-c", "echo $A > /files/new && mv /files/new /files/hook"] });
    hooked["containers"][0]["lifecycle"] = json!({ "postStart": { "exec": command } });
    let hooked = node.run("hooked", hooked).await;
    assert_eq!(node.text(&hooked, "reader"), "1\n");

    // the next init container reads it, too
    let mut second = pod("A='1'", &[], "true");
    let mut reader = container("second", "echo $A");
    reader["env"] = json!([variable("A", "deep.env", false)]);
    second["initContainers"].as_array_mut().unwrap().push(reader);
    let second = node.run("second", second).await;
    assert_eq!(node.text(&second, "second"), "1\n");

    for (name, content, words) in [
        ("unknown", "B='1'", "environment variable key \"A\" not found in file \"deep.env\""),
        ("unquoted", "A=1", "couldn't parse env file: line 1: the value is not in single quotes"),
        ("double", "\nA=\"1\"", "couldn't parse env file: line 2: the value is not in single quotes"),
    ] {
        node.apply(name, pod(content, &[("A", false)], "true"));
        let is_told = |pod: &PodStatus| {
            waiting(pod, "reader") == Some(("CreateContainerConfigError".to_owned(), words.to_owned()))
        };
        node.pod(name, is_told).await;
    }
    node.finish().await;
}

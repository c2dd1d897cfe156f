//! What pods tell of themselves, and what they are told, through real containers.

use bootstrap::control::{ContainerState, PodStatus};
use serde_json::{Value, json};

use super::node::{Node, container, waiting};

/// How the only container of a pod that has ended did so: its code and its last words.
fn end(pod: &PodStatus) -> (i32, Option<String>) {
    match &pod.containers[0].state {
        ContainerState::Terminated(exit) => (exit.exit_code, exit.message.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_122_last_words_come_from_the_file_or_from_the_log() {
    let node = Node::new().await;
    let fallback = "FallbackToLogsOnError";
    for (name, script, path, policy, user, expected) in [
        ("file", "printf DONE > /dev/termination-log", None, "File", 0, (0, Some("DONE"))),
        ("custom", "printf DONE > /dev/custom/words", Some("/dev/custom/words"), "File", 10_000, (0, Some("DONE"))),
        ("failed", "printf DONE; exit 1", None, fallback, 0, (1, Some("DONE"))),
        ("succeeded", "printf DONE", None, fallback, 0, (0, None)),
        ("preferred", "printf OK > /dev/termination-log; echo DONE; exit 1", None, fallback, 0, (1, Some("OK"))),
    ] {
        let mut main = container("main", script);
        main["terminationMessagePolicy"] = json!(policy);
        main["securityContext"] = json!({ "runAsUser": user });
        if let Some(path) = path {
            main["terminationMessagePath"] = json!(path);
        }
        let ended = node.run(name, json!({ "containers": [main] })).await;
        let (code, words) = expected;
        assert_eq!(end(&ended), (code, words.map(str::to_owned)), "{name}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_122_the_restart_policy_says_what_becomes_of_a_container() {
    let node = Node::new().await;
    // fails the first time it runs, and again where the policy does not let it succeed
    let spec = |policy: &str, script: &str| {
        let mut main = container("main", script);
        main["volumeMounts"] = json!([{ "name": "v", "mountPath": "/v" }]);
        json!({ "restartPolicy": policy, "terminationGracePeriodSeconds": 1, "containers": [main],
            "volumes": [{ "name": "v", "emptyDir": {} }] })
    };
    let once = "[ -e /v/ran ] || { touch /v/ran; exit 1; }";
    node.apply("always", spec("Always", &format!("{once}; sleep 600")));
    node.apply("on-failure", spec("OnFailure", once));
    node.apply("never", spec("Never", once));
    for (name, phase, restarts) in [("always", "Running", 1), ("on-failure", "Succeeded", 1), ("never", "Failed", 0)] {
        let as_told = |pod: &PodStatus| {
            let main = &pod.containers[0];
            let is_up = phase != "Running" || matches!(main.state, ContainerState::Running { .. }) && main.ready;
            pod.phase == phase && main.restarts == restarts && is_up
        };
        node.pod(name, as_told).await;
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_123_variables_are_put_together_and_expanded() {
    let node = Node::new().await;
    let mut main = container("main", "");
    main["command"] = json!([
        "/bin/sh",
        "-c",
        "echo $0 $1; env; grep -c a.b-c!d=odd /proc/1/environ; echo x > /part/file",
        "$(FOO)",
        "$(NONE) $$(FOO)"
    ]);
    main["env"] = json!([
        { "name": "FOO", "value": "foo-value" },
        { "name": "FOOBAR", "value": "$(FOO);;$(LATER)" },
        { "name": "LATER", "value": "later" },
        { "name": "a.b-c!d", "value": "odd" },
    ]);
    main["volumeMounts"] = json!([{ "name": "v", "mountPath": "/part", "subPathExpr": "$(FOO)" }]);
    let volumes = json!([{ "name": "v", "hostPath": { "path": "/volume", "type": "DirectoryOrCreate" } }]);
    let ended = node.run("composed", json!({ "containers": [main], "volumes": volumes })).await;
    let text = node.text(&ended, "main");
    assert!(text.starts_with("foo-value $(NONE) $(FOO)\n"), "{text}");
    assert!(text.contains("FOOBAR=foo-value;;$(LATER)\n") && text.ends_with("\n1\n"), "{text}");
    assert!(node.path("/volume/foo-value/file").is_file());

    let failing = |value: &str, from: Option<&str>| {
        let mut main = container("main", "true");
        main["env"] = match from {
            None => json!([{ "name": "PART", "value": value }]),
            Some(field) => json!([{ "name": "PART", "valueFrom": { "fieldRef": { "fieldPath": field } } }]),
        };
        main["volumeMounts"] = json!([{ "name": "v", "mountPath": "/part", "subPathExpr": "$(PART)" }]);
        json!({ "containers": [main], "volumes": volumes })
    };
    node.apply("absolute", failing("/tmp", None));
    let told = |pod: &PodStatus| {
        let words = "error SubPath `/tmp` must not be an absolute path";
        waiting(pod, "main") == Some(("CreateContainerConfigError".to_owned(), words.to_owned()))
    };
    node.pod("absolute", told).await;
    // nothing is executed: backticks are as good as any other name
    let ended = node.run("backticks", failing("`touch x`", None)).await;
    assert_eq!(ended.phase, "Succeeded");
    assert!(node.path("/volume/`touch x`").is_dir());
    let ended = node.run("annotated", failing("", Some("metadata.labels['app']"))).await;
    assert_eq!(ended.phase, "Succeeded");
    assert!(node.path("/volume/annotated").is_dir());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_124_a_container_is_told_of_its_pod() {
    let node = Node::new().await;
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let resource = |name: &str, resource: &str, divisor: &str| {
        let of = json!({ "resource": resource, "divisor": divisor });
        json!({ "name": name, "valueFrom": { "resourceFieldRef": of } })
    };
    let env: Vec<Value> = vec![
        field("NAME", "metadata.name"),
        field("NAMESPACE", "metadata.namespace"),
        field("UID_OF_POD", "metadata.uid"),
        field("LABEL", "metadata.labels['app']"),
        field("NOTE", "metadata.annotations['note']"),
        field("NODE", "spec.nodeName"),
        field("POD_IP", "status.podIP"),
        field("POD_IPS", "status.podIPs"),
        field("HOST_IP", "status.hostIP"),
        field("HOST_IPS", "status.hostIPs"),
        resource("CPU", "limits.cpu", "1m"),
        resource("CPUS", "limits.cpu", "1"),
        resource("CPU_REQUEST", "requests.cpu", "1m"),
        resource("MEMORY", "limits.memory", "1Mi"),
        resource("MEMORY_REQUEST", "requests.memory", "1"),
    ];
    let mut main = container("main", "env");
    main["env"] = json!(env);
    main["resources"] =
        json!({ "limits": { "cpu": "1250m", "memory": "64Mi" }, "requests": { "cpu": "250m", "memory": "32Mi" } });
    // what is not set is all that the node has
    let mut open = container("open", "env");
    open["env"] = json!([resource("CPU", "limits.cpu", "1"), resource("MEMORY", "limits.memory", "1")]);
    let ended = node.run("told", json!({ "containers": [main, open] })).await;
    let text = node.text(&ended, "main");
    for line in [
        "NAME=told-n1",
        "NAMESPACE=default",
        &format!("UID_OF_POD={}", ended.uid),
        "LABEL=told",
        "NOTE=a \"quoted\" note",
        "NODE=n1",
        "POD_IP=127.0.0.1",
        "POD_IPS=127.0.0.1",
        "HOST_IP=127.0.0.1",
        "HOST_IPS=127.0.0.1",
        "CPU=1250",
        "CPUS=2",
        "CPU_REQUEST=250",
        "MEMORY=64",
        "MEMORY_REQUEST=33554432",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let open = node.text(&ended, "open");
    let number = |name: &str| -> u64 {
        let line = open.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{open}"));
        line.parse().unwrap()
    };
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(number("CPU=") >= processors && number("MEMORY=") > 64 << 20, "{open}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_127_a_container_is_logged_ended_for_a_reason_and_given_its_hosts_and_a_read_only_root() {
    let node = Node::new().await;
    let printed =
        node.run("printed", json!({ "containers": [container("main", "echo 'Hello World'; sleep 0.1")] })).await;
    assert_eq!((printed.phase.as_str(), node.text(&printed, "main").as_str()), ("Succeeded", "Hello World\n"));

    // it fails for ever, is told of, and goes with its manifest all the same
    node.apply("failing", json!({ "containers": [container("main", "exit 1")], "terminationGracePeriodSeconds": 1 }));
    let failed = |pod: &PodStatus| {
        pod.containers[0].last_exit.as_ref().is_some_and(|exit| exit.reason == "Error" && exit.exit_code == 1)
    };
    node.pod("failing", failed).await;
    node.remove("failing").await;

    let aliases = json!([{ "ip": "123.45.67.89", "hostnames": ["foo", "bar"] }]);
    let hosts = json!({ "hostAliases": aliases, "containers": [container("main", "cat /etc/hosts")] });
    let hosts = node.run("hosts", hosts).await;
    let text = node.text(&hosts, "main");
    assert!(text.starts_with("# Kubernetes-managed hosts file (host network).\n"), "{text}");
    assert!(text.ends_with("\n# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n"), "{text}");

    let mut confined = container("main", "echo test > /file; echo $?; cat /file");
    confined["securityContext"] = json!({ "readOnlyRootFilesystem": true });
    let confined = node.run("confined", json!({ "containers": [confined] })).await;
    let text = node.text(&confined, "main");
    assert!(
        text.contains("can't create /file: Read-only file system") && text.contains("can't open '/file'"),
        "{text}"
    );
    node.finish().await;
}

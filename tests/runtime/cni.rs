//! Pods whose network is made by the plugins that Debian has.

use std::fs;
use std::path::{Path, PathBuf};

use bootstrap::runner::runtime::Runtime;
use serde_json::json;

use super::case::{Case, until};
use super::network::{ask, in_a_network, interfaces, output, own_network, serve};

/// Where the plugins are: `CNI_PLUGINS`, or where packages put them.
fn plugins() -> PathBuf {
    let named = std::env::var_os("CNI_PLUGINS").map(PathBuf::from);
    let places = named.into_iter().chain(["/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from));
    let found = places.into_iter().find(|place| place.join("host-local").is_file());
    found.expect("the CNI plugins are missing: apt-get install containernetworking-plugins, or set CNI_PLUGINS")
}

/// The node gets the configuration and the plugins.
fn configure(case: &Case, plugins_of_list: serde_json::Value) {
    let configurations = case.layout.under("/etc/cni/net.d");
    fs::create_dir_all(&configurations).unwrap();
    let list = json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": plugins_of_list });
    fs::write(configurations.join("10-pods.conflist"), list.to_string()).unwrap();
    let programs = case.layout.under("/opt/cni");
    fs::create_dir_all(&programs).unwrap();
    if !programs.join("bin").exists() {
        std::os::unix::fs::symlink(plugins(), programs.join("bin")).unwrap();
    }
}

fn bridge(addresses: &Path) -> serde_json::Value {
    json!({
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        "ipam": {
            "type": "host-local",
            "dataDir": addresses,
            "ranges": [[{ "subnet": "10.77.0.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    })
}

/// Which addresses host-local has given.
fn given(addresses: &Path) -> Vec<String> {
    let files = fs::read_dir(addresses.join("pods")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().into_string().unwrap());
    let mut given: Vec<_> = names.filter(|name| name.starts_with("10.")).collect();
    given.sort();
    given
}

#[test]
fn plugins_of_the_node_make_the_pods_network() {
    in_a_network(async || {
        let mut case = Case::new().await;
        let addresses = case.path("addresses");
        let tuning = json!({ "type": "tuning", "sysctl": { "net.core.somaxconn": "321" } });
        configure(&case, json!([bridge(&addresses), tuning]));
        let a = own_network(&case, "a", |_| {}).await;
        let b = own_network(&case, "b", |_| {}).await;
        assert_eq!(given(&addresses), [a.ips[0].to_string(), b.ips[0].to_string()]);
        assert!(!case.layout.run_network().exists(), "the built-in network is not used");
        let ip = a.ips[0];
        let own = "ip -o -4 address show dev eth0 | grep -o 'inet [0-9.]*'; cat /proc/sys/net/core/somaxconn; hostname";
        assert_eq!(output(&case, &a, own).await, format!("inet {ip}\n321\npod-a"));
        serve(&case, &a, 80, "hello").await;
        assert_eq!(ask(&format!("{ip}:80")).unwrap(), "hello");
        assert_eq!(output(&case, &b, &format!("wget -q -O - http://{ip}/x || exit 1")).await, "hello");
        // the next runner keeps them, also when the node has another configuration or none
        fs::remove_file(case.layout.under("/etc/cni/net.d/10-pods.conflist")).unwrap();
        case.reopen().await;
        assert_eq!(ask(&format!("{ip}:80")).unwrap(), "hello");
        case.runtime.stop_pod_sandbox(&a.id).await.unwrap();
        assert_eq!(given(&addresses), [b.ips[0].to_string()]);
        case.runtime.stop_pod_sandbox(&a.id).await.unwrap();
        // a kill before the runner knew what it had, and a reset
        fs::remove_file(case.layout.run_pods().join(&b.id).join("sandbox.json")).unwrap();
        case.reopen().await;
        until(|| given(&addresses).is_empty()).await;
        configure(&case, json!([bridge(&addresses)]));
        own_network(&case, "c", |_| {}).await;
        assert_eq!(given(&addresses).len(), 1);
        assert_eq!(case.runtime.tear_down().unwrap(), []);
        assert!(given(&addresses).is_empty());
        until(|| interfaces().is_empty()).await;
        case.reopen().await;
        case.finish().await;
    });
}

#[test]
fn what_a_plugin_refuses_is_told_and_leaves_nothing() {
    in_a_network(async || {
        let case = Case::new().await;
        let addresses = case.path("addresses");
        let tuning = json!({ "type": "tuning", "sysctl": { "net.core.nothing": "1" } });
        configure(&case, json!([bridge(&addresses), tuning]));
        let mut config = case.sandbox_config();
        config.namespaces.host_network = false;
        let refused = format!("{:#}", anyhow::Error::from(case.runtime.run_pod_sandbox(&config).await.unwrap_err()));
        let expected = "cannot connect the pod to network `pods`: CNI plugin `tuning` cannot ADD: ";
        assert!(refused.contains(expected) && refused.contains("nothing"), "{refused}");
        assert!(given(&addresses).is_empty());
        assert!(interfaces().is_empty());
        case.finish().await;
    });
}

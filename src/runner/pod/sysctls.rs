//! PURE: the kernel's parameters that a pod may set [3.84].

use k8s_openapi::api::core::v1::PodSpec;

/// Each belongs to a namespace, and harms nobody outside of it.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// A parameter of the pod's own that harms nobody outside of it: none of a namespace that is the node's.
pub(crate) fn may_set(name: &str, host_network: bool, host_ipc: bool) -> bool {
    let name = canonical(name);
    let is_nodes = if name.starts_with("net.") { host_network } else { host_ipc };
    !is_nodes && SAFE.contains(&name.as_str())
}

/// Why the pod may not run as it is, in the API's and in the kubelet's words.
pub(super) fn problems(spec: &PodSpec) -> Vec<String> {
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let names: Vec<_> = sysctls.map(|sysctl| canonical(&sysctl.name)).collect();
    let mut problems = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = format!("spec.securityContext.sysctls[{index}].name");
        let of_node = match name {
            name if name.starts_with("net.") => (spec.host_network == Some(true)).then_some("hostNetwork"),
            name if is_ipc(name) => (spec.host_ipc == Some(true)).then_some("hostIPC"),
            _ => None,
        };
        if !is_name(name) {
            problems.push(format!("{path}: Invalid value: `{name}`: not the name of a sysctl"));
        } else if names[..index].contains(name) {
            problems.push(format!("{path}: Duplicate value: `{name}`"));
        } else if let Some(field) = of_node {
            problems.push(format!("{path}: Invalid value: `{name}`: may not be set when '{field}' is set to true"));
        } else if !SAFE.contains(&name.as_str()) {
            problems.push(format!("SysctlForbidden: forbidden sysctl: \"{name}\" not allowlisted"));
        }
    }
    problems
}

/// With dots, whichever separator it was written with.
pub(super) fn canonical(name: &str) -> String {
    match (name.find('.'), name.find('/')) {
        (Some(dot), Some(slash)) if dot < slash => name.to_owned(),
        (_, Some(_)) => {
            let swapped = name.chars().map(|character| match character {
                '/' => '.',
                '.' => '/',
                other => other,
            });
            swapped.collect()
        }
        _ => name.to_owned(),
    }
}

fn is_ipc(name: &str) -> bool {
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix)) || name == "kernel.sem"
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_/".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_part =
        |part: &str| ends(part.as_bytes().first()) && ends(part.as_bytes().last()) && part.bytes().all(is_plain);
    name.len() <= 253 && name.split('.').all(is_part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn case_130_only_safe_sysctls_of_the_pods_own_are_set() {
        let of = |names: &[&str], network: bool, ipc: bool| {
            let sysctls: Vec<_> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            let spec = json!({"hostNetwork": network, "hostIPC": ipc, "containers": [],
                "securityContext": {"sysctls": sysctls}});
            problems(&serde_json::from_value(spec).unwrap())
        };
        let safe = ["kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies"];
        assert!(of(&safe, false, false).is_empty());
        let path = |index: usize| format!("spec.securityContext.sysctls[{index}].name");
        let not = |index, name, field| {
            format!("{}: Invalid value: `{name}`: may not be set when '{field}' is set to true", path(index))
        };
        assert_eq!(
            of(&safe, true, true),
            [not(0, safe[0], "hostIPC"), not(1, "net.ipv4.tcp_syncookies", "hostNetwork")]
        );
        assert_eq!(
            of(&["kernel/msgmax"], false, false),
            ["SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted"]
        );
        for bad in ["foo-", "bar..", "", "../x", "a.B"] {
            assert!(of(&[bad], false, false)[0].ends_with("not the name of a sysctl"), "{bad}");
        }
        assert_eq!(of(&[safe[0], safe[0]], false, false), [format!("{}: Duplicate value: `{}`", path(1), safe[0])]);
    }
}

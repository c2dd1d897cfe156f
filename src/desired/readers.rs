//! Which static pods read a file of the node: found in the manifests themselves, so that it holds for pods that others
//! wrote as well.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};

/// Whether a container of the pod is told the file by name, in its command or its environment, or gets it mounted as
/// such. A directory that is mounted as a whole tells nothing.
pub fn reads(pod: &Pod, file: &Path) -> bool {
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    containers.any(|container| {
        let mounts = mounts(pod, container);
        let is_mounted = mounts.iter().any(|(_, host)| host == file);
        let texts = container.command.iter().chain(&container.args).flatten().map(String::as_str);
        let environment = container.env.iter().flatten().filter_map(|variable| variable.value.as_deref());
        is_mounted
            || texts.chain(environment).flat_map(paths).any(|path| on_node(&mounts, path).as_deref() == Some(file))
    })
}

/// Paths of the container and the paths of the node that are mounted there, the deepest first.
fn mounts(pod: &Pod, container: &Container) -> Vec<(PathBuf, PathBuf)> {
    let volumes = || pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let host_path = |name: &str| volumes().find(|volume| volume.name == name)?.host_path.as_ref();
    let mut mounts: Vec<_> = container
        .volume_mounts
        .iter()
        .flatten()
        .filter_map(|mount| {
            let host = Path::new(&host_path(&mount.name)?.path);
            Some((PathBuf::from(&mount.mount_path), joined(host, mount.sub_path.as_deref().unwrap_or_default())))
        })
        .collect();
    mounts.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.components().count()));
    mounts
}

/// What may be paths in a word: the word, the value of a flag, each element of a list.
fn paths(word: &str) -> impl Iterator<Item = &Path> {
    word.split(['=', ',']).filter(|part| part.starts_with('/')).map(Path::new)
}

fn on_node(mounts: &[(PathBuf, PathBuf)], path: &Path) -> Option<PathBuf> {
    mounts.iter().find_map(|(inside, host)| {
        let rest = path.strip_prefix(inside).ok()?;
        Some(joined(host, rest))
    })
}

/// To join nothing would leave a slash behind.
fn joined(host: &Path, rest: impl AsRef<Path>) -> PathBuf {
    if rest.as_ref().as_os_str().is_empty() { host.to_owned() } else { host.join(rest) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pod(container: &str) -> Pod {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  volumes:\n\
             \x20 - {{name: pki, hostPath: {{path: /etc/kubernetes/pki}}}}\n\
             \x20 - {{name: etcd, hostPath: {{path: /opt/etcd}}}}\n\
             \x20 - {{name: conf, hostPath: {{path: /etc/kubernetes/admin.conf}}}}\n\
             \x20 - {{name: empty, emptyDir: {{}}}}\n\
             \x20 containers:\n  - name: other\n  - name: c\n{container}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn a_file_is_read_by_whoever_is_told_its_name() {
        let (key, etcd, admin) =
            ("/etc/kubernetes/pki/apiserver.key", "/opt/etcd/server.crt", "/etc/kubernetes/admin.conf");
        let mounted = "    volumeMounts: [{name: pki, mountPath: /pki}, {name: etcd, mountPath: /pki/etcd}, \
                       {name: empty, mountPath: /tmp}]\n";
        for (container, file, expected) in [
            (format!("{mounted}    command: [x, --key=/pki/apiserver.key]\n"), key, true),
            (format!("{mounted}    args: [--key, /pki/apiserver.key]\n"), key, true),
            (format!("{mounted}    env: [{{name: KEY, value: /pki/apiserver.key}}]\n"), key, true),
            (format!("{mounted}    command: [x, '--keys=a=/x,b=/pki/apiserver.key']\n"), key, true),
            (format!("{mounted}    command: [x, --key=/pki/etcd/server.crt]\n"), etcd, true),
            // the node's path means nothing in a container that has it elsewhere
            (format!("{mounted}    command: [x, --key=/etc/kubernetes/pki/apiserver.key]\n"), key, false),
            (format!("{mounted}    command: [x, --key=/pki/apiserver.key.old]\n"), key, false),
            (format!("{mounted}    command: [x, --dir=/pki]\n"), key, false),
            (mounted.to_owned(), key, false),
            ("    volumeMounts: [{name: conf, mountPath: /admin.conf}]\n".to_owned(), admin, true),
            ("    volumeMounts: [{name: pki, mountPath: /k, subPath: apiserver.key}]\n".to_owned(), key, true),
            (
                "  initContainers:\n  - name: i\n    volumeMounts: [{name: conf, mountPath: /c}]\n".to_owned(),
                admin,
                true,
            ),
            ("    volumeMounts: [{name: pki, mountPath: /pki}]\n".to_owned(), admin, false),
            ("    command: [x, --key=/etc/kubernetes/pki/apiserver.key]\n".to_owned(), key, false),
        ] {
            assert_eq!(reads(&pod(&container), Path::new(file)), expected, "{container} {file}");
        }
    }
}

//! Manifests of static pods: those of the documentation, and of what is small.

/// The web server of every page about static pods.
pub(crate) const STATIC_WEB: &str = "apiVersion: v1
kind: Pod
metadata:
  name: static-web
  labels:
    role: myrole
spec:
  containers:
    - name: web
      image: nginx
      ports:
        - name: web
          containerPort: 80
          protocol: TCP
";

/// The same on the node's network.
pub(crate) fn static_web() -> String {
    on_the_nodes_network(STATIC_WEB)
}

/// A manifest with `hostNetwork`.
pub(crate) fn on_the_nodes_network(manifest: &str) -> String {
    manifest.replacen("spec:\n", "spec:\n  hostNetwork: true\n", 1)
}

/// A pod of one busybox that runs a script; `spec` and `container` are further lines.
pub(crate) fn busybox(name: &str, script: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  hostNetwork: true\n  \
         terminationGracePeriodSeconds: 1\n{spec}  containers:\n  - name: {name}\n    image: busybox:1.28\n    \
         command: [sh, -c, {script:?}]\n{container}"
    )
}

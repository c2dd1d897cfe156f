//! PURE: what a path asks for, and what of the node a client must be allowed for it [8.4, 8.B].

use hyper::Method;
use percent_encoding::percent_decode_str;

/// A container of a pod, or the pod alone where there is no container in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    pub pod: String,
    /// Whoever leaves it out means the pod of that name.
    pub uid: Option<String>,
    pub container: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Healthz,
    Pods,
    RunningPods,
    Configz,
    Metrics,
    MetricsCadvisor,
    MetricsResource,
    MetricsProbes,
    Summary,
    ContainerLogs(Target),
    Exec(Target),
    Attach(Target),
    Run(Target),
    PortForward(Target),
}

impl Route {
    /// `None`: there is nothing of that path.
    pub fn of(path: &str) -> Option<Route> {
        let parts: Vec<_> = path.strip_prefix('/')?.split('/').collect();
        Some(match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => Route::Healthz,
            ["pods"] => Route::Pods,
            ["runningpods", ""] | ["runningpods"] => Route::RunningPods,
            ["configz"] => Route::Configz,
            ["metrics"] => Route::Metrics,
            ["metrics", "cadvisor"] => Route::MetricsCadvisor,
            ["metrics", "resource"] => Route::MetricsResource,
            ["metrics", "probes"] => Route::MetricsProbes,
            ["stats", "summary"] => Route::Summary,
            ["containerLogs", namespace, pod, container] => {
                Route::ContainerLogs(target(namespace, pod, None, container)?)
            }
            ["exec", rest @ ..] => Route::Exec(container(rest)?),
            ["attach", rest @ ..] => Route::Attach(container(rest)?),
            ["run", rest @ ..] => Route::Run(container(rest)?),
            ["portForward", namespace, pod] => Route::PortForward(target(namespace, pod, None, "")?),
            ["portForward", namespace, pod, uid] => Route::PortForward(target(namespace, pod, Some(uid), "")?),
            _ => return None,
        })
    }

    /// The methods it takes.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Route::Exec(_) | Route::Attach(_) | Route::PortForward(_) => &[Method::GET, Method::POST],
            Route::Run(_) => &[Method::POST],
            _ => &[Method::GET],
        }
    }
}

fn container(parts: &[&str]) -> Option<Target> {
    match parts {
        [namespace, pod, container] => target(namespace, pod, None, container),
        [namespace, pod, uid, container] => target(namespace, pod, Some(uid), container),
        _ => None,
    }
}

fn target(namespace: &str, pod: &str, uid: Option<&str>, container: &str) -> Option<Target> {
    let text = |part: &str| percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned());
    let uid = match uid {
        Some(uid) => Some(text(uid)?),
        None => None,
    };
    Some(Target { namespace: text(namespace)?, pod: text(pod)?, uid, container: text(container)? })
}

/// What is asked of the API server before a request is served: may this user do `verb` with one of these subresources of
/// the node?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub verb: &'static str,
    /// Tried in this order; one that is allowed suffices.
    pub subresources: &'static [&'static str],
}

impl Attributes {
    /// Of a path whether there is something or not: who may not ask learns nothing.
    pub fn of(method: &Method, path: &str) -> Attributes {
        let verb = match *method {
            Method::POST => "create",
            Method::GET => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let is_below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let subresources: &[&str] = if is_below("/stats") {
            &["stats"]
        } else if is_below("/metrics") {
            &["metrics"]
        } else if is_below("/logs") {
            &["log"]
        } else if is_below("/checkpoint") {
            &["checkpoint"]
        } else if is_below("/statusz") {
            &["statusz"]
        } else if is_below("/pods") || is_below("/runningpods") {
            &["pods", "proxy"]
        } else if is_below("/healthz") {
            &["healthz", "proxy"]
        } else if is_below("/configz") || is_below("/flagz") {
            &["configz", "proxy"]
        } else {
            &["proxy"]
        };
        Attributes { verb, subresources }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_path_needs_its_subresource() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/stats/summary", "get", &["stats"][..]),
            (Method::GET, "/metrics", "get", &["metrics"]),
            (Method::GET, "/metrics/cadvisor", "get", &["metrics"]),
            (Method::GET, "/metricsx", "get", &["proxy"]),
            (Method::GET, "/logs/", "get", &["log"]),
            (Method::POST, "/checkpoint/a/b/c", "create", &["checkpoint"]),
            (Method::GET, "/statusz", "get", &["statusz"]),
            (Method::GET, "/pods", "get", &["pods", "proxy"]),
            (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
            (Method::GET, "/healthz/ping", "get", &["healthz", "proxy"]),
            (Method::GET, "/configz", "get", &["configz", "proxy"]),
            (Method::GET, "/containerLogs/a/b/c", "get", &["proxy"]),
            // a WebSocket: whoever may read the proxy may exec
            (Method::GET, "/exec/a/b/c", "get", &["proxy"]),
            (Method::POST, "/exec/a/b/c", "create", &["proxy"]),
            (Method::PUT, "/x", "update", &["proxy"]),
            (Method::PATCH, "/x", "patch", &["proxy"]),
            (Method::DELETE, "/x", "delete", &["proxy"]),
        ] {
            let attributes = Attributes::of(&method, path);
            assert_eq!((attributes.verb, attributes.subresources), (verb, subresources), "{path}");
        }
    }

    #[test]
    fn paths_name_containers_with_and_without_a_uid() {
        let target = |uid: Option<&str>, container: &str| Target {
            namespace: "ns".to_owned(),
            pod: "a b".to_owned(),
            uid: uid.map(str::to_owned),
            container: container.to_owned(),
        };
        for (path, route) in [
            ("/healthz/syncloop", Some(Route::Healthz)),
            ("/healthz/other", None),
            ("/containerLogs/ns/a%20b/c", Some(Route::ContainerLogs(target(None, "c")))),
            ("/exec/ns/a%20b/c", Some(Route::Exec(target(None, "c")))),
            ("/exec/ns/a%20b/u/c", Some(Route::Exec(target(Some("u"), "c")))),
            ("/attach/ns/a%20b/c", Some(Route::Attach(target(None, "c")))),
            ("/run/ns/a%20b/u/c", Some(Route::Run(target(Some("u"), "c")))),
            ("/portForward/ns/a%20b", Some(Route::PortForward(target(None, "")))),
            ("/portForward/ns/a%20b/u", Some(Route::PortForward(target(Some("u"), "")))),
            ("/exec/ns/a", None),
            ("/exec/ns/%ff/c", None),
            ("/containerLogs/ns/a/c/d", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}

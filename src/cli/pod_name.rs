//! Which pods a name on the command line may mean.

/// Of `pods`, each `<namespace>_<name>`: those of the name itself first, then with this host's as suffix, then with any
/// suffix.
pub(super) fn matching<'a>(given: &str, host: &str, pods: &'a [String]) -> Vec<&'a str> {
    let name = |pod: &'a str| pod.split_once('_').map_or(pod, |(_, name)| name);
    let rules: [&dyn Fn(&'a str) -> bool; 3] =
        [&|pod| name(pod) == given || pod == given, &|pod| name(pod) == format!("{given}-{host}"), &|pod| {
            name(pod).starts_with(&format!("{given}-"))
        }];
    let by = |rule: &dyn Fn(&'a str) -> bool| pods.iter().map(String::as_str).filter(|pod| rule(pod)).collect();
    rules.iter().map(|rule| -> Vec<&'a str> { by(rule) }).find(|found| !found.is_empty()).unwrap_or_default()
}

/// This host's name, as pods bear it.
pub(super) fn host() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
}

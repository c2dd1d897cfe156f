//! PURE: what a pod is called, and what hangs on it: names, labels and annotations [1.60].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Found, is_label, is_subdomain};

/// Bytes of all annotations together [1.60].
const MAX_ANNOTATIONS: usize = 256 << 10;
/// Characters of the name in a key, and of a label's value [1.60].
const MAX_NAME: usize = 63;
const NAME: &str = "must consist of letters, digits, `-`, `_` or `.`, and must start and end with a letter or digit";

impl Found {
    pub(super) fn metadata(&mut self, metadata: &ObjectMeta) {
        let name = metadata.name.as_deref().unwrap_or_default();
        self.unless(is_subdomain(name), "metadata.name", || format!("Invalid value: `{name}`: not a DNS subdomain"));
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        self.unless(is_label(namespace), "metadata.namespace", || {
            format!("Invalid value: `{namespace}`: not a DNS label")
        });
        if let Some(uid) = metadata.uid.as_deref() {
            // it becomes the name of directories and cgroups, where `_` and `/` separate [1.42]
            let is_name = uid.len() <= 128 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            self.unless(uid.is_empty() || is_name, "metadata.uid", || {
                format!("Invalid value: `{uid}`: only letters, digits and `-`, at most 128")
            });
        }
        for (key, value) in metadata.labels.iter().flatten() {
            self.key(key, key, "metadata.labels");
            if let Some(problem) = problem_of_value(value) {
                self.add("metadata.labels", format!("Invalid value: `{value}`: {problem}"));
            }
        }
        let mut size = 0;
        for (key, value) in metadata.annotations.iter().flatten() {
            // capitals in the prefix are let through here, and only here
            self.key(&key.to_lowercase(), key, "metadata.annotations");
            size += key.len() + value.len();
        }
        self.unless(size <= MAX_ANNOTATIONS, "metadata.annotations", || "Too long: at most 256 KiB".to_owned());
    }

    /// `written` is how the manifest spells the key.
    fn key(&mut self, key: &str, written: &str, path: &str) {
        if let Some(problem) = problem_of_key(key) {
            self.add(path, format!("Invalid value: `{written}`: {problem}"));
        }
    }
}

/// Why a text is no qualified name, which is a name with a DNS subdomain and `/` before it, or without.
fn problem_of_key(key: &str) -> Option<String> {
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => return Some("a key has one `/` at most".to_owned()),
        Some(("", _)) => return Some("prefix part must be non-empty".to_owned()),
        Some((prefix, _)) if !is_subdomain(prefix) => return Some("prefix part is not a DNS subdomain".to_owned()),
        Some((_, name)) => name,
    };
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    problem_of_value(name).map(|problem| format!("name part {problem}"))
}

fn problem_of_value(value: &str) -> Option<String> {
    if value.len() > MAX_NAME {
        return Some(format!("must be no more than {MAX_NAME} characters"));
    }
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [value.bytes().next(), value.bytes().last()];
    let is_name =
        value.bytes().all(is_inner) && ends.into_iter().flatten().all(|byte: u8| byte.is_ascii_alphanumeric());
    (!is_name).then(|| NAME.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names() {
        let long = "a".repeat(MAX_NAME);
        for key in ["a", "A_b.c-9", "example.com/a", "a/b", &long, &format!("example.com/{long}")] {
            assert_eq!(problem_of_key(key), None, "{key}");
        }
        for (key, problem) in [
            ("", "name part must be non-empty"),
            ("a/", "name part must be non-empty"),
            ("/a", "prefix part must be non-empty"),
            ("A.example/a", "prefix part is not a DNS subdomain"),
            ("a/b/c", "a key has one `/` at most"),
            (&format!("{long}a"), "name part must be no more than 63 characters"),
            ("a b", &format!("name part {NAME}")),
            ("-a", &format!("name part {NAME}")),
            ("ä", &format!("name part {NAME}")),
        ] {
            assert_eq!(problem_of_key(key).as_deref(), Some(problem), "{key}");
        }
    }

    #[test]
    fn values_of_labels_may_be_empty() {
        for value in ["", "a", "1.2_3-B"] {
            assert_eq!(problem_of_value(value), None, "{value}");
        }
        for value in ["a b", "a/b", ".a", "a-", "_"] {
            assert_eq!(problem_of_value(value).as_deref(), Some(NAME), "{value}");
        }
    }
}

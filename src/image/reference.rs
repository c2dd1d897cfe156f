//! Image references, normalised as Docker and Kubernetes do: `nginx` is `docker.io/library/nginx:latest`.
//!
//! PURE. The grammar is that of github.com/distribution/reference; a reference with a tag *and* a digest means the
//! digest, the tag is only decoration, as in containerd.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// Registry and repository together [distribution/reference].
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// A normalised reference. Two references are equal when they name the same image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Host and port, `docker.io` when the text names none.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry: `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }

    pub fn digest(&self) -> Option<&Digest> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest(digest) => Some(digest),
        }
    }

    /// Registry and repository: `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The image of this name with exactly this content.
    pub fn at(&self, digest: Digest) -> Reference {
        Reference { version: Version::Digest(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}/{}:{tag}", self.registry, self.repository),
            Version::Digest(digest) => write!(f, "{}/{}@{digest}", self.registry, self.repository),
        }
    }
}

/// Why a text is no image reference; the kubelet's reason for it is `InvalidImageName`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct InvalidReference {
    text: String,
    reason: &'static str,
}

impl InvalidReference {
    /// In the kubelet's words, which do not tell the reason [3.44].
    pub fn of_a_pod(&self) -> String {
        let cause = format!("couldn't parse image name \"{}\": invalid reference format", self.text);
        format!("Failed to apply default image tag \"{}\": {cause}", self.text)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            let digest = digest.parse().map_err(|_| "its digest is not `sha256:` and 64 hexadecimal digits")?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    // the colon of a port stands before a slash, that of a tag does not
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        return Err("a tag is 1 to 128 letters, digits, `_`, `.` or `-`, and begins with none of the last two");
    }
    let (registry, repository) = split_registry(name);
    if !is_registry(&registry) {
        return Err("its registry is not a host name or address, with or without a port");
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a repository is lower case");
    }
    if repository.is_empty() || !repository.split('/').all(is_path_component) {
        return Err("a repository is lower case letters and digits, parted by `.`, `_`, `__`, `-` or `/`");
    }
    if name.len() == 64 && Digest::from_hex(name).is_some() {
        return Err("64 hexadecimal digits would be taken for an image id");
    }
    if registry.len() + 1 + repository.len() > LONGEST_NAME {
        return Err("it is longer than 255 characters");
    }
    let version = match digest {
        Some(digest) => Version::Digest(digest),
        None => Version::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
    };
    Ok(Reference { registry, repository, version })
}

/// The first component is a registry if it could be no repository: it has a dot, a colon or an upper case letter, or
/// is `localhost`.
fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        return (registry.to_owned(), format!("library/{repository}"));
    }
    (registry.to_owned(), repository.to_owned())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=LONGEST_TAG).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
pub(super) fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (None, port)
        }
        None => match text.split_once(':') {
            Some((host, _)) => (Some(host), &text[host.len()..]),
            None => (Some(text), ""),
        },
    };
    let port_is_valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        });
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port_is_valid && host.is_none_or(|host| host.split('.').all(label))
}

/// Runs of lower case letters and digits, parted by `.`, `_`, `__` or any number of `-`.
pub(super) fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if !(bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric)) {
        return false;
    }
    bytes
        .split(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|byte| *byte == b'-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_normalised() {
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("bitnami/nginx", "docker.io/bitnami/nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("registry.k8s.io/kube-apiserver:v1.36.2", "registry.k8s.io/kube-apiserver:v1.36.2"),
            ("registry.k8s.io/coredns/coredns:v1.12.0", "registry.k8s.io/coredns/coredns:v1.12.0"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("Host/a", "Host/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ];
        for (text, normal) in cases {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), normal, "{text}");
        }
    }

    #[test]
    fn a_digest_beats_a_tag() {
        let reference: Reference = format!("nginx:1.27@{DIGEST}").parse().unwrap();
        assert_eq!(reference.to_string(), format!("docker.io/library/nginx@{DIGEST}"));
        assert_eq!((reference.tag(), reference.digest()), (None, Some(&DIGEST.parse().unwrap())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!("example.com/{}", "a".repeat(250));
        let cases = [
            ("", "empty"),
            ("NGINX", "lower case"),
            ("nginx:", "tag"),
            ("nginx:-x", "tag"),
            ("nginx@sha256:12", "digest"),
            (&format!("nginx@md5:{}", "0".repeat(32)), "digest"),
            ("/nginx", "repository"),
            ("nginx/", "repository"),
            ("a//b", "repository"),
            ("a/../b", "repository"),
            ("-a", "repository"),
            ("a_-b", "repository"),
            ("a..b", "repository"),
            ("a b", "repository"),
            ("host.:5000/a", "registry"),
            ("host:/a", "registry"),
            ("host:99999/a", "registry"),
            ("[::g]/a", "registry"),
            ("https://example.com/a", "registry"),
            (&DIGEST[7..], "image id"),
            (&long, "255"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            registry in "([a-z0-9]{1,8}(-[a-z0-9]{1,3})?\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?/)?",
            repository in "[a-z0-9]{1,6}((_|__|-{1,3}|/)[a-z0-9]{1,6}){0,4}",
            tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?",
            digest in proptest::option::of(any::<[u8; 8]>()),
        ) {
            let mut text = format!("{registry}{repository}{tag}");
            if let Some(content) = digest {
                text.push_str(&format!("@{}", Digest::of(&content)));
            }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(reference.tag().is_none(), digest.is_some());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            }
        }
    }
}

//! The syntax of names that Kubernetes asks for.

use std::net::IpAddr;

/// What [`is_subdomain`] wants, for messages.
pub const SUBDOMAIN: &str = "must be a lower-case RFC 1123 subdomain: letters, digits, `-` and `.`, with a letter or \
                             digit at both ends of every part";

/// A lower-case RFC 1123 subdomain of at most 253 characters.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_of_any_length)
}

/// A lower-case RFC 1123 label of at most 63 characters.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_of_any_length(text)
}

fn is_label_of_any_length(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric) && text.ends_with(alphanumeric) && text.chars().all(|c| alphanumeric(c) || c == '-')
}

/// An IP address as kubeadm takes it: the numbers of an IPv4 address may have leading zeros, which are none of octal
/// numbers [1.3].
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let parts: Vec<u8> = text.split('.').map(decimal).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(parts).ok().map(IpAddr::from)
}

/// A number in digits alone, which may begin with zeros.
pub fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The text, or the address in its usual form if it is one that only kubeadm can read.
pub fn usual_ip(text: &str) -> String {
    match (text.parse::<IpAddr>(), parse_ip(text)) {
        (Err(_), Some(address)) => address.to_string(),
        _ => text.to_owned(),
    }
}

/// What a certificate may be made out to: an IP address, a subdomain or a wildcard `*.subdomain` [4.6].
pub fn is_subject_alternative_name(text: &str) -> bool {
    parse_ip(text).is_some() || is_subdomain(text.strip_prefix("*.").unwrap_or(text))
}

/// The name of an environment variable: printable ASCII without `=` and spaces.
pub fn is_environment_variable(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "n1", "a-b", "control-plane-1.example.com", "0.1"] {
            assert!(is_subdomain(good), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "ä", "a b", "*.a", "a\n"] {
            assert!(!is_subdomain(bad), "{bad:?}");
        }
        assert!(!is_subdomain(&"a".repeat(254)) && !is_label(&"a".repeat(64)) && !is_label("a.b"));
        for good in ["10.0.0.1", "fd77::77", "*.k8s.example.com", "x"] {
            assert!(is_subject_alternative_name(good), "{good}");
        }
        for bad in ["*", "*.*.a", "a.*", "10.0.0.1:80", "https://a", ""] {
            assert!(!is_subject_alternative_name(bad), "{bad:?}");
        }
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.00.0.0001", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("FD00::1", Some("fd00::1")),
            ("256.0.0.1", None),
            ("10.0.0", None),
            ("10.0.0.1.2", None),
            ("10..0.1", None),
            ("+1.0.0.1", None),
            ("fd00::1%eth0", None),
            ("", None),
        ] {
            assert_eq!(parse_ip(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!((usual_ip("FD00::1").as_str(), usual_ip("010.0.0.1").as_str()), ("FD00::1", "10.0.0.1"));
        assert!(is_environment_variable("HTTP_PROXY") && !is_environment_variable("A=B"));
    }
}

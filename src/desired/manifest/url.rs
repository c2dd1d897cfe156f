//! The parts of a URL as Go tells them apart, which decide where kubeadm has etcd probed.

/// Texts of the URL; empty where it does not name the part.
#[derive(Debug, PartialEq)]
pub(super) struct Url<'a> {
    /// Lower-case.
    pub(super) scheme: String,
    /// Without the brackets of an IPv6 address.
    pub(super) host: &'a str,
    pub(super) port: &'a str,
}

/// `None` where Go refuses it. `1.2.3.4` is a path, `1.2.3.4:99` is nothing at all.
pub(super) fn parse(text: &str) -> Option<Url<'_>> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return None;
    }
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = scheme(text)?;
    let url = |host, port| Some(Url { scheme: scheme.to_ascii_lowercase(), host, port });
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') && scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return None;
    }
    let Some(rest) = rest.strip_prefix("//").filter(|rest| !scheme.is_empty() || !rest.starts_with('/')) else {
        return url("", "");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.rsplit_once(']')?,
        None => authority.split_at(authority.rfind(':').unwrap_or(authority.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = (port.is_empty() || port.starts_with(':')) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_port || host.contains([' ', '\\', '<', '>', '"', '^', '`', '{', '|', '}']) {
        return None;
    }
    url(host, digits)
}

/// What stands before the first colon, if it can be a scheme, and the rest. `None` for a colon at the beginning.
fn scheme(text: &str) -> Option<(&str, &str)> {
    match text.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)) {
        Some(0) if text.starts_with(':') => None,
        Some(end) if text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some((&text[..end], &text[end + 1..]))
        }
        _ => Some(("", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_as_go_does() {
        for (text, expected) in [
            ("https://1.2.3.4:99", Some(("https", "1.2.3.4", "99"))),
            ("HTTPS://host/x:y", Some(("https", "host", ""))),
            ("http://user:word@host:1?q#f", Some(("http", "host", "1"))),
            ("http://[fd00::1]:5", Some(("http", "fd00::1", "5"))),
            ("//host:1", Some(("", "host", "1"))),
            ("http:host:1", Some(("http", "", ""))),
            ("unix:///run/x", Some(("unix", "", ""))),
            ("host", Some(("", "", ""))),
            ("", Some(("", "", ""))),
            ("host:1", Some(("host", "", ""))),
            ("1.2.3.4:1", None),
            (":1", None),
            ("http://host:x", None),
            ("http://[::1", None),
            ("http://[::1]x", None),
            ("http://a b", None),
            (" http://host", None),
            ("http://host\n", None),
        ] {
            let expected = expected.map(|(scheme, host, port)| Url { scheme: scheme.to_owned(), host, port });
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}

//! The `WWW-Authenticate` header: how a registry wants to be told who we are.
//!
//! PURE.

/// A way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    /// Ask `realm` for a token.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The challenges of one header that are understood, in its order.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (scheme, mut parameters) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
        let (mut realm, mut service) = (None, None);
        while let Some((key, value, after)) = parameter(parameters) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
            parameters = after;
        }
        match (scheme.to_ascii_lowercase().as_str(), realm) {
            ("basic", _) => found.push(Challenge::Basic),
            ("bearer", Some(realm)) => found.push(Challenge::Bearer { realm, service }),
            _ => {}
        }
        let next = parameters.trim_start_matches([' ', ',']);
        // something that is neither a scheme nor a parameter ends the reading
        rest = if next.len() < rest.len() { next } else { "" };
    }
    found
}

/// Takes `key=value` or `key="value"` off the front; `None` when a scheme or nothing comes next.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',']);
    let (key, rest) = text.split_once('=')?;
    let key = key.trim_end();
    if key.is_empty() || key.contains([' ', ',', '"']) {
        return None;
    }
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, after) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
        return Some((key, value.to_owned(), after));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some((key, value, &quoted[at + 1..])),
            _ => {
                value.push(character);
                escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        let cases: Vec<(&str, Vec<Challenge>)> = vec![
            ("Basic realm=\"Registry Realm\"", vec![Challenge::Basic]),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a,b:pull\"",
                vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))],
            ),
            ("bearer realm=https://a/t , error=\"x\"", vec![bearer("https://a/t", None)]),
            ("Bearer realm=\"https://a/t\", Basic realm=\"b\"", vec![bearer("https://a/t", None), Challenge::Basic]),
            ("Negotiate, Basic realm=\"b\"", vec![Challenge::Basic]),
            (r#"Bearer realm="a\"b""#, vec![bearer("a\"b", None)]),
            ("Bearer service=\"s\"", vec![]),
            ("", vec![]),
            ("Bearer realm=\"open", vec![]),
            ("=,=\"", vec![]),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(header), expected, "{header}");
        }
    }
}

//! PURE: a file of variables, as an init container leaves it for the others (KEP-3721).
//!
//! ```text
//! # a comment
//! NAME = 'anything but a single quote, over
//! several lines if need be'
//! ```
//!
//! It is a subset of what a shell reads, with the same outcome: nothing is expanded, and a value without quotes, with
//! others or with more than one pair of them is no value.

/// The value of `key`; of two lines that set it, the first counts. `Err` says in which line the text stops to be a file
/// of variables, and why, without showing what stands there.
pub fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| !character.is_whitespace()) {
        rest = &rest[start..];
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let wrong = |what: &str| {
            let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
            format!("line {line}: {what}")
        };
        let line = rest.lines().next().unwrap_or_default();
        let (name, _) = line.split_once('=').ok_or_else(|| wrong("no `=`"))?;
        let after = rest[name.len() + 1..].trim_start_matches([' ', '\t']);
        let quoted = after.strip_prefix('\'').ok_or_else(|| wrong("the value is not in single quotes"))?;
        let (value, after) = quoted.split_once('\'').ok_or_else(|| wrong("the closing quote is missing"))?;
        let behind = after.lines().next().unwrap_or_default();
        let is_comment = behind.starts_with([' ', '\t']) && behind.trim_start().starts_with('#');
        if !behind.trim().is_empty() && !is_comment {
            return Err(wrong("something follows the closing quote"));
        }
        let name = name.trim_end();
        if !is_name(name) {
            return Err(wrong("no name of a variable"));
        }
        if name == key {
            // a variable of the kernel ends at the first one
            return if value.contains('\0') {
                Err(wrong("the value holds a NUL character"))
            } else {
                Ok(Some(value.into()))
            };
        }
        rest = &after[behind.len()..];
    }
    Ok(None)
}

/// Printable ASCII without `=`, as the API lets variables be named.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_a_shell_would_make_of_them() {
        let text =
            "\n# X='no'\n  A='1'\r\nB = '$A \\n # \"'  \nC=''\nD='two\n# lines' # and a comment\nA='2'\ne.f-g='h'";
        for (key, expected) in [
            ("A", Some("1")),
            ("B", Some("$A \\n # \"")),
            ("C", Some("")),
            ("D", Some("two\n# lines")),
            ("e.f-g", Some("h")),
            ("X", None),
        ] {
            assert_eq!(value(text, key), Ok(expected.map(str::to_owned)), "{key}");
        }
        assert_eq!(value("", "A"), Ok(None));
    }

    #[test]
    fn what_is_no_value_is_told_by_its_line_and_never_shown() {
        for (text, expected) in [
            ("A='1'\nsecret", "line 2: no `=`"),
            ("A=secret", "line 1: the value is not in single quotes"),
            ("A=\"secret\"", "line 1: the value is not in single quotes"),
            ("A=\n'secret'", "line 1: the value is not in single quotes"),
            ("A='a\nb'\n\nB='secret", "line 4: the closing quote is missing"),
            ("A='1''2'", "line 1: something follows the closing quote"),
            ("A='1'#2", "line 1: something follows the closing quote"),
            ("='1'", "line 1: no name of a variable"),
            ("ü='1'", "line 1: no name of a variable"),
            ("K='\0'", "line 1: the value holds a NUL character"),
        ] {
            assert_eq!(value(text, "K"), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(value("K='1'\nwrong", "K"), Ok(Some("1".to_owned())), "what follows is not read");
    }
}

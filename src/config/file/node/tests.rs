//! Odd texts, hostile texts and long ones.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn documents_keep_lines_and_duplicates() {
    let documents = parse("a: 1\nb:\n- x\na: 2\n---\n---\nc: d\n").unwrap();
    assert_eq!(documents.len(), 2);
    let Value::Map(entries) = &documents[0].value else { panic!("not a map") };
    let seen: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.key_line)).collect();
    assert_eq!(seen, [("a", 1), ("b", 2), ("a", 4)]);
}

#[test]
fn json_with_tabs_is_yaml_too() {
    assert_eq!(parse("{\n\t\"a\": {\"b\": 3}\n}\n").unwrap().len(), 1);
}

/// A node in one line: `{a: [1, "x"]}`.
fn picture(node: &Node) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", joined(items.iter().map(picture).collect())),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", entry.key, picture(&entry.value));
            format!("{{{}}}", joined(entries.iter().map(entry).collect()))
        }
    }
}

#[test]
fn scalars_are_those_of_yaml_1_1_and_documents_those_of_any_editor() {
    for (text, expected) in [
        // booleans, numbers, nothing
        ("a: [yes, No, on, OFF, true]\n", "{a: [true, false, true, false, true]}"),
        ("a: ['yes', \"1\", !!str 5]\n", r#"{a: ["yes", "1", "5"]}"#),
        ("a: [0755, 0o755, 0x1F, -3, 1.5, 1:30]\n", r#"{a: [493, 493, 31, -3, 1.5, "1:30"]}"#),
        ("a: [~, null, ]\nb:\n", "{a: [null, null], b: null}"),
        ("a: !!binary aGVsbG8=\n", r#"{a: "hello"}"#),
        ("a: 99999999999999999999\n", "{a: 1e20}"),
        ("a: 2026-01-01T00:00:00Z\n", r#"{a: "2026-01-01T00:00:00Z"}"#),
        // ends of lines, marks, tabs
        ("\u{feff}a: 1\r\nb:\r\n- c\r\n", r#"{a: 1, b: ["c"]}"#),
        ("a:\t1\n", "{a: 1}"),
        // documents
        ("# x\n---\n# y\n---\na: 1\n...\n---\n# z\n", "{a: 1}"),
        ("%YAML 1.1\n---\na: 1\n--- {b: 2}\n", "{a: 1} {b: 2}"),
        ("a: |\n  x\n  ---\n  y\nb: 1\n", r#"{a: "x\n---\ny\n", b: 1}"#),
        ("{\"a\":[1,{\"b\":null}]}", "{a: [1, {b: null}]}"),
        ("a:\n- b\n", r#"{a: ["b"]}"#),
        // anchors and merges
        ("x: &x {a: 1}\ny: {<<: *x, a: 2, b: *x}\n", "{x: {a: 1}, y: {a: 2, b: {a: 1}}}"),
        ("1: a\ntrue: b\n", r#"{1: "a", true: "b"}"#),
        (&format!("a:\n{}  b: 1\n", "  # c\n".repeat(100)), "{a: {b: 1}}"),
    ] {
        let documents = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
        assert_eq!(documents.iter().map(picture).collect::<Vec<_>>().join(" "), expected, "{text:?}");
    }
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line() {
    let lines = |line: &dyn Fn(usize) -> String, count| (0..count).map(line).collect::<String>();
    let laughs = |item: &dyn Fn(usize) -> String| {
        format!("a0: &a0 {{k: v}}\n{}", lines(&|i| format!("a{}: &a{0} {}\n", i + 1, item(i)), 30))
    };
    let ten = |i: usize| vec![format!("*a{i}"); 10].join(", ");
    for (text, line, expected) in [
        ("a: b: c\n".to_owned(), 1, "mapping values are not allowed"),
        ("a:\n\tb: 1\n".to_owned(), 2, "tabs"),
        ("a: 1\nb: \"x\n".to_owned(), 3, ""),
        ("a: x\0y\n".to_owned(), 1, "unexpected character"),
        ("a: .nan\n".to_owned(), 1, "a number has to be finite"),
        ("a: 1\n? [b]\n: c\n".to_owned(), 2, "a key has to be a plain text"),
        ("a: 1\n~: c\n".to_owned(), 2, "a key is missing"),
        ("a: *b\n".to_owned(), 1, "unknown anchor"),
        ("a: &a [*a]\n".to_owned(), 1, "an alias stands within the value"),
        ("{\"a\": 1}\n{\"b\": 1}\n".to_owned(), 2, ""),
        // bombs
        (laughs(&|i| format!("[{}]", ten(i))), 5, "more than 20000 values"),
        (laughs(&|i| format!("{{<<: [{}]}}", ten(i))), 5, "more than 20000 values"),
        (laughs(&|i| format!("{{x: *a{i}}}")), 24, "nested deeper than 24 levels"),
        (format!("a: &a {}\n{}", "x".repeat(100_000), lines(&|i| format!("b{i}: *a\n"), 900)), 42, "bytes of text"),
        (lines(&|i| format!("a{i}: &a{i} x\n"), 2000), 1001, "too many anchors or aliases"),
        ("[".repeat(500_000), 1, "nested"),
        ("{a: ".repeat(200_000), 1, "nested"),
        ("- ".repeat(500_000), 1, "nested"),
        ("? ".repeat(500_000), 1, "nested"),
        (lines(&|i| format!("{}a:\n", " ".repeat(i)), 1000), 25, "nested deeper than 24 levels"),
        (lines(&|i| format!("k{i}: x\n"), 60_000), 10_000, "more than 20000 values"),
        (format!("[{}", "a,".repeat(500_000)), 1, "more than 20000 values"),
        ("---\na: 1\n".repeat(5000), 129, "more than 64 documents"),
    ] {
        let shown: String = text.chars().take(40).collect();
        let (found, message) = parse(&text).expect_err(&shown);
        assert!(message.contains(expected) && !message.contains(" at line"), "{shown:?}: {message}");
        assert_eq!(found, Some(line), "{shown:?}: {message}");
    }
    let (line, message) = parse(&"x".repeat(2 << 20)).unwrap_err();
    assert!(line.is_none() && message.contains("more than 1048576 bytes"), "{message}");
}

#[test]
fn what_is_long_and_dull_is_read() {
    for text in [
        "# comment\n".repeat(100_000),
        "\n".repeat(1_000_000),
        format!("a: |\n{}", "  x\n".repeat(250_000)),
        format!("a: {}", "x ".repeat(500_000)),
        format!("a:{}b", " ".repeat(1_000_000)),
    ] {
        assert!(parse(&text).is_ok());
    }
}

#[test]
fn a_syntax_error_has_its_line() {
    let (line, message) = parse("a: b\nc: [\n").unwrap_err();
    assert_eq!(line, Some(2));
    assert!(!message.contains("line"), "{message}");
}

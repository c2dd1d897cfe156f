//! docs/configuration.md against the code: fields, defaults, flags and the older version, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use bootstrap::config::express;
use bootstrap::config::facts::Facts;
use bootstrap::config::file::{v1beta3, v1beta4};
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use serde_json::Value;

use super::fields::{self, Leaf};
use crate::support::Bootstrap;

const PAGE: &str = include_str!("../../docs/configuration.md");
/// What `…` stands for on the page.
const COMPONENTS: [&str; 4] = ["apiServer", "controllerManager", "scheduler", "etcd.local"];

/// The rows of the tables under a heading of the page.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section `{heading}`"));
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        // a bar with a backslash is no border
        let line = line.replace("\\|", "\0");
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|")).collect::<Vec<_>>()
    });
    rows.filter(|row| !row[0].starts_with("---") && row[0].starts_with(['`', 'n'])).collect()
}

/// What stands in backticks, up to an explanation behind a colon or a comma.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The fields that a name of the page stands for.
fn expand(name: &str, fields: &BTreeMap<String, Leaf>) -> Vec<String> {
    match name.strip_prefix('…') {
        None => vec![name.to_owned()],
        Some(rest) => {
            let all = COMPONENTS.iter().map(|component| format!("{component}{rest}"));
            all.filter(|field| fields.contains_key(field)).collect()
        }
    }
}

fn newer() -> [(&'static str, BTreeMap<String, Leaf>); 2] {
    [
        ("InitConfiguration", fields::of::<v1beta4::InitConfiguration>().into_iter().collect()),
        ("ClusterConfiguration", fields::of::<v1beta4::ClusterConfiguration>().into_iter().collect()),
    ]
}

/// The defaults of the code by field. `None` for what depends on the machine or on chance.
fn defaults() -> BTreeMap<String, Option<String>> {
    let facts = Facts::placeholder("2026-01-01T00:00:00Z".parse().unwrap());
    let mut config = resolve(&Flags::default(), None, &facts).unwrap();
    config.bootstrap_tokens[0].description.clear();
    let mut defaults = BTreeMap::new();
    for document in [
        serde_json::to_value(express::init_configuration(&config)).unwrap(),
        serde_json::to_value(express::cluster_configuration(&config)).unwrap(),
    ] {
        flatten(&document, String::new(), &mut defaults);
    }
    for field in ["nodeRegistration.name", "localAPIEndpoint.advertiseAddress"] {
        assert!(defaults.insert(field.to_owned(), None).is_some(), "{field}");
    }
    defaults
}

fn flatten(value: &Value, path: String, found: &mut BTreeMap<String, Option<String>>) {
    match value {
        Value::Object(fields) if path == "nodeRegistration.taints[]" => {
            let text = |field: &str| fields[field].as_str().unwrap().to_owned();
            found.insert(path, Some(format!("{}:{}", text("key"), text("effect"))));
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(value, format!("{path}{dot}{field}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(item, format!("{path}[]"), found)),
        Value::Null => drop(found.insert(path, None)),
        other => {
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            // entries of a list come one after the other
            let entry = found.entry(path).or_insert(None);
            *entry = Some(entry.take().map_or(text.clone(), |before| format!("{before} {text}")));
        }
    }
}

#[test]
fn every_field_is_on_the_page_with_its_default() {
    let defaults = defaults();
    for (kind, fields) in newer() {
        let mut listed = BTreeSet::new();
        for row in rows(kind) {
            for field in names(&row[0]).iter().flat_map(|name| expand(name, &fields)) {
                let leaf = fields.get(&field).unwrap_or_else(|| panic!("`{kind}` has no field `{field}`"));
                assert!(listed.insert(field.clone()), "`{field}` is listed twice");
                let told = names(&row[1]);
                let expected = match (defaults.get(&field), leaf) {
                    (Some(Some(text)), _) => Some(text.clone()),
                    (Some(None), _) => None,
                    (None, Leaf::Boolean) if !field.ends_with('*') => Some("false".to_owned()),
                    (None, _) => None,
                };
                assert_eq!(
                    (!told.is_empty()).then(|| told.join(" ")),
                    expected,
                    "the default of `{field}` on the page"
                );
                // a default in words is for what depends on the machine or on chance
                let is_odd = matches!(defaults.get(&field), Some(None));
                assert_eq!(told.is_empty() && !row[1].is_empty(), is_odd, "the default of `{field}` on the page");
            }
        }
        let missing: Vec<_> = fields.keys().filter(|field| !listed.contains(*field)).collect();
        assert!(missing.is_empty(), "{kind}: not on the page: {missing:#?}");
    }
}

#[test]
fn every_difference_of_the_older_version_is_on_the_page() {
    let older: BTreeMap<_, _> = fields::of::<v1beta3::InitConfiguration>()
        .into_iter()
        .chain(fields::of::<v1beta3::ClusterConfiguration>())
        .collect();
    let newer: BTreeMap<_, _> = newer().into_iter().flat_map(|(_, fields)| fields).collect();
    let only = |of: &BTreeMap<String, Leaf>, not: &BTreeMap<String, Leaf>| -> BTreeSet<String> {
        of.keys().filter(|field| !not.contains_key(*field)).cloned().collect()
    };
    let told = |column: usize, fields: &BTreeMap<String, Leaf>| -> BTreeSet<String> {
        let names: Vec<String> = rows("v1beta3").iter().flat_map(|row| names(&row[column])).collect();
        let expanded: BTreeSet<_> = names.iter().flat_map(|name| expand(name, fields)).collect();
        // values and fields that both have help to explain
        expanded.into_iter().filter(|field| fields.contains_key(field)).collect()
    };
    assert_eq!(told(0, &older), only(&older, &newer), "v1beta3 alone");
    let successor = "timeouts.controlPlaneComponentHealthCheck".to_owned();
    assert_eq!(told(1, &newer), only(&newer, &older), "v1beta4 alone");
    assert!(told(1, &newer).contains(&successor));
}

/// The flags that init and `config print` have for the configuration: name and default.
fn flags() -> BTreeMap<String, Option<String>> {
    let help = Bootstrap::new(["config", "print", "--help"]).run().succeeds().stdout;
    let section = help.split("\nConfiguration:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut flags = BTreeMap::new();
    let words = section.split_whitespace().collect::<Vec<_>>().join(" ");
    for flag in words.split(" --").map(|flag| flag.trim_start_matches("--")) {
        let name = format!("--{}", flag.split(' ').next().unwrap());
        let default = flag.split("[default: ").nth(1).map(|rest| rest.trim_end_matches(']').to_owned());
        flags.insert(name, default);
    }
    flags
}

#[test]
fn every_flag_is_on_the_page_with_its_field() {
    let (defaults, mut flags) = (defaults(), flags());
    let fields: BTreeMap<_, _> = newer().into_iter().flat_map(|(_, fields)| fields).collect();
    // the file itself, what adds to it, and a flag of the command rather than of the cluster
    for flag in ["--config", "--profile"] {
        assert!(flags.remove(flag).is_some(), "{flag}");
    }
    flags.insert("--dry-run".to_owned(), None);
    let mut told = BTreeSet::new();
    for row in rows("Flags") {
        let field = names(&row[1]).remove(0);
        let known = [field.clone(), format!("{field}[]")].into_iter().find(|field| fields.contains_key(field));
        let known = known.unwrap_or_else(|| panic!("no field `{field}`"));
        for flag in names(&row[0]) {
            let help = flags.get(&flag).unwrap_or_else(|| panic!("init has no flag `{flag}`"));
            if let (Some(help), Some(Some(default))) = (help, defaults.get(&known)) {
                assert_eq!(help, default, "the default of {flag} in its help");
            }
            told.insert(flag);
        }
    }
    assert_eq!(told, flags.into_keys().collect());
}

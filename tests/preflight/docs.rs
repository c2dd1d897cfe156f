//! docs/preflight.md has every check, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bootstrap::preflight::CHECKS;

#[test]
fn the_page_and_the_list_of_checks_have_the_same_names_in_the_same_order() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/preflight.md")).unwrap();
    let section = |head: &str| {
        let after = page.split(&format!("\n## {head}\n")).nth(1).unwrap_or_else(|| panic!("no section `{head}`"));
        after.split("\n## ").next().unwrap().to_owned()
    };
    let rows = |section: &str| {
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        rows.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let described = rows(&section("Checks"));
    let listed: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(described, listed);
    // what is said not to be run is not
    let omitted: BTreeSet<_> = rows(&section("kubeadm's checks that are not run")).into_iter().collect();
    assert!(omitted.len() > 3 && omitted.iter().all(|name| !listed.contains(&name.as_str())), "{omitted:?}");
    assert!(CHECKS.iter().all(|check| !check.about.is_empty()));
}

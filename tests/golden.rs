//! Golden files under `tests/snapshots`: what a pure function makes today, for a reviewer to see what changes.
//!
//! `BLESS=1` rewrites them and fails the test all the same, so that a blessing never passes for a green run.

use std::path::Path;

/// Compares each text with `tests/snapshots/<name>` and reports every difference.
#[track_caller]
pub(crate) fn check(files: &[(String, String)]) {
    let differences: Vec<String> = files.iter().filter_map(|(name, actual)| difference(name, actual)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn difference(name: &str, actual: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == actual {
        return None;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent()?).expect("cannot make the directory of snapshots");
        std::fs::write(&path, actual).expect("cannot write the snapshot");
        return Some(format!("wrote `{}`; look at the difference and run again", path.display()));
    }
    let mut lines = expected.lines().zip(actual.lines());
    let same = lines.by_ref().take_while(|(a, b)| a == b).count();
    Some(format!(
        "`{}` differs from line {} on; BLESS=1 rewrites it\n  expected: {}\n    actual: {}",
        path.display(),
        same + 1,
        expected.lines().nth(same).unwrap_or("(the end)"),
        actual.lines().nth(same).unwrap_or("(the end)"),
    ))
}

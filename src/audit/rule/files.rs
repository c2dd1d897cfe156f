//! Modes and owners.

use std::path::Path;

use super::Verdict;
use crate::audit::Status;
use crate::audit::facts::{Facts, FileFact, Place};

/// No permission beyond `most`.
pub(super) fn mode(place: Place, most: u32, facts: &Facts) -> Verdict {
    let told = |fact: &FileFact| format!("mode {:04o}", fact.mode);
    judge(place, facts, format!("mode {most:04o} or less"), &format!("chmod {most:o}"), told, |fact| {
        fact.mode & !most == 0
    })
}

pub(super) fn owner(place: Place, owner: &str, facts: &Facts) -> Verdict {
    let told = |fact: &FileFact| format!("owner {}", fact.owner);
    judge(place, facts, format!("owner {owner}"), &format!("chown {owner}"), told, |fact| fact.owner == owner)
}

fn judge(
    place: Place,
    facts: &Facts,
    expected: String,
    command: &str,
    told: impl Fn(&FileFact) -> String,
    holds: impl Fn(&FileFact) -> bool,
) -> Verdict {
    let files = place.files(facts);
    let wrong: Vec<&(&Path, &FileFact)> = files.iter().filter(|(_, fact)| !holds(fact)).collect();
    match (files.as_slice(), wrong.as_slice()) {
        ([], _) => Verdict::new(Status::NotApplicable, expected, "nothing of the kind is on this node"),
        ([(path, fact)], []) => {
            Verdict::new(Status::Pass, expected, format!("`{}` has {}", path.display(), told(fact)))
        }
        (all, []) => Verdict::new(Status::Pass, expected, format!("all {} have it", all.len())),
        (_, wrong) => {
            let found: Vec<_> =
                wrong.iter().map(|(path, fact)| format!("`{}` has {}", path.display(), told(fact))).collect();
            let paths: Vec<_> = wrong.iter().map(|(path, _)| path.display().to_string()).collect();
            Verdict::fail(expected, found.join(", "), format!("`{command} {}`", paths.join(" ")))
        }
    }
}

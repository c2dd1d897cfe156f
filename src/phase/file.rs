//! Decisions about files with known content.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::desired::Desired;
use crate::plan::found::{Found, FoundFile};
use crate::plan::{Action, Decision};

/// A path as it stands in the name of a preflight check [6.1].
pub fn dashed(path: &Path) -> String {
    path.to_string_lossy().replace('/', "-")
}

/// Why a file is refused that somebody else wrote, or changed since.
pub fn foreign(path: &Path) -> String {
    let (shown, check) = (path.display(), dashed(path));
    format!(
        "`{shown}` exists and init did not write it as it is now \
         (`--ignore-preflight-errors=FileAvailable-{check}` replaces it)"
    )
}

/// What becomes of `path` when it should hold `content`. A file that somebody else wrote, or changed since, is
/// refused unless preflight's `FileAvailable-…` is ignored by name [6.2].
pub(super) fn decide(
    desired: &Desired,
    found: &Found,
    path: PathBuf,
    mode: u32,
    content: String,
) -> (Decision, Vec<Action>) {
    let decision = match found.file(&path) {
        FoundFile::Absent => Decision::Create,
        FoundFile::Unreadable => Decision::Keep,
        FoundFile::Content(current) if current == content.as_bytes() => Decision::Keep,
        FoundFile::Content(current) => {
            let ours = found.written.get(&path) == Some(&hex::encode(Sha256::digest(current)));
            let check = format!("FileAvailable-{}", dashed(&path));
            if ours {
                Decision::Replace("its content changes with the configuration".to_owned())
            } else if desired.config.ignores_preflight(&check) {
                Decision::Replace(format!("`{check}` is ignored"))
            } else {
                Decision::Refuse(foreign(&path))
            }
        }
    };
    let actions = match decision {
        Decision::Create | Decision::Replace(_) => vec![Action::WriteFile { path, mode, content }],
        _ => Vec::new(),
    };
    (decision, actions)
}

/// The decisions about several files as one: what has to be refused or replaced speaks for all.
pub(super) fn together(decided: impl IntoIterator<Item = (Decision, Vec<Action>)>) -> (Decision, Vec<Action>) {
    let (mut refused, mut replaced, mut created, mut actions) = (Vec::new(), Vec::new(), false, Vec::new());
    for (decision, more) in decided {
        match decision {
            Decision::Refuse(reason) => refused.push(reason),
            Decision::Replace(reason) if !replaced.contains(&reason) => replaced.push(reason),
            Decision::Create => created = true,
            Decision::Replace(_) | Decision::Keep | Decision::Do => {}
        }
        actions.extend(more);
    }
    let decision = match (refused.is_empty(), replaced.is_empty(), created) {
        (false, _, _) => return (Decision::Refuse(refused.join("; ")), Vec::new()),
        (true, false, _) => Decision::Replace(replaced.join("; ")),
        (true, true, true) => Decision::Create,
        (true, true, false) => Decision::Keep,
    };
    (decision, actions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_are_one_decision() {
        use Decision::{Create, Keep, Refuse, Replace};
        let replace = || Replace("r".to_owned());
        let refuse = |reason: &str| Refuse(reason.to_owned());
        for (decisions, expected, writes) in [
            (vec![Keep, Keep], Keep, 0),
            (vec![Keep, Create], Create, 1),
            (vec![Create, replace(), replace()], replace(), 3),
            (vec![Create, refuse("a"), replace(), refuse("b")], refuse("a; b"), 0),
        ] {
            let decided = decisions.into_iter().map(|decision| {
                let actions = match decision {
                    Create | Replace(_) => vec![Action::StartRunner],
                    _ => Vec::new(),
                };
                (decision, actions)
            });
            let (decision, actions) = together(decided);
            assert_eq!((decision, actions.len()), (expected, writes));
        }
    }
}

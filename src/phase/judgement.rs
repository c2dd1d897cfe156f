//! What becomes of a certificate that exists, by what was found wrong with it.

use std::path::Path;

use crate::desired::verify::{Misfit, clause};
use crate::plan::Decision;
use crate::plan::found::Found;

/// `missing_key` is that of the authority where somebody else keeps it: then nothing can be renewed here.
pub(super) fn decide(misfits: &[Misfit], path: &Path, missing_key: Option<&Path>) -> Decision {
    let refuse = |why: String| Decision::Refuse(format!("cannot use `{}`: {}{why}", path.display(), clause(misfits)));
    if misfits.is_empty() || missing_key.is_some() && is_usable(misfits) {
        return Decision::Keep;
    }
    match missing_key {
        _ if misfits.contains(&Misfit::NotSigned) => refuse(String::new()),
        None => Decision::Replace(clause(misfits)),
        Some(key) => refuse(format!(", and it cannot be renewed without `{}`", key.display())),
    }
}

/// It works all the same, as far as can be known.
pub(super) fn is_usable(misfits: &[Misfit]) -> bool {
    misfits.iter().all(|misfit| matches!(misfit, Misfit::Subject { .. }))
}

/// A private key that is not private. It stays as it is: whoever has read it has it.
pub(super) fn open_to_all(found: &Found, path: &Path) -> Option<String> {
    let is_open = found.open_to_all.contains(path);
    let path = path.display();
    is_open.then(|| format!("`{path}` holds a private key and everybody may read or write it: `chmod o= {path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_renewed_is_and_the_rest_is_the_users_to_decide() {
        let (path, key) = (Path::new("a.crt"), Path::new("ca.key"));
        let subject = || Misfit::Subject { found: "CN=a".into(), wanted: "CN=b".into() };
        let word = |decision: Decision| match decision {
            Decision::Keep => "keep",
            Decision::Replace(_) => "replace",
            Decision::Refuse(_) => "refuse",
            Decision::Create | Decision::Do => "other",
        };
        for (misfits, with_key, without_key) in [
            (vec![], "keep", "keep"),
            (vec![subject()], "replace", "keep"),
            (vec![Misfit::KeyOfAnother], "replace", "refuse"),
            (vec![Misfit::KeyMissing, subject()], "replace", "refuse"),
            (vec![Misfit::Names(vec!["a".into()])], "replace", "refuse"),
            (vec![Misfit::Usage], "replace", "refuse"),
            (vec![Misfit::NotSigned, Misfit::KeyMissing], "refuse", "refuse"),
        ] {
            assert_eq!(word(decide(&misfits, path, None)), with_key, "{misfits:?}");
            assert_eq!(word(decide(&misfits, path, Some(key))), without_key, "{misfits:?}");
        }
        let Decision::Refuse(reason) = decide(&[Misfit::KeyMissing, Misfit::Usage], path, Some(key)) else { panic!() };
        assert_eq!(
            reason,
            "cannot use `a.crt`: its private key is missing, and its extended key usage does not allow what it is \
             for, and it cannot be renewed without `ca.key`"
        );
    }
}

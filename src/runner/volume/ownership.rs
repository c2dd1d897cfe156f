//! `fsGroup`: the group that a pod's own volumes belong to [4.F].

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use crate::error::{Context, Result};

/// What the group may do in the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    Writable,
}

impl Access {
    fn bits(self, is_directory: bool) -> u32 {
        let bits = match self {
            Access::ReadOnly => 0o440,
            Access::Writable => 0o660,
        };
        // what is made in it belongs to the group, too
        if is_directory { bits | 0o2110 } else { bits }
    }
}

/// Gives a volume and everything in it to the group, unless none is asked for. Nothing else writes to it meanwhile: no
/// container of its pod runs yet. Links are given, not followed.
pub(super) fn apply(path: &Path, group: Option<i64>, access: Access) -> Result<()> {
    let Some(group) = group.and_then(|group| u32::try_from(group).ok()) else { return Ok(()) };
    give(path, group, access).with_context(|| format!("cannot give `{}` to group {group}", path.display()))
}

fn give(path: &Path, group: u32, access: Access) -> std::io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.mode() & 0o7777 | access.bits(found.is_dir());
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group, access)?;
        }
    }
    Ok(())
}

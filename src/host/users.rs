//! Makes and removes system users and groups: entries of `/etc/passwd` and `/etc/group` under the instance's root.
//!
//! Under the lock that `useradd` and its like take, too, so that nobody's entry is lost; each file is replaced whole.
//! No password file has a line for them: nobody can log in.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::config::facts::Allocation;
use crate::desired::account::{self, Accounts, Database, Databases};
use crate::desired::ownership::{Ownership, Reach};
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{Layout, PUBLIC_DIRECTORY, SECRET_FILE};
use crate::linux;

const LOGIN_DEFS: &str = "/etc/login.defs";
/// What `lckpwdf` of every C library locks, and for how long it waits.
const LOCK: &str = "/etc/.pwd.lock";
const PATIENCE: Duration = Duration::from_secs(15);

/// What would have to be added for these accounts to exist, at this moment.
pub fn look(layout: &Layout, accounts: &Accounts) -> Result<Allocation> {
    account::allocate(accounts, &read(layout)?).with_context(|| {
        let path = |database: Database| layout.under(database.path()).display().to_string();
        format!("cannot use `{}` and `{}`", path(Database::Passwd), path(Database::Group))
    })
}

/// Adds what is missing. Fails where another has taken an id of `planned` since it was planned. Waits for the lock, so
/// no task of the runtime may call it.
pub fn make(layout: &Layout, accounts: &Accounts, planned: &Allocation) -> Result<()> {
    let _lock = lock(layout)?;
    let current = look(layout, accounts)?;
    if current.identities != planned.identities {
        let message = "another user or group was added in the meantime, and took an id that was meant for ours";
        return Err(Fault::failed(message).hint("a second `bootstrap init` takes others").into());
    }
    // a user's group before the user
    for database in [Database::Group, Database::Passwd] {
        let lines: Vec<&str> = current.missing(database).iter().map(|(_, line)| line.as_str()).collect();
        if !lines.is_empty() {
            let path = layout.under(database.path());
            let text = files::read_if_exists(&path)?.unwrap_or_default();
            files::rewrite(&path, &account::with_lines(&text, lines))?;
        }
    }
    Ok(())
}

/// Makes what `ownership` names belong to these ids, and gives a file its mode.
pub fn give_away(layout: &Layout, ownership: &Ownership, user: u32, group: u32) -> Result<()> {
    let path = layout.under(&ownership.path);
    let give = || chown(&path, Some(user), Some(group));
    let given = match ownership.reach {
        Reach::Tree => linux::give_tree(&path, user, group),
        Reach::Directory => give(),
        Reach::File(mode) => give().and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(mode))),
    };
    given.with_context(|| format!("cannot give `{}` to {}:{}", path.display(), ownership.user, ownership.group))
}

/// Removes one entry. Files without any entry left were made for ours, and go too; with an entry of others in them, the
/// lock's file stays, since others may wait for it. Waits for the lock.
pub fn remove(layout: &Layout, database: Database, name: &str) -> Result<()> {
    let path = layout.under(database.path());
    // what a kill in the middle of a write leaves
    let temporary = files::temporary(&path);
    if !exists(layout, database, name)? && !temporary.exists() {
        return Ok(());
    }
    let lock = lock(layout)?;
    files::remove_file(&temporary)?;
    let text = files::read_if_exists(&path)?.unwrap_or_default();
    let text = account::without_entry(&text, name);
    if !text.is_empty() {
        return files::rewrite(&path, &text);
    }
    files::remove_file(&path)?;
    if Database::ALL.iter().all(|database| !layout.under(database.path()).exists()) {
        files::remove_file(&layout.under(LOCK))?;
    }
    drop(lock);
    Ok(())
}

/// Whether there is an entry of that name.
pub fn exists(layout: &Layout, database: Database, name: &str) -> Result<bool> {
    let text = files::read_if_exists(&layout.under(database.path()))?;
    Ok(text.is_some_and(|text| account::has_entry(&text, name)))
}

fn read(layout: &Layout) -> Result<Databases> {
    let text = |path: &Path| files::read_if_exists(&layout.under(path)).map(Option::unwrap_or_default);
    let mut taken = BTreeSet::new();
    if !layout.is_default_root() {
        // processes run on this machine, whatever their root: an id must not be somebody's here
        for database in Database::ALL {
            taken.extend(account::ids(&files::read_if_exists(database.path())?.unwrap_or_default()));
        }
    }
    Ok(Databases {
        passwd: text(Database::Passwd.path())?,
        group: text(Database::Group.path())?,
        login_defs: String::from_utf8_lossy(&text(Path::new(LOGIN_DEFS))?).into_owned(),
        taken,
    })
}

/// Held until it is dropped.
fn lock(layout: &Layout) -> Result<File> {
    let path = layout.under(LOCK);
    if let Some(directory) = path.parent() {
        files::make_directory(directory, PUBLIC_DIRECTORY)?;
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(SECRET_FILE);
    let file = options.open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let begin = Instant::now();
    loop {
        // of the open file and not of the process: no other thread's close lets go of it
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)) {
            Ok(_) => return Ok(file),
            Err(Errno::EAGAIN | Errno::EACCES) if begin.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let message = format!("somebody holds `{}` for longer than {} s", path.display(), PATIENCE.as_secs());
                return Err(Fault::failed(message)
                    .hint("`useradd` and its like take it: end the one that hangs")
                    .into());
            }
            Err(error) => return Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::desired::account::{Existing, Group};

    const ACCOUNTS: Accounts = Accounts {
        users: &["kubeadm-x"],
        groups: &[Group { name: "kubeadm-x", members: &["kubeadm-x"] }],
        existing: Existing::MustFit,
    };

    #[test]
    fn accounts_are_made_once_and_removed_alone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let (passwd, group) = (layout.under("/etc/passwd"), layout.under("/etc/group"));
        std::fs::create_dir(layout.under("/etc")).unwrap();
        std::fs::write(&passwd, "root:x:0:0:r\u{e9}:/root:/bin/sh").unwrap();
        let planned = look(&layout, &ACCOUNTS).unwrap();
        make(&layout, &ACCOUNTS, &planned).unwrap();
        let added = std::fs::read_to_string(&passwd).unwrap();
        assert!(added.starts_with("root:x:0:0:r\u{e9}:/root:/bin/sh\nkubeadm-x:x:"), "{added}");
        let again = look(&layout, &ACCOUNTS).unwrap();
        assert!(again.missing_users.is_empty() && again.missing_groups.is_empty());
        assert_eq!(again.identities, planned.identities);
        make(&layout, &ACCOUNTS, &again).unwrap();
        assert_eq!(std::fs::read_to_string(&passwd).unwrap(), added);

        for database in Database::ALL {
            remove(&layout, database, "kubeadm-x").unwrap();
            assert!(!exists(&layout, database, "kubeadm-x").unwrap());
        }
        assert_eq!(std::fs::read_to_string(&passwd).unwrap(), "root:x:0:0:r\u{e9}:/root:/bin/sh\n");
        assert!(!group.exists(), "it was made for our entries");
    }

    #[test]
    fn an_id_that_was_taken_in_the_meantime_ends_it() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let planned = look(&layout, &ACCOUNTS).unwrap();
        std::fs::create_dir(layout.under("/etc")).unwrap();
        let id = planned.identities.groups["kubeadm-x"];
        std::fs::write(layout.under("/etc/group"), format!("theirs:x:{id}:\n")).unwrap();
        let error = make(&layout, &ACCOUNTS, &planned).unwrap_err();
        assert!(error.to_string().contains("in the meantime"), "{error}");
        assert!(!layout.under("/etc/passwd").exists());
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        std::fs::create_dir(layout.under("/etc")).unwrap();
        let path = layout.under("/etc/passwd");
        std::fs::write(&path, "root:x:0:0:::\n").unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (layout, path) = (&layout, &path);
                scope.spawn(move || {
                    for index in 0..8 {
                        let _lock = lock(layout).unwrap();
                        let text = std::fs::read(path).unwrap();
                        let line = format!("u{writer}-{index}:x:1:1:::");
                        files::rewrite(path, &account::with_lines(&text, [line.as_str()])).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 33);
    }
}

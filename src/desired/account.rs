//! System users and groups: which there are to be, the ids they get, and the text of the files they stand in [3.10].
//!
//! Pure: `host::users` reads and writes the files. A line that is no entry, such as a comment or `+` of NIS, is left as
//! it is; so is every byte that is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::config::facts::{Allocation, Identities};
use crate::error::{Fault, Result};

/// A file with one entry in each line, which begins with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Database {
    Passwd,
    Group,
}

impl Database {
    pub const ALL: [Database; 2] = [Self::Passwd, Self::Group];

    /// Of the node, without the instance's root.
    pub fn path(self) -> &'static Path {
        match self {
            Self::Passwd => Path::new("/etc/passwd"),
            Self::Group => Path::new("/etc/group"),
        }
    }
}

impl fmt::Display for Database {
    /// What its entries are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passwd => "user",
            Self::Group => "group",
        })
    }
}

/// A group and who is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    pub members: &'static [&'static str],
}

/// Users that nobody logs in as, and their groups. A user's own group has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounts {
    pub users: &'static [&'static str],
    pub groups: &'static [Group],
    pub existing: Existing,
}

/// What of an account that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refused unless it is as it would be made.
    MustFit,
    /// Used as it is: only its name and its id matter.
    Taken,
}

/// What the files say, before anything is added.
#[derive(Debug, Clone, Default)]
pub struct Databases {
    pub passwd: Vec<u8>,
    pub group: Vec<u8>,
    /// `/etc/login.defs`: from where to where ids are the system's; empty for the usual range.
    pub login_defs: String,
    /// Ids that are taken although the files do not say so.
    pub taken: BTreeSet<u32>,
}

impl Allocation {
    pub fn missing(&self, database: Database) -> &[(&'static str, String)] {
        match database {
            Database::Passwd => &self.missing_users,
            Database::Group => &self.missing_groups,
        }
    }
}

/// Ids of the system's users and groups where `/etc/login.defs` does not say.
const SYSTEM_IDS: RangeInclusive<u32> = 100..=999;
/// A shell that ends at once.
const NO_SHELL: &str = "/bin/false";

/// Finds the accounts, and gives the lowest free ids of the system to those that are missing. Fails where one exists
/// and is not as it should be, and where no ids are left; the error names all such accounts.
pub fn allocate(accounts: &Accounts, databases: &Databases) -> Result<Allocation> {
    let users = entries(&databases.passwd, 7);
    let groups = entries(&databases.group, 4);
    let user_ids = range(&databases.login_defs, "SYS_UID")?;
    let group_ids = range(&databases.login_defs, "SYS_GID")?;
    let mut misfits = Vec::new();

    let mut free = free_ids(&group_ids, &groups, &databases.taken);
    let mut identities = Identities::default();
    let mut missing_groups = Vec::new();
    for Group { name, members } in accounts.groups {
        let members = members.join(",");
        let id = match groups.iter().find(|entry| entry.name == *name) {
            Some(found) => {
                misfits.extend(misfit(found, "group", &group_ids));
                if found.fields[3] != members {
                    misfits.push(format!("the members of group `{name}` are `{}`, not `{members}`", found.fields[3]));
                }
                Some(found.id)
            }
            None => free.next().inspect(|id| missing_groups.push((*name, format!("{name}:x:{id}:{members}")))),
        };
        let Some(id) = id else { return Err(exhausted("group", &group_ids)) };
        identities.groups.insert((*name).to_owned(), id);
    }

    let mut free = free_ids(&user_ids, &users, &databases.taken);
    let mut missing_users = Vec::new();
    for name in accounts.users {
        let group = identities.groups.get(*name).copied();
        let id = match users.iter().find(|entry| entry.name == *name) {
            Some(found) => {
                misfits.extend(misfit(found, "user", &user_ids));
                if found.fields[6] != NO_SHELL {
                    misfits.push(format!("the shell of user `{name}` is `{}`, not `{NO_SHELL}`", found.fields[6]));
                }
                if found.fields[3].parse().ok() != group {
                    misfits.push(format!("the group of user `{name}` is {}, not `{name}`", found.fields[3]));
                }
                Some(found.id)
            }
            None => {
                let line = |id: &u32| format!("{name}:x:{id}:{}:::{NO_SHELL}", group.unwrap_or(*id));
                free.next().inspect(|id| missing_users.push((*name, line(id))))
            }
        };
        let Some(id) = id else { return Err(exhausted("user", &user_ids)) };
        identities.users.insert((*name).to_owned(), id);
    }

    if misfits.is_empty() || accounts.existing == Existing::Taken {
        return Ok(Allocation { identities, missing_users, missing_groups });
    }
    Err(Fault::usage(misfits.join("; ")).hint("remove these accounts to have them made anew").into())
}

/// `text` with `lines` at its end.
pub fn with_lines<'a>(text: &[u8], lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut text = text.to_vec();
    for line in lines {
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend(line.bytes().chain([b'\n']));
    }
    text
}

/// `text` without the entry of that name.
pub fn without_entry(text: &[u8], name: &str) -> Vec<u8> {
    let is_of_name = |line: &[u8]| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    text.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_of_name(line)).collect::<Vec<_>>().concat()
}

/// Whether there is an entry of that name.
pub fn has_entry(text: &[u8], name: &str) -> bool {
    without_entry(text, name).len() < text.len()
}

/// Every id in a file of users or groups.
pub fn ids(text: &[u8]) -> BTreeSet<u32> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| String::from_utf8_lossy(line).split(':').nth(2)?.parse().ok()).collect()
}

struct Entry {
    name: String,
    id: u32,
    fields: Vec<String>,
}

fn entries(text: &[u8], fields: usize) -> Vec<Entry> {
    let entry = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let found: Vec<String> = line.trim().split(':').map(str::to_owned).collect();
        let id = found.get(2)?.parse().ok()?;
        (found.len() == fields).then(|| Entry { name: found[0].clone(), id, fields: found })
    };
    text.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

fn misfit(found: &Entry, what: &str, range: &RangeInclusive<u32>) -> Option<String> {
    let (name, id) = (&found.name, found.id);
    let system = !range.contains(&id);
    system.then(|| format!("{what} `{name}` has id {id}, not one from {} to {}", range.start(), range.end()))
}

fn free_ids(range: &RangeInclusive<u32>, entries: &[Entry], taken: &BTreeSet<u32>) -> impl Iterator<Item = u32> {
    let is_used = |id: &u32| taken.contains(id) || entries.iter().any(|entry| entry.id == *id);
    range.clone().filter(move |id| !is_used(id))
}

fn exhausted(what: &str, range: &RangeInclusive<u32>) -> anyhow::Error {
    let message = format!("no {what} id from {} to {} is free", range.start(), range.end());
    Fault::failed(message).hint("`/etc/login.defs` says which ids are the system's").into()
}

/// `SYS_UID_MIN` and `SYS_UID_MAX`, or those of groups.
fn range(login_defs: &str, name: &str) -> Result<RangeInclusive<u32>> {
    let bound = |suffix: &str, default: u32| {
        let key = format!("{name}_{suffix}");
        let values: BTreeMap<&str, &str> =
            login_defs.lines().filter_map(|line| line.trim().split_once(char::is_whitespace)).collect();
        let Some(text) = values.get(key.as_str()) else { return Ok(default) };
        let unusable = || Fault::failed(format!("`/etc/login.defs`: {key} is no number: `{}`", text.trim()));
        text.trim().parse::<u32>().map_err(|_| anyhow::Error::from(unusable()))
    };
    Ok(bound("MIN", *SYSTEM_IDS.start())?..=bound("MAX", *SYSTEM_IDS.end())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const ACCOUNTS: Accounts = Accounts {
        users: &["a", "b"],
        groups: &[
            Group { name: "a", members: &["a"] },
            Group { name: "b", members: &["b"] },
            Group { name: "readers", members: &["a", "b"] },
        ],
        existing: Existing::MustFit,
    };

    fn databases(passwd: &str, group: &str) -> Databases {
        Databases { passwd: passwd.into(), group: group.into(), ..Databases::default() }
    }

    fn lines(missing: &[(&'static str, String)]) -> Vec<String> {
        missing.iter().map(|(_, line)| line.clone()).collect()
    }

    #[test]
    fn the_lowest_free_ids_are_given() {
        let found = databases("root:x:0:0::/root:/bin/sh\n+::::::\nx:x:100:1:::\n", "root:x:0:\ny:x:101:\n# no\n");
        let allocation = allocate(&ACCOUNTS, &found).unwrap();
        assert_eq!(lines(&allocation.missing_users), ["a:x:101:100:::/bin/false", "b:x:102:102:::/bin/false"]);
        assert_eq!(lines(&allocation.missing_groups), ["a:x:100:a", "b:x:102:b", "readers:x:103:a,b"]);
        assert_eq!(allocation.identities.users["b"], 102);
        assert_eq!(allocation.identities.groups["readers"], 103);
    }

    #[test]
    fn what_is_there_is_used_and_what_else_is_taken_is_not() {
        let mut found = databases("a:x:300:301:::/bin/false\n", "a:x:301:a\nreaders:x:200:a,b\n");
        found.login_defs = "#SYS_UID_MIN 1\nSYS_UID_MIN\t\t 201\nSYS_UID_MAX 300\nSYS_GID_MIN 200\n".to_owned();
        found.taken = [201, 202].into();
        let allocation = allocate(&ACCOUNTS, &found).unwrap();
        assert_eq!(lines(&allocation.missing_users), ["b:x:203:203:::/bin/false"]);
        assert_eq!(lines(&allocation.missing_groups), ["b:x:203:b"]);
        assert_eq!(allocation.identities.users["a"], 300);
    }

    #[test]
    fn every_account_that_does_not_fit_is_told() {
        let passwd = "a:x:1000:101:::/bin/false\nb:x:101:102:::/bin/sh\n";
        let error = allocate(&ACCOUNTS, &databases(passwd, "a:x:100:a\nb:x:102:a\n")).unwrap_err().to_string();
        for part in [
            "the members of group `b` are `a`, not `b`",
            "user `a` has id 1000, not one from 100 to 999",
            "the group of user `a` is 101, not `a`",
            "the shell of user `b` is `/bin/sh`, not `/bin/false`",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let taken = Accounts { existing: Existing::Taken, ..ACCOUNTS };
        let allocation = allocate(&taken, &databases(passwd, "a:x:100:a\nb:x:102:a\n")).unwrap();
        assert_eq!((allocation.identities.users["a"], allocation.identities.groups["a"]), (1000, 100));
        assert!(allocation.missing_users.is_empty());
    }

    #[test]
    fn ids_run_out_and_bounds_have_to_be_numbers() {
        let with = |login_defs: &str| {
            let login_defs = login_defs.to_owned();
            allocate(&ACCOUNTS, &Databases { login_defs, ..Databases::default() }).unwrap_err().to_string()
        };
        assert_eq!(with("SYS_GID_MIN 998\n"), "no group id from 998 to 999 is free");
        assert_eq!(with("SYS_UID_MAX 100\n"), "no user id from 100 to 100 is free");
        assert_eq!(with("SYS_UID_MIN many\n"), "`/etc/login.defs`: SYS_UID_MIN is no number: `many`");
    }

    #[test]
    fn an_entry_is_known_by_its_whole_name() {
        let text = b"aa:1\na:2\nb:a:3";
        assert_eq!(without_entry(text, "a"), b"aa:1\nb:a:3");
        assert!(has_entry(text, "aa") && !has_entry(text, "1"));
        assert_eq!(with_lines(b"x", ["y", "z"]), b"x\ny\nz\n");
        assert_eq!(with_lines(b"", ["y"]), b"y\n");
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away(before in prop::collection::vec("[a-z:\u{e9}# +]{0,8}", 0..6)) {
            let text: Vec<u8> = before.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            prop_assume!(!has_entry(&text, "kubeadm-x"));
            let added = with_lines(&text, ["kubeadm-x:x:1:1:::"]);
            prop_assert!(has_entry(&added, "kubeadm-x"));
            prop_assert_eq!(without_entry(&added, "kubeadm-x"), text);
        }
    }
}

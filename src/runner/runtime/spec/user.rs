//! Who a container runs as: numbers out of names, by the image's own passwd and group files. PURE.

use super::Facts;
use crate::image::manifest::ImageConfig;
use crate::runner::runtime::{RuntimeError, RuntimeResult, SecurityContext};

/// A user as the kernel knows one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ResolvedUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The primary group first [3.77].
    pub(super) additional_gids: Vec<u32>,
    pub(super) home: String,
}

/// A line of passwd(5).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

pub(super) fn resolve(security: &SecurityContext, image: &ImageConfig, facts: &Facts) -> RuntimeResult<ResolvedUser> {
    let named = image.user.as_deref().unwrap_or_default().trim();
    let (image_user, image_group) = named.split_once(':').unwrap_or((named, ""));
    let entry = match security.run_as_user {
        Some(uid) => by_uid(&facts.passwd, id("runAsUser", uid)?),
        None if image_user.is_empty() => by_uid(&facts.passwd, 0),
        None => match image_user.parse() {
            Ok(uid) => by_uid(&facts.passwd, uid),
            Err(_) => entries(&facts.passwd).find(|entry| entry.name == image_user).ok_or_else(|| {
                RuntimeError::BadConfig(format!("the image's user `{image_user}` is not in its /etc/passwd"))
            })?,
        },
    };
    check_non_root(security, image_user, entry.uid)?;
    let gid = match security.run_as_group {
        Some(gid) => id("runAsGroup", gid)?,
        // the group after the colon belongs to the image's user, not to one that replaces it
        None if security.run_as_user.is_none() && !image_group.is_empty() => group_id(&facts.group, image_group)?,
        None => entry.gid,
    };
    let mut additional_gids = vec![gid];
    let memberships = groups(&facts.group)
        .filter(|_| !security.strict_groups)
        .filter(|group| !entry.name.is_empty() && group.members.split(',').any(|member| member == entry.name));
    let supplemental = security.supplemental_groups.iter().map(|gid| id("supplementalGroups", *gid));
    for gid in memberships.map(|group| Ok(group.gid)).chain(supplemental) {
        let gid = gid?;
        if !additional_gids.contains(&gid) {
            additional_gids.push(gid);
        }
    }
    let home = if entry.home.is_empty() { "/" } else { entry.home };
    Ok(ResolvedUser { uid: entry.uid, gid, additional_gids, home: home.to_owned() })
}

/// The kubelet's reasons [3.78].
fn check_non_root(security: &SecurityContext, image_user: &str, uid: u32) -> RuntimeResult<()> {
    if !security.run_as_non_root {
        return Ok(());
    }
    let refused = match security.run_as_user {
        Some(0) => "container's runAsUser breaks non-root policy".to_owned(),
        Some(_) => return Ok(()),
        None if !image_user.is_empty() && image_user.parse::<u32>().is_err() => format!(
            "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root"
        ),
        None if uid == 0 => "container has runAsNonRoot and image will run as root".to_owned(),
        None => return Ok(()),
    };
    Err(RuntimeError::BadConfig(refused))
}

fn id(field: &str, value: i64) -> RuntimeResult<u32> {
    // the last one means `no change` to the kernel
    let valid = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    valid.ok_or_else(|| RuntimeError::BadConfig(format!("{field} `{value}` is no user or group id")))
}

/// A uid that is not in the file has no name, the root group and no home.
fn by_uid(passwd: &str, uid: u32) -> Entry<'_> {
    let home = if uid == 0 { "/root" } else { "/" };
    entries(passwd).find(|entry| entry.uid == uid).unwrap_or(Entry { name: "", uid, gid: 0, home })
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields[..] else { return None };
        let home = fields.get(5).copied().unwrap_or_default();
        Some(Entry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, gid, ..] = fields[..] else { return None };
        Some(Group { name, gid: gid.parse().ok()?, members: fields.get(3).copied().unwrap_or_default().trim() })
    })
}

fn group_id(group: &str, name: &str) -> RuntimeResult<u32> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let found = groups(group).find(|group| group.name == name);
    let missing = || RuntimeError::BadConfig(format!("the image's group `{name}` is not in its /etc/group"));
    found.map(|group| group.gid).ok_or_else(missing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    fn resolved(image_user: &str, security: SecurityContext) -> Result<(u32, u32, Vec<u32>, String), String> {
        let image = ImageConfig { user: Some(image_user.into()), ..ImageConfig::default() };
        let user = resolve(&security, &image, &facts()).map_err(|error| error.to_string())?;
        Ok((user.uid, user.gid, user.additional_gids, user.home))
    }

    #[test]
    fn images_name_users_in_many_ways() {
        let cases = [
            ("", (0, 0, vec![0, 6], "/root")),
            ("etcd", (100, 101, vec![101, 6], "/var/etcd")),
            ("100", (100, 101, vec![101, 6], "/var/etcd")),
            ("etcd:disk", (100, 6, vec![6], "/var/etcd")),
            ("65532", (65532, 0, vec![0], "/")),
            ("65532:65532", (65532, 65532, vec![65532], "/")),
        ];
        for (user, (uid, gid, groups, home)) in cases {
            assert_eq!(resolved(user, Default::default()), Ok((uid, gid, groups, home.to_owned())), "{user}");
        }
        let missing = resolved("ghost", Default::default()).unwrap_err();
        assert_eq!(missing, "the image's user `ghost` is not in its /etc/passwd");
        assert!(resolved("etcd:ghosts", Default::default()).unwrap_err().contains("/etc/group"));
    }

    #[test]
    fn the_pods_user_replaces_the_images() {
        let security = SecurityContext {
            run_as_user: Some(65534),
            run_as_group: Some(7),
            supplemental_groups: vec![8, 7],
            ..SecurityContext::default()
        };
        assert_eq!(resolved("etcd:disk", security), Ok((65534, 7, vec![7, 8], "/".to_owned())));
        let security = SecurityContext { run_as_user: Some(100), ..SecurityContext::default() };
        assert_eq!(resolved("nobody:disk", security), Ok((100, 101, vec![101, 6], "/var/etcd".to_owned())));
        let security = SecurityContext { run_as_user: Some(u32::MAX.into()), ..SecurityContext::default() };
        assert!(resolved("", security).is_err());
    }

    #[test]
    fn case_125_non_root_is_checked() {
        let non_root = |run_as_user| SecurityContext { run_as_non_root: true, run_as_user, ..Default::default() };
        assert!(resolved("", non_root(None)).unwrap_err().ends_with("image will run as root"));
        assert!(resolved("etcd", non_root(None)).unwrap_err().contains("non-numeric user (etcd)"));
        assert!(resolved("5", non_root(Some(0))).unwrap_err().contains("breaks non-root policy"));
        assert!(resolved("5", non_root(None)).is_ok() && resolved("etcd", non_root(Some(5))).is_ok());
    }
}

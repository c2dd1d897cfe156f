//! Which capabilities a container gets. PURE.

use super::Facts;
use crate::runner::runtime::{RuntimeError, RuntimeResult, SecurityContext};

/// All capabilities; each stands at its number in linux/capability.h.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The container engines' default set [3.76].
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Whether a mask holds the capability of that name, without `CAP_`.
pub fn has_capability(mask: u64, name: &str) -> bool {
    CAPABILITIES.iter().position(|known| *known == name).is_some_and(|number| mask & (1 << number) != 0)
}

/// The mask of a container: the defaults, then what is added, then what is dropped; `ALL` comes first in each list.
pub(super) fn mask(security: &SecurityContext, facts: &Facts) -> RuntimeResult<u64> {
    let all = (1u64 << CAPABILITIES.len()) - 1;
    let mut mask = 0;
    if security.privileged {
        return Ok(all & facts.capabilities);
    }
    for name in DEFAULT {
        mask |= bit(name)?;
    }
    // nothing else keeps root in the container from the machine's disks
    if !facts.device_control {
        mask &= !bit("MKNOD")?;
    }
    if has_all(&security.add_capabilities) {
        mask = all;
    }
    if has_all(&security.drop_capabilities) {
        mask = 0;
    }
    for name in security.add_capabilities.iter().filter(|name| !is_all(name)) {
        mask |= bit(name)?;
    }
    for name in security.drop_capabilities.iter().filter(|name| !is_all(name)) {
        mask &= !bit(name)?;
    }
    Ok(mask & facts.capabilities)
}

/// As the specification writes them.
pub(super) fn names(mask: u64) -> Vec<String> {
    let held = CAPABILITIES.iter().enumerate().filter(|(number, _)| mask & (1 << number) != 0);
    held.map(|(_, name)| format!("CAP_{name}")).collect()
}

fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

fn is_all(name: &str) -> bool {
    bare(name) == "ALL"
}

fn has_all(names: &[String]) -> bool {
    names.iter().any(|name| is_all(name))
}

fn bit(name: &str) -> RuntimeResult<u64> {
    let bare = bare(name);
    match CAPABILITIES.iter().position(|known| *known == bare) {
        Some(number) => Ok(1 << number),
        None => Err(RuntimeError::BadConfig(format!("unknown capability `{name}`"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_applied_in_order() {
        let list = |names: &str| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let cases = [
            ("", "", "CAP_CHOWN CAP_MKNOD", 14),
            ("NET_ADMIN", "cap_chown", "CAP_NET_ADMIN", 14),
            ("all", "SYS_ADMIN", "CAP_BPF", 40),
            ("NET_BIND_SERVICE", "ALL", "CAP_NET_BIND_SERVICE", 1),
            ("KILL", "KILL", "", 13),
            ("", "ALL", "", 0),
        ];
        let facts = Facts { capabilities: u64::MAX, device_control: true, ..Facts::default() };
        for (add, drop, expected, count) in cases {
            let security = SecurityContext {
                add_capabilities: list(add),
                drop_capabilities: list(drop),
                ..SecurityContext::default()
            };
            let names = names(mask(&security, &facts).unwrap());
            assert_eq!(names.len(), count, "{add:?} {drop:?} {names:?}");
            for name in list(expected) {
                assert!(names.contains(&name), "{add} {drop} {names:?}");
            }
        }
    }

    #[test]
    fn only_what_the_machine_has_is_given() {
        let facts = Facts { capabilities: !(1 << 24), ..Facts::default() };
        let privileged = SecurityContext { privileged: true, ..SecurityContext::default() };
        let mask_of = mask(&privileged, &facts).unwrap();
        assert!(has_capability(mask_of, "SYS_ADMIN") && !has_capability(mask_of, "SYS_RESOURCE"));
        let usual = mask(&SecurityContext::default(), &facts).unwrap();
        assert!(!has_capability(usual, "MKNOD"), "no device controller");
    }

    #[test]
    fn a_misspelt_name_is_refused() {
        let security = SecurityContext { add_capabilities: vec!["NET_ADMN".into()], ..SecurityContext::default() };
        let error = mask(&security, &Facts::default()).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability `NET_ADMN`");
    }
}

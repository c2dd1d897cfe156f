//! Seccomp profiles as BPF programs: RuntimeDefault, the container engines' common list, and the machine's own. PURE.
//!
//! What is not listed answers EPERM; clone3 and everything newer than the list answer ENOSYS, so that C libraries fall
//! back to what is known. A program of another architecture (i386 on x86-64) is killed: its call numbers mean something
//! else.

mod calls;
pub mod profile;

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::spec::has_capability;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The namespace flags of clone(2): CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NEW_NAMESPACES: u64 = 0x7E02_0000;

/// What a process is filtered by; the default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In the order of their installation: of equally strict answers the kernel takes that of the last one.
    pub programs: Vec<BpfProgram>,
    /// Of seccomp(2), for each of the programs.
    pub flags: u64,
}

/// RuntimeDefault for a process that holds `capabilities`.
pub fn runtime_default(capabilities: u64) -> Result<Filter, BackendError> {
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let programs = vec![
        compile(allowed(capabilities)?, refused, SeccompAction::Allow)?,
        compile(newer(capabilities), SeccompAction::Allow, unknown)?,
    ];
    Ok(Filter { programs, flags: 0 })
}

fn compile(rules: Rules, mismatch: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, mismatch, matched, TargetArch::try_from(std::env::consts::ARCH)?)?.try_into()
}

fn allowed(capabilities: u64) -> Result<Rules, BackendError> {
    let mut rules: Rules = calls::ALWAYS.iter().chain(calls::LEGACY).map(|number| (*number, Vec::new())).collect();
    for (capability, numbers) in calls::WITH_CAPABILITY {
        if has_capability(capabilities, capability) {
            rules.extend(numbers.iter().map(|number| (*number, Vec::new())));
        }
    }
    for persona in [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        let rule = when(0, SeccompCmpOp::Eq, persona)?;
        rules.entry(libc::SYS_personality).or_default().push(rule);
    }
    // sockets to the hypervisor and to the kernel's crypto are not confined by any namespace
    let families = [libc::AF_VSOCK, libc::AF_ALG].map(|family| family as u64);
    let others = families.map(|family| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family));
    let others = others.into_iter().collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others)?]);
    if !has_capability(capabilities, "SYS_ADMIN") {
        rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)?]);
    }
    // left to the other program
    rules.extend(calls::NEWER.map(|number| (number, Vec::new())));
    rules.insert(calls::CLONE3, Vec::new());
    Ok(rules)
}

/// clone3 passes its flags by reference, so a filter cannot see them.
fn newer(capabilities: u64) -> Rules {
    let mut rules: Rules = calls::NEWER.map(|number| (number, Vec::new())).collect();
    if !has_capability(capabilities, "SYS_ADMIN") {
        rules.insert(calls::CLONE3, Vec::new());
    }
    rules
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn programs_fit_the_kernels_limit() {
        for capabilities in [0, u64::MAX] {
            for program in runtime_default(capabilities).unwrap().programs {
                assert!(program.len() < 4096, "{}", program.len());
            }
        }
    }

    #[test]
    fn capabilities_open_their_calls() {
        let none = allowed(0).unwrap();
        let all = allowed(u64::MAX).unwrap();
        for (call, always) in [
            (libc::SYS_read, true),
            (libc::SYS_execve, true),
            (libc::SYS_futex, true),
            (libc::SYS_unshare, false),
            (libc::SYS_mount, false),
            (libc::SYS_reboot, false),
            (libc::SYS_bpf, false),
            (libc::SYS_setns, false),
            (libc::SYS_open_by_handle_at, false),
        ] {
            assert_eq!(none.contains_key(&call), always, "{call}");
            assert!(all.contains_key(&call), "{call}");
        }
        for never in [libc::SYS_keyctl, libc::SYS_kexec_load, libc::SYS_userfaultfd, libc::SYS_io_uring_setup] {
            assert!(!all.contains_key(&never), "{never}");
        }
        assert!(newer(0).contains_key(&calls::CLONE3) && !newer(u64::MAX).contains_key(&calls::CLONE3));
        assert_eq!(none[&libc::SYS_clone].len(), 1, "only without new namespaces");
        assert!(all[&libc::SYS_clone].is_empty());
    }
}

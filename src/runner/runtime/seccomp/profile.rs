//! A profile of the machine's own, in the OCI's format, as BPF programs [3.82]. PURE.
//!
//! A program knows two answers, so there is one that refuses what the profile does not list, and one for each further
//! action. The kernel takes the strictest answer of all; so does a call that the profile lists with several actions.
//! The programs hold for the machine's own architecture; those of others, also `architectures` of the profile, are
//! killed, since their calls have other numbers.

use std::collections::BTreeSet;

use nix::libc;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule, sock_filter,
};
use syscalls::Sysno;

use super::{Filter, Rules, compile};
use crate::error::{Context, Result};

/// Set in the numbers of the calls of x32, another way to make the same calls on x86-64.
const X32: u32 = 0x4000_0000;

/// The profile in a file's text.
pub fn parse(json: &str) -> Result<LinuxSeccomp> {
    serde_json::from_str(json).context("it is no seccomp profile")
}

/// What the process of a profile is filtered by. Calls that this program does not know are passed over, as runtimes do;
/// an action that needs an agent (`SCMP_ACT_NOTIFY`) is an error.
pub fn filter(profile: &LinuxSeccomp) -> Result<Filter> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut listed = Rules::new();
    let mut strict: Vec<(SeccompAction, Rules)> = Vec::new();
    for entry in profile.syscalls().iter().flatten() {
        let action = action(entry.action(), entry.errno_ret())?;
        if action == default {
            continue;
        }
        let rules = rules(entry.args().as_deref().unwrap_or_default())?;
        for call in entry.names().iter().filter_map(|name| name.parse::<Sysno>().ok()) {
            let number = i64::from(call.id());
            add(&mut listed, number, &rules);
            if action == SeccompAction::Allow {
                continue;
            }
            match strict.iter_mut().find(|(known, _)| *known == action) {
                Some((_, calls)) => add(calls, number, &rules),
                None => strict.push((action.clone(), [(number, rules.clone())].into())),
            }
        }
    }
    let mut programs = Vec::new();
    // one that refuses seccomp(2) itself comes last: nothing is installed after it
    let mut last = Vec::new();
    for (action, calls) in strict {
        let place = if calls.contains_key(&libc::SYS_seccomp) { &mut last } else { &mut programs };
        place.push(compile(calls, SeccompAction::Allow, action)?);
    }
    if default == SeccompAction::Allow {
        programs.insert(0, without_x32());
    } else {
        let place = if listed.contains_key(&libc::SYS_seccomp) { &mut programs } else { &mut last };
        place.push(compile(listed, default, SeccompAction::Allow)?);
    }
    programs.append(&mut last);
    Ok(Filter { programs, flags: flags(profile) })
}

/// Those of seccomp(2) that mean something to a process of one thread without an agent.
fn flags(profile: &LinuxSeccomp) -> u64 {
    let flag = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync | LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
    };
    profile.flags().iter().flatten().map(flag).fold(0, |mask, flag| mask | flag)
}

/// Kills who would go round a list of forbidden calls by the numbers of x32.
fn without_x32() -> BpfProgram {
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        instruction((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0),
        instruction((libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, 0, 1, X32),
        instruction((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// No rules mean: whatever the arguments.
fn add(calls: &mut Rules, number: i64, rules: &[SeccompRule]) {
    match calls.get_mut(&number) {
        None => {
            calls.insert(number, rules.to_vec());
        }
        Some(known) if known.is_empty() || rules.is_empty() => known.clear(),
        Some(known) => known.extend_from_slice(rules),
    }
}

fn action(action: LinuxSeccompAction, value: Option<u32>) -> Result<SeccompAction> {
    let value = value.unwrap_or(libc::EPERM as u32);
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => SeccompAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => SeccompAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => SeccompAction::Trap,
        LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno(value),
        LinuxSeccompAction::ScmpActTrace => SeccompAction::Trace(value),
        LinuxSeccompAction::ScmpActLog => SeccompAction::Log,
        LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow,
        LinuxSeccompAction::ScmpActNotify => anyhow::bail!("the action SCMP_ACT_NOTIFY is not supported"),
    })
}

/// All conditions have to hold; but where one argument has several, each of them alone is enough, as runtimes read it.
fn rules(arguments: &[LinuxSeccompArg]) -> Result<Vec<SeccompRule>> {
    let conditions = arguments.iter().map(condition).collect::<Result<Vec<_>>>()?;
    let indices: BTreeSet<_> = arguments.iter().map(LinuxSeccompArg::index).collect();
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    if indices.len() == conditions.len() {
        return Ok(vec![SeccompRule::new(conditions)?]);
    }
    conditions.into_iter().map(|condition| Ok(SeccompRule::new(vec![condition])?)).collect()
}

fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition> {
    let (operator, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, argument.value()),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, argument.value()),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, argument.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(argument.value()), argument.value_two().unwrap_or_default())
        }
    };
    let index = u8::try_from(argument.index()).context("an argument's index is too large")?;
    Ok(SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filter_of(json: &str) -> Result<Filter> {
        filter(&parse(json)?)
    }

    #[test]
    fn a_profile_becomes_a_program_for_each_of_its_actions() {
        let cases = [
            // what is allowed by default needs the way round closed
            (r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, 1),
            (r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#, 1),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                    {"names": ["mkdirat", "unheard_of"], "action": "SCMP_ACT_ERRNO"},
                    {"names": ["chmod", "fchmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                    {"names": ["ptrace"], "action": "SCMP_ACT_TRACE"},
                    {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
                4,
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
                    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args":
                        [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
                    {"names": ["read"], "action": "SCMP_ACT_LOG"}]}"#,
                2,
            ),
        ];
        for (json, count) in cases {
            assert_eq!(filter_of(json).unwrap().programs.len(), count, "{json}");
        }
        let wrong = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls":
            [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#;
        for wrong in ["", "{}", "[]", r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, wrong] {
            assert!(filter_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_program_that_refuses_seccomp_itself_is_the_last() {
        let ends_with = |program: &BpfProgram, action: u32| program.iter().any(|one| one.k == action);
        let errno = |number: u32| libc::SECCOMP_RET_ERRNO | number;
        let refused = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["seccomp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 6}]}"#;
        assert!(ends_with(filter_of(refused).unwrap().programs.last().unwrap(), errno(5)));
        let unlisted = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5, "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 6}]}"#;
        assert!(ends_with(filter_of(unlisted).unwrap().programs.last().unwrap(), errno(5)));
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives() {
        let argument = |index: u32| {
            let json = serde_json::json!({"index": index, "value": 1, "op": "SCMP_CMP_EQ"});
            serde_json::from_value::<LinuxSeccompArg>(json).unwrap()
        };
        assert_eq!(rules(&[]).unwrap().len(), 0);
        assert_eq!(rules(&[argument(0), argument(1)]).unwrap().len(), 1);
        assert_eq!(rules(&[argument(0), argument(0)]).unwrap().len(), 2);
    }

    #[test]
    fn flags_are_the_kernels() {
        let json = r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}"#;
        assert_eq!(filter_of(json).unwrap().flags, libc::SECCOMP_FILTER_FLAG_LOG);
    }
}

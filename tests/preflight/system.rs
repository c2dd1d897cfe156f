//! The kernel, its limits and its control groups.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::libc;
use nix::mount::{MsFlags, mount};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{on_a_machine, uncover};
use crate::support::Run;

#[test]
fn this_machine_has_what_pods_need_and_one_without_control_groups_has_not() {
    on_a_machine(|machine| {
        machine.preflight(&[]).ends(0).says("SystemVerification", "ok", &[]);
        uncover(Path::new("/sys/fs/cgroup"));
        let none = ["control groups", "no control groups are mounted"];
        machine.preflight(&[]).ends(2).says("SystemVerification", "error", &none);
    });
}

/// Covers a file of /proc with this text.
fn pretend(machine: &super::Machine, file: &str, text: &str) {
    let fake = machine.write("fake", text);
    mount(Some(&fake), file, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

#[test]
fn swap_is_told_by_name() {
    on_a_machine(|machine| {
        pretend(machine, "/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1048572 0 -2\n");
        machine.preflight(&[]).ends(0).says("Swap", "warning", &["`/dev/sda2`"]);
    });
}

#[test]
fn a_kernel_without_overlayfs_is_refused() {
    on_a_machine(|machine| {
        pretend(machine, "/proc/filesystems", "nodev\tproc\n\text4\n");
        machine.preflight(&[]).ends(2).says("SystemVerification", "error", &["no overlayfs"]);
        let ignored = machine.preflight(&["--ignore-preflight-errors=systemverification"]);
        ignored.ends(0).says("SystemVerification", "warning", &["no overlayfs"]);
    });
}

#[test]
fn too_few_open_files_are_told() {
    on_a_machine(|machine| {
        let root = format!("--root={}", machine.root().display());
        let mut command = Command::new("prlimit");
        command.args(["--nofile=1024:4096", env!("CARGO_BIN_EXE_bootstrap"), "init", "phase", "preflight"]);
        let run = Run::from(command.args([&root, "--node-name=localhost"]).output().expect("`prlimit` of util-linux"));
        assert!(run.stderr.contains("warning: [OpenFiles] a process may open 4096 files"), "{run:?}");
    });
}

#[test]
fn a_user_who_may_watch_nothing_more_is_refused() {
    on_a_machine(|machine| {
        let root = format!("--root={}", machine.root().display());
        // a user namespace has a limit of its own, and its root is root here
        let script = "echo \"$1\" > /proc/sys/user/max_inotify_instances && shift && exec \"$@\"";
        let with = |instances: &str| {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "sh", "-c", script, "sh", instances]);
            command.args([
                env!("CARGO_BIN_EXE_bootstrap"),
                "init",
                "phase",
                "preflight",
                "--node-name=localhost",
                &root,
            ]);
            Run::from(command.output().expect("`unshare` of util-linux"))
        };
        with("4").fails(2, &["error: [Inotify] only 4 more inotify instances"]);
        let run = with("20");
        assert!(run.stderr.contains("warning: [Inotify] only 20 more inotify instances"), "{run:?}");
    });
}

/// From now on this thread, and what it starts, gets this error from a call whose third argument is that.
fn refuse(call: i64, argument: u64, errno: i32) {
    let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, argument).unwrap();
    let rules = [(call, vec![SeccompRule::new(vec![condition]).unwrap()])].into();
    let (otherwise, then) = (SeccompAction::Allow, SeccompAction::Errno(errno as u32));
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram = SeccompFilter::new(rules, otherwise, then, architecture).unwrap().try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}

#[test]
fn a_kernel_without_random_numbers_is_not_waited_for() {
    on_a_machine(|machine| {
        refuse(libc::SYS_getrandom, libc::GRND_NONBLOCK.into(), libc::EAGAIN);
        machine.init(&[]).run().fails(2, &["random number generator is not ready", "hint: wait"]);
        assert_eq!(fs::read_dir(machine.root()).unwrap().count(), 0);
    });
}

#[test]
fn a_call_that_the_runtime_needs_is_tried() {
    on_a_machine(|machine| {
        // the flags of close_range
        refuse(libc::SYS_close_range, 0, libc::ENOSYS);
        let verdicts = machine.preflight(&[]);
        verdicts.ends(2).says("SystemVerification", "error", &["close_range", "Function not implemented"]);
    });
}

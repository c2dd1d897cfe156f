//! What a container may and may not do, as the kernel sees it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use bootstrap::control::PodStatus;
use bootstrap::linux::pidfd::PidFd;
use bootstrap::runner::runtime::{Mount, Propagation, Resources, Runtime, SeccompProfile};

use nix::libc::SIGKILL;

use super::case::{Case, config, until};
use super::node::{Node, container, waiting};

fn mount(host: impl AsRef<Path>, container: &str) -> Mount {
    Mount {
        host_path: host.as_ref().to_owned(),
        container_path: container.into(),
        read_only: false,
        propagation: Propagation::Private,
        image: None,
    }
}

const STATUS: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp):|^Cap' /proc/self/status";

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split_once(':').unwrap().1.trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_capabilities_are_those_asked_for() {
    let image = serde_json::json!({ "User": "app", "WorkingDir": "/work/dir", "Env": ["PATH=/bin", "A=1"] });
    let case = Case::with(Default::default(), image).await;
    let (_, text) = case.output_of(config(&format!("{STATUS}; pwd; echo $HOME $HOSTNAME $A; umask"))).await;
    assert_eq!(field(&text, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field(&text, "Gid"), "1001\t1001\t1001\t1001");
    assert_eq!(field(&text, "Groups"), "1001 2000");
    assert_eq!(
        (field(&text, "CapEff"), field(&text, "CapInh"), field(&text, "CapAmb")),
        ("0000000000000000", "0000000000000000", "0000000000000000")
    );
    assert_eq!((field(&text, "NoNewPrivs"), field(&text, "Seccomp")), ("0", "0"));
    assert!(text.ends_with("/work/dir\n/home/app node 1\n0022\n"), "{text}");

    let mut strict = config(STATUS);
    strict.security.strict_groups = true;
    strict.security.supplemental_groups = vec![4242];
    let (_, text) = case.output_of(strict).await;
    assert_eq!(field(&text, "Groups"), "1001 4242");

    let mut root = config(STATUS);
    root.security.run_as_user = Some(0);
    root.security.drop_capabilities = vec!["ALL".into()];
    root.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
    root.security.no_new_privileges = true;
    root.security.supplemental_groups = vec![4242];
    let (_, text) = case.output_of(root).await;
    assert_eq!((field(&text, "CapEff"), field(&text, "CapBnd")), ("0000000000000400", "0000000000000400"));
    assert_eq!((field(&text, "NoNewPrivs"), field(&text, "Groups")), ("1", "0 4242"));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_protect_from_the_oom_killer_starts_it_all_the_same() {
    let case = Case::new().await;
    let mut config = config("cat /proc/self/oom_score_adj");
    config.resources.oom_score_adj = Some(-997);
    let (exit, text) = case.output_of(config.clone()).await;
    let own: i32 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    assert!(exit.code == 0 && [-997, own].contains(&text.trim().parse().unwrap()), "{text}");
    config.resources.oom_score_adj = Some(500);
    let (_, text) = case.output_of(config).await;
    assert_eq!(text, "500\n");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_profile_refuses_what_a_container_does_not_need() {
    let case = Case::new().await;
    let script = format!(
        "{STATUS}; unshare -m true; echo unshare $?; chroot / true; echo chroot $?; mount -t tmpfs x /tmp; echo mount $?"
    );
    let mut config = config(&script);
    config.security.seccomp = SeccompProfile::RuntimeDefault;
    // one that would be allowed by capability alone
    config.security.add_capabilities = vec!["SYS_TIME".into()];
    let (_, text) = case.output_of(config.clone()).await;
    assert_eq!((field(&text, "Seccomp"), field(&text, "NoNewPrivs")), ("2", "0"));
    assert!(text.contains("unshare 1") && text.contains("chroot 0") && text.contains("mount 1"), "{text}");
    assert!(text.contains("unshare: unshare(0x20000): Operation not permitted"), "{text}");
    config.security.add_capabilities = vec!["SYS_ADMIN".into()];
    let (_, text) = case.output_of(config.clone()).await;
    assert!(text.contains("unshare 0") && text.contains("mount 0"), "{text}");
    config.security.privileged = true;
    let (_, text) = case.output_of(config).await;
    assert_eq!(field(&text, "Seccomp"), "0");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_the_machine_holds_for_the_container_and_its_commands() {
    let case = Case::new().await;
    let profiles = case.layout.seccomp_profiles();
    fs::create_dir_all(profiles.join("sub")).unwrap();
    let write = |name: &str, text: &str| fs::write(profiles.join(name), text).unwrap();
    // the mode 0o700 alone is refused
    write(
        "sub/mode.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat", "unheard_of"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args":
                [{"index": 1, "value": 448, "op": "SCMP_CMP_EQ"}]},
            {"names": ["fchmodat"], "action": "SCMP_ACT_ERRNO", "args":
                [{"index": 2, "value": 448, "op": "SCMP_CMP_EQ"}]},
            {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getppid"], "action": "SCMP_ACT_LOG"}]}"#,
    );
    write("broken.json", "{");
    symlink("sub/mode.json", profiles.join("link.json")).unwrap();
    let script = format!(
        "{STATUS}; mkdir /data/new 2>&1; echo mkdir $?; chmod 700 /data 2>&1; echo closed $?; chmod 755 /data; \
         echo open $?; sync; echo sync $?; sleep 600"
    );
    let mut config = config(&script);
    config.security.seccomp = SeccompProfile::Localhost("link.json".into());
    let container = case.run_with(config.clone()).await;
    case.until_logged(&container, "sync 159").await;
    let text = case.text(&container);
    assert_eq!((field(&text, "Seccomp"), field(&text, "NoNewPrivs")), ("2", "0"));
    assert_eq!(field(&text, "CapEff"), "00000000a80425fb", "nothing is left of what installing takes");
    assert!(text.contains("No space left on device\nmkdir 1\n"), "{text}");
    assert!(text.contains("Operation not permitted\nclosed 1\nopen 0\n"), "{text}");
    // the file may go: the container keeps its profile, and so does what joins it
    fs::remove_file(profiles.join("sub/mode.json")).unwrap();
    let command = ["sh", "-c", "grep Seccomp: /proc/self/status; sync; echo $?"].map(String::from);
    let ran = case.runtime.exec_sync(&container.id, &command, std::time::Duration::from_secs(60)).await.unwrap();
    let said = String::from_utf8_lossy(&ran.output).into_owned();
    assert!(said.starts_with("Seccomp:\t2\n") && said.ends_with("159\n"), "{said}");
    fs::write(case.path("outside.json"), "{}").unwrap();
    symlink(case.path("outside.json"), profiles.join("escape.json")).unwrap();
    let sandbox = case.sandbox().await;
    for (file, cause) in [
        ("absent.json", "No such file"),
        ("broken.json", "it is no seccomp profile"),
        ("escape.json", "cross-device link"),
    ] {
        config.security.seccomp = SeccompProfile::Localhost(file.into());
        let error = case.runtime.create_container(&sandbox.id, &config).await.unwrap_err();
        let text = bootstrap::error::chain_of(&error.into());
        assert!(text.contains(&format!("cannot load seccomp profile `{}`", profiles.join(file).display())), "{text}");
        assert!(text.to_lowercase().contains(&cause.to_lowercase()), "{text}");
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_75_calls_are_filtered_by_default_where_the_node_says_so() {
    let node = Node::with(|options| options.seccomp_default = true).await;
    let profiles = node.layout().seccomp_profiles();
    fs::create_dir_all(&profiles).unwrap();
    fs::write(profiles.join("all.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let spec = |profile: serde_json::Value| {
        let mut main = container("main", "grep Seccomp: /proc/1/status");
        main["securityContext"] = serde_json::json!({ "seccompProfile": profile });
        serde_json::json!({ "containers": [main] })
    };
    let local = |file: &str| serde_json::json!({ "type": "Localhost", "localhostProfile": file });
    for (name, profile, mode) in [
        ("unspecified", serde_json::Value::Null, 2),
        ("unconfined", serde_json::json!({ "type": "Unconfined" }), 0),
        ("default", serde_json::json!({ "type": "RuntimeDefault" }), 2),
        ("local", local("all.json"), 2),
    ] {
        let ended = node.run(name, spec(profile)).await;
        assert_eq!(node.text(&ended, "main"), format!("Seccomp:\t{mode}\n"), "{name}");
    }
    let mut privileged = spec(serde_json::Value::Null);
    privileged["containers"][0]["securityContext"] = serde_json::json!({ "privileged": true });
    let ended = node.run("privileged", privileged).await;
    assert_eq!(node.text(&ended, "main"), "Seccomp:\t0\n");
    node.apply("absent", spec(local("absent.json")));
    let told = |pod: &PodStatus| {
        waiting(pod, "main").is_some_and(|(reason, message)| {
            reason == "CreateContainerError" && message.contains("cannot load seccomp profile")
        })
    };
    node.pod("absent", told).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_hidden_unless_privileged() {
    let case = Case::new().await;
    let script = "echo 1 > /proc/sys/kernel/hostname && echo sysctl; mkdir /sys/fs/cgroup/x && echo cgroup; \
                  for group in /sys/fs/cgroup/*; do mkdir $group/x && echo cgroup; done; ls /dev; ls -A /sys/firmware | wc -l; readlink /proc/1/exe; \
                  mknod /data/zero c 1 5; cat /data/zero; mknod /dev/m b 7 0 && cat /dev/m && echo block";
    let (_, text) = case.output_of(config(script)).await;
    assert!(!text.contains("sysctl\n") && !text.contains("cgroup\n") && !text.contains("block"), "{text}");
    let devices = [
        "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ];
    for line in text.lines().filter(|line| !line.contains(' ') && line.chars().all(char::is_alphabetic)) {
        assert!(devices.contains(&line), "{line} in {text}");
    }
    assert!(text.contains("can't open '/data/zero'"), "a device node on the image: {text}");
    assert!(text.contains("/bin/busybox"), "its own first process: {text}");
    let mut privileged =
        config("mount -t tmpfs x /tmp && echo mounted; ls /dev; mknod /data/zero c 1 5; head -c 1 /data/zero | wc -c");
    privileged.security.privileged = true;
    let (_, text) = case.output_of(privileged).await;
    assert!(text.starts_with("mounted\n") && text.ends_with("1\n"), "{text}");
    let (node, _) =
        fs::read_dir("/sys/class/block").unwrap().flatten().map(|entry| (entry.file_name(), ())).next().unwrap();
    assert!(text.contains(node.to_str().unwrap()), "{node:?} in {text}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_is_read_only() {
    let case = Case::new().await;
    let writable = case.path("writable");
    fs::create_dir(&writable).unwrap();
    let mut config =
        config("echo x > /data/x; echo x > /etc/hosts; echo x > /dev/shm/x && echo shm; echo x > /w/x && echo volume");
    config.security.read_only_root_filesystem = true;
    config.mounts = vec![mount(&writable, "/w")];
    let (_, text) = case.output_of(config).await;
    assert!(
        text.contains("can't create /data/x: Read-only") && text.contains("can't create /etc/hosts: Read-only"),
        "{text}"
    );
    assert!(text.starts_with("shm\nvolume\n"), "{text}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_of_all_kinds() {
    let case = Case::new().await;
    let path = |name: &str| case.path("host").join(name);
    fs::create_dir_all(path("dir/sub")).unwrap();
    fs::write(path("file"), "file\n").unwrap();
    fs::write(path("dir/a"), "a\n").unwrap();
    fs::write(path("pki"), "hosts of its own\n").unwrap();
    symlink("file", path("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let script = "cat /v/dir/a /v/file /v/link /v/nested/file /etc/hosts; stat -c %F /v/socket /v/missing; cat /etc/hostname; \
                  echo x > /v/ro/x; echo x > /v/file && echo written; echo new > /v/dir/sub/new; wc -l < /etc/resolv.conf";
    let mut config = config(script);
    config.mounts = vec![
        mount(path("file"), "/v/nested/file"),
        mount(path("dir"), "/v/nested"),
        mount(path("dir"), "/v/dir"),
        mount(path("file"), "/v/file"),
        mount(path("link"), "/v/link"),
        mount(path("socket"), "/v/socket"),
        mount(path("not/there"), "/v/missing"),
        mount(path("pki"), "/etc/hosts"),
        Mount { read_only: true, ..mount(path("dir"), "/v/ro") },
    ];
    fs::write(path("dir/file"), "").unwrap();
    let (_, text) = case.output_of(config).await;
    assert!(text.starts_with("a\nfile\nfile\nfile\nhosts of its own\nsocket\ndirectory\nnode\n"), "{text}");
    assert!(text.contains("can't create /v/ro/x: Read-only") && text.contains("\nwritten\n"), "{text}");
    assert_eq!(fs::read_to_string(path("dir/sub/new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "x\n");
    assert_eq!(fs::metadata(path("not/there")).unwrap().permissions().mode() & 0o7777, 0o755);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_images_and_sources_lead_nowhere() {
    let case = Case::new().await;
    let sandbox = case.sandbox().await;
    let outside = case.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(case.path("absent"), case.path("dangling")).unwrap();
    symlink("loop", case.path("loop")).unwrap();
    for (source, target) in [("dangling", "/v"), ("loop", "/v"), ("outside", "/proc/self"), ("outside", "/proc")] {
        let mut config = config("true");
        config.mounts = vec![mount(case.path(source), target)];
        let error = case.runtime.create_container(&sandbox.id, &config).await.unwrap_err();
        let words = bootstrap::error::chain_of(&error.into());
        assert!(words.contains(source) || words.contains(target), "{words}");
    }
    // what a container left in a volume does not lead the next one's mounts out of its root
    let volume = case.path("volume");
    fs::create_dir(&volume).unwrap();
    symlink(&outside, volume.join("escape")).unwrap();
    symlink("/proc/self/root", volume.join("root")).unwrap();
    fs::write(case.path("precious"), "precious\n").unwrap();
    let mut config = config("ls -A /v; cat /v/escape/planted");
    config.mounts = vec![mount(&volume, "/v"), mount(case.path("precious"), "/v/escape/planted")];
    config.working_dir = Some("/v/escape/work".into());
    match case.runtime.create_container(&sandbox.id, &config).await {
        Ok(container) => {
            case.runtime.start_container(&container.id).await.unwrap();
            case.wait(&container).await;
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside");
    assert!(!case.path("absent").exists());
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_136_mounts_propagate_each_as_it_asks() {
    let case = Case::new().await;
    let shared = case.path("shared");
    fs::create_dir(&shared).unwrap();
    let run =
        |arguments: &[&str]| assert!(Command::new("mount").args(arguments).arg(&shared).status().unwrap().success());
    run(&["-t", "tmpfs", "tmpfs"]);
    run(&["--make-shared"]);
    fs::create_dir(shared.join("host")).unwrap();
    fs::create_dir(shared.join("container")).unwrap();
    fs::create_dir(shared.join("open")).unwrap();
    fs::create_dir(shared.join("inner")).unwrap();
    let script = "echo ready; until grep -q ' /v/host ' /proc/self/mountinfo; do sleep 0.01; done; echo seen; \
                  mount -t tmpfs x /v/container && echo mounted; sleep 600";
    let mut both = config(script);
    both.security.privileged = true;
    both.mounts = vec![
        Mount { propagation: Propagation::Bidirectional, ..mount(&shared, "/v") },
        Mount { propagation: Propagation::HostToContainer, ..mount(&shared, "/in") },
        mount(&shared, "/closed"),
        Mount { propagation: Propagation::Bidirectional, ..mount(&shared, "/closed/open") },
    ];
    let mut private = config("echo ready; sleep 600");
    private.mounts = vec![mount(&shared, "/v")];
    private.log_path = "private/0.log".into();
    let (both, private) = (case.run_with(both).await, case.run_with(private).await);
    case.until_logged(&both, "ready").await;
    case.until_logged(&private, "ready").await;
    let host = shared.join("host");
    assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&host).status().unwrap().success());
    case.until_logged(&both, "mounted").await;
    let container = shared.join("container");
    until(|| fs::read_to_string("/proc/self/mountinfo").unwrap().contains(container.to_str().unwrap())).await;
    let command = ["sh", "-c", "grep -c ' /v/' /proc/self/mountinfo"].map(String::from);
    let seen = case.runtime.exec_sync(&private.id, &command, std::time::Duration::from_secs(20)).await.unwrap();
    assert_eq!(seen.output, b"0\n");
    let script = "for at in /v /in /closed /closed/open; do grep -c \" $at/host \" /proc/self/mountinfo; done; \
                  mount -t tmpfs x /in/inner";
    let command = ["sh", "-c", script].map(String::from);
    let seen = case.runtime.exec_sync(&both.id, &command, std::time::Duration::from_secs(20)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.output), "1\n1\n0\n1\n");
    let inner = shared.join("inner");
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(inner.to_str().unwrap()), "one way only");
    for path in [&host, &container, &shared] {
        assert!(Command::new("umount").arg(path).status().unwrap().success());
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_cannot_be_set_does_not_cost_the_container() {
    let case = Case::new().await;
    let mut config = config("echo fine");
    config.resources = Resources {
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        memory_limit: Some(64 << 20),
        pids_limit: Some(64),
        oom_score_adj: None,
    };
    let (exit, text) = case.output_of(config).await;
    assert_eq!((exit.code, text.as_str()), (0, "fine\n"));
    case.finish().await;
}

/// What depends on control groups, again where version 2 is alone.
#[test]
fn version_2_of_control_groups_does_as_well() {
    const AGAIN: [&str; 8] = [
        "runtime::confinement::a_limit_that_cannot_be_set_does_not_cost_the_container",
        "runtime::confinement::the_machine_is_hidden_unless_privileged",
        "runtime::lifecycle::commands_run_inside",
        "runtime::lifecycle::what_ignores_the_signal_is_killed_with_all_it_has_left_behind",
        "runtime::limits::case_77_a_pod_is_in_the_tier_of_its_class_until_it_is_gone",
        "runtime::limits::what_an_older_runner_has_placed_is_adopted_where_it_is",
        "runtime::recovery::a_killed_shim_is_replaced_and_loses_nothing",
        "runtime::recovery::a_shim_killed_while_it_creates_leaves_nothing",
    ];
    let script = "if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then \
                  umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup; fi && exec \"$0\" \"$@\"";
    let again = Command::new("unshare")
        .args(["--mount", "sh", "-ec", script])
        .arg(std::env::current_exe().unwrap())
        .arg("--exact")
        .args(AGAIN)
        .output()
        .expect("`unshare` runs: install it with `apt-get install util-linux`");
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && text.contains("8 passed"), "{text}{}", String::from_utf8_lossy(&again.stderr));
}

/// Only `allowPrivilegeEscalation: false` takes away what a set-user-ID program gives [3.79].
#[tokio::test(flavor = "multi_thread")]
async fn a_seccomp_profile_costs_no_privileges_and_gives_none() {
    let case = Case::new().await;
    for (user, no_new_privileges) in [(0, false), (0, true), (1000, false), (1000, true)] {
        let mut config = config(&format!("{STATUS}; sleep 600"));
        config.security.run_as_user = Some(user);
        config.security.no_new_privileges = no_new_privileges;
        config.security.drop_capabilities = vec!["SETPCAP".into()];
        let attempt = case.runtime.list_containers().await.unwrap().len();
        config.log_path = format!("main/{attempt}.log").into();
        let unconfined = case.run_with(config.clone()).await;
        config.security.seccomp = SeccompProfile::RuntimeDefault;
        config.log_path = format!("main/{}.log", attempt + 1).into();
        let confined = case.run_with(config).await;
        for container in [&unconfined, &confined] {
            case.until_logged(container, "Seccomp:").await;
        }
        let (before, after) = (case.text(&unconfined), case.text(&confined));
        let command = ["sh", "-c", STATUS].map(String::from);
        let limit = std::time::Duration::from_secs(60);
        let joined = case.runtime.exec_sync(&confined.id, &command, limit).await.unwrap().output;
        for text in [after, String::from_utf8(joined).unwrap()] {
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(field(&text, set), field(&before, set), "{set} {user} {no_new_privileges}");
            }
            let expected = if no_new_privileges { "1" } else { "0" };
            assert_eq!((field(&text, "Seccomp"), field(&text, "NoNewPrivs")), ("2", expected));
        }
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_program_cannot_be_written_to_through_its_processes() {
    let mut case = Case::new().await;
    // a copy that may be lost, and that nobody executes but the shim of this container
    let (program, usual) = (case.path("program"), case.settings.program.clone());
    fs::copy(&usual, &program).unwrap();
    case.settings.program.clone_from(&program);
    case.reopen().await;
    let victim = case.run("sleep 600").await;
    case.settings.program = usual;
    case.reopen().await;
    let shim = case.shim_of(&victim);
    // what is executed cannot be written to; what is open still, once nobody executes it
    let mut attacker = config(&format!(
        "exec 3< /proc/{shim}/exe && echo opened; while [ -d /proc/{shim} ]; do sleep 0.1; done; echo x >> /proc/self/fd/3"
    ));
    attacker.security.add_capabilities = vec!["SYS_PTRACE".into()];
    attacker.log_path = "attacker/0.log".into();
    let mut sandbox = case.sandbox_config();
    sandbox.metadata.uid = "attacker".into();
    sandbox.namespaces.host_pid = true;
    let sandbox = case.runtime.run_pod_sandbox(&sandbox).await.unwrap();
    let attacker = case.runtime.create_container(&sandbox.id, &attacker).await.unwrap();
    case.runtime.start_container(&attacker.id).await.unwrap();
    case.until_logged(&attacker, "opened").await;
    assert!(PidFd::open(shim).unwrap().signal(SIGKILL).unwrap());
    assert_ne!(case.wait(&attacker).await.code, 0);
    let text = case.text(&attacker);
    assert!(text.contains("/proc/self/fd/3: Read-only file system"), "{text}");
    assert_eq!(fs::read(&program).unwrap(), fs::read(&case.settings.program).unwrap());
    // nothing of it stays mounted
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&format!("{}/program", case.state_directory(&attacker).display())), "{mounts}");
    case.finish().await;
}

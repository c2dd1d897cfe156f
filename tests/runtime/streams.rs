//! Commands and containers whose streams are a client's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use bootstrap::linux::cgroup::Cgroups;
use bootstrap::linux::terminal::{self, Size};
use bootstrap::runner::runtime::{Container, ContainerConfig, Runtime, RuntimeResult, Session, StreamOptions};
use nix::libc;

use super::case::{Case, config, until};

const PIPES: StreamOptions = StreamOptions { stdin: true, stdout: true, stderr: true, tty: false };
const TERMINAL: StreamOptions = StreamOptions { stdin: true, stdout: true, stderr: false, tty: true };

async fn exec(case: &Case, container: &Container, script: &str, streams: StreamOptions) -> RuntimeResult<Session> {
    let command = ["sh", "-c", script].map(String::from);
    case.runtime.exec(&container.id, &command, streams).await
}

/// What is left to read; a terminal without processes ends with an error.
fn rest(end: Option<OwnedFd>) -> String {
    let mut bytes = Vec::new();
    match File::from(end.unwrap()).read_to_end(&mut bytes) {
        Err(error) if error.raw_os_error() != Some(libc::EIO) => panic!("{error}"),
        _ => String::from_utf8(bytes).unwrap(),
    }
}

/// Reads until `text` has come.
fn read_until(end: &mut File, text: &str) -> String {
    let mut found = Vec::new();
    while !String::from_utf8_lossy(&found).contains(text) {
        let mut byte = [0];
        end.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&found)));
        found.push(byte[0]);
    }
    String::from_utf8(found).unwrap()
}

async fn exit(session: impl Future<Output = RuntimeResult<i32>>) -> i32 {
    tokio::time::timeout(Duration::from_secs(60), session).await.expect("it ends within a minute").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_streams_and_its_exit_code() {
    let case = Case::new().await;
    let container = case.run("sleep 600").await;
    let session = exec(&case, &container, "cat; echo err >&2; exit 5", PIPES).await.unwrap();
    File::from(session.stdin.unwrap()).write_all(b"through\n").unwrap();
    assert_eq!((rest(session.stdout), rest(session.stderr)), ("through\n".into(), "err\n".into()));
    assert_eq!(exit(session.exit).await, 5);
    // what was not asked for is not there, and no output is waited for
    let session = exec(&case, &container, "cat; echo unseen; kill -9 $$", StreamOptions::default()).await.unwrap();
    assert!(session.stdin.is_none() && session.stdout.is_none() && session.stderr.is_none());
    assert_eq!(exit(session.exit).await, 137);
    let absent = case.runtime.exec(&container.id, &["absent".to_owned()], PIPES).await.err().unwrap();
    assert!(absent.to_string().contains("executable file not found in $PATH"), "{absent}");
    assert!(case.runtime.exec(&container.id, &[], PIPES).await.is_err());
    case.runtime.stop_container(&container.id, Duration::ZERO).await.unwrap();
    let ended = exec(&case, &container, "true", PIPES).await.err().unwrap();
    assert!(ended.to_string().contains("does not run"), "{ended}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_as_its_container() {
    let case = Case::new().await;
    let mut config = config("sleep 600");
    config.env = vec![("GREETING".into(), "hello".into())];
    config.working_dir = Some("/data".into());
    config.security.run_as_user = Some(1000);
    config.security.no_new_privileges = true;
    let container = case.run_with(config).await;
    let script = "echo $GREETING; pwd; id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; read wait";
    let session = exec(&case, &container, script, PIPES).await.unwrap();
    let mut stdout = File::from(session.stdout.unwrap());
    let said = read_until(&mut stdout, "NoNewPrivs:\t1\n");
    assert_eq!(said, "hello\n/data\n1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
    let cgroup = format!("{}/pod0123abcd/{}", case.layout.instance(), container.id);
    assert_eq!(Cgroups::detect().unwrap().at(cgroup).processes().len(), 2, "the container and the command");
    drop(session.stdin);
    assert_eq!(exit(session.exit).await, 1);
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outlives_its_client() {
    let case = Case::new().await;
    let container = case.run("sleep 600").await;
    for (name, streams) in [("pipes", PIPES), ("terminal", TERMINAL)] {
        // more than any pipe or terminal holds
        let script = format!("echo ready; sleep 1; yes | head -c 300000; echo err >&2; echo done > /tmp/{name}");
        let session = exec(&case, &container, &script, streams).await.unwrap();
        read_until(&mut File::from(session.stdout.as_ref().unwrap().try_clone().unwrap()), "ready");
        drop(session);
        let layer = case.layout.pods().join("0123abcd/layers").join(&container.id);
        until(|| layer.join("upper/tmp").join(name).exists()).await;
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_terminal_can_be_interrupted() {
    let case = Case::new().await;
    let mut config = config("sleep 600");
    config.security.run_as_user = Some(1000);
    let container = case.run_with(config).await;
    let script = "trap 'exit 42' INT; busybox tty; busybox stty size; echo again > /dev/tty; echo re > $(busybox tty); \
                  while true; do sleep 0.1; done";
    let session = exec(&case, &container, script, TERMINAL).await.unwrap();
    assert!(session.stderr.is_none());
    let mut stdout = File::from(session.stdout.unwrap());
    let said = read_until(&mut stdout, "re\r\n");
    assert!(said.starts_with("/dev/pts/0\r\n") && said.contains("again\r\n"), "{said}");
    File::from(session.stdin.unwrap()).write_all(&[3]).unwrap();
    assert_eq!(exit(session.exit).await, 42);

    let script = "trap 'busybox stty size; exit 0' WINCH; echo ready; while true; do sleep 0.1; done";
    let session = exec(&case, &container, script, TERMINAL).await.unwrap();
    let mut stdout = File::from(session.stdout.unwrap());
    read_until(&mut stdout, "ready");
    terminal::set_size(session.terminal.as_ref().unwrap(), Size { columns: 132, rows: 43 }).unwrap();
    assert_eq!(exit(session.exit).await, 0);
    assert!(read_until(&mut stdout, "132").contains("43 132"));
    case.finish().await;
}

fn with(script: &str, stdin: bool, once: bool, tty: bool) -> ContainerConfig {
    ContainerConfig { stdin, stdin_once: once, tty, ..config(script) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_client_writes_and_sees_what_comes() {
    let mut case = Case::new().await;
    let script = "echo before; while read line; do printf \"got $line\"; echo \" $line\" >&2; done; echo end";
    let container = case.run_with(with(script, true, false, false)).await;
    case.until_logged(&container, "before").await;
    for round in ["one", "two"] {
        let session = case.runtime.attach(&container.id, PIPES).await.unwrap();
        let (mut stdout, mut stderr) = (File::from(session.stdout.unwrap()), File::from(session.stderr.unwrap()));
        File::from(session.stdin.unwrap()).write_all(format!("{round}\n").as_bytes()).unwrap();
        // before its line has ended
        assert_eq!(read_until(&mut stdout, round), format!("got {round}"));
        assert_eq!(read_until(&mut stderr, "\n"), format!(" {round}\n"));
        // the next client may come by the next runner
        case.reopen().await;
    }
    let session = case.runtime.attach(&container.id, PIPES).await.unwrap();
    case.runtime.stop_container(&container.id, Duration::ZERO).await.unwrap();
    assert_eq!(exit(session.exit).await, 137);
    assert_eq!(rest(session.stdout), "");
    assert!(case.text(&container).starts_with("before\n"));
    let ended = case.runtime.attach(&container.id, PIPES).await.err().unwrap();
    assert!(ended.to_string().contains("does not run"), "{ended}");
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_for_one_client_ends_with_it() {
    let case = Case::new().await;
    let container = case.run_with(with("cat; echo over; sleep 600", true, true, false)).await;
    let watching = StreamOptions { stdin: false, ..PIPES };
    let watcher = case.runtime.attach(&container.id, watching).await.unwrap();
    assert!(watcher.stdin.is_none());
    let first = case.runtime.attach(&container.id, PIPES).await.unwrap();
    let second = case.runtime.attach(&container.id, PIPES).await.unwrap();
    assert!(second.stdin.is_none(), "only the first");
    File::from(first.stdin.unwrap()).write_all(b"mine\n").unwrap();
    for session in [watcher.stdout, second.stdout] {
        assert_eq!(read_until(&mut File::from(session.unwrap()), "over\n"), "mine\nover\n");
    }
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_input_reads_nothing() {
    let case = Case::new().await;
    let container = case.run("cat; echo over; sleep 600").await;
    case.until_logged(&container, "over").await;
    assert!(case.runtime.attach(&container.id, PIPES).await.unwrap().stdin.is_none());
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_may_have_a_terminal() {
    let case = Case::new().await;
    let script = "busybox tty; echo err >&2; while read line; do echo \"got $line\"; done";
    let container = case.run_with(with(script, true, false, true)).await;
    case.until_logged(&container, "err").await;
    let streams: Vec<_> = case.records(&container).into_iter().map(|record| record.stream).collect();
    assert!(streams.iter().all(|stream| stream == "stdout"), "one stream [6.4]: {streams:?}");
    let session = case.runtime.attach(&container.id, TERMINAL).await.unwrap();
    let (mut stdin, mut stdout) = (File::from(session.stdin.unwrap()), File::from(session.stdout.unwrap()));
    stdin.write_all(b"word\n").unwrap();
    assert!(read_until(&mut stdout, "got word\r\n").starts_with("word\r\n"), "it echoes");
    terminal::set_size(session.terminal.unwrap(), Size { columns: 100, rows: 30 }).unwrap();
    let sized = exec(&case, &container, "busybox stty size < /dev/console", PIPES).await.unwrap();
    assert_eq!(rest(sized.stdout), "30 100\n");
    // the end of input, as a person says it
    stdin.write_all(&[4]).unwrap();
    assert_eq!(exit(session.exit).await, 0);
    assert!(case.text(&container).contains("got word\n"));
    case.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_nobody_up() {
    let case = Case::new().await;
    let script = "read line; seq 1 300000; echo finished; sleep 600";
    let container = case.run_with(with(script, true, false, false)).await;
    let mut slow = case.runtime.attach(&container.id, PIPES).await.unwrap();
    File::from(slow.stdin.take().unwrap()).write_all(b"\n").unwrap();
    case.until_logged(&container, "finished").await;
    let told = slow.exit.await.unwrap_err();
    assert!(told.to_string().contains("more slowly"), "{told}");
    assert!(rest(slow.stdout).starts_with("1\n2\n3\n"), "up to where it was let go of");
    case.finish().await;
}

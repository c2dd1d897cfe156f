//! API servers that do not behave: nothing panics, nothing hangs, and a person is told what happened.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bootstrap::api::{ApiServer, Patience};
use bootstrap::desired::object::{self, Object};
use bootstrap::error;
use serde_json::json;

use crate::manifests::{config, late};
use crate::support::inspect::eventually;
use crate::support::{Bootstrap, Run};

/// What a server does with one request.
#[derive(Clone)]
enum Act {
    /// Ends the connection without a word.
    Close,
    /// Says nothing until the client goes away.
    Hang,
    /// Says exactly this.
    Say(String),
    /// Answers with this code and body.
    Answer(u16, String),
}

/// A server on loopback. The last act is repeated.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
    /// First lines of the requests.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Server { url, asked: asked.clone(), requests: requests.clone() };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (acts, asked, requests) = (acts.clone(), asked.clone(), requests.clone());
                thread::spawn(move || serve(connection, &acts, &asked, &requests));
            }
        });
        server
    }

    fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": self.url}}],
            "users": [{"name": "a", "user": {}}],
        })
        .to_string()
    }

    /// Runs `bootstrap token …` against it, and how long that took.
    fn token(&self, arguments: &[&str]) -> (Run, Duration) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kubeconfig");
        std::fs::write(&file, self.kubeconfig()).unwrap();
        let kubeconfig = format!("--kubeconfig={}", file.display());
        let begin = Instant::now();
        let run = Bootstrap::new([&["token"][..], arguments, &[kubeconfig.as_str()]].concat()).run();
        (run, begin.elapsed())
    }
}

fn serve(connection: TcpStream, acts: &[Act], asked: &AtomicUsize, requests: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    while let Some(request) = read_request(&mut reader) {
        requests.lock().unwrap().push(request);
        let index = asked.fetch_add(1, Ordering::Relaxed).min(acts.len() - 1);
        let said = match &acts[index] {
            Act::Close => return,
            Act::Hang => return drop(reader.read(&mut [0; 1])),
            Act::Say(text) => {
                let _ = writer.write_all(text.as_bytes());
                return;
            }
            Act::Answer(code, body) => writer.write_all(
                format!(
                    "HTTP/1.1 {code} Odd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
            ),
        };
        if said.is_err() {
            return;
        }
    }
}

/// The first line, once the whole request has come.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        match line.trim_end() {
            "" => break,
            text if first.is_empty() => first = text.to_owned(),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(first)
}

fn status(code: u16, reason: &str, message: &str) -> Act {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message});
    Act::Answer(code, status.to_string())
}

fn cluster_info() -> Object {
    let objects = object::of_step("bootstrap-token", &config("v1.36.2", ""), &late()).unwrap();
    objects.into_iter().find(|object| object.name == "cluster-info").unwrap()
}

fn applied(object: &Object) -> Act {
    let mut value = object.value.clone();
    value["metadata"]["uid"] = json!("u-1");
    Act::Answer(200, value.to_string())
}

fn apply(server: &Server, object: &Object, patience: Patience) -> error::Result<bootstrap::api::Applied> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { ApiServer::connect(&server.kubeconfig(), &server.url).await?.apply(object, patience).await })
}

#[test]
fn trouble_of_every_kind_is_waited_out() {
    let object = cluster_info();
    let server = Server::new(vec![
        Act::Close,
        Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"half\":".to_owned()),
        Act::Say("SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        Act::Answer(200, "<html>".to_owned()),
        Act::Answer(502, "<html>bad gateway</html>".to_owned()),
        Act::Answer(500, String::new()),
        status(429, "TooManyRequests", "later"),
        status(403, "Forbidden", "not yet"),
        status(404, "NotFound", "namespaces \"kube-public\" not found"),
        status(409, "Conflict", "the object has been modified"),
        applied(&object),
    ]);
    let done = apply(&server, &object, Patience::For(Duration::from_secs(60))).unwrap();
    assert_eq!(done.uid.as_deref(), Some("u-1"));
    // an unforced apply each time
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 11);
    let request = "PATCH /api/v1/namespaces/kube-public/configmaps/cluster-info?&fieldManager=bootstrap HTTP/1.1";
    assert!(requests.iter().all(|line| line == request), "{requests:#?}");
}

#[test]
fn a_final_answer_is_not_asked_for_again() {
    let object = cluster_info();
    let server = Server::new(vec![status(422, "Invalid", "field is immutable")]);
    let error = apply(&server, &object, Patience::For(Duration::from_secs(60))).unwrap_err();
    let expected = "cannot apply ConfigMap `kube-public/cluster-info`: field is immutable";
    assert_eq!(error::chain_of(&error), expected);
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn patience_ends_and_the_last_trouble_is_told() {
    let server = Server::new(vec![Act::Answer(503, "<html>\n<body>starting</body></html>".to_owned())]);
    let error = apply(&server, &cluster_info(), Patience::For(Duration::from_secs(1))).unwrap_err();
    assert_eq!(error::exit_of(&error), error::Exit::TimedOut);
    let told = error::chain_of(&error);
    assert!(
        told.contains("gave up after 1 s") && told.contains("failed with code 503: <html> <body>starting"),
        "{told}"
    );
    assert!(server.asked.load(Ordering::Relaxed) > 3);
}

#[test]
fn what_somebody_else_has_changed_is_taken_back_and_told() {
    let object = cluster_info();
    let conflict = json!({"code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
        {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using v1", "field": ".data.kubeconfig"}
    ]}});
    let server = Server::new(vec![Act::Answer(409, conflict.to_string()), applied(&object)]);
    let done = apply(&server, &object, Patience::Once).unwrap();
    assert_eq!(done.taken_back.len(), 1);
    assert_eq!((&*done.taken_back[0].manager, &*done.taken_back[0].field), ("kubectl-edit", ".data.kubeconfig"));
    let requests = server.requests.lock().unwrap();
    assert!(!requests[0].contains("force=true") && requests[1].contains("force=true"), "{requests:#?}");
}

#[test]
fn a_command_tells_what_an_odd_server_did() {
    for (act, expected) in [
        (Act::Close, "cannot be reached: "),
        (Act::Say("SSH-2.0-OpenSSH_9.2\r\n".to_owned()), "cannot be reached: "),
        (Act::Answer(200, "<html>".to_owned()), "does not answer as an API server does"),
        (Act::Answer(200, "{\"items\": 7}".to_owned()), "does not answer as an API server does"),
        (Act::Answer(502, "<html>\nbad gateway</html>".to_owned()), "failed with code 502: <html> bad gateway</html>"),
        (status(401, "Unauthorized", "Unauthorized"), "hint: the kubeconfig is of another cluster"),
        (status(403, "Forbidden", "secrets is forbidden"), "secrets is forbidden\nhint: `--kubeconfig` takes"),
    ] {
        let (run, took) = Server::new(vec![act]).token(&["list"]);
        run.fails(1, &["error: cannot list the tokens: ", expected]);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_on() {
    let (run, took) = Server::new(vec![Act::Hang]).token(&["create"]);
    run.fails(1, &["cannot create the token: ", "no answer within 10 s", "hint: `bootstrap status`"]);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn an_interrupt_ends_the_wait() {
    let server = Server::new(vec![Act::Hang]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.kubeconfig()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .args(["token", "list", &format!("--kubeconfig={}", file.path().display())])
        .spawn()
        .unwrap();
    eventually("the question", || (server.asked.load(Ordering::Relaxed) > 0).then_some(()));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_server_that_is_down_is_told_at_once() {
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let server = Server { url, asked: Arc::default(), requests: Arc::default() };
    for arguments in [&["list"][..], &["create"], &["delete", "abcdef"]] {
        let (run, took) = server.token(arguments);
        run.fails(1, &["cannot be reached: Connection refused", "hint: `bootstrap status`"]);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn tokens_are_made_checked_and_deleted_one_by_one() {
    let made =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bootstrap-token-abcdef"}}).to_string();
    let server = Server::new(vec![Act::Answer(201, made.clone()), status(409, "AlreadyExists", "it already exists")]);
    let (run, _) = server.token(&["create", "abcdef.0123456789abcdef", "--dry-run"]);
    let run = run.succeeds();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("abcdef.0123456789abcdef\n", "Nothing was done.\n"));
    assert!(server.requests.lock().unwrap()[0].contains("dryRun=All"));
    let (run, _) = server.token(&["create", "abcdef.0123456789abcdef"]);
    run.fails(1, &["a token with id \"abcdef\" already exists", "hint: `bootstrap token delete abcdef`"]);

    let server = Server::new(vec![status(404, "NotFound", "no"), Act::Answer(200, made)]);
    let (run, _) = server.token(&["delete", "zzzzzz", "abcdef.0123456789abcdef"]);
    assert!(run.stdout.contains("bootstrap token \"abcdef\" deleted"), "{}", run.stdout);
    run.fails(1, &["there is no bootstrap token \"zzzzzz\""]);
}

#[test]
fn wrong_words_are_refused_before_anything_is_asked() {
    let server = Server::new(vec![Act::Close]);
    for (arguments, expected) in [
        (&["create", "abcdef.0123456789abcdeX"][..], "TOKEN: bootstrapTokens[0].token: Invalid value"),
        (&["create", "--ttl=tomorrow"], "--ttl: bootstrapTokens[0].ttl"),
        (&["create", "--usages=everything"], "--usages: bootstrapTokens[0].usages"),
        (&["create", "--groups=admins"], "--groups: bootstrapTokens[0].groups"),
        (&["create", "--certificate-key=00"], "--print-join-command"),
        (&["create", "--print-join-command", "--certificate-key=00"], "32 bytes"),
        (&["delete", "abcdef.secret"], "argument 1 is no token"),
    ] {
        let (run, _) = server.token(arguments);
        assert!(!run.stderr.contains("0123456789abcdeX") && !run.stderr.contains("abcdef.secret"), "{}", run.stderr);
        run.fails(2, &[expected]);
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
    Bootstrap::new(["token", "list", "--root=/nowhere"])
        .run()
        .fails(2, &["no kubeconfig: cannot read `/nowhere/etc/kubernetes/admin.conf`", "hint: run it as root"]);
}

#[test]
fn a_generated_token_can_be_given_back() {
    let generate = || Bootstrap::new(["token", "generate"]).run().succeeds().stdout;
    let token = generate();
    let token = token.trim_end();
    let well_formed = token.len() == 23 && token.as_bytes()[6] == b'.';
    assert!(
        well_formed && token.replace('.', "").bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
    assert_ne!(generate().trim_end(), token);
}

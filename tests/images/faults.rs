//! Registries that break off, lie, redirect or stall.

use std::fs;
use std::sync::Mutex;

use bootstrap::error::{Exit, chain_of, exit_of};
use bootstrap::image::digest::Digest;
use bootstrap::image::pull::Event;
use bootstrap::image::registry::credentials::Credentials;

use super::Machine;
use super::faulty::{Answer, Faulty};
use crate::support::registry::Content;

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let content = Content::new(&["one", "two"]);
    let large = content.layers[1].clone();
    let half = large.len() / 2;
    let tried = Mutex::new(0);
    let server = Faulty::start(content.clone(), move |request, ordinary| {
        if !request.path.ends_with(&Digest::of(&large).to_string()) {
            return ordinary;
        }
        let mut tried = tried.lock().unwrap();
        *tried += 1;
        match *tried {
            1 => Answer { cut_after: Some(half), ..ordinary },
            2 => Answer::status(503),
            _ => {
                let from: usize = request
                    .header("range")
                    .unwrap()
                    .strip_prefix("bytes=")
                    .unwrap()
                    .trim_end_matches('-')
                    .parse()
                    .unwrap();
                assert_eq!(from, half);
                Answer { status: 206, body: large[from..].to_vec(), ..ordinary }
            }
        }
    });
    let machine = Machine::new();
    let (image, seen) = machine.pull(&format!("{}/app:1", server.host)).unwrap();
    assert_eq!(fs::read_to_string(image.layers[1].join("two")).unwrap(), "two");
    assert_eq!(seen.count(|event| matches!(event, Event::Retrying { .. })), 2);
}

/// Nothing that a registry sends may end up in the store unless it is what was asked for.
#[test]
fn a_lying_registry_is_refused() {
    type Lie = fn(&Content, &str, Answer) -> Answer;
    let cases: [(&str, &str, Lie); 5] = [
        ("another layer", "sent `sha256", |content, path, answer| {
            let layer = Digest::of(&content.layers[1]).to_string();
            if path.ends_with(&layer) { Answer { body: vec![0; content.layers[1].len()], ..answer } } else { answer }
        }),
        ("a longer layer", "sent more than", |content, path, answer| {
            let layer = Digest::of(&content.layers[1]).to_string();
            if path.ends_with(&layer) { Answer { body: [answer.body, vec![0; 9]].concat(), ..answer } } else { answer }
        }),
        ("another configuration", "sent `sha256", |content, path, answer| {
            let configuration = Digest::of(&content.configuration).to_string();
            if path.ends_with(&configuration) { Answer { body: b"{}".to_vec(), ..answer } } else { answer }
        }),
        ("an endless manifest", "sent more than", |_, path, answer| {
            if path.ends_with("/1") { Answer { body: vec![b' '; 9 << 20], ..answer } } else { answer }
        }),
        ("no manifest", "not a manifest", |_, path, answer| {
            if path.ends_with("/1") { Answer { body: b"<html>".to_vec(), ..answer } } else { answer }
        }),
    ];
    for (case, part, lie) in cases {
        let content = Content::new(&["one", "two"]);
        let known = content.clone();
        let server = Faulty::start(content, move |request, answer| lie(&known, &request.path, answer));
        let machine = Machine::new();
        let error = machine.pull(&format!("{}/app:1", server.host)).err().expect(case);
        assert!(chain_of(&error).contains(part), "{case}: {}", chain_of(&error));
        assert_eq!(exit_of(&error), Exit::Failed, "{case}");
        machine.assert_empty_or_new();
    }
}

#[test]
fn a_token_is_asked_for_and_used() {
    let content = Content::new(&["one"]);
    let server = Faulty::start(content, |request, ordinary| {
        if request.path.starts_with("/token") {
            assert_eq!(request.header("authorization"), Some("Basic dXNlcjpodW50ZXIy"));
            assert!(request.path.contains("scope=repository%3Aapp%3Apull") && request.path.contains("service=here"));
            return Answer { body: br#"{"token":"good"}"#.to_vec(), ..Answer::status(200) };
        }
        if request.header("authorization") == Some("Bearer good") {
            return ordinary;
        }
        let host = request.header("host").unwrap();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"here\"");
        Answer { headers: vec![("WWW-Authenticate".into(), challenge)], ..Answer::status(401) }
    });
    let mut machine = Machine::new();
    let config = machine.directory.path().join("config.json");
    fs::write(&config, format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpodW50ZXIy"}}}}}}"#, server.host)).unwrap();
    machine.credentials = Credentials::in_files(vec![config]);
    machine.pull(&format!("{}/app:1", server.host)).unwrap();
}

#[test]
fn a_redirect_does_not_carry_credentials_elsewhere() {
    let content = Content::new(&["one"]);
    let elsewhere = Faulty::start(content.clone(), |request, ordinary| {
        assert_eq!(request.header("authorization"), None);
        ordinary
    });
    // another name of the same machine is another host
    let target = elsewhere.host.replace("127.0.0.1", "localhost");
    let server = Faulty::start(content, move |request, ordinary| {
        if request.header("authorization").is_none() {
            let challenge = "Basic realm=\"r\"".to_owned();
            return Answer { headers: vec![("WWW-Authenticate".into(), challenge)], ..Answer::status(401) };
        }
        if request.path.contains("/blobs/") {
            let location = format!("http://{target}{}", request.path);
            return Answer { headers: vec![("Location".into(), location)], ..Answer::status(307) };
        }
        ordinary
    });
    let mut machine = Machine::new();
    let config = machine.directory.path().join("config.json");
    fs::write(&config, format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpodW50ZXIy"}}}}}}"#, server.host)).unwrap();
    machine.credentials = Credentials::in_files(vec![config]);
    machine.pull(&format!("{}/app:1", server.host)).unwrap();
}

#[test]
fn a_killed_pull_leaves_a_store_that_works() {
    let content = Content::new(&["one", "two"]);
    let (stalled, wait) = std::sync::mpsc::channel();
    let layer = content.layers[1].clone();
    let server = Faulty::start(content, move |request, ordinary| {
        let is_large = request.path.ends_with(&Digest::of(&layer).to_string());
        if is_large && request.header("user-agent").is_some_and(|agent| agent.starts_with("bootstrap/")) {
            // the first time it never ends
            if stalled.send(()).is_ok() {
                return Answer { cut_after: Some(layer.len() / 2), stall: true, ..ordinary };
            }
        }
        ordinary
    });
    let machine = Machine::new();
    let reference = format!("{}/app:1", server.host);
    let mut child = machine.bootstrap(&["pull", &reference]).spawn().unwrap();
    let begun = wait.recv_timeout(std::time::Duration::from_secs(60));
    drop(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    begun.expect("the pull did not ask for its large layer");
    assert_eq!(machine.store.list().unwrap(), []);
    assert_eq!(fs::read_dir(machine.images().join("tmp")).unwrap().count(), 1, "the kill left its work behind");
    let (image, _) = machine.pull(&reference).unwrap();
    assert_eq!(machine.store.list().unwrap(), [image]);
    assert_eq!(fs::read_dir(machine.images().join("tmp")).unwrap().count(), 0);
}

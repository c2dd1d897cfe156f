//! Carries a process's streams to a client and back, and tells how it ended [8.34, 8.41].

use std::convert::Infallible;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::channel::{Channels, Input, Output, StatusForm};
use crate::error::chain_of;
use crate::linux::stream::StreamEnd;
use crate::linux::terminal::{self, Size};
use crate::runner::runtime::{RuntimeError, Session};

/// What is read at once.
const READ: usize = 16 << 10;
/// For what a process has written before its end; a child of it may hold its output open for ever.
const DRAIN: Duration = Duration::from_secs(10);
/// A size that a client tells is short.
const MAX_SIZE: usize = 1 << 10;

/// How it ended, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Success,
    /// The command and its exit code.
    Exit(Vec<String>, i32),
    Failure(String),
}

impl End {
    /// Of a command; `attached` to a process, its code is not the client's.
    fn of(exit: Result<i32, RuntimeError>, command: Option<&[String]>) -> End {
        match (exit, command) {
            (Ok(0), _) | (Ok(_), None) => End::Success,
            (Ok(code), Some(command)) => End::Exit(command.to_vec(), code),
            (Err(error), _) => End::Failure(chain_of(&anyhow::Error::from(error))),
        }
    }

    /// PURE: what is written to the error channel.
    fn told(&self, form: StatusForm) -> Vec<u8> {
        let exit = |command: &[String], code: i32| {
            let command = command.join(" ");
            format!("command terminated with non-zero exit code: error executing command [{command}], exit code {code}")
        };
        let status = |value: Value| value.to_string().into_bytes();
        match (self, form) {
            (End::Success, StatusForm::Text) => Vec::new(),
            (End::Exit(command, code), StatusForm::Text) => exit(command, *code).into_bytes(),
            (End::Failure(message), StatusForm::Text) => message.clone().into_bytes(),
            (End::Success, StatusForm::Json) => status(json!({ "metadata": {}, "status": "Success" })),
            (End::Exit(command, code), StatusForm::Json) => status(json!({
                "metadata": {},
                "status": "Failure",
                "message": exit(command, *code),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            })),
            (End::Failure(message), StatusForm::Json) => status(json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {message}"),
                "reason": "InternalError",
                "details": { "causes": [{ "message": message }] },
                "code": 500,
            })),
        }
    }
}

/// Until the process has ended and everything is told. A client that is gone lets go of the streams alone: whoever
/// calls drops this then.
pub async fn run(session: Result<Session, RuntimeError>, command: Option<&[String]>, channels: Channels) {
    let Channels { stdin, stdout, stderr, resize, mut error, status } = channels;
    let end = match session {
        Ok(session) => carry(session, command, (stdin, stdout, stderr, resize)).await,
        Err(error) => End::Failure(chain_of(&anyhow::Error::from(error))),
    };
    let told = end.told(status);
    // the client may be gone
    if !told.is_empty() {
        let _ = error.write(&told).await;
    }
    let _ = error.finish().await;
}

type Four = (Option<Input>, Option<Output>, Option<Output>, Option<Input>);

async fn carry(session: Session, command: Option<&[String]>, (stdin, stdout, stderr, resize): Four) -> End {
    let Session { stdin: to, stdout: out, stderr: err, terminal, exit } = session;
    let ends = (|| {
        let open = |end: Option<_>| end.map(StreamEnd::new).transpose();
        Ok::<_, std::io::Error>((open(to)?, open(out)?, open(err)?))
    })();
    let (to, out, err) = match ends {
        Ok(ends) => ends,
        Err(error) => return End::Failure(error.to_string()),
    };
    let input = async {
        if let (Some(from), Some(to)) = (stdin, to) {
            feed(from, to).await;
        }
        std::future::pending::<Infallible>().await
    };
    let sizes = async {
        if let (Some(from), Some(terminal)) = (resize, terminal) {
            resized(from, |size| {
                // the process may have ended
                let _ = terminal::set_size(&terminal, size);
            })
            .await;
            drop(terminal);
        }
        std::future::pending::<Infallible>().await
    };
    let outputs = async { tokio::join!(show(out, stdout), show(err, stderr)) };
    let ended = async {
        tokio::pin!(exit, outputs);
        tokio::select! {
            code = &mut exit => {
                // what it has said comes before how it ended
                let _ = tokio::time::timeout(DRAIN, outputs).await;
                code
            }
            _ = &mut outputs => exit.await,
        }
    };
    tokio::select! {
        code = ended => End::of(code, command),
        never = input => match never {},
        never = sizes => match never {},
    }
}

/// The client's input, up to its end, which closes the process's.
async fn feed(mut from: Input, mut to: StreamEnd) {
    while let Some(data) = from.next().await {
        if to.write_all(&data).await.is_err() {
            // nobody reads it: what else comes is thrown away, so that the other channels go on
            while from.next().await.is_some() {}
            return;
        }
    }
}

async fn show(from: Option<StreamEnd>, to: Option<Output>) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return };
    let mut buffer = vec![0; READ];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if to.write(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
    // the client may be gone
    let _ = to.finish().await;
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    width: u16,
    height: u16,
}

/// Sizes come as one JSON text after the other, cut anywhere.
async fn resized(mut from: Input, mut set: impl FnMut(Size)) {
    let mut text = Vec::new();
    while let Some(data) = from.next().await {
        text.extend_from_slice(&data);
        take_sizes(&mut text, &mut set);
        if text.len() > MAX_SIZE {
            // no size at all
            text.clear();
        }
    }
}

/// PURE: takes the whole sizes out of `text`.
fn take_sizes(text: &mut Vec<u8>, set: &mut impl FnMut(Size)) {
    let mut sizes = serde_json::Deserializer::from_slice(text).into_iter::<Told>();
    let mut used = 0;
    while let Some(Ok(told)) = sizes.next() {
        used = sizes.byte_offset();
        if told.width > 0 && told.height > 0 {
            set(Size { columns: told.width, rows: told.height });
        }
    }
    text.drain(..used);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_the_form_that_the_client_knows() {
        let text = |end: End, form| String::from_utf8_lossy(&end.told(form)).into_owned();
        let exit = || End::Exit(vec!["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()], 3);
        assert_eq!(text(End::Success, StatusForm::Text), "");
        assert_eq!(text(End::Success, StatusForm::Json), r#"{"metadata":{},"status":"Success"}"#);
        let words = "command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3";
        assert_eq!(text(exit(), StatusForm::Text), words);
        let told: Value = serde_json::from_str(&text(exit(), StatusForm::Json)).unwrap_or_default();
        assert_eq!(told["reason"], "NonZeroExitCode");
        assert_eq!(told["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "3" }));
        let told: Value =
            serde_json::from_str(&text(End::Failure("gone".to_owned()), StatusForm::Json)).unwrap_or_default();
        assert_eq!(
            (&told["reason"], &told["message"]),
            (&json!("InternalError"), &json!("Internal error occurred: gone"))
        );
        assert_eq!(End::of(Ok(3), None), End::Success, "who only watches has not failed");
    }

    #[test]
    fn sizes_are_found_wherever_they_are_cut() {
        let (mut sizes, mut text) = (Vec::new(), Vec::new());
        for piece in ["{\"Width\":80,\"Hei", "ght\":24}{\"Width\":1,\"Height\":2}\n{", "\"Width\":0,\"Height\":9}"] {
            text.extend_from_slice(piece.as_bytes());
            take_sizes(&mut text, &mut |size: Size| sizes.push((size.columns, size.rows)));
        }
        assert_eq!(sizes, [(80, 24), (1, 2)]);
    }
}

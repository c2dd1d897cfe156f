//! Between this process's standard streams and those of a command.

use std::io::{Read, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::report::Report;
use crate::error::{Context, Result};
use crate::linux::stream::StreamEnd;
use crate::linux::terminal::{self, Raw};
use crate::runner::runtime::Session;

/// How long the output of a command that has ended may be silent before its end is no longer waited for: somebody whom
/// the command has left behind may keep it open.
const SILENCE: Duration = Duration::from_millis(500);

/// Until the command ends, or this process is to; the exit code.
pub(super) async fn talk(session: Session, report: &Report) -> Result<u8> {
    let Session { stdin, stdout, stderr, terminal, exit } = session;
    // the person's own terminal is as before when this ends, however it ends
    let _raw = match &terminal {
        Some(_) => Some(Raw::enter(std::io::stdin()).context("cannot prepare the terminal")?),
        None => None,
    };
    if let Some(stdin) = stdin {
        send_input(StreamEnd::new(stdin)?);
    }
    let (ended, has_ended) = watch::channel(false);
    let outputs = async {
        tokio::join!(
            show(stdout, has_ended.clone(), |bytes| report.raw(bytes)),
            show(stderr, has_ended.clone(), |bytes| report.raw_error(bytes)),
        );
    };
    let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    // without a terminal Ctrl-C is for this process, and the command outlives it
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut resized = signal(SignalKind::window_change())?;
    tokio::pin!(outputs, exit);
    let mut is_open = true;
    if let Some(terminal) = &terminal {
        copy_size(terminal);
    }
    let code = loop {
        tokio::select! {
            code = &mut exit => break code?,
            () = &mut outputs, if is_open => is_open = false,
            _ = resized.recv() => terminal.iter().for_each(copy_size),
            _ = hangup.recv() => return Ok(128 + 1),
            _ = interrupt.recv() => return Ok(128 + 2),
            _ = terminate.recv() => return Ok(128 + 15),
        }
    };
    ended.send_replace(true);
    if is_open {
        outputs.await;
    }
    // 0 to 255 as everywhere
    Ok(code as u8)
}

/// Shows what comes, to its end or, once the command has ended, until nothing comes any more.
async fn show(end: Option<OwnedFd>, mut ended: watch::Receiver<bool>, write: impl Fn(&[u8]) -> std::io::Result<()>) {
    let Some(mut end) = end.and_then(|end| StreamEnd::new(end).ok()) else { return };
    let mut buffer = [0; 8192];
    loop {
        let silence = async {
            let _ = ended.wait_for(|ended| *ended).await;
            tokio::time::sleep(SILENCE).await;
        };
        let count = tokio::select! {
            biased;
            read = end.read(&mut buffer) => read.unwrap_or(0),
            () = silence => 0,
        };
        // a reader of ours that has gone wants no more of it
        if count == 0 || write(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// In a thread of its own, which ends with the process: nothing else can interrupt its reading.
fn send_input(mut end: StreamEnd) {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(4);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(bytes) = receiver.recv().await {
            if end.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
}

fn copy_size(terminal: &OwnedFd) {
    // one that has gone needs no size
    let _ = terminal::size(stdin().as_fd()).and_then(|size| terminal::set_size(terminal, size));
}

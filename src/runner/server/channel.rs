//! What a client of a process sends and receives, whatever carries it.

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::spdy::connection::{self, Gone};
use super::websocket;

/// What comes from the client.
#[derive(Debug)]
pub enum Input {
    Spdy(connection::Input),
    WebSocket(mpsc::Receiver<Bytes>),
}

impl Input {
    /// `None` when nothing follows.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self {
            Input::Spdy(input) => input.next().await,
            Input::WebSocket(input) => input.recv().await,
        }
    }
}

/// What goes to the client.
#[derive(Debug)]
pub enum Output {
    Spdy(connection::Output),
    WebSocket(websocket::Output),
}

impl Output {
    pub async fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        match self {
            Output::Spdy(output) => output.write(data).await,
            Output::WebSocket(output) => output.write(data).await,
        }
    }

    /// Nothing follows.
    pub async fn finish(&mut self) -> Result<(), Gone> {
        match self {
            Output::Spdy(output) => output.finish().await,
            Output::WebSocket(_) => Ok(()),
        }
    }
}

/// How the end of a process is told [8.34].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// Failures alone, as text.
    Text,
    /// The API's Status.
    Json,
}

/// The channels of one process, those that were asked for.
#[derive(Debug)]
pub struct Channels {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub resize: Option<Input>,
    pub error: Output,
    pub status: StatusForm,
}

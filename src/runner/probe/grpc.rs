//! A grpc probe: `grpc.health.v1.Health/Check` answers with SERVING [5.27].
//!
//! Plaintext HTTP/2, a connection of its own for every try. As the kubelet's client, this one dials until the time is
//! over: a server that comes up within the timeout is asked, and a closed port is a timeout. A server is there once it
//! has sent its settings; what merely accepts connections is not.

mod health;
mod status;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use h2::client::{Builder, Connection, SendRequest};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, TE, USER_AGENT};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::Outcome;
use super::http::{Agent, user_agent};
use super::tcp::dial;
use status::{Code, Status};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// More of an answer is not read; a health message has a few bytes.
const MAX_BODY: usize = 10 << 10;
/// Between two dials; each next wait is longer by a factor.
const REDIAL: Duration = Duration::from_secs(1);
const REDIAL_FACTOR: f64 = 1.6;

pub(super) async fn serves(host: &str, port: u16, service: &str, limit: Duration) -> Outcome {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let deadline = Instant::now() + limit;
    let limit = limit.as_secs();
    let mut last = "context deadline exceeded".to_owned();
    let Ok((sender, connection)) = timeout_at(deadline, connected(host, port, &mut last)).await else {
        let message = format!("timeout: failed to connect service \"{address}\" within {limit}s: {last}");
        return Outcome::Failure(message);
    };
    let late = || Err(Status { code: Code::DEADLINE_EXCEEDED, message: String::new() });
    let failure = match timeout_at(deadline, check(sender, connection, &address, service, deadline)).await {
        Ok(answer) => answer,
        Err(_) => late(),
    };
    let failure = match failure {
        Ok(health::SERVING) => return Outcome::Success,
        Ok(other) => format!("service unhealthy (responded with \"{}\")", health::name(other)),
        Err(Status { code: Code::UNIMPLEMENTED, message }) => {
            format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}")
        }
        Err(Status { code: Code::DEADLINE_EXCEEDED, .. }) => {
            format!("timeout: health rpc did not complete within {limit}s")
        }
        Err(status) => format!("error: health rpc probe failed: {status}"),
    };
    Outcome::Failure(failure)
}

/// Dials until somebody is there; `last` is why the last dial came to nothing.
async fn connected(host: &str, port: u16, last: &mut String) -> (SendRequest<Bytes>, Connection<TcpStream, Bytes>) {
    let mut wait = REDIAL;
    loop {
        match greeted(host, port).await {
            Ok(connected) => return connected,
            Err(cause) => *last = cause,
        }
        sleep(wait).await;
        wait = wait.mul_f64(REDIAL_FACTOR);
    }
}

/// A connection whose server has sent its settings.
async fn greeted(host: &str, port: u16) -> Result<(SendRequest<Bytes>, Connection<TcpStream, Bytes>), String> {
    let stream = dial(host, port).await?;
    // no streams until the settings allow some: that is how their arrival is seen
    let mut builder = Builder::new();
    builder.initial_max_send_streams(0).enable_push(false);
    let (sender, mut connection) = builder.handshake(stream).await.map_err(|error| error.to_string())?;
    poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err("the server closed the connection".to_owned())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((sender, connection))
}

async fn check(
    sender: SendRequest<Bytes>,
    connection: Connection<TcpStream, Bytes>,
    address: &str,
    service: &str,
    deadline: Instant,
) -> Result<u64, Status> {
    let (mut answer, mut connection) = (pin!(ask(sender, address, service, deadline)), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // what has arrived before the connection ended can still be read
        _ = &mut connection => answer.await,
    }
}

async fn ask(sender: SendRequest<Bytes>, address: &str, service: &str, deadline: Instant) -> Result<u64, Status> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let request = Request::post(format!("http://{address}{PATH}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(USER_AGENT, user_agent(Agent::Probe))
        .header(TE, "trailers")
        // eight digits at most
        .header("grpc-timeout", format!("{}m", left.clamp(1, 99_999_999)))
        .body(())
        .map_err(|error| Status { code: Code::INTERNAL, message: error.to_string() })?;
    let mut sender = sender.ready().await?;
    let (response, mut stream) = sender.send_request(request, false)?;
    stream.send_data(health::request(service), true)?;
    let response = response.await?;
    if let Some(status) = Status::of_headers(response.headers()) {
        status?;
    }
    Status::of_http(&response)?;
    let (mut body, mut message) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data?);
        if message.len() > MAX_BODY {
            let message = format!("received message larger than max ({} vs. {MAX_BODY})", message.len());
            return Err(Status { code: Code::RESOURCE_EXHAUSTED, message });
        }
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let Some(status) = Status::of_headers(&trailers) else {
        let message = "server closed the stream without sending trailers".to_owned();
        return Err(Status { code: Code::INTERNAL, message });
    };
    status?;
    health::status(&message).map_err(|message| Status { code: Code::INTERNAL, message })
}

#[cfg(test)]
mod tests;

//! A tcpSocket probe: a connection can be made [5.26].

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Outcome;

pub(crate) async fn connects(host: &str, port: u16, limit: Duration) -> Outcome {
    match timeout(limit, dial(host, port)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(cause)) => Outcome::Failure(cause),
        Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

/// An address is dialled as it is; only a name costs a thread to resolve it. The error is in the kubelet's words.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let connected = match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect((ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    };
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("dial tcp {host}:{port}: connect: connection refused"),
        _ => format!("dial tcp {host}:{port}: {error}"),
    })
}

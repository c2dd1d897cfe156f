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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn case_101_148_a_port_that_listens_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Duration::from_secs(5);
        assert_eq!(connects("127.0.0.1", port, limit).await, Outcome::Success);
        assert_eq!(connects("localhost", port, limit).await, Outcome::Success);
        drop(listener);
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(connects("127.0.0.1", port, limit).await, Outcome::Failure(refused));
    }
}

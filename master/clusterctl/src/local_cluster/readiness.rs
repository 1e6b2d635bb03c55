//! Checks whether a process is ready.

use std::io;
use std::time::Duration;

use credentials::Connector;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Role;

/// Timeout of the check: a process on the same machine answers immediately or is not ready.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns true if the process is ready: a master says so itself; a worker is ready when it
/// listens.
pub(super) async fn is_ready(role: Role, address: &str, connector: Option<&Connector>) -> bool {
    let answer = async {
        match role {
            Role::Master(_) => asks(address, connector).await,
            Role::Worker(_) => TcpStream::connect(address).await.map(|_| true),
        }
    };
    matches!(tokio::time::timeout(ANSWER_TIMEOUT, answer).await, Ok(Ok(true)))
}

async fn asks(address: &str, connector: Option<&Connector>) -> io::Result<bool> {
    let stream = TcpStream::connect(address).await?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match connector {
        Some(connector) => says_ready(address, connector.connect(host, stream).await?).await,
        None => says_ready(address, stream).await,
    }
}

async fn says_ready(
    address: &str,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<bool> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut status_line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status_line).await?;
    Ok(status_line == *b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    async fn is_ready_when_answered(answer: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut servers = JoinSet::new();
        servers.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut request = Vec::new();
            stream.read_to_end(&mut request).await.unwrap();
        });
        is_ready(Role::Master(1), &address, None).await
    }

    #[tokio::test]
    async fn a_master_is_ready_when_it_says_so() {
        assert!(is_ready_when_answered("HTTP/1.1 200 OK\r\n\r\n").await);
        assert!(!is_ready_when_answered("HTTP/1.1 503 Service Unavailable\r\n\r\n").await);
    }

    #[tokio::test]
    async fn nobody_is_ready_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(is_ready(Role::Worker(1), &address, None).await);
        drop(listener);
        assert!(!is_ready(Role::Worker(1), &address, None).await);
    }
}

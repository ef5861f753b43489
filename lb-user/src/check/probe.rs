//! One probe: a TCP connection that is made and closed again, as keepalived's `TCP_CHECK` does.
//! It refuses to know what a failure leads to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;

/// What a probe has found.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The real server accepted the connection.
    Passed,
    /// It did not; why, in words.
    Failed(String),
    /// It was not asked, by a fault of this host.
    NotAsked(io::Error),
}

/// Asks once. A connection is closed in order (FIN), and no byte is sent over it.
pub(super) async fn probe(target: SocketAddr, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, TcpStream::connect(target)).await {
        Err(_elapsed) => Outcome::Failed(format!("no answer within {}", humantime::format_duration(timeout))),
        Ok(Err(error)) => outcome_of(error),
        Ok(Ok(stream)) if is_its_own_peer(&stream) => Outcome::Failed("connection refused".into()),
        Ok(Ok(_stream)) => Outcome::Passed,
    }
}

/// A port of this host's ephemeral range on which nobody listens can be given to the probe itself as
/// its source: TCP then connects it with itself (RFC 9293, 3.5, simultaneous open).
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

/// What an error of connect(2) or socket(2) says, and about whom.
fn outcome_of(error: io::Error) -> Outcome {
    let words = match Errno::from_io_error(&error) {
        // Descriptors, memory, ports of this host; its packet filter; its addresses and routes (EINVAL:
        // a blackhole, or a link-local address without an interface).
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::ADDRNOTAVAIL
            | Errno::ADDRINUSE
            | Errno::AGAIN
            | Errno::PERM
            | Errno::ACCESS
            | Errno::AFNOSUPPORT
            | Errno::INVAL,
        ) => return Outcome::NotAsked(error),
        Some(Errno::CONNREFUSED) => "connection refused".into(),
        Some(Errno::CONNRESET) => "connection reset".into(),
        Some(Errno::HOSTUNREACH) => "no route to host".into(),
        Some(Errno::NETUNREACH) => "network unreachable".into(),
        Some(Errno::TIMEDOUT) => "no answer".into(),
        _ => error.to_string(),
    };
    Outcome::Failed(words)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    fn words(outcome: Outcome) -> String {
        match outcome {
            Outcome::Passed => "passed".into(),
            Outcome::Failed(why) => why,
            Outcome::NotAsked(error) => format!("not asked: {error}"),
        }
    }

    #[tokio::test]
    async fn a_listener_passes_and_sees_an_orderly_end() {
        for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let listener = TcpListener::bind((host, 0)).await.unwrap();
            let outcome = probe(listener.local_addr().unwrap(), SOON).await;
            assert_eq!(words(outcome), "passed");
            // A reset would be an error here.
            let (mut accepted, _) = listener.accept().await.unwrap();
            assert_eq!(accepted.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        // Bound and not listening: nobody else gets the port meanwhile.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let outcome = probe(socket.local_addr().unwrap(), SOON).await;
        assert_eq!(words(outcome), "connection refused");
    }

    #[tokio::test]
    async fn a_full_backlog_gives_no_answer() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let target = listener.local_addr().unwrap();
        // A backlog of 0 has room for one connection that nobody accepts.
        let _filled = TcpStream::connect(target).await.unwrap();
        let outcome = probe(target, Duration::from_millis(150)).await;
        assert_eq!(words(outcome), "no answer within 150ms");
    }

    #[tokio::test]
    async fn a_socket_that_reached_itself_is_told() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        assert!(is_its_own_peer(&socket.connect(own).await.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!is_its_own_peer(&TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()));
    }

    #[test]
    fn errors_are_told_apart_by_whose_fault_they_are() {
        for (errno, told) in [
            (Errno::CONNREFUSED, "connection refused"),
            (Errno::HOSTUNREACH, "no route to host"),
            (Errno::NETUNREACH, "network unreachable"),
            (Errno::CONNRESET, "connection reset"),
            (Errno::TIMEDOUT, "no answer"),
            (Errno::MFILE, "not asked: Too many open files (os error 24)"),
            (Errno::NOBUFS, "not asked: No buffer space available (os error 105)"),
            (Errno::ADDRNOTAVAIL, "not asked: Cannot assign requested address (os error 99)"),
            (Errno::PROTO, "Protocol error (os error 71)"),
        ] {
            assert_eq!(words(outcome_of(errno.into())), told);
        }
    }
}

//! A real server that says its name to whoever connects, and connections that know whom they have reached.
//! Refuses to know who should be reached.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::{Host, LabError};

/// What the greeting of one connection may take.
const GREETING: Duration = Duration::from_secs(10);

/// A connection that was greeted. It is reset when dropped, so that its port can be used again at once.
#[derive(Debug)]
pub struct Greeted {
    /// What the real server was called.
    pub name: String,
    /// Whom the real server talks to.
    pub seen_as: SocketAddr,
    /// Open.
    pub stream: TcpStream,
}

impl Host {
    /// Says `name`, and whom it is talking to, to whoever connects to this TCP port of any of the host's
    /// addresses. Holds the connections as long as this process lives.
    pub fn greeter(&self, port: u16, name: &str) -> Result<(), LabError> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = self.within(|| TcpListener::bind(any))?.map_err(|source| {
            LabError::system(format!("listen to TCP port {port} of {}", self.name()), source)
        })?;
        let name = name.to_owned();
        thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if let Ok(peer) = stream.peer_addr() {
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    let _client_has_left = writeln!(stream, "{name} {peer}");
                }
                held.push(stream);
            }
        });
        Ok(())
    }
}

/// Connects from this address and port (0: one of the kernel's choice) and waits for the greeting.
///
/// By then the director has seen the end of the handshake: it went the same way as the SYN.
/// To be called [`Host::within`] the client. Fails after `patience` where nobody answers a SYN.
pub fn greeted(from: SocketAddr, service: SocketAddr, patience: Duration) -> io::Result<Greeted> {
    let family = if service.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    // This is also how long connect() takes at most (socket(7)).
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    // One port may go to many services.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    rustix::net::bind(&socket, &from)?;
    rustix::net::connect(&socket, &service)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(GREETING))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let (name, seen_as) = line
        .trim_end()
        .split_once(' ')
        .and_then(|(name, peer)| Some((name.to_owned(), peer.parse().ok()?)))
        .ok_or_else(|| io::Error::other(format!("the greeting was {line:?}")))?;
    Ok(Greeted { name, seen_as, stream })
}

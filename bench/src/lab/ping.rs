//! Whether one host reaches another: ICMP echo.
//! Refuses to know routes and neighbours; the kernel does.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use super::{Host, LabError};

/// An echo request is repeated this often.
const REPEAT: Duration = Duration::from_millis(100);

impl Host {
    /// Sends ICMP echo requests until one is answered, and says how long that took altogether.
    pub fn ping(&self, address: IpAddr, deadline: Duration) -> Result<Duration, LabError> {
        let failed = |source| LabError::system(format!("ping {address} from {}", self.name()), source);
        self.within(|| echo(address, deadline))?.map_err(failed)?.ok_or_else(|| LabError::NotSeen {
            subject: self.name(),
            awaited: format!("an ICMP echo reply of {address}"),
            deadline,
            log: String::new(),
        })
    }
}

fn echo(address: IpAddr, deadline: Duration) -> io::Result<Option<Duration>> {
    // Type, code, checksum, identifier, sequence (RFC 792, RFC 4443): the kernel fills in checksum and
    // identifier and hands back only what answers them (icmp(7)).
    let (family, protocol, request) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    // A datagram socket is all that std's type holds; which protocol it speaks is the kernel's matter.
    let socket: UdpSocket =
        rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(protocol))?.into();
    socket.set_read_timeout(Some(REPEAT))?;
    let start = Instant::now();
    while start.elapsed() < deadline {
        let answered = socket
            .connect(SocketAddr::new(address, 0))
            .and_then(|()| socket.send(&[request, 0, 0, 0, 0, 0, 0, 1]))
            .and_then(|_| socket.recv(&mut [0; 64]));
        match answered {
            Ok(_) => return Ok(Some(start.elapsed())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // No route or no neighbour, yet: both may come before the deadline.
            Err(_unreachable) => thread::sleep(REPEAT),
        }
    }
    Ok(None)
}

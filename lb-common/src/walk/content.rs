//! What an IP packet carries: the part of a transport header that tells one flow from another.

use super::{Datagram, Stop, at};
use crate::net::{Packet, Sctp, Tcp, Udp};
use crate::wire::Protocol;

const TCP: u32 = Protocol::Tcp as u32;
const UDP: u32 = Protocol::Udp as u32;
const SCTP: u32 = Protocol::Sctp as u32;

/// What follows the headers of IP. A number, which can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(pub u32);

impl Content {
    /// A protocol that has no ports, or hides them: GRE, ESP, nothing at all.
    pub const OTHER: Self = Self(0);
    /// TCP, UDP or SCTP.
    pub const PORTS: Self = Self(1);
    /// ICMP that is no error: echo, neighbour discovery.
    pub const ICMP: Self = Self(2);
    /// An ICMP error that quotes a packet.
    pub const ERROR: Self = Self(3);
    /// Data without header, of whatever protocol.
    pub const LATER_FRAGMENT: Self = Self(4);
}

/// What a transport header tells.
pub(super) struct Transport {
    pub(super) content: Content,
    pub(super) ports: u32,
    pub(super) tcp_flags: u32,
    pub(super) chunk: u32,
}

/// Reads the transport header of a packet that begins with one.
#[inline(always)]
pub(super) fn read_transport<P: Packet>(packet: &P, datagram: &Datagram) -> Result<Transport, Stop> {
    let (offset, bytes) = (at(datagram.transport), datagram.length());
    let (ports, tcp_flags, chunk, header) = match datagram.protocol {
        TCP => {
            let tcp: Tcp = packet.read(offset).ok_or(Stop::Truncated)?;
            if tcp.header_length() < size_of::<Tcp>() {
                return Err(Stop::TransportLength);
            }
            (tcp.ports_word(), tcp.flags().0, 0, tcp.header_length() as u32)
        }
        UDP => {
            let udp: Udp = packet.read(offset).ok_or(Stop::Truncated)?;
            (udp.ports_word(), 0, 0, size_of::<Udp>() as u32)
        }
        SCTP => {
            let sctp: Sctp = packet.read(offset).ok_or(Stop::Truncated)?;
            (sctp.ports_word(), 0, sctp.chunk(), size_of::<Sctp>() as u32)
        }
        _ => return Ok(Transport { content: Content::OTHER, ports: 0, tcp_flags: 0, chunk: 0 }),
    };
    if header > bytes {
        return Err(Stop::TransportLength);
    }
    Ok(Transport { content: Content::PORTS, ports, tcp_flags, chunk })
}

/// Content and ports of a quoted packet. Eight bytes of its transport header are enough (RFC 792).
#[inline(always)]
pub(super) fn read_quoted_ports<P: Packet>(packet: &P, quote: &Datagram) -> Result<(Content, u32), Stop> {
    if quote.fragment.is_later() {
        return Ok((Content::LATER_FRAGMENT, 0));
    }
    if !matches!(quote.protocol, TCP | UDP | SCTP) {
        return Ok((Content::OTHER, 0));
    }
    let header: Udp = packet.read(at(quote.transport)).ok_or(Stop::TruncatedQuote)?;
    if size_of::<Udp>() as u32 > quote.length() {
        return Err(Stop::TruncatedQuote);
    }
    Ok((Content::PORTS, header.ports_word()))
}

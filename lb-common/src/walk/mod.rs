//! What is in a frame, whatever lies between its ends: tags, options, extension headers, fragments,
//! and the packet that an ICMP error quotes.
//!
//! The general parse, for what [`crate::flow`] leaves out. It knows no table and judges no address:
//! [`Frame::read`] tells whose the frame is, and [`walk`] reads the rest strictly, once somebody has
//! decided that it is worth it.
//!
//! The results are words, of which the verifier knows nothing: `forget` is [`crate::director::Tables::forget`]
//! (on the host: the word itself). So the paths through here are as good as one path to what comes after.

mod content;
mod datagram;
mod frame;

pub use content::Content;
pub use datagram::{Datagram, Fragment, IpHeader};
pub use frame::Frame;

use crate::net::{IcmpMessage, Packet, Tag, TcpFlags};

/// IPv6 extension headers that one packet may have.
pub const EXTENSIONS_MAX: usize = 8;

/// How far into a frame extension headers may reach. A packet's own may take 322 bytes at least; what they
/// leave of that is for those of a quoted one.
pub const EXTENSIONS_END_MAX: u32 = 384;

/// The largest offset that is reported, and a power of two less one: the mask by which the verifier knows.
/// The farthest is behind all extension headers, an ICMP header and a quoted IPv6 header: 432.
pub const OFFSET_MAX: u32 = 511;

/// An offset that was reported, as [`Packet::read`] and [`Packet::write`] take it.
#[inline(always)]
pub const fn at(offset: u32) -> usize {
    (offset & OFFSET_MAX) as usize
}

/// Why a frame could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stop {
    /// It ends before its headers do.
    Truncated = 1,
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// More than two tags.
    ManyTags,
    /// The IP header is of another version than the EtherType says.
    Version,
    /// The IPv4 header is shorter than 20 bytes by its own account, or longer than the packet.
    HeaderLength,
    /// The packet is longer than the frame by its own account.
    TotalLength,
    /// More than [`EXTENSIONS_MAX`] extension headers, or one that ends behind [`EXTENSIONS_END_MAX`].
    ManyExtensions,
    /// An extension header ends behind the packet.
    ExtensionLength,
    /// A second fragment header: a fragment of a fragment.
    NestedFragment,
    /// The header of TCP, UDP, SCTP or ICMP contradicts itself, or ends behind the packet.
    TransportLength,
    /// The packet that an ICMP error quotes ends before eight bytes of its transport header.
    TruncatedQuote,
    /// What an ICMP error quotes is no packet of its family, or contradicts itself.
    MalformedQuote,
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Its tags, the outer one first.
    pub tags: [Tag; 2],
    /// The packet.
    pub datagram: Datagram,
    /// Control bits of a TCP header; none otherwise.
    pub tcp_flags: TcpFlags,
    /// Type of the first chunk of SCTP; 0 otherwise.
    pub chunk: u32,
    /// Type (high byte) and code (low byte) of an ICMP message; 0 otherwise.
    pub icmp: u32,
    /// The packet that an ICMP error quotes, with [`Content::ERROR`]; of no meaning otherwise.
    ///
    /// Its `end` is that of the error: what is there of it. What it says about its length is not compared
    /// with that, since most routers cut it and some have it wrong.
    pub quote: Datagram,
}

/// Reads a frame from its IP header on, of which nothing has been believed so far but its addresses.
#[inline(always)]
pub fn walk<P: Packet>(packet: &P, frame: &Frame, forget: impl Fn(u32) -> u32) -> Result<Walked, Stop> {
    let ip = &frame.ip;
    ip.check()?;
    if ip.bytes < ip.header {
        return Err(Stop::HeaderLength);
    }
    let end = ip.offset + ip.bytes;
    if end as usize > packet.length() {
        return Err(Stop::TotalLength);
    }
    let mut datagram = Datagram::read(packet, ip, end, &forget)?;
    let (mut tcp_flags, mut chunk, mut icmp) = (0, 0, 0);
    let mut quote = Datagram::NONE;
    let (content, ports) = if datagram.fragment.is_later() {
        (Content::LATER_FRAGMENT, 0)
    } else if datagram.is_icmp() {
        let header: IcmpMessage = packet.read(at(datagram.transport)).ok_or(Stop::Truncated)?;
        if datagram.length() < IcmpMessage::BYTES as u32 {
            return Err(Stop::TransportLength);
        }
        icmp = header.type_and_code();
        if header.is_error(forget(ip.is_v6)) {
            quote = read_quote(packet, &datagram, &forget)?;
            (Content::ERROR, 0)
        } else {
            (Content::ICMP, 0)
        }
    } else {
        let transport = content::read_transport(packet, &datagram)?;
        (tcp_flags, chunk) = (transport.tcp_flags, transport.chunk);
        (transport.content, transport.ports)
    };
    datagram.content = Content(forget(content.0));
    // Which transport it was told the verifier which protocol it is.
    datagram.protocol = forget(datagram.protocol);
    datagram.ports = forget(ports);
    Ok(Walked {
        tags: frame.tags,
        datagram,
        tcp_flags: TcpFlags(forget(tcp_flags)),
        chunk: forget(chunk),
        icmp: forget(icmp),
        quote: quote.forgotten(&forget),
    })
}

/// The packet that an ICMP error quotes.
#[inline(always)]
fn read_quote<P: Packet>(
    packet: &P,
    error: &Datagram,
    forget: &impl Fn(u32) -> u32,
) -> Result<Datagram, Stop> {
    let offset = forget(error.transport + IcmpMessage::BYTES as u32);
    let ip = IpHeader::read(packet, offset, forget(error.is_v6), forget).ok_or(Stop::TruncatedQuote)?;
    ip.check().map_err(|_| Stop::MalformedQuote)?;
    if offset + ip.header > error.end {
        return Err(Stop::TruncatedQuote);
    }
    let mut quote = Datagram::read(packet, &ip, error.end, forget).map_err(|stop| match stop {
        Stop::Truncated | Stop::ExtensionLength => Stop::TruncatedQuote,
        Stop::ManyExtensions => Stop::ManyExtensions,
        _ => Stop::MalformedQuote,
    })?;
    (quote.content, quote.ports) = content::read_quoted_ports(packet, &quote)?;
    Ok(quote)
}

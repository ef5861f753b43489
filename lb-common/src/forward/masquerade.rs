//! Masquerading (`ipvsadm -m`): the packet is given the real server's address and port on the way in,
//! and the service's on the way back, which leads through the director too.
//!
//! Edits only. Whose packet it is, and with which endpoint its flow goes on, is the caller's to know;
//! so is that the headers lie where a [`Headers`] says, and within the length that IP gives. What is
//! not rewritten: SCTP (its checksum is not a sum of words) and addresses inside payloads (FTP).
//!
//! Checksums are updated, not computed: one that was wrong stays wrong, and one that a sender left
//! to its device (a veth with offloading) is not completed.

mod header;

use header::{Header, V4, V6};

use crate::net::{
    ChecksumDelta, DESTINATION_PORT_OFFSET, ETHERNET_BYTES, ICMP_CHECKSUM_OFFSET, Ipv4, Ipv6, Packet,
    SOURCE_PORT_OFFSET, transport_checksum_offset,
};
use crate::verdict::Verdict;
use crate::wire::{Destination, Family, ServiceKey};

/// An address and a port, in whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// As the words of [`ServiceKey::address`]: as it lies; IPv4 in the low half of the first.
    pub address: [u64; 2],
    /// As it lies in a header, in the low 16 bits.
    pub port: u64,
}

impl From<&Destination> for Endpoint {
    /// The real server's: where a flow goes to.
    #[inline(always)]
    fn from(destination: &Destination) -> Self {
        let port = u16::from_ne_bytes(destination.port);
        Self { address: bytemuck::cast(destination.address), port: u64::from(port) }
    }
}

impl From<&ServiceKey> for Endpoint {
    /// The service's: where its answers come from.
    #[inline(always)]
    fn from(service: &ServiceKey) -> Self {
        let port = u16::from_ne_bytes(service.port);
        Self { address: bytemuck::cast(service.address), port: u64::from(port) }
    }
}

/// Where the headers of a packet lie, be it the frame's or one that an ICMP error quotes.
///
/// Offsets are in bytes from the frame's first, up to [`Headers::OFFSET_MAX`]. The verifier is told so by
/// a mask: in larger ones the higher bits are lost. Where the caller knows them as constants, they fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Headers {
    /// Of the IP header.
    pub network: u32,
    /// Of the TCP, UDP or ICMP header. 0: there is none, as in all fragments but the first, whose
    /// checksum covers them.
    pub transport: u32,
    /// 1 for TCP, 0 for UDP, as [`crate::flow::Flow::is_tcp`]. Of ICMP's place it is not asked.
    pub is_tcp: u32,
    /// Of addresses and headers. A quoted packet is of its error's family.
    pub family: Family,
}

impl Headers {
    /// The largest offset, a power of two less one.
    pub const OFFSET_MAX: u32 = 511;

    /// A packet without a tag, options or extension headers: nearly all of them.
    #[inline(always)]
    pub const fn plain(family: Family, is_tcp: u32) -> Self {
        let header = match family {
            Family::V4 => Ipv4::BYTES,
            Family::V6 => Ipv6::BYTES,
        };
        let network = ETHERNET_BYTES as u32;
        Self { network, transport: network + header as u32, is_tcp, family }
    }

    #[inline(always)]
    const fn network(self) -> usize {
        (self.network & Self::OFFSET_MAX) as usize
    }

    #[inline(always)]
    const fn transport(self) -> usize {
        (self.transport & Self::OFFSET_MAX) as usize
    }
}

/// The way in: sends a client's packet to the real server `to`, one hop less, under new Ethernet addresses
/// (destination, then source). A tag stays.
///
/// [`Verdict::TtlExceeded`], or [`Verdict::Internal`] where the frame ends before the headers do.
#[inline(always)]
pub fn masquerade(
    packet: &mut impl Packet,
    place: Headers,
    to: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    rewrite(packet, place, End::Destination, to, ethernet)
}

/// The way back: sends a real server's answer to the client as from the service `from`, likewise.
#[inline(always)]
pub fn masquerade_reply(
    packet: &mut impl Packet,
    place: Headers,
    from: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    rewrite(packet, place, End::Source, from, ethernet)
}

/// The way in for an ICMP error about an answer that left as the service's: to the real server `to`,
/// which finds its own address and port in the quote.
///
/// `place` is the error's own, whose `transport` is the ICMP header's; `quote` the quoted packet's, of
/// which ports must be there. Its checksum need not be: of TCP, eight bytes may be all that is quoted
/// (RFC 792).
#[inline(always)]
pub fn masquerade_icmp(
    packet: &mut impl Packet,
    place: Headers,
    quote: Headers,
    to: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    rewrite_icmp(packet, place, quote, End::Destination, to, ethernet)
}

/// The way back for an ICMP error about a client's packet: to the client, which finds the service `from`
/// in the quote.
///
/// The error's own source becomes the service if it is the real server, and stays if it is a router's.
#[inline(always)]
pub fn masquerade_icmp_reply(
    packet: &mut impl Packet,
    place: Headers,
    quote: Headers,
    from: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    rewrite_icmp(packet, place, quote, End::Source, from, ethernet)
}

/// Which of a packet's two addresses and ports is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

impl End {
    #[inline(always)]
    const fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }

    #[inline(always)]
    const fn port_offset(self) -> usize {
        match self {
            Self::Source => SOURCE_PORT_OFFSET,
            Self::Destination => DESTINATION_PORT_OFFSET,
        }
    }
}

#[inline(always)]
fn rewrite(
    packet: &mut impl Packet,
    place: Headers,
    end: End,
    to: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    match place.family {
        Family::V4 => rewrite_packet::<V4>(packet, place, end, to),
        Family::V6 => rewrite_packet::<V6>(packet, place, end, to),
    }?;
    write_ethernet(packet, ethernet)
}

#[inline(always)]
fn rewrite_icmp(
    packet: &mut impl Packet,
    place: Headers,
    quote: Headers,
    end: End,
    to: &Endpoint,
    ethernet: [u8; 12],
) -> Result<(), Verdict> {
    match place.family {
        Family::V4 => rewrite_error::<V4>(packet, place, quote, end, to),
        Family::V6 => rewrite_error::<V6>(packet, place, quote, end, to),
    }?;
    write_ethernet(packet, ethernet)
}

/// Can't fail: an IP header was read that lies behind.
#[inline(always)]
fn write_ethernet(packet: &mut impl Packet, ethernet: [u8; 12]) -> Result<(), Verdict> {
    // A word at a time: an array goes over the stack, byte by byte.
    let [first, second, third]: [u32; 3] = bytemuck::cast(ethernet);
    packet.write(0, u64::from(first) | u64::from(second) << 32).ok_or(Verdict::Internal)?;
    packet.write(8, third).ok_or(Verdict::Internal)
}

#[inline(always)]
fn rewrite_packet<H: Header>(
    packet: &mut impl Packet,
    place: Headers,
    end: End,
    to: &Endpoint,
) -> Result<(), Verdict> {
    let Some(ip) = H::read(packet, place.network(), end) else {
        return Err(Verdict::Internal);
    };
    if ip.hops() <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let address = H::address_of(to);
    if place.transport != 0 {
        let port_at = place.transport() + end.port_offset();
        let checksum_at = place.transport() + transport_checksum_offset(place.is_tcp);
        let port: u16 = packet.read(port_at).ok_or(Verdict::Internal)?;
        let checksum: u16 = packet.read(checksum_at).ok_or(Verdict::Internal)?;
        let delta = ip.delta(address).word16(port, to.port as u16);
        // All is read, and of as much as will be written: from here on nothing fails.
        packet.write(port_at, to.port as u16).ok_or(Verdict::Internal)?;
        packet.write(checksum_at, delta.apply_transport(checksum, place.is_tcp)).ok_or(Verdict::Internal)?;
    }
    ip.write_forwarded(packet, address).ok_or(Verdict::Internal)
}

#[inline(always)]
fn rewrite_error<H: Header>(
    packet: &mut impl Packet,
    place: Headers,
    quote: Headers,
    end: End,
    to: &Endpoint,
) -> Result<(), Verdict> {
    if place.transport == 0 || quote.transport == 0 {
        return Err(Verdict::Internal);
    }
    let Some(ip) = H::read(packet, place.network(), end) else {
        return Err(Verdict::Internal);
    };
    if ip.hops() <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let icmp_at = place.transport() + ICMP_CHECKSUM_OFFSET;
    let icmp: u16 = packet.read(icmp_at).ok_or(Verdict::Internal)?;
    // The quoted packet went the other way.
    let quoted_end = end.other();
    let Some(quoted) = H::read(packet, quote.network(), quoted_end) else {
        return Err(Verdict::Internal);
    };
    let port_at = quote.transport() + quoted_end.port_offset();
    let checksum_at = quote.transport() + transport_checksum_offset(quote.is_tcp);
    let port: u16 = packet.read(port_at).ok_or(Verdict::Internal)?;

    let quoted_address = H::address_of(to);
    let is_sender = end == End::Destination || ip.address() == quoted.address();
    let address = if is_sender { quoted_address } else { ip.address() };
    let ports = ChecksumDelta::NONE.word16(port, to.port as u16);
    let mut covered = ports.plus(quoted.delta_quoted(quoted_address)).plus(ip.delta_icmp(address));
    // The frame may go on behind the quote: what is there is not the quoted packet's checksum.
    if checksum_at + size_of::<u16>() <= ip.limit() {
        let checksum: u16 = packet.read(checksum_at).ok_or(Verdict::Internal)?;
        let updated = ports.plus(quoted.delta(quoted_address)).apply_transport(checksum, quote.is_tcp);
        covered = covered.word16(checksum, updated);
        // All is read: from here on nothing fails.
        packet.write(checksum_at, updated).ok_or(Verdict::Internal)?;
    }
    packet.write(port_at, to.port as u16).ok_or(Verdict::Internal)?;
    packet.write(icmp_at, covered.apply(icmp)).ok_or(Verdict::Internal)?;
    quoted.write_quoted(packet, quoted_address).ok_or(Verdict::Internal)?;
    ip.write_forwarded(packet, address).ok_or(Verdict::Internal)
}

//! What a real server of a tunnel does with what it gets: the outer header is taken away, and the packet
//! goes on as if it had come in without.
//!
//! For real servers that have no tunnel device. It reads what the director sends, IP in IP, GUE and GRE
//! (see [`super::tunnel`]), and leaves everything else to the kernel byte for byte: other options of
//! these, fragments, IPv4 options, extension headers. Whether the service's address is one of this host
//! is for the kernel to know, and which addresses are a tunnel's end for the caller.
//!
//! A checksum of UDP or GRE is not verified: the packet in it has its own.

use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, EthernetWords, Gre, Gue, Ipv4, Ipv6,
    PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, Packet, Sum, Udp, update_checksum,
};
use crate::wire::Protocol;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decapsulation {
    /// Its outer header is gone.
    Decapsulated,
    /// It is as it was: not for a tunnel that ends here.
    NotOurs,
    /// It is as it was, and is not to go on: a router marked congestion on a packet whose sender doesn't
    /// know such marks, and would have dropped it there (RFC 6040, section 4.2).
    Dropped,
}

/// The outer header, as far as it is IP.
struct Outer {
    /// Destination: IPv6 as it lies, in two native words; IPv4 in the first four bytes.
    address: [u64; 2],
    /// What it carries, by its IANA number.
    protocol: u8,
    /// Where that begins.
    offset: usize,
    /// How long it is, in bytes.
    bytes: usize,
    /// DSCP and ECN.
    class: u32,
}

/// Takes the outer header away from a packet of a tunnel that ends here.
///
/// `gue_port`: for an address (IPv6 as it lies, in two native words; IPv4 in the first four bytes, the
/// others zero) that is a tunnel's end on this host, the UDP port of GUE, or 0 for none.
#[inline(always)]
pub fn decapsulate(
    packet: &mut impl Packet,
    gue_port: impl FnOnce([u64; 2]) -> Option<u32>,
) -> Decapsulation {
    match inner(packet, gue_port) {
        None => Decapsulation::NotOurs,
        Some(Inner { ecn: None, .. }) => Decapsulation::Dropped,
        Some(Inner { ecn: Some(ecn), offset, is_v6, addresses }) => {
            if packet.move_head(-((offset - ETHERNET_BYTES).cast_signed() as i32)).is_none() {
                return Decapsulation::NotOurs;
            }
            let ether_type = if is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
            packet.write(0, addresses);
            packet.write(ETHERNET_BYTES - 2, ether_type);
            mark(packet, is_v6, ecn);
            Decapsulation::Decapsulated
        }
    }
}

/// A packet that was found in another.
struct Inner {
    /// Where it lies.
    offset: usize,
    /// Its version.
    is_v6: bool,
    /// Its ECN field, if it is to go on.
    ecn: Option<u32>,
    /// The Ethernet addresses in front of all.
    addresses: EthernetWords,
}

#[inline(always)]
fn inner(packet: &impl Packet, gue_port: impl FnOnce([u64; 2]) -> Option<u32>) -> Option<Inner> {
    let frame: Ethernet = packet.read(0)?;
    let outer = match frame.ether_type {
        ETHERTYPE_IPV4 => outer_v4(packet)?,
        ETHERTYPE_IPV6 => outer_v6(packet)?,
        _ => return None,
    };
    if !matches!(outer.protocol, PROTOCOL_IPV4 | PROTOCOL_IPV6 | PROTOCOL_GRE | PROTOCOL_UDP) {
        return None;
    }
    let port = gue_port(outer.address)?;
    let (is_v6, header) = tunnel_header(packet, &outer, port)?;
    let (offset, room) = (outer.offset + header, outer.bytes.checked_sub(header)?);
    let class = if is_v6 {
        let ip: Ipv6 = packet.read(offset)?;
        if ip.version() != 6 || Ipv6::BYTES + ip.payload_length() > room {
            return None;
        }
        ip.class()
    } else {
        let ip: Ipv4 = packet.read(offset)?;
        if ip.version() != 4 || ip.header_length() < Ipv4::BYTES || ip.total_length() < ip.header_length() {
            return None;
        }
        if ip.total_length() > room {
            return None;
        }
        ip.class()
    };
    let addresses = packet.read(0)?;
    Some(Inner { offset, is_v6, ecn: decapsulated_ecn(class & 3, outer.class & 3), addresses })
}

const PROTOCOL_UDP: u8 = Protocol::Udp as u8;

#[inline(always)]
fn outer_v4(packet: &impl Packet) -> Option<Outer> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES)?;
    let [a, b, c, d, e] = ip.words();
    let is_right = Sum::ZERO.plus(a).plus(b).plus(c).plus(d).plus(e).checksum() == 0;
    if ip.version() != 4 || ip.header_length() != Ipv4::BYTES || ip.is_fragment() || !is_right {
        return None;
    }
    if ETHERNET_BYTES + ip.total_length() > packet.length() {
        return None;
    }
    Some(Outer {
        address: [u64::from(ip.destination_word()), 0],
        protocol: ip.protocol(),
        offset: ETHERNET_BYTES + Ipv4::BYTES,
        bytes: ip.total_length().checked_sub(Ipv4::BYTES)?,
        class: ip.class(),
    })
}

#[inline(always)]
fn outer_v6(packet: &impl Packet) -> Option<Outer> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES)?;
    let offset = ETHERNET_BYTES + Ipv6::BYTES;
    if ip.version() != 6 || offset + ip.payload_length() > packet.length() {
        return None;
    }
    Some(Outer {
        address: ip.destination_words(),
        protocol: ip.next_header(),
        offset,
        bytes: ip.payload_length(),
        class: ip.class(),
    })
}

/// Whether the packet is IPv6, and the length of what lies between the outer IP header and it.
#[inline(always)]
fn tunnel_header(packet: &impl Packet, outer: &Outer, port: u32) -> Option<(bool, usize)> {
    match outer.protocol {
        PROTOCOL_GRE => {
            let gre = Gre(packet.read(outer.offset)?);
            Some((is_v6_ether_type(gre.ether_type())?, gre.length()?))
        }
        PROTOCOL_UDP => {
            let [ports, length, gue]: [u32; 3] = packet.read(outer.offset)?;
            let destination = u16::from_be((ports >> 16) as u16);
            // No port is 0.
            if u32::from(destination) != port || port == 0 {
                return None;
            }
            if u16::from_be(length as u16) as usize != outer.bytes {
                return None;
            }
            Some((is_v6_protocol(Gue(gue).protocol()?)?, size_of::<Udp>() + Gue::BYTES))
        }
        protocol => Some((is_v6_protocol(protocol)?, 0)),
    }
}

#[inline(always)]
const fn is_v6_protocol(protocol: u8) -> Option<bool> {
    match protocol {
        PROTOCOL_IPV4 => Some(false),
        PROTOCOL_IPV6 => Some(true),
        _ => None,
    }
}

#[inline(always)]
const fn is_v6_ether_type(ether_type: [u8; 2]) -> Option<bool> {
    match ether_type {
        ETHERTYPE_IPV4 => Some(false),
        ETHERTYPE_IPV6 => Some(true),
        _ => None,
    }
}

/// The ECN field of a packet that leaves a tunnel (RFC 6040, figure 4), by those that it had inside and
/// outside: 0 is not ECT, 1 is ECT(1), 2 is ECT(0), 3 is CE. Nothing: it is to be dropped.
#[inline(always)]
pub const fn decapsulated_ecn(inner: u32, outer: u32) -> Option<u32> {
    match (inner & 3, outer & 3) {
        (0, 3) => None,
        (0, _) => Some(0),
        (_, 3) => Some(3),
        (2, 1) => Some(1),
        (inner, _) => Some(inner),
    }
}

/// Sets the ECN field of the packet that the frame holds now.
#[inline(always)]
fn mark(packet: &mut impl Packet, is_v6: bool, ecn: u32) -> Option<()> {
    let [a, class_low, ..]: [u8; 4] = packet.read(ETHERNET_BYTES)?;
    if is_v6 {
        // The traffic class straddles the first two bytes; ECN is its low end.
        return packet.write(ETHERNET_BYTES + 1, class_low & 0xcf | (ecn as u8) << 4);
    }
    let new = class_low & 0xfc | ecn as u8;
    if new == class_low {
        return Some(());
    }
    let checksum: [u8; 2] = packet.read(ETHERNET_BYTES + CHECKSUM_OFFSET)?;
    packet.write(ETHERNET_BYTES + CHECKSUM_OFFSET, update_checksum(checksum, [a, class_low], [a, new]))?;
    packet.write(ETHERNET_BYTES + 1, new)
}

const CHECKSUM_OFFSET: usize = Ipv4::TTL_OFFSET + 2;

//! What a packet's bytes sum up to, as far as its headers tell.
//!
//! A checksum that covers bytes makes them sum up to nothing, and one with a pseudo-header to what that
//! takes away (the Linux kernel calls it local checksum offload). That is so as far as the checksums in
//! the packet are right; around a wrong one, what is computed here is wrong too, and the packet ends at
//! the far end of the tunnel, where it would have ended a step later.

use crate::net::{ETHERNET_BYTES, IcmpMessage, Ipv4, Ipv6, Packet, Sum, Udp};
use crate::wire::{OuterHeader, Protocol, TUNNEL_GRE_CHECKSUM, TUNNEL_GUE_CHECKSUM};

/// Of an IPv4 packet. Nothing: it is not needed, or the headers don't tell.
#[inline(always)]
pub(super) fn known_sum_v4(packet: &impl Packet, ip: &Ipv4, outer: &OuterHeader) -> Option<Sum> {
    if !has_checksum(outer) || ip.is_fragment() {
        return None;
    }
    // The header sums up to nothing, and so does ICMP, which has no pseudo-header.
    if ip.protocol() == IcmpMessage::PROTOCOL_V4 {
        return Some(Sum::ZERO);
    }
    let length = ip.header_length();
    let addresses = Sum::ZERO.plus(ip.source_word()).plus(ip.destination_word());
    let bytes = ip.total_length().saturating_sub(length);
    transport(packet, ip.protocol(), ETHERNET_BYTES + length, bytes, addresses)
}

/// Of an IPv6 packet, likewise.
#[inline(always)]
pub(super) fn known_sum_v6(packet: &impl Packet, ip: &Ipv6, outer: &OuterHeader) -> Option<Sum> {
    if !has_checksum(outer) {
        return None;
    }
    let [first, second, a, b, c, d, e, f, g, h] = ip.words();
    let addresses = Sum::ZERO.plus(a).plus(b).plus(c).plus(d).plus(e).plus(f).plus(g).plus(h);
    let offset = ETHERNET_BYTES + Ipv6::BYTES;
    let sum = transport(packet, ip.next_header(), offset, ip.payload_length(), addresses)?;
    Some(sum.and(addresses).plus(first).plus(second))
}

#[inline(always)]
const fn has_checksum(outer: &OuterHeader) -> bool {
    outer.kind == TUNNEL_GUE_CHECKSUM || outer.kind == TUNNEL_GRE_CHECKSUM
}

/// Of what IP carries, at `offset`: `bytes` long, with these addresses in its pseudo-header.
#[inline(always)]
fn transport(packet: &impl Packet, protocol: u8, offset: usize, bytes: usize, addresses: Sum) -> Option<Sum> {
    if protocol == Protocol::Udp as u8 {
        let udp: Udp = packet.read(offset)?;
        // Without a checksum, or followed by something that its checksum doesn't cover.
        if !udp.covers(bytes) {
            return None;
        }
    } else if protocol != Protocol::Tcp as u8 && protocol != IcmpMessage::PROTOCOL_V6 {
        return None;
    }
    Some(Sum::ZERO.minus(addresses.plus_number(bytes as u32).plus_number(protocol.into())))
}

//! Tunnel (`ipvsadm -i`): the packet goes to the real server inside another one, over any number of
//! routers, and the real server answers the client itself.
//!
//! As LVS does it: one hop less; DSCP, DF and the TTL of the packet are the outer header's too. The
//! outer ECN field is the inner one as well (RFC 6040, normal mode; LVS makes ECT(0) of CE, RFC 3168).
//! An IPv6 packet never is fragmented underway, so neither is an IPv4 packet around it (RFC 4213; LVS
//! leaves DF off there).
//!
//! **What doesn't fit is not sent.** LVS leaves it to the stack to fragment an IPv4 packet without DF.
//! A program in XDP can't: such a packet is [`Verdict::TooBig`] as one with DF is, and whoever answers
//! it tells the sender a size that fits.
//!
//! **Checksums** of UDP or GRE around the packet are derived from the packet's own, without its payload
//! being read: what TCP, UDP or ICMP and their checksum sum up to is known. Where they don't (a datagram
//! without a checksum, a fragment, another protocol), UDP goes without, and for GRE the packet is read.

mod sum;

use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Gue, IPV4_DONT_FRAGMENT, Ipv4, Ipv6, Packet,
    Sum, Udp, gue_source_port, ipv6_first_word, update_checksum,
};
use crate::verdict::Verdict;
use crate::wire::{Family, OuterHeader, TUNNEL_GRE, TUNNEL_GRE_CHECKSUM, TUNNEL_GUE, TUNNEL_GUE_CHECKSUM};
use sum::{known_sum_v4, known_sum_v6};

/// No IP packet is longer, outer header included.
const LENGTH_MAX: u32 = 0xffff;

/// What the outer header takes over from the packet.
struct Inner {
    /// Bytes from its IP header on.
    bytes: u32,
    /// DSCP and ECN.
    class: u32,
    /// TTL or hop limit, one less already.
    hops: u32,
    /// The second word of an outer IPv4 header: identification, DF.
    fragment: u32,
    /// What its bytes sum up to, where the tunnel has a checksum and that is known.
    known_sum: Option<Sum>,
    /// The word that its hop count is in: where it lies, as it was, as it leaves.
    edit: (usize, u32, u32),
}

/// Sends into a tunnel.
///
/// `ethernet`: destination, then source Ethernet address, of the way to the real server. `mtu`: what the
/// path takes, IP bytes, outer header included. `hash`: the flow's, of which its UDP source port is made.
/// The frame carries no VLAN tag, and its IP header was found to be sound.
///
/// On an error the packet is as it was. [`Verdict::Internal`]: the record is for packets of the other
/// family or for none, the driver leaves less room in front of a frame than the outer header needs, or
/// GRE's checksum would have to be read off a packet of more than [`Sum::PACKET_MAX`] bytes.
#[inline(always)]
pub fn tunnel(
    packet: &mut impl Packet,
    ethernet: [u8; 12],
    outer: &OuterHeader,
    mtu: u32,
    hash: u64,
) -> Result<(), Verdict> {
    let frame: Ethernet = packet.read(0).ok_or(Verdict::Internal)?;
    let inner = if frame.ether_type == ETHERTYPE_IPV4 {
        inner_v4(packet, outer, hash)?
    } else {
        inner_v6(packet, outer)?
    };
    let total = inner.bytes + u32::from(outer.length);
    if total > mtu.min(LENGTH_MAX) {
        return Err(Verdict::TooBig);
    }
    let (offset, old, new) = inner.edit;
    let sum = sum_of(packet, outer, &inner)?;
    packet.write(offset, new).ok_or(Verdict::Internal)?;
    if packet.move_head(i32::from(outer.length)).is_none() {
        packet.write(offset, old);
        return Err(Verdict::Internal);
    }
    packet.write(0, ethernet).ok_or(Verdict::Internal)?;
    if outer.family == Family::V4 as u8 {
        write_v4(packet, outer, &inner, total).ok_or(Verdict::Internal)?;
        write_rest(packet, ETHERNET_BYTES + Ipv4::BYTES, outer, &inner, sum, hash).ok_or(Verdict::Internal)
    } else {
        write_v6(packet, outer, &inner, total).ok_or(Verdict::Internal)?;
        write_rest(packet, ETHERNET_BYTES + Ipv6::BYTES, outer, &inner, sum, hash).ok_or(Verdict::Internal)
    }
}

#[inline(always)]
fn inner_v4(packet: &impl Packet, outer: &OuterHeader, hash: u64) -> Result<Inner, Verdict> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Internal)?;
    if outer.inner != Family::V4 as u8 {
        return Err(Verdict::Internal);
    }
    let old @ [ttl, protocol] = ip.ttl_protocol();
    if ttl <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let new = [ttl - 1, protocol];
    let [high, low] = update_checksum(ip.checksum(), old, new);
    let [_, second, third, ..] = ip.words();
    // One source sends the fragments of all flows, whose identifications are each their sender's own: with
    // the flow's hash they seldom meet. A packet that is not to be fragmented needs none.
    let fragment = match second & IPV4_DONT_FRAGMENT {
        0 => (second ^ hash as u32) & 0xffff,
        _ => IPV4_DONT_FRAGMENT,
    };
    Ok(Inner {
        bytes: ip.total_length() as u32,
        class: ip.class(),
        hops: u32::from(ttl - 1),
        fragment,
        known_sum: known_sum_v4(packet, &ip, outer),
        edit: (ETHERNET_BYTES + Ipv4::TTL_OFFSET, third, u32::from_ne_bytes([new[0], new[1], high, low])),
    })
}

#[inline(always)]
fn inner_v6(packet: &impl Packet, outer: &OuterHeader) -> Result<Inner, Verdict> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Internal)?;
    if outer.inner != Family::V6 as u8 {
        return Err(Verdict::Internal);
    }
    if ip.hop_limit() <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let [_, old, ..] = ip.words();
    // The hop limit is the word's last byte.
    let new = old - (1 << 24);
    Ok(Inner {
        bytes: (Ipv6::BYTES + ip.payload_length()) as u32,
        class: ip.class(),
        hops: u32::from(ip.hop_limit() - 1),
        fragment: IPV4_DONT_FRAGMENT,
        known_sum: known_sum_v6(packet, &ip, outer),
        edit: (ETHERNET_BYTES + 4, old, new),
    })
}

/// What the packet's bytes sum up to when it leaves, where the tunnel's checksum needs it.
#[inline(always)]
fn sum_of(packet: &impl Packet, outer: &OuterHeader, inner: &Inner) -> Result<Option<Sum>, Verdict> {
    let sum = match inner.known_sum {
        Some(sum) => sum,
        None if outer.kind == TUNNEL_GRE_CHECKSUM => {
            Sum::of_packet(packet, ETHERNET_BYTES, inner.bytes as usize).ok_or(Verdict::Internal)?
        }
        None => return Ok(None),
    };
    // In IPv4 the two are equal: the header has a checksum of its own.
    let (_, old, new) = inner.edit;
    Ok(Some(sum.minus(Sum::ZERO.plus(old)).plus(new)))
}

/// EtherType and outer IPv4 header.
#[inline(always)]
fn write_v4(packet: &mut impl Packet, outer: &OuterHeader, inner: &Inner, total: u32) -> Option<()> {
    let [first, _, third, source, destination, ..] = outer.words;
    let added = inner.class << 8 | u32::from((total as u16).to_be()) << 16;
    let sum = Sum::ZERO.plus(outer.header_sum).plus(added).plus(inner.fragment).plus(inner.hops);
    let third = third | inner.hops | u32::from(sum.checksum()) << 16;
    packet.write(ETHERNET_BYTES - 2, ETHERTYPE_IPV4)?;
    packet.write(ETHERNET_BYTES, [first | added, inner.fragment, third, source, destination])
}

/// EtherType and outer IPv6 header. Its flow label is 0, as LVS has it.
#[inline(always)]
fn write_v6(packet: &mut impl Packet, outer: &OuterHeader, inner: &Inner, total: u32) -> Option<()> {
    let [_, second, a, b, c, d, e, f, g, h, ..] = outer.words;
    let first = ipv6_first_word(inner.class);
    let payload = total.wrapping_sub(Ipv6::BYTES as u32);
    let second = second | u32::from((payload as u16).to_be()) | inner.hops << 24;
    packet.write(ETHERNET_BYTES - 2, ETHERTYPE_IPV6)?;
    packet.write(ETHERNET_BYTES, [first, second, a, b, c, d, e, f, g, h])
}

/// What follows the outer IP header, at `offset`.
#[inline(always)]
fn write_rest(
    packet: &mut impl Packet,
    offset: usize,
    outer: &OuterHeader,
    inner: &Inner,
    sum: Option<Sum>,
    hash: u64,
) -> Option<()> {
    let [first, second, third] = if offset == ETHERNET_BYTES + Ipv4::BYTES {
        let [_, _, _, _, _, first, second, third, ..] = outer.words;
        [first, second, third]
    } else {
        let [_, _, _, _, _, _, _, _, _, _, first, second, third] = outer.words;
        [first, second, third]
    };
    match outer.kind {
        TUNNEL_GRE => packet.write(offset, first),
        TUNNEL_GRE_CHECKSUM => {
            // It is known, or the packet was refused before.
            let checksum = sum?.plus(outer.tunnel_sum).checksum();
            packet.write(offset, [first, u32::from(checksum)])
        }
        TUNNEL_GUE | TUNNEL_GUE_CHECKSUM => {
            let port = gue_source_port(hash);
            let length = inner.bytes + (size_of::<Udp>() + Gue::BYTES) as u32;
            let checksum = match sum {
                // The length counts twice: the pseudo-header has it too.
                Some(sum) => {
                    let sum = sum.plus(outer.tunnel_sum).plus_number(port);
                    sum.plus_number(length).plus_number(length).udp_checksum()
                }
                None => 0,
            };
            let first = first | u32::from((port as u16).to_be());
            let second = second | u32::from((length as u16).to_be()) | u32::from(checksum) << 16;
            packet.write(offset, [first, second, third])
        }
        // IP in IP.
        _ => Some(()),
    }
}

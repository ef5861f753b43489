//! Direct routing (`ipvsadm -g`): the frame goes to the real server's Ethernet address, the packet
//! stays as it is but for its TTL, and the real server answers the client itself.

use crate::net::{ETHERNET_BYTES, ETHERTYPE_IPV4, Ethernet, Ipv4, Ipv6, Packet, update_checksum};
use crate::verdict::Verdict;
use crate::wire::Destination;

/// Sends to a real server on the same link: new Ethernet addresses, one hop less.
#[inline(always)]
pub fn direct_routing(packet: &mut impl Packet, destination: &Destination) -> Result<(), Verdict> {
    if !destination.is_resolved() {
        return Err(Verdict::NoNeighbour);
    }
    let ethernet: Ethernet = packet.read(0).ok_or(Verdict::Internal)?;
    if ethernet.ether_type == ETHERTYPE_IPV4 {
        decrement_ttl(packet)?;
    } else {
        decrement_hop_limit(packet)?;
    }
    packet.write(0, destination.ethernet).ok_or(Verdict::Internal)
}

#[inline(always)]
fn decrement_ttl(packet: &mut impl Packet) -> Result<(), Verdict> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Internal)?;
    let old @ [ttl, protocol] = ip.ttl_protocol();
    if ttl <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let new = [ttl - 1, protocol];
    let [high, low] = update_checksum(ip.checksum(), old, new);
    // TTL, protocol and checksum are one word of the header.
    packet.write(ETHERNET_BYTES + Ipv4::TTL_OFFSET, [new[0], new[1], high, low]).ok_or(Verdict::Internal)
}

#[inline(always)]
fn decrement_hop_limit(packet: &mut impl Packet) -> Result<(), Verdict> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Internal)?;
    if ip.hop_limit() <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    packet.write(ETHERNET_BYTES + Ipv6::HOP_LIMIT_OFFSET, ip.hop_limit() - 1).ok_or(Verdict::Internal)
}

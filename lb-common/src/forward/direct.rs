//! Direct routing (`ipvsadm -g`): the frame goes to the real server's Ethernet address, the packet
//! stays as it is but for its TTL, and the real server answers the client itself. Tags stay as they are.

use crate::director::Task;
use crate::net::{Ipv4, Ipv6, Packet, update_checksum};
use crate::verdict::Verdict;
use crate::walk::at;
use crate::wire::Destination;

/// Sends to a real server on the same link, whose Ethernet address is known: that address, one hop less.
#[inline(always)]
pub fn direct_routing(
    packet: &mut impl Packet,
    task: &Task,
    destination: &Destination,
) -> Result<(), Verdict> {
    if task.hops <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    let offset = at(task.offset);
    if task.is_v6 == 0 {
        decrement_ttl(packet, offset)?;
    } else {
        let hops = task.hops.wrapping_sub(1) as u8;
        packet.write(offset + Ipv6::HOP_LIMIT_OFFSET, hops).ok_or(Verdict::Internal)?;
    }
    let edit = destination.edit();
    packet.write(0, edit.addresses).ok_or(Verdict::Internal)?;
    packet.write(8, edit.addresses_end).ok_or(Verdict::Internal)
}

#[inline(always)]
fn decrement_ttl(packet: &mut impl Packet, offset: usize) -> Result<(), Verdict> {
    let ip: Ipv4 = packet.read(offset).ok_or(Verdict::Internal)?;
    let old @ [ttl, protocol] = ip.ttl_protocol();
    let new = [ttl.wrapping_sub(1), protocol];
    let [high, low] = update_checksum(ip.checksum(), old, new);
    // TTL, protocol and checksum are one word of the header.
    let word = u32::from_ne_bytes([new[0], new[1], high, low]);
    packet.write(offset + Ipv4::TTL_OFFSET, word).ok_or(Verdict::Internal)
}

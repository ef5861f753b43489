//! Direct routing (`ipvsadm -g`): the frame goes to the real server's Ethernet address, the packet
//! stays as it is but for its TTL, and the real server answers the client itself. Tags stay as they are.

use crate::director::Task;
use crate::net::{Ipv4, Ipv6, Packet};
use crate::verdict::Verdict;
use crate::walk::at;
use crate::wire::{Destination, Edit};

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
        let ip: Ipv4 = packet.read(offset).ok_or(Verdict::Internal)?;
        packet.write(offset + Ipv4::TTL_OFFSET, ip.one_hop_less()).ok_or(Verdict::Internal)?;
    } else {
        let hops = task.hops.wrapping_sub(1) as u8;
        packet.write(offset + Ipv6::HOP_LIMIT_OFFSET, hops).ok_or(Verdict::Internal)?;
    }
    readdress(packet, &destination.edit()).ok_or(Verdict::Internal)
}

/// Writes the Ethernet addresses of the way to a real server.
#[inline(always)]
pub(crate) fn readdress(packet: &mut impl Packet, edit: &Edit) -> Option<()> {
    packet.write(0, edit.addresses)?;
    packet.write(8, edit.addresses_end)
}

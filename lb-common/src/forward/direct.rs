//! Direct routing (`ipvsadm -g`): the frame goes to the real server's Ethernet address, the packet
//! stays as it is but for its TTL, and the real server answers the client itself.

use super::Forward;
use crate::flow::{Flow, V4, V6};
use crate::net::{ETHERNET_BYTES, Ipv4, Ipv6, Packet, update_checksum};
use crate::verdict::Verdict;
use crate::wire::Destination;

impl Forward for Flow<V4> {
    #[inline(always)]
    fn direct_routing(&self, packet: &mut impl Packet, destination: &Destination) -> Result<(), Verdict> {
        let [ttl, protocol] = self.addresses.ttl_protocol();
        check(ttl, destination)?;
        let old = self.addresses.ttl_protocol();
        let new = [ttl - 1, protocol];
        let checksum = update_checksum(self.addresses.checksum(), old, new);
        let [high, low] = checksum;
        // TTL, protocol and checksum are one aligned word of the header.
        packet
            .write(ETHERNET_BYTES + Ipv4::TTL_OFFSET, [new[0], new[1], high, low])
            .ok_or(Verdict::Internal)?;
        packet.write(0, destination.ethernet).ok_or(Verdict::Internal)
    }
}

impl Forward for Flow<V6> {
    #[inline(always)]
    fn direct_routing(&self, packet: &mut impl Packet, destination: &Destination) -> Result<(), Verdict> {
        let hop_limit = self.addresses.hop_limit();
        check(hop_limit, destination)?;
        packet.write(ETHERNET_BYTES + Ipv6::HOP_LIMIT_OFFSET, hop_limit - 1).ok_or(Verdict::Internal)?;
        packet.write(0, destination.ethernet).ok_or(Verdict::Internal)
    }
}

#[inline(always)]
fn check(ttl: u8, destination: &Destination) -> Result<(), Verdict> {
    if !destination.is_resolved() {
        return Err(Verdict::NoNeighbour);
    }
    if ttl <= 1 {
        return Err(Verdict::TtlExceeded);
    }
    Ok(())
}

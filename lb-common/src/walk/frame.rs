//! A frame up to its IP header: tags, and whose it is.

use super::{IpHeader, Stop, at};
use crate::net::{ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Packet, Tag, Vlan, is_tag};

/// A frame that carries IP, as its headers have it: nothing is judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The source of the frame, in the low six bytes of a native word.
    pub ethernet_source: u64,
    /// Its tags, the outer one first.
    pub tags: [Tag; 2],
    /// Its IP header.
    pub ip: IpHeader,
}

impl Frame {
    /// Reads tags and IP header.
    ///
    /// Tags may be of 802.1Q and 802.1ad in any order, as the kernel takes them.
    #[inline(always)]
    pub fn read<P: Packet>(packet: &P, forget: impl Fn(u32) -> u32) -> Result<Self, Stop> {
        let ethernet: Ethernet = packet.read(0).ok_or(Stop::Truncated)?;
        let mut tags = [Tag::NONE; 2];
        let mut ether_type = ethernet.ether_type;
        // Forgotten: that a tag was there at a known place would make a packet of its own of it.
        let mut offset = forget(ETHERNET_BYTES as u32);
        for tag in &mut tags {
            if is_tag(ether_type) {
                let header: Vlan = packet.read(at(offset)).ok_or(Stop::Truncated)?;
                *tag = header.tag(ether_type);
                ether_type = header.ether_type;
                offset = forget(offset + Vlan::BYTES as u32);
            }
        }
        let is_v6 = match ether_type {
            ETHERTYPE_IPV4 => 0,
            ETHERTYPE_IPV6 => 1,
            other if is_tag(other) => return Err(Stop::ManyTags),
            _ => return Err(Stop::NotIp),
        };
        let tags = [Tag(forget(tags[0].0)), Tag(forget(tags[1].0))];
        let ip = IpHeader::read(packet, offset, forget(is_v6), &forget);
        Ok(Self { ethernet_source: ethernet.source_word(), tags, ip: ip.ok_or(Stop::Truncated)? })
    }
}

//! VLAN tags (IEEE 802.1Q, clause 9.6), of customers and of services alike.
//!
//! How many a frame has and what is to become of them is for others to know.

use bytemuck::{Pod, Zeroable};

use super::ethernet::{ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE};

/// What follows the EtherType of a tag: the tag's own number, and the EtherType of what it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Vlan {
    control: [u8; 2],
    /// What follows.
    pub ether_type: [u8; 2],
}

const _: () = assert!(size_of::<Vlan>() == Vlan::BYTES);

impl Vlan {
    /// By how much a tag makes a frame longer.
    pub const BYTES: usize = 4;

    /// The tag, announced by `ether_type`.
    #[inline(always)]
    pub const fn tag(&self, ether_type: [u8; 2]) -> Tag {
        let ([a, b], [c, d]) = (ether_type, self.control);
        Tag(u32::from_ne_bytes([a, b, c, d]))
    }
}

/// Whether an EtherType announces a tag.
#[inline(always)]
pub const fn is_tag(ether_type: [u8; 2]) -> bool {
    let word = u16::from_ne_bytes(ether_type);
    word == u16::from_ne_bytes(ETHERTYPE_VLAN) || word == u16::from_ne_bytes(ETHERTYPE_VLAN_SERVICE)
}

/// A tag as it lies, EtherType first, in a native word. 0 is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u32);

impl Tag {
    /// No tag.
    pub const NONE: Self = Self(0);

    /// Its EtherType, as it lies.
    #[inline(always)]
    pub const fn ether_type(self) -> [u8; 2] {
        let [a, b, _, _] = self.0.to_ne_bytes();
        [a, b]
    }

    /// The VLAN's number, 0 to 4095; 0 only carries a priority.
    #[inline(always)]
    pub const fn vlan(self) -> u16 {
        let [_, _, c, d] = self.0.to_ne_bytes();
        u16::from_be_bytes([c, d]) & 0xfff
    }
}

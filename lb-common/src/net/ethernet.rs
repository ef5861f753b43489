//! Ethernet II (IEEE 802.3, clause 3).

use bytemuck::{Pod, Zeroable};

/// Length of the header.
pub const ETHERNET_BYTES: usize = 14;
/// IPv4, as it lies in the frame.
pub const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// IPv6.
pub const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// An 802.1Q tag follows.
pub const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
/// An 802.1ad service tag follows.
pub const ETHERTYPE_VLAN_SERVICE: [u8; 2] = [0x88, 0xa8];

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ethernet {
    /// Who it is for.
    pub destination: [u8; 6],
    /// Who sent it.
    pub source: [u8; 6],
    /// What follows.
    pub ether_type: [u8; 2],
}

const _: () = assert!(size_of::<Ethernet>() == ETHERNET_BYTES);

impl Ethernet {
    /// The source address in the low six bytes of a native word.
    #[inline(always)]
    pub const fn source_word(&self) -> u64 {
        let [a, b, c, d, e, f] = self.source;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

//! GRE (RFC 2784): the base header, with or without a checksum. Keys and sequence numbers (RFC 2890)
//! are not used by the director, and a header that has them is not read.

use super::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

/// IANA number of the protocol.
pub const PROTOCOL_GRE: u8 = 47;

/// The first four bytes of the header, as they lie, in a native word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre(pub u32);

impl Gre {
    /// Length of the header without a checksum.
    pub const BYTES: usize = 4;
    /// Length of the header with a checksum, and of the reserved word behind it.
    pub const BYTES_CHECKSUM: usize = 8;
    /// Checksum present.
    const CHECKSUM: u32 = u32::from_ne_bytes([0x80, 0, 0, 0]);

    /// The header of an IPv6 or IPv4 packet.
    #[inline(always)]
    pub const fn new(is_v6: bool, has_checksum: bool) -> Self {
        let [high, low] = if is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        let checksum = if has_checksum { Self::CHECKSUM } else { 0 };
        Self(u32::from_ne_bytes([0, 0, high, low]) | checksum)
    }

    /// The header's length, if it is version 0 and has nothing in it but perhaps a checksum.
    #[inline(always)]
    pub const fn length(self) -> Option<usize> {
        const FLAGS: u32 = u32::from_ne_bytes([0xff, 0xff, 0, 0]);
        match self.0 & FLAGS {
            0 => Some(Self::BYTES),
            Self::CHECKSUM => Some(Self::BYTES_CHECKSUM),
            _ => None,
        }
    }

    /// The EtherType of what it carries.
    #[inline(always)]
    pub const fn ether_type(self) -> [u8; 2] {
        let [_, _, high, low] = self.0.to_ne_bytes();
        [high, low]
    }
}

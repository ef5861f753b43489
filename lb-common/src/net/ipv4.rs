//! IPv4 (RFC 791).

use bytemuck::{Pod, Zeroable};

/// The header without its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv4 {
    version_length: u8,
    tos: u8,
    total_length: [u8; 2],
    identification: [u8; 2],
    fragment: [u8; 2],
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

const _: () = assert!(size_of::<Ipv4>() == Ipv4::BYTES);

impl Ipv4 {
    /// Length without options.
    pub const BYTES: usize = 20;
    /// Where the destination address lies.
    pub const DESTINATION_OFFSET: usize = 16;
    /// Where TTL and protocol lie, the 16-bit word that the checksum covers together.
    pub const TTL_OFFSET: usize = 8;

    /// Length with options, in bytes; less than 20 in a malformed header.
    #[inline(always)]
    pub const fn header_length(&self) -> usize {
        (self.version_length & 0xf) as usize * 4
    }

    /// 4 in a header that is one.
    #[inline(always)]
    pub const fn version(&self) -> u8 {
        self.version_length >> 4
    }

    /// Length of header and payload, in bytes.
    #[inline(always)]
    pub const fn total_length(&self) -> usize {
        u16::from_be_bytes(self.total_length) as usize
    }

    /// Whether it is one of several: more follow, or its offset is not 0.
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        // All but the reserved bit and "don't fragment".
        u16::from_ne_bytes(self.fragment) & u16::from_ne_bytes([0x3f, 0xff]) != 0
    }

    /// Whether it is what nearly every header is: version 4, no options, no fragment, hops left, and room for
    /// a transport header of eight bytes.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.version_length == 0x45
            && !self.is_fragment()
            && self.ttl > 1
            && self.total_length() >= Self::BYTES + 8
    }

    /// TTL, protocol and checksum after one hop, as the native word that lies at [`Self::TTL_OFFSET`].
    /// The TTL is not 0.
    ///
    /// The same as [`super::update_checksum`] computes: one less in a word that it covers is one more in it.
    #[inline(always)]
    pub const fn one_hop_less(&self) -> u32 {
        let checksum = u16::from_le_bytes(self.checksum) as u32 + 1;
        let checksum = checksum + (checksum >= 0xffff) as u32;
        (u32::from_le_bytes([self.ttl, self.protocol, 0, 0]) - 1) | checksum << 16
    }

    /// Time to live, in hops.
    #[inline(always)]
    pub const fn ttl(&self) -> u8 {
        self.ttl
    }

    /// TTL and protocol as they lie.
    #[inline(always)]
    pub const fn ttl_protocol(&self) -> [u8; 2] {
        [self.ttl, self.protocol]
    }

    /// The header checksum as it lies.
    #[inline(always)]
    pub const fn checksum(&self) -> [u8; 2] {
        self.checksum
    }

    /// IANA number of the payload's protocol.
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The source address as it lies, in a native word.
    #[inline(always)]
    pub const fn source_word(&self) -> u32 {
        u32::from_ne_bytes(self.source)
    }

    /// The destination address as it lies, in a native word.
    #[inline(always)]
    pub const fn destination_word(&self) -> u32 {
        u32::from_ne_bytes(self.destination)
    }
}

//! IPv6 (RFC 8200).

use bytemuck::{Pod, Zeroable};

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv6 {
    version_class_label: [u8; 4],
    payload_length: [u8; 2],
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

const _: () = assert!(size_of::<Ipv6>() == Ipv6::BYTES);

impl Ipv6 {
    /// Length of the fixed header.
    pub const BYTES: usize = 40;
    /// Where the hop limit lies.
    pub const HOP_LIMIT_OFFSET: usize = 7;

    /// 6 in a header that is one.
    #[inline(always)]
    pub const fn version(&self) -> u8 {
        self.version_class_label[0] >> 4
    }

    /// Length of what follows, in bytes.
    #[inline(always)]
    pub const fn payload_length(&self) -> usize {
        u16::from_be_bytes(self.payload_length) as usize
    }

    /// IANA number of what follows.
    #[inline(always)]
    pub const fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Hops that it may still make.
    #[inline(always)]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// The source address as it lies, in two native words.
    #[inline(always)]
    pub fn source_words(&self) -> [u64; 2] {
        bytemuck::cast(self.source)
    }

    /// The destination address as it lies, in two native words.
    #[inline(always)]
    pub fn destination_words(&self) -> [u64; 2] {
        bytemuck::cast(self.destination)
    }
}

/// Whether a next header is an extension header that could be followed by TCP or UDP (RFC 8200, section 4).
#[inline(always)]
pub const fn is_extension(next_header: u8) -> bool {
    // Hop-by-hop, routing, destination options, mobility, HIP, shim6. Fragments are asked for apart,
    // AH and ESP are protocols of their own.
    matches!(next_header, 0 | 43 | 60 | 135 | 139 | 140)
}

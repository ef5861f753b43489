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
    /// Where the destination address lies.
    pub const DESTINATION_OFFSET: usize = 24;
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

/// The first eight bytes of an extension header, the least that one has (RFC 8200, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Extension {
    next_header: u8,
    length: u8,
    fragment: [u8; 2],
    identification: [u8; 4],
}

const _: () = assert!(size_of::<Extension>() == 8);

impl Extension {
    /// IANA number of the fragment header.
    pub const FRAGMENT: u32 = 44;
    /// IANA number of the authentication header (RFC 4302).
    pub const AUTHENTICATION: u32 = 51;

    /// Whether a next header is an extension header that is in clear and says what follows it and where:
    /// those of [`is_extension`], fragment, authentication. What ESP carries can't be read.
    ///
    /// For numbers from 256 to 511 it isn't.
    #[inline(always)]
    pub const fn is(next_header: u32) -> bool {
        // By logic alone: to the verifier each number that is compared would be a path of its own.
        // A number is one of 64 in its page of four; two pages have some, in different places.
        const PAGES: u32 = 1 << 0 | 1 << 2;
        const FIRST: u64 = 1 << 0 | 1 << 43 | 1 << 44 | 1 << 51 | 1 << 60;
        const THIRD: u64 = 1 << (135 - 128) | 1 << (139 - 128) | 1 << (140 - 128);
        let (page, place) = (next_header >> 6 & 31, next_header & 63);
        let is_place = (FIRST | THIRD) >> place;
        let is_other_page = THIRD >> place ^ (page >> 1) as u64;
        (PAGES >> page) as u64 & is_place & !is_other_page & 1 != 0
    }

    /// IANA number of what follows.
    #[inline(always)]
    pub const fn next_header(&self) -> u32 {
        self.next_header as u32
    }

    /// Length of this header: 8 to 2048 bytes. Either of the arguments may be 1.
    ///
    /// Most count units of eight bytes behind the first, authentication units of four behind the second; a
    /// fragment header is one unit and doesn't count.
    #[inline(always)]
    pub const fn length(&self, is_fragment: u32, is_authentication: u32) -> u32 {
        let counted = self.length as u32 * (is_fragment ^ 1);
        (counted + 1 + is_authentication) << (3 - is_authentication)
    }

    /// Of a fragment header: offset in bytes, and in the lowest bit whether more follow.
    #[inline(always)]
    pub const fn fragment(&self) -> u32 {
        u16::from_be_bytes(self.fragment) as u32 & 0xfff9
    }

    /// Of a fragment header: which datagram it is a part of, as it lies, in a native word.
    #[inline(always)]
    pub const fn identification_word(&self) -> u32 {
        u32::from_ne_bytes(self.identification)
    }
}

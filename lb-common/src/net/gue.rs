//! Generic UDP encapsulation (draft-ietf-intarea-gue-09): variant 0, a data message without options.
//! That is what IPVS sends (Linux 5.3) and `fou` receives (Linux 3.18). Variant 1, which is IP in UDP
//! without a header, is not read.

/// The header, as it lies, in a native word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue(pub u32);

impl Gue {
    /// Its length.
    pub const BYTES: usize = 4;

    /// The header of a packet of an IANA number: 4 for IPv4, 41 for IPv6.
    #[inline(always)]
    pub const fn new(protocol: u8) -> Self {
        Self(u32::from_ne_bytes([0, protocol, 0, 0]))
    }

    /// The IANA number of what it carries, if it is a data message of variant 0 without options.
    #[inline(always)]
    pub const fn protocol(self) -> Option<u8> {
        // Variant, control bit, length of options; flags.
        const OTHERS: u32 = u32::from_ne_bytes([0xff, 0, 0xff, 0xff]);
        let [_, protocol, ..] = self.0.to_ne_bytes();
        if self.0 & OTHERS == 0 { Some(protocol) } else { None }
    }
}

/// The source port of a flow: a dynamic one (49152 to 65535), by which routers and network cards tell
/// flows apart.
///
/// Halves of the hash are mixed, since the flow table's index and tag each show one of them.
#[inline(always)]
pub const fn gue_source_port(hash: u64) -> u32 {
    0xc000 | (hash ^ hash >> 32) as u32 & 0x3fff
}

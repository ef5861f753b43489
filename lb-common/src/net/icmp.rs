//! ICMP (RFC 792) and ICMPv6 (RFC 4443): which message it is. What it says is not read.

use bytemuck::{Pod, Zeroable};

/// The first four bytes of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct IcmpMessage {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
}

const _: () = assert!(size_of::<IcmpMessage>() == 4);

impl IcmpMessage {
    /// Length of the header; an error quotes the packet that it is about right behind it.
    pub const BYTES: usize = 8;
    /// IANA number of ICMP, for IPv4.
    pub const PROTOCOL_V4: u8 = 1;
    /// IANA number of ICMPv6, a next header of IPv6.
    pub const PROTOCOL_V6: u8 = 58;

    /// Type (high byte) and code (low byte) in the low 16 bits.
    #[inline(always)]
    pub const fn type_and_code(&self) -> u32 {
        (self.kind as u32) << 8 | self.code as u32
    }

    /// Whether it is an error that quotes a packet, of ICMPv6 if `is_v6` is not 0.
    ///
    /// ICMP: unreachable, source quench, redirect, time exceeded, parameter problem.
    /// ICMPv6: unreachable, too big, time exceeded, parameter problem.
    #[inline(always)]
    pub const fn is_error(&self, is_v6: u32) -> bool {
        const V4: u32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 11 | 1 << 12;
        const V6: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4;
        let errors = if is_v6 == 0 { V4 } else { V6 };
        self.kind < 32 && errors >> self.kind & 1 == 1
    }
}

//! The ICMP errors that a director sends (RFC 792, RFC 4443): their first words.
//!
//! When one is sent, and what it quotes, is not known here.

/// Why a packet was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// It is larger than what the path to the real server takes.
    ///
    /// IPv4: destination unreachable, fragmentation needed (RFC 1191); IPv6: packet too big.
    TooBig {
        /// The largest packet that would have been forwarded: IP bytes.
        mtu: u32,
    },
    /// Its TTL or hop limit is used up. Time exceeded, in transit.
    TimeExceeded,
    /// No real server would take it. Destination unreachable, port unreachable.
    PortUnreachable,
}

impl IcmpError {
    /// Length of the header.
    pub const BYTES: usize = 8;

    /// The first word of an ICMP error, its checksum zero, and the second one.
    #[inline(always)]
    pub const fn words_v4(self) -> [u32; 2] {
        match self {
            Self::TooBig { mtu } => {
                // The field has 16 bits, and no IPv4 packet is larger than they can say.
                let mtu = if mtu > 0xffff { 0xffff } else { mtu };
                [first_word(3, 4), mtu.to_be()]
            }
            Self::TimeExceeded => [first_word(11, 0), 0],
            Self::PortUnreachable => [first_word(3, 3), 0],
        }
    }

    /// The first word of an ICMPv6 error, its checksum zero, and the second one.
    #[inline(always)]
    pub const fn words_v6(self) -> [u32; 2] {
        match self {
            Self::TooBig { mtu } => [first_word(2, 0), mtu.to_be()],
            Self::TimeExceeded => [first_word(3, 0), 0],
            Self::PortUnreachable => [first_word(1, 4), 0],
        }
    }
}

const fn first_word(kind: u8, code: u8) -> u32 {
    u32::from_ne_bytes([kind, code, 0, 0])
}

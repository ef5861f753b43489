//! Headers as native words, for those who make headers: tunnels and ICMP errors.
//!
//! Here lies what they need beyond reading a packet's flow. What a header is made for is not known.

use super::{Ipv4, Ipv6, Udp};

/// IANA number of IPv4 in IP (RFC 2003).
pub const PROTOCOL_IPV4: u8 = 4;
/// IANA number of IPv6 in IP (RFC 4213).
pub const PROTOCOL_IPV6: u8 = 41;

/// The second word of an IPv4 header with "don't fragment" set: such a packet needs no identification
/// (RFC 6864).
pub const IPV4_DONT_FRAGMENT: u32 = u32::from_ne_bytes([0, 0, 0x40, 0]);

impl Ipv4 {
    /// The words as they lie: version and length, type of service, total length; identification, flags and
    /// fragment offset; TTL, protocol, checksum; source; destination.
    #[inline(always)]
    pub fn words(&self) -> [u32; 5] {
        bytemuck::cast(*self)
    }

    /// DSCP and ECN (RFC 2474, RFC 3168): the type of service.
    #[inline(always)]
    pub fn class(&self) -> u32 {
        let [first, ..] = self.words();
        first >> 8 & 0xff
    }

    /// Whether it is a fragment that doesn't hold the transport header.
    #[inline(always)]
    pub fn is_later_fragment(&self) -> bool {
        const OFFSET: u32 = u32::from_ne_bytes([0, 0, 0x1f, 0xff]);
        let [_, second, ..] = self.words();
        second & OFFSET != 0
    }
}

impl Ipv6 {
    /// The words as they lie: version, traffic class, flow label; payload length, next header, hop limit;
    /// four of the source; four of the destination.
    #[inline(always)]
    pub fn words(&self) -> [u32; 10] {
        bytemuck::cast(*self)
    }

    /// DSCP and ECN: the traffic class.
    #[inline(always)]
    pub fn class(&self) -> u32 {
        let [first, ..] = self.words();
        (first & 0xf) << 4 | first >> 12 & 0xf
    }
}

impl Udp {
    /// Whether it has a checksum, and that covers all of the `bytes` that IP says there are.
    #[inline(always)]
    pub fn covers(&self, bytes: usize) -> bool {
        let [_, length_checksum]: [u32; 2] = bytemuck::cast(*self);
        let length = u16::from_be(length_checksum as u16);
        length as usize == bytes && length_checksum >> 16 != 0
    }
}

/// The first three words of an Ethernet header: destination, source.
pub type EthernetWords = [u32; 3];

/// Destination and source for each other.
#[inline(always)]
pub const fn swap_ethernet([a, b, c]: EthernetWords) -> EthernetWords {
    [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16]
}

/// The first word of an IPv4 header without options.
#[inline(always)]
pub const fn ipv4_first_word(class: u32, total_length: u32) -> u32 {
    0x45 | class << 8 | ((total_length as u16).to_be() as u32) << 16
}

/// The first word of an IPv6 header, whose flow label is 0.
#[inline(always)]
pub const fn ipv6_first_word(class: u32) -> u32 {
    0x60 | class >> 4 & 0xf | (class & 0xf) << 12
}

/// The second word of an IPv6 header.
#[inline(always)]
pub const fn ipv6_second_word(payload_length: u32, next_header: u8, hop_limit: u32) -> u32 {
    (payload_length as u16).to_be() as u32 | (next_header as u32) << 16 | hop_limit << 24
}

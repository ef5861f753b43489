//! An IP packet of either family, from its header to what it carries. Extension headers are walked here.

use super::{Content, EXTENSIONS_END_MAX, EXTENSIONS_MAX, Stop, at};
use crate::net::{Extension, IcmpMessage, Ipv4, Ipv6, Packet};
use crate::wire::Protocol;

/// An IP header of either family, in the same words. It may contradict itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Where it lies in the frame: 14, 18 or 22.
    pub offset: u32,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u32,
    /// The source address as it lies, in native words; the second is 0 for IPv4.
    pub source: [u64; 2],
    /// The destination address, likewise.
    pub destination: [u64; 2],
    /// IANA number of what follows the header.
    pub next_header: u32,
    /// Bytes of the header: with IPv4's options, without IPv6's extension headers.
    pub(super) header: u32,
    /// Bytes of the packet, header included.
    pub(super) bytes: u32,
    /// How its version differs from what it should be; 0 if it doesn't.
    version: u32,
    hops: u32,
    fragment: u32,
    identification: u32,
}

impl IpHeader {
    /// Reads the header at `offset`; nothing if the frame ends before it.
    #[inline(always)]
    pub(super) fn read<P: Packet>(
        packet: &P,
        offset: u32,
        is_v6: u32,
        forget: &impl Fn(u32) -> u32,
    ) -> Option<Self> {
        let header = if is_v6 == 0 {
            Self::of_v4(&packet.read(at(offset))?, offset, forget)
        } else {
            Self::of_v6(&packet.read(at(offset))?, offset)
        };
        Some(Self {
            is_v6: forget(is_v6),
            next_header: forget(header.next_header),
            header: forget(header.header),
            bytes: forget(header.bytes),
            version: forget(header.version),
            hops: forget(header.hops),
            fragment: forget(header.fragment),
            identification: forget(header.identification),
            ..header
        })
    }

    #[inline(always)]
    fn of_v4(ip: &Ipv4, offset: u32, forget: &impl Fn(u32) -> u32) -> Self {
        // All 128 bits forgotten: that an address of IPv4 doesn't fill them would keep the families apart.
        let address = |word: u32| [word, 0].map(|low| u64::from(forget(0)) << 32 | u64::from(forget(low)));
        let [_, word, ..]: [u32; 5] = bytemuck::cast(*ip);
        let [a, b, c, d] = word.to_ne_bytes();
        let fragment = u32::from(u16::from_be_bytes([c, d]));
        Self {
            offset,
            is_v6: 0,
            source: address(ip.source_word()),
            destination: address(ip.destination_word()),
            next_header: u32::from(ip.protocol()),
            header: ip.header_length() as u32,
            bytes: ip.total_length() as u32,
            version: u32::from(ip.version() ^ 4),
            hops: u32::from(ip.ttl()),
            // Offset in units of eight bytes, above it "more fragments": laid out as IPv6 has it.
            fragment: (fragment & 0x1fff) << 3 | fragment >> 13 & 1,
            identification: u32::from(u16::from_ne_bytes([a, b])),
        }
    }

    #[inline(always)]
    fn of_v6(ip: &Ipv6, offset: u32) -> Self {
        Self {
            offset,
            is_v6: 1,
            source: ip.source_words(),
            destination: ip.destination_words(),
            next_header: u32::from(ip.next_header()),
            header: Ipv6::BYTES as u32,
            bytes: (Ipv6::BYTES + ip.payload_length()) as u32,
            version: u32::from(ip.version() ^ 6),
            hops: u32::from(ip.hop_limit()),
            fragment: 0,
            identification: 0,
        }
    }

    /// Whether ICMP may follow: it does, or something is between.
    #[inline(always)]
    pub const fn may_be_icmp(&self) -> bool {
        const TCP: u32 = Protocol::Tcp as u32;
        const UDP: u32 = Protocol::Udp as u32;
        if self.is_v6 == 0 {
            self.next_header == IcmpMessage::PROTOCOL_V4 as u32
        } else {
            !matches!(self.next_header, TCP | UDP)
        }
    }

    /// Whether it is a header. What it says about the length of the packet is not asked.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.version != 0 {
            return Err(Stop::Version);
        }
        if self.header < Ipv4::BYTES as u32 {
            return Err(Stop::HeaderLength);
        }
        Ok(())
    }
}

/// Which part of a datagram a packet is: the offset of its first byte, and in the lowest bit whether more
/// parts follow. 0 is a whole one, an atomic fragment (RFC 6946) included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment(pub u32);

impl Fragment {
    /// Whether it is the only part.
    #[inline(always)]
    pub const fn is_whole(self) -> bool {
        self.0 == 0
    }

    /// Whether it is the first of several parts: the one with the transport header.
    #[inline(always)]
    pub const fn is_first(self) -> bool {
        self.0 == 1
    }

    /// Whether it is a part without transport header.
    #[inline(always)]
    pub const fn is_later(self) -> bool {
        self.0 > 1
    }
}

/// An IP packet, as far as one that passes it on reads it. Offsets count from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where its IP header lies.
    pub offset: u32,
    /// Where its transport header lies, or in a later fragment what it carries. See [`super::at`].
    pub transport: u32,
    /// Where the packet ends, not counting what pads the frame.
    pub end: u32,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u32,
    /// The source address as it lies, in native words; the second is 0 for IPv4.
    pub source: [u64; 2],
    /// The destination address, likewise.
    pub destination: [u64; 2],
    /// Bytes from the IP header on, as that header has them.
    pub bytes: u32,
    /// IANA number of what lies at `transport`; of a fragment, in the words of this fragment.
    pub protocol: u32,
    /// Time to live or hop limit.
    pub hops: u32,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
    /// Which datagram it is a part of, as it lies (16 bits for IPv4, 32 for IPv6), in a native word; 0 for
    /// IPv6 without fragment header.
    pub identification: u32,
    /// What `transport` leads to.
    pub content: Content,
    /// Source and destination port as they lie, in a native word, with [`Content::PORTS`]; 0 otherwise.
    pub ports: u32,
}

impl Datagram {
    pub(super) const NONE: Self = Self {
        offset: 0,
        transport: 0,
        end: 0,
        is_v6: 0,
        source: [0; 2],
        destination: [0; 2],
        bytes: 0,
        protocol: 0,
        hops: 0,
        fragment: Fragment(0),
        identification: 0,
        content: Content::OTHER,
        ports: 0,
    };

    /// Bytes from the transport header on that are there, or in a quote that are quoted.
    #[inline(always)]
    pub const fn length(&self) -> u32 {
        self.end.wrapping_sub(self.transport)
    }

    /// What all fragments of a datagram have in common and no two datagrams, until their numbers repeat:
    /// addresses and identification, and the protocol for IPv4 (RFC 791, section 3.2; for IPv6 it may differ
    /// between fragments: RFC 8200, section 4.5).
    #[inline(always)]
    pub const fn identity(&self) -> [u64; 5] {
        let protocol = if self.is_v6 == 0 { self.protocol as u64 } else { 1 << 8 };
        let ([a, b], [c, d]) = (self.source, self.destination);
        [a, b, c, d, protocol << 32 | self.identification as u64]
    }

    /// Whether ICMP or ICMPv6 follows, each under its own family only.
    #[inline(always)]
    pub(super) const fn is_icmp(&self) -> bool {
        const DIFFERENCE: u32 = (IcmpMessage::PROTOCOL_V6 - IcmpMessage::PROTOCOL_V4) as u32;
        self.protocol == IcmpMessage::PROTOCOL_V4 as u32 + self.is_v6 * DIFFERENCE
    }

    /// Follows extension headers to the transport header, which must not lie behind `end`.
    #[inline(always)]
    pub(super) fn read<P: Packet>(
        packet: &P,
        ip: &IpHeader,
        end: u32,
        forget: &impl Fn(u32) -> u32,
    ) -> Result<Self, Stop> {
        /// In a protocol's number: not an extension header, whatever it would be otherwise.
        const FINAL: u32 = 0x100;
        /// In a fragment's word: there was a fragment header.
        const SEEN: u32 = 2;
        /// In a fragment's word: the offset. Added to one that is not 0, it carries to bit 16.
        const OFFSET: u32 = 0xfff8;
        let mut protocol = forget(ip.next_header | (FINAL * (ip.is_v6 ^ 1)));
        let mut transport = forget(ip.offset + ip.header);
        let (mut fragment, mut identification) = (ip.fragment, ip.identification);
        for round in 0..=EXTENSIONS_MAX {
            if !Extension::is(protocol) {
                break;
            }
            if round == EXTENSIONS_MAX {
                return Err(Stop::ManyExtensions);
            }
            let header: Extension = packet.read(at(transport)).ok_or(Stop::Truncated)?;
            // Numbers, and from here on arithmetic: to the verifier a branch would be two chains of headers.
            let is_fragment = forget(u32::from(protocol == Extension::FRAGMENT));
            let is_authentication = forget(u32::from(protocol == Extension::AUTHENTICATION));
            transport = forget(transport + header.length(is_fragment, is_authentication));
            if transport > end {
                return Err(Stop::ExtensionLength);
            }
            if transport > EXTENSIONS_END_MAX {
                return Err(Stop::ManyExtensions);
            }
            if is_fragment & fragment >> 1 != 0 {
                return Err(Stop::NestedFragment);
            }
            fragment |= (header.fragment() | SEEN) * is_fragment;
            identification |= header.identification_word() * is_fragment;
            // What follows a later fragment's header is data, whatever its first bytes look like.
            protocol = header.next_header() | ((fragment & OFFSET) + OFFSET) >> 8 & FINAL;
        }
        Ok(Self {
            offset: ip.offset,
            transport: forget(transport),
            end,
            is_v6: ip.is_v6,
            source: ip.source,
            destination: ip.destination,
            bytes: ip.bytes,
            protocol: forget(protocol & 0xff),
            hops: ip.hops,
            fragment: Fragment(forget(fragment & !SEEN)),
            identification: forget(identification),
            content: Content::OTHER,
            ports: 0,
        })
    }

    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(super) fn forgotten(&self, forget: &impl Fn(u32) -> u32) -> Self {
        Self {
            offset: forget(self.offset),
            transport: forget(self.transport),
            end: forget(self.end),
            is_v6: forget(self.is_v6),
            bytes: forget(self.bytes),
            protocol: forget(self.protocol),
            hops: forget(self.hops),
            fragment: Fragment(forget(self.fragment.0)),
            identification: forget(self.identification),
            content: Content(forget(self.content.0)),
            ports: forget(self.ports),
            ..*self
        }
    }
}

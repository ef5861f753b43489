//! One address of an IP header of either family: what replacing it changes, in which checksums. It decides
//! nothing, and knows no ports.

use super::{End, Endpoint};
use crate::net::{ChecksumDelta, Ipv4, Ipv6, Packet};

/// An IP header that was read, of which one address changes.
pub(super) trait Header: Sized {
    type Address: Copy + PartialEq;

    /// The header at an offset, or nothing where the frame ends before it does.
    ///
    /// No `Result`: an error would lie where the offset does, which then is put together out of parts, and
    /// verifiers before Linux 6.9 can't tell how large an "or" of two numbers is.
    fn read(packet: &impl Packet, at: usize, end: End) -> Option<Self>;

    /// The address in question, as it lies.
    fn address(&self) -> Self::Address;

    /// An endpoint's address.
    fn address_of(to: &Endpoint) -> Self::Address;

    /// TTL or hop limit.
    fn hops(&self) -> u8;

    /// Where its packet ends, as an offset from the frame's first byte.
    fn limit(&self) -> usize;

    /// What another address changes in TCP's and UDP's checksums.
    fn delta(&self, address: Self::Address) -> ChecksumDelta;

    /// What it changes in the checksum of ICMP that the header carries.
    fn delta_icmp(&self, address: Self::Address) -> ChecksumDelta;

    /// What it changes in the checksum of ICMP that quotes the header.
    fn delta_quoted(&self, address: Self::Address) -> ChecksumDelta;

    /// Writes the address and one hop less, of which there are two or more.
    fn write_forwarded(&self, packet: &mut impl Packet, address: Self::Address) -> Option<()>;

    /// Writes the address of a quoted header.
    fn write_quoted(&self, packet: &mut impl Packet, address: Self::Address) -> Option<()>;
}

pub(super) struct V4 {
    header: Ipv4,
    at: usize,
    end: End,
}

impl V4 {
    /// The checksum ends the word that TTL and protocol begin; the addresses follow.
    const CHECKSUM_OFFSET: usize = Ipv4::TTL_OFFSET + 2;
    const SOURCE_OFFSET: usize = Ipv4::TTL_OFFSET + 4;
    const DESTINATION_OFFSET: usize = Ipv4::TTL_OFFSET + 8;

    #[inline(always)]
    const fn checksum(&self) -> u16 {
        u16::from_ne_bytes(self.header.checksum())
    }

    #[inline(always)]
    const fn address_at(&self) -> usize {
        self.at
            + match self.end {
                End::Source => Self::SOURCE_OFFSET,
                End::Destination => Self::DESTINATION_OFFSET,
            }
    }
}

impl Header for V4 {
    type Address = u32;

    #[inline(always)]
    fn read(packet: &impl Packet, at: usize, end: End) -> Option<Self> {
        Some(Self { header: packet.read(at)?, at, end })
    }

    #[inline(always)]
    fn address(&self) -> u32 {
        match self.end {
            End::Source => self.header.source_word(),
            End::Destination => self.header.destination_word(),
        }
    }

    #[inline(always)]
    fn address_of(to: &Endpoint) -> u32 {
        to.address[0] as u32
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.header.ttl()
    }

    #[inline(always)]
    fn limit(&self) -> usize {
        self.at + self.header.total_length()
    }

    #[inline(always)]
    fn delta(&self, address: u32) -> ChecksumDelta {
        ChecksumDelta::NONE.word32(self.address(), address)
    }

    #[inline(always)]
    fn delta_icmp(&self, _: u32) -> ChecksumDelta {
        // ICMPv4 has no pseudo header.
        ChecksumDelta::NONE
    }

    #[inline(always)]
    fn delta_quoted(&self, address: u32) -> ChecksumDelta {
        let delta = self.delta(address);
        delta.word16(self.checksum(), delta.apply(self.checksum()))
    }

    #[inline(always)]
    fn write_forwarded(&self, packet: &mut impl Packet, address: u32) -> Option<()> {
        let ttl_protocol = u16::from_ne_bytes(self.header.ttl_protocol());
        // TTL is the word's first byte: one hop less is one less, and never borrows.
        let delta = self.delta(address).word16(1, 0);
        let checksum = u32::from(delta.apply(self.checksum()));
        packet.write(self.at + Ipv4::TTL_OFFSET, u32::from(ttl_protocol.wrapping_sub(1)) | checksum << 16)?;
        packet.write(self.address_at(), address)
    }

    #[inline(always)]
    fn write_quoted(&self, packet: &mut impl Packet, address: u32) -> Option<()> {
        packet.write(self.at + Self::CHECKSUM_OFFSET, self.delta(address).apply(self.checksum()))?;
        packet.write(self.address_at(), address)
    }
}

pub(super) struct V6 {
    header: Ipv6,
    at: usize,
    end: End,
}

impl V6 {
    /// The addresses follow the hop limit.
    const SOURCE_OFFSET: usize = Ipv6::HOP_LIMIT_OFFSET + 1;
    const DESTINATION_OFFSET: usize = Self::SOURCE_OFFSET + 16;
}

impl Header for V6 {
    type Address = [u64; 2];

    #[inline(always)]
    fn read(packet: &impl Packet, at: usize, end: End) -> Option<Self> {
        Some(Self { header: packet.read(at)?, at, end })
    }

    #[inline(always)]
    fn address(&self) -> [u64; 2] {
        match self.end {
            End::Source => self.header.source_words(),
            End::Destination => self.header.destination_words(),
        }
    }

    #[inline(always)]
    fn address_of(to: &Endpoint) -> [u64; 2] {
        to.address
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.header.hop_limit()
    }

    #[inline(always)]
    fn limit(&self) -> usize {
        self.at + Ipv6::BYTES + self.header.payload_length()
    }

    #[inline(always)]
    fn delta(&self, address: [u64; 2]) -> ChecksumDelta {
        ChecksumDelta::NONE.word128(self.address(), address)
    }

    #[inline(always)]
    fn delta_icmp(&self, address: [u64; 2]) -> ChecksumDelta {
        self.delta(address)
    }

    #[inline(always)]
    fn delta_quoted(&self, address: [u64; 2]) -> ChecksumDelta {
        self.delta(address)
    }

    #[inline(always)]
    fn write_forwarded(&self, packet: &mut impl Packet, address: [u64; 2]) -> Option<()> {
        packet.write(self.at + Ipv6::HOP_LIMIT_OFFSET, self.header.hop_limit().wrapping_sub(1))?;
        self.write_quoted(packet, address)
    }

    #[inline(always)]
    fn write_quoted(&self, packet: &mut impl Packet, address: [u64; 2]) -> Option<()> {
        let offset = match self.end {
            End::Source => Self::SOURCE_OFFSET,
            End::Destination => Self::DESTINATION_OFFSET,
        };
        packet.write(self.at + offset, address)
    }
}

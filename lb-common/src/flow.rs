//! From bytes to a flow: who talks to whom, and where the headers are.
//!
//! Parsing is strict only after the destination was found to be a service address: what is not for
//! a service is not judged. This file knows no table but the admission filter.

use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Ethernet, Ipv4, Ipv6,
    Packet, Tcp, TcpFlags, Udp, is_extension,
};
use crate::verdict::Verdict;
use crate::wire::{Family, Protocol, ServiceKey, admission_bit_v4, admission_bit_v6};

/// The IPv6 fragment header (RFC 8200, section 4.5).
const NEXT_HEADER_FRAGMENT: u8 = 44;

/// The addresses of a packet, of one family.
pub trait Addresses: Copy {
    /// The family.
    const FAMILY: Family;

    /// The destination as a service's key has it.
    fn destination(&self) -> [u8; 16];

    /// The addresses' part of [`Flow::hash`]: a sum of products. `ports` is what completes a word.
    fn hash(&self, ports: u32, protocol: u8, seed: &impl Fn(usize) -> u64) -> u64;
}

/// IPv4 addresses, as they lie in the header, read as native words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4 {
    source: u32,
    destination: u32,
    ttl_protocol: [u8; 2],
    checksum: [u8; 2],
}

impl V4 {
    /// TTL and protocol as they lie.
    pub const fn ttl_protocol(&self) -> [u8; 2] {
        self.ttl_protocol
    }

    /// The header checksum as it lies.
    pub const fn checksum(&self) -> [u8; 2] {
        self.checksum
    }
}

impl Addresses for V4 {
    const FAMILY: Family = Family::V4;

    #[inline(always)]
    fn destination(&self) -> [u8; 16] {
        bytemuck::cast([self.destination, 0, 0, 0])
    }

    #[inline(always)]
    fn hash(&self, ports: u32, protocol: u8, seed: &impl Fn(usize) -> u64) -> u64 {
        // The first word is all of the client and both ports: for one service address the hash is
        // one-to-one, and no two of its flows share a tag by their sums.
        let client = u64::from(self.source) << 32 | u64::from(ports);
        let service = u64::from(self.destination) << 32 | u64::from(protocol);
        client.wrapping_mul(seed(0)).wrapping_add(service.wrapping_mul(seed(1)))
    }
}

/// IPv6 addresses, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6 {
    source: [u64; 2],
    destination: [u64; 2],
    hop_limit: u8,
}

impl V6 {
    /// Hops that the packet may still make.
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }
}

impl Addresses for V6 {
    const FAMILY: Family = Family::V6;

    #[inline(always)]
    fn destination(&self) -> [u8; 16] {
        bytemuck::cast(self.destination)
    }

    #[inline(always)]
    fn hash(&self, ports: u32, protocol: u8, seed: &impl Fn(usize) -> u64) -> u64 {
        let transport = u64::from(ports) << 32 | u64::from(protocol) | 1 << 31;
        (self.source[0].wrapping_mul(seed(0)))
            .wrapping_add(self.source[1].wrapping_mul(seed(1)))
            .wrapping_add(self.destination[0].wrapping_mul(seed(2)))
            .wrapping_add(self.destination[1].wrapping_mul(seed(3)))
            .wrapping_add(transport.wrapping_mul(seed(4)))
    }
}

/// A packet that may be for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    /// Who talks to whom.
    pub addresses: A,
    /// Source and destination port, as they lie in the header, read as a native word.
    pub ports: u32,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Control bits; none for UDP.
    pub tcp_flags: TcpFlags,
    /// The source of the frame, in the low six bytes of a native word.
    pub ethernet_source: u64,
    /// Bytes from the IP header on, as the frame has them.
    pub bytes: u32,
}

impl<A: Addresses> Flow<A> {
    /// The keyed hash of the 5-tuple: every bit of it depends on every bit of the tuple.
    ///
    /// A sum of products by secret odd numbers is universal in its high bits (Dietzfelbinger 1996);
    /// the shift and the second product spread them over the word.
    #[inline(always)]
    pub fn hash(&self, seed: &impl Fn(usize) -> u64) -> u64 {
        let sum = self.addresses.hash(self.ports, self.protocol as u8, seed);
        let mixed = (sum ^ sum >> 32).wrapping_mul(seed(5));
        mixed ^ mixed >> 32
    }

    /// The key of the service that it is for.
    #[inline(always)]
    pub fn service_key(&self) -> ServiceKey {
        let [_, _, high, low] = self.ports.to_ne_bytes();
        ServiceKey {
            address: self.addresses.destination(),
            port: [high, low],
            protocol: self.protocol as u8,
            family: A::FAMILY as u8,
        }
    }
}

/// What a frame is, as far as a director cares.
pub enum Frame {
    /// IPv4 for what may be a service address.
    V4(Flow<V4>),
    /// IPv6 likewise.
    V6(Flow<V6>),
}

/// The flow of a frame, or the verdict (all of them [`crate::Action::Pass`]) that ends it.
///
/// `admits` asks the admission filter.
#[inline(always)]
pub fn parse(packet: &impl Packet, admits: impl Fn(u32) -> bool) -> Result<Frame, Verdict> {
    let ethernet: Ethernet = packet.read(0).ok_or(Verdict::Truncated)?;
    match ethernet.ether_type {
        ETHERTYPE_IPV4 => parse_v4(packet, &ethernet, admits).map(Frame::V4),
        ETHERTYPE_IPV6 => parse_v6(packet, &ethernet, admits).map(Frame::V6),
        ETHERTYPE_VLAN | ETHERTYPE_VLAN_SERVICE => Err(Verdict::Tagged),
        _ => Err(Verdict::NotIp),
    }
}

#[inline(always)]
fn parse_v4(packet: &impl Packet, ethernet: &Ethernet, admits: impl Fn(u32) -> bool) -> Result<Flow<V4>, Verdict> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Truncated)?;
    if !admits(admission_bit_v4(ip.destination_word())) {
        return Err(Verdict::NotServiceAddress);
    }
    if ip.version() != 4
        || ip.header_length() < Ipv4::BYTES
        || ip.total_length() < ip.header_length()
        || ETHERNET_BYTES + ip.total_length() > packet.length()
    {
        return Err(Verdict::Malformed);
    }
    if ip.is_fragment() {
        return Err(Verdict::Fragment);
    }
    let end = ip.total_length() - ip.header_length();
    let (protocol, ports, tcp_flags) = if ip.header_length() == Ipv4::BYTES {
        // The offset as a constant: one comparison for the verifier, and for the CPU.
        parse_transport(packet, ip.protocol(), ETHERNET_BYTES + Ipv4::BYTES, end)?
    } else {
        parse_transport(packet, ip.protocol(), ETHERNET_BYTES + ip.header_length(), end)?
    };
    Ok(Flow {
        addresses: V4 {
            source: ip.source_word(),
            destination: ip.destination_word(),
            ttl_protocol: ip.ttl_protocol(),
            checksum: ip.checksum(),
        },
        ports,
        protocol,
        tcp_flags,
        ethernet_source: ethernet.source_word(),
        bytes: ip.total_length() as u32,
    })
}

#[inline(always)]
fn parse_v6(packet: &impl Packet, ethernet: &Ethernet, admits: impl Fn(u32) -> bool) -> Result<Flow<V6>, Verdict> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Truncated)?;
    let [high, low] = ip.destination_words();
    if !admits(admission_bit_v6(high, low)) {
        return Err(Verdict::NotServiceAddress);
    }
    if ip.version() != 6 || ETHERNET_BYTES + Ipv6::BYTES + ip.payload_length() > packet.length() {
        return Err(Verdict::Malformed);
    }
    if ip.next_header() == NEXT_HEADER_FRAGMENT {
        return Err(Verdict::Fragment);
    }
    if is_extension(ip.next_header()) {
        return Err(Verdict::ExtensionHeader);
    }
    let (protocol, ports, tcp_flags) =
        parse_transport(packet, ip.next_header(), ETHERNET_BYTES + Ipv6::BYTES, ip.payload_length())?;
    Ok(Flow {
        addresses: V6 { source: ip.source_words(), destination: [high, low], hop_limit: ip.hop_limit() },
        ports,
        protocol,
        tcp_flags,
        ethernet_source: ethernet.source_word(),
        bytes: (Ipv6::BYTES + ip.payload_length()) as u32,
    })
}

/// Protocol, ports and control bits of the header at `offset`, of which IP says that `bytes` follow.
#[inline(always)]
fn parse_transport(
    packet: &impl Packet,
    protocol: u8,
    offset: usize,
    bytes: usize,
) -> Result<(Protocol, u32, TcpFlags), Verdict> {
    if protocol == Protocol::Tcp as u8 {
        let tcp: Tcp = packet.read(offset).ok_or(Verdict::Truncated)?;
        if tcp.header_length() < size_of::<Tcp>() || tcp.header_length() > bytes {
            return Err(Verdict::Malformed);
        }
        Ok((Protocol::Tcp, tcp.ports_word(), tcp.flags()))
    } else if protocol == Protocol::Udp as u8 {
        let udp: Udp = packet.read(offset).ok_or(Verdict::Truncated)?;
        if size_of::<Udp>() > bytes {
            return Err(Verdict::Malformed);
        }
        Ok((Protocol::Udp, udp.ports_word(), TcpFlags(0)))
    } else {
        Err(Verdict::OtherProtocol)
    }
}

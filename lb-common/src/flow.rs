//! From bytes to a flow: whose it is, which service it is for, and under which hash it is known.
//!
//! Parsing is strict only after the destination was found to be a service address: what is not for
//! a service is not judged. This file knows no table but the admission filter and the secret key.

use crate::director::Tables;
use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Ethernet, Ipv4,
    Ipv6, Packet, Tcp, TcpFlags, Udp, is_extension,
};
use crate::verdict::Verdict;
use crate::wire::{Family, Protocol, ServiceKey, admission_bit_v4, admission_bit_v6};

/// The IPv6 fragment header (RFC 8200, section 4.5).
const NEXT_HEADER_FRAGMENT: u8 = 44;

/// A packet that may be for a service.
///
/// Both families end in the same few words, so that what follows exists once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The keyed hash of family, protocol, addresses and ports.
    pub hash: u64,
    /// The service that it is for.
    pub service: ServiceKey,
    /// 1 for TCP, 0 for UDP. A number that the verifier doesn't know, or it would follow both to the end.
    pub is_tcp: u32,
    /// Control bits; none for UDP.
    pub tcp_flags: TcpFlags,
    /// The source of the frame, in the low six bytes of a native word.
    pub ethernet_source: u64,
    /// Bytes from the IP header on, as that header has them.
    pub bytes: u32,
}

impl Flow {
    /// The transport protocol.
    #[inline(always)]
    pub const fn protocol(&self) -> Protocol {
        if self.is_tcp == 0 { Protocol::Udp } else { Protocol::Tcp }
    }
}

/// What a transport header tells.
struct Transport {
    protocol: Protocol,
    /// Source and destination port, as they lie in the header, read as a native word.
    ports: u32,
    tcp_flags: TcpFlags,
}

impl Transport {
    #[inline(always)]
    fn is_tcp(&self, tables: &impl Tables) -> u32 {
        tables.forget(u32::from(self.protocol == Protocol::Tcp))
    }
}

/// The flow of a frame, or the verdict (all of them [`crate::Action::Pass`]) that ends it.
#[inline(always)]
pub fn parse(packet: &impl Packet, tables: &impl Tables) -> Result<Flow, Verdict> {
    let ethernet: Ethernet = packet.read(0).ok_or(Verdict::Truncated)?;
    match ethernet.ether_type {
        ETHERTYPE_IPV4 => parse_v4(packet, tables, &ethernet),
        ETHERTYPE_IPV6 => parse_v6(packet, tables, &ethernet),
        ETHERTYPE_VLAN | ETHERTYPE_VLAN_SERVICE => Err(Verdict::Tagged),
        _ => Err(Verdict::NotIp),
    }
}

/// The hash of an IPv4 flow; addresses and ports as they lie in their headers, read as native words.
///
/// Each word is multiplied by a secret odd number, which spreads a difference upwards only: one in the
/// highest byte of two words (the last octets of two addresses) could cancel out. So the sum is folded
/// before the next product is added: then the one difference reaches bits that the other can't.
/// No two folds are alike, that of `mix` included: a second one alike undoes the first.
/// For one service address the hash is one-to-one: no two of its flows share it.
#[inline(always)]
pub fn hash_v4(
    source: u32,
    destination: u32,
    ports: u32,
    protocol: Protocol,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    let client = u64::from(source) << 32 | u64::from(ports);
    let service = u64::from(destination) << 32 | protocol as u64;
    let sum = fold::<29>(client.wrapping_mul(seed(0))).wrapping_add(service.wrapping_mul(seed(1)));
    mix(sum, seed(5))
}

/// The hash of an IPv6 flow, likewise.
#[inline(always)]
pub fn hash_v6(
    source: [u64; 2],
    destination: [u64; 2],
    ports: u32,
    protocol: Protocol,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    // The bit keeps the families apart.
    let transport = u64::from(ports) << 32 | protocol as u64 | 1 << 31;
    let sum = fold::<25>(source[0].wrapping_mul(seed(0))).wrapping_add(source[1].wrapping_mul(seed(1)));
    let sum = fold::<29>(sum).wrapping_add(destination[0].wrapping_mul(seed(2)));
    let sum = fold::<31>(sum).wrapping_add(destination[1].wrapping_mul(seed(3)));
    let sum = fold::<27>(sum).wrapping_add(transport.wrapping_mul(seed(4)));
    mix(sum, seed(5))
}

#[inline(always)]
const fn fold<const BITS: u32>(word: u64) -> u64 {
    word ^ word >> BITS
}

#[inline(always)]
const fn mix(sum: u64, odd: u64) -> u64 {
    fold::<32>(fold::<32>(sum).wrapping_mul(odd))
}

#[inline(always)]
fn parse_v4(packet: &impl Packet, tables: &impl Tables, ethernet: &Ethernet) -> Result<Flow, Verdict> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Truncated)?;
    if !tables.admits(admission_bit_v4(ip.destination_word())) {
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
    let bytes = ip.total_length() - ip.header_length();
    let transport = if ip.header_length() == Ipv4::BYTES {
        // The offset as a constant: one comparison for the verifier, and for the CPU.
        parse_transport(packet, ip.protocol(), ETHERNET_BYTES + Ipv4::BYTES, bytes)?
    } else {
        parse_transport(packet, ip.protocol(), ETHERNET_BYTES + ip.header_length(), bytes)?
    };
    let (source, destination) = (ip.source_word(), ip.destination_word());
    Ok(Flow {
        hash: hash_v4(source, destination, transport.ports, transport.protocol, |index| tables.seed(index)),
        service: service_key(Family::V4, [u64::from(destination), 0], &transport),
        is_tcp: transport.is_tcp(tables),
        tcp_flags: transport.tcp_flags,
        ethernet_source: ethernet.source_word(),
        bytes: ip.total_length() as u32,
    })
}

#[inline(always)]
fn parse_v6(packet: &impl Packet, tables: &impl Tables, ethernet: &Ethernet) -> Result<Flow, Verdict> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES).ok_or(Verdict::Truncated)?;
    let destination @ [high, low] = ip.destination_words();
    if !tables.admits(admission_bit_v6(high, low)) {
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
    let offset = ETHERNET_BYTES + Ipv6::BYTES;
    let transport = parse_transport(packet, ip.next_header(), offset, ip.payload_length())?;
    let source = ip.source_words();
    Ok(Flow {
        hash: hash_v6(source, destination, transport.ports, transport.protocol, |index| tables.seed(index)),
        service: service_key(Family::V6, destination, &transport),
        is_tcp: transport.is_tcp(tables),
        tcp_flags: transport.tcp_flags,
        ethernet_source: ethernet.source_word(),
        bytes: (Ipv6::BYTES + ip.payload_length()) as u32,
    })
}

/// Assembled in registers and stored as whole words: written byte by byte, a key costs as much as the
/// look-up, and words that straddle are not accepted on a program's stack.
#[inline(always)]
fn service_key(family: Family, [high, low]: [u64; 2], transport: &Transport) -> ServiceKey {
    let Transport { protocol, ports, .. } = transport;
    bytemuck::cast([high, low, u64::from(ports >> 16) | (*protocol as u64) << 16 | (family as u64) << 24])
}

/// What the header at `offset` tells, of which IP says that `bytes` follow.
#[inline(always)]
fn parse_transport(
    packet: &impl Packet,
    protocol: u8,
    offset: usize,
    bytes: usize,
) -> Result<Transport, Verdict> {
    if protocol == Protocol::Tcp as u8 {
        let tcp: Tcp = packet.read(offset).ok_or(Verdict::Truncated)?;
        if tcp.header_length() < size_of::<Tcp>() || tcp.header_length() > bytes {
            return Err(Verdict::Malformed);
        }
        Ok(Transport { protocol: Protocol::Tcp, ports: tcp.ports_word(), tcp_flags: tcp.flags() })
    } else if protocol == Protocol::Udp as u8 {
        let udp: Udp = packet.read(offset).ok_or(Verdict::Truncated)?;
        if size_of::<Udp>() > bytes {
            return Err(Verdict::Malformed);
        }
        Ok(Transport { protocol: Protocol::Udp, ports: udp.ports_word(), tcp_flags: TcpFlags(0) })
    } else {
        Err(Verdict::OtherProtocol)
    }
}

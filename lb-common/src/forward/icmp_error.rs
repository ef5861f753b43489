//! The answer to a packet that was not forwarded: the ICMP error that its sender gets, made out of the
//! packet in its own frame, so that it can leave by the interface that the packet came in by.
//!
//! It comes from the address that the packet was for, as IPVS has it: the sender knows that one, and
//! firewalls that know the connection let it through. How many of them are sent in a second is for the
//! caller to limit, as RFC 1812 and RFC 4443 want; an answer is at most 48 bytes larger than its cause.
//!
//! **How much is quoted.** RFC 1812 and RFC 4443 want as much of the packet as fits into 576 and 1280
//! bytes. We quote its first [`QUOTED_MAX`] bytes, all headers that a receiver tells the connection by,
//! since the checksum over them is summed up word by word; of a smaller packet as much as is in whole
//! words.

use crate::net::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, EthernetWords, IPV4_DONT_FRAGMENT, IcmpError,
    IcmpMessage, Ipv4, Ipv6, Packet, Sum, ipv4_first_word, ipv6_first_word, ipv6_second_word, swap_ethernet,
};

/// The most bytes of a packet that its error quotes, IP header included: the longest IPv4 header and 68
/// bytes of what it carries. A multiple of 4.
pub const QUOTED_MAX: usize = 128;

/// Its words.
const QUOTED_WORDS: usize = QUOTED_MAX / 4;

/// DSCP CS6: internetwork control (RFC 1812, section 4.3.2.5).
const CLASS: u32 = 0xc0;

/// Hops that an error may make.
const HOPS: u32 = 64;

/// Turns a packet into the error that tells its sender why it was not forwarded.
///
/// Nothing, and the packet is as it was, where none may be sent: the packet is itself ICMP (an error is
/// never answered by one; we answer no ICMP at all), a fragment that doesn't begin with the transport
/// header, from no single host, or was sent to many on the link (RFC 1122, section 3.2.2; RFC 4443,
/// section 2.4). Also where the driver leaves no room for it. The packet is for a service, so its IP
/// destination is one host.
#[inline(always)]
pub fn icmp_error(packet: &mut impl Packet, error: IcmpError) -> Option<()> {
    let frame: Ethernet = packet.read(0)?;
    let addresses @ [destination, ..]: EthernetWords = packet.read(0)?;
    if destination & 1 == 1 {
        return None;
    }
    if frame.ether_type == ETHERTYPE_IPV4 {
        error_v4(packet, addresses, error)
    } else {
        error_v6(packet, addresses, error)
    }
}

#[inline(always)]
fn error_v4(packet: &mut impl Packet, addresses: EthernetWords, error: IcmpError) -> Option<()> {
    let ip: Ipv4 = packet.read(ETHERNET_BYTES)?;
    let [source_high, ..] = ip.source_word().to_ne_bytes();
    if ip.protocol() == IcmpMessage::PROTOCOL_V4
        || ip.is_later_fragment()
        || matches!(source_high, 0 | 127 | 224..)
    {
        return None;
    }
    let quoted = ip.total_length().min(QUOTED_MAX) & !3;
    let quote = Sum::of::<QUOTED_WORDS>(packet, ETHERNET_BYTES, quoted)?;
    let [kind, rest] = error.words_v4();
    let checksum = quote.plus(kind).plus(rest).checksum();
    let length = (Ipv4::BYTES + IcmpError::BYTES + quoted) as u32;
    let first = ipv4_first_word(CLASS, length);
    let third = HOPS | u32::from(IcmpMessage::PROTOCOL_V4) << 8;
    let (source, destination) = (ip.destination_word(), ip.source_word());
    let sum = Sum::ZERO.plus(first).plus(IPV4_DONT_FRAGMENT).plus(third).plus(source).plus(destination);
    let third = third | u32::from(sum.checksum()) << 16;
    let kind = kind | u32::from(checksum) << 16;
    make_room(packet, Ipv4::BYTES + IcmpError::BYTES, quoted)?;
    write_ethernet(packet, addresses, ETHERTYPE_IPV4)?;
    packet.write(ETHERNET_BYTES, [first, IPV4_DONT_FRAGMENT, third, source, destination, kind, rest])
}

#[inline(always)]
fn error_v6(packet: &mut impl Packet, addresses: EthernetWords, error: IcmpError) -> Option<()> {
    let ip: Ipv6 = packet.read(ETHERNET_BYTES)?;
    let [high, low] = ip.source_words();
    // Unspecified, loopback: in ::/127. Multicast: ff00::/8.
    let is_no_host = high == 0 && u64::from_be(low) <= 1 || high as u8 == 0xff;
    if ip.next_header() == IcmpMessage::PROTOCOL_V6 || is_no_host {
        return None;
    }
    let quoted = (Ipv6::BYTES + ip.payload_length()).min(QUOTED_MAX) & !3;
    let quote = Sum::of::<QUOTED_WORDS>(packet, ETHERNET_BYTES, quoted)?;
    let [kind, rest] = error.words_v6();
    let length = (IcmpError::BYTES + quoted) as u32;
    let [_, _, a, b, c, d, e, f, g, h] = ip.words();
    // The pseudo-header; in a sum it doesn't matter which address is the source.
    let pseudo = quote.plus(a).plus(b).plus(c).plus(d).plus(e).plus(f).plus(g).plus(h);
    let pseudo = pseudo.plus_number(length).plus_number(IcmpMessage::PROTOCOL_V6.into());
    let kind = kind | u32::from(pseudo.plus(kind).plus(rest).checksum()) << 16;
    let first = ipv6_first_word(CLASS);
    let second = ipv6_second_word(length, IcmpMessage::PROTOCOL_V6, HOPS);
    make_room(packet, Ipv6::BYTES + IcmpError::BYTES, quoted)?;
    write_ethernet(packet, addresses, ETHERTYPE_IPV6)?;
    packet.write(ETHERNET_BYTES, [first, second, e, f, g, h, a, b, c, d, kind, rest])
}

/// Makes a frame of headers, not written yet, and the quoted bytes behind them.
#[inline(always)]
fn make_room(packet: &mut impl Packet, headers: usize, quoted: usize) -> Option<()> {
    let by = headers.cast_signed() as i32;
    packet.move_head(by)?;
    let done = packet.set_length(ETHERNET_BYTES + headers + quoted);
    if done.is_none() {
        packet.move_head(-by);
    }
    done
}

/// Back to where the frame came from.
#[inline(always)]
fn write_ethernet(packet: &mut impl Packet, addresses: EthernetWords, ether_type: [u8; 2]) -> Option<()> {
    packet.write(0, swap_ethernet(addresses))?;
    packet.write(ETHERNET_BYTES - 2, ether_type)
}

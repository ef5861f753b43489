//! Tags, options, extension headers, fragments and transport headers, each by itself.

use lb_common::net::{Tag, TcpFlags};
use lb_common::walk::{Content, Datagram, OFFSET_MAX, Stop, Walked};

use super::frames::{
    CUSTOMER, Extension, HOPS, PORTS, Part, SCTP, SERVICE, TCP, UDP, V4, V6, frame, icmp, plain_v4, sctp,
    tcp, udp, v4, v6,
};
use super::{read, whole};

const ETHERNET: u32 = 14;
const WHOLE: Part = Part(0, false, 0x0102);

/// Ports as they lie, in a native word.
pub(crate) fn ports() -> u32 {
    let [[a, b], [c, d]] = PORTS.map(u16::to_be_bytes);
    u32::from_ne_bytes([a, b, c, d])
}

/// Asks for the addresses that all packets of a family have here.
pub(crate) fn assert_addresses(datagram: &Datagram) {
    let words = |address: [u8; 16]| -> [u64; 2] { bytemuck::cast(address) };
    let v4 = |address: [u8; 4]| [u64::from(u32::from_ne_bytes(address)), 0];
    let expected = if datagram.is_v6 == 0 { V4.map(v4) } else { V6.map(words) };
    assert_eq!([datagram.source, datagram.destination], expected);
}

/// Asks for ports behind `headers` bytes of headers of IP.
fn assert_ports(walked: &Walked, network: u32, headers: u32, protocol: u8) {
    let datagram = walked.datagram;
    assert_eq!((datagram.offset, datagram.transport), (network, network + headers));
    assert_eq!((datagram.content, datagram.ports), (Content::PORTS, ports()));
    assert_eq!((datagram.protocol, datagram.hops), (u32::from(protocol), u32::from(HOPS)));
    assert_eq!(datagram.bytes, datagram.end - network);
    assert_addresses(&datagram);
}

#[test]
fn up_to_two_tags_of_either_kind_are_found_and_kept() {
    let packets = [plain_v4(TCP, &tcp(true)), v6(&[], TCP, &tcp(true))];
    for (packet, headers) in packets.iter().zip([20, 40]) {
        for first in [None, Some(CUSTOMER), Some(SERVICE)] {
            for second in [None, Some(CUSTOMER), Some(SERVICE)] {
                let tags: Vec<_> = first.into_iter().chain(second).collect();
                let walked = whole(&frame(&tags, packet));
                assert_ports(&walked, ETHERNET + 4 * tags.len() as u32, headers, TCP);
                let word = |index| tags.get(index).map_or(Tag::NONE, |tag| Tag(u32::from_ne_bytes(*tag)));
                assert_eq!(walked.tags, [word(0), word(1)]);
            }
        }
        let three = frame(&[SERVICE, CUSTOMER, CUSTOMER], packet);
        assert_eq!(read(&three), Err(Stop::ManyTags));
    }
    assert_eq!(Tag(u32::from_ne_bytes(CUSTOMER)).vlan(), 0x123);
    assert_eq!(Tag(u32::from_ne_bytes(SERVICE)).ether_type(), [0x88, 0xa8]);
}

#[test]
fn what_is_not_ip_is_told_apart_behind_tags_too() {
    let mut arp = frame(&[CUSTOMER], &plain_v4(TCP, &tcp(true)));
    arp[16..18].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(read(&arp), Err(Stop::NotIp));
    assert_eq!(read(&arp[..18]), Err(Stop::NotIp), "its header is all that is needed");
    assert_eq!(read(&arp[..17]), Err(Stop::Truncated));
}

#[test]
fn ipv4_options_are_skipped() {
    for options in (0..=40).step_by(4) {
        let walked = whole(&frame(&[], &v4(options, WHOLE, UDP, &udp())));
        assert_ports(&walked, ETHERNET, 20 + options as u32, UDP);
        assert!(walked.datagram.fragment.is_whole());
    }
}

#[test]
fn every_extension_header_is_walked_alone_and_in_a_chain() {
    use Extension::{Authentication, Fragment, Options};
    let atomic = Fragment(Part(0, false, 9));
    let chains: [(&[Extension], u32); 13] = [
        (&[Options(0, 8)], 8),
        (&[Options(43, 24)], 24),
        (&[Options(60, 32)], 32),
        (&[Options(135, 16)], 16),
        (&[Options(139, 8)], 8),
        (&[Options(140, 8)], 8),
        (&[Authentication(0)], 12),
        (&[Authentication(12)], 24),
        (&[atomic], 8),
        (&[Options(0, 8), Options(60, 16), Options(43, 24), atomic, Authentication(12), Options(60, 8)], 88),
        // What is asked for is an order that senders keep to, not receivers.
        (&[Options(60, 8), Options(0, 8)], 16),
        (&[Options(60, 8); 8], 64),
        (&[Options(0, 256)], 256),
    ];
    for (chain, bytes) in chains {
        for (protocol, payload) in [(TCP, tcp(false)), (UDP, udp()), (SCTP, sctp())] {
            let walked = whole(&frame(&[SERVICE, CUSTOMER], &v6(chain, protocol, &payload)));
            assert_ports(&walked, ETHERNET + 8, 40 + bytes, protocol);
            assert!(walked.datagram.fragment.is_whole(), "{chain:?}");
        }
    }
}

#[test]
fn a_chain_without_end_is_given_up() {
    let (nine, long) = ([Extension::Options(60, 8); 9], [Extension::Options(60, 200); 2]);
    for chain in [&nine[..], &long, &[Extension::Options(0, 2048)]] {
        assert_eq!(read(&frame(&[], &v6(chain, UDP, &udp()))), Err(Stop::ManyExtensions));
    }
    // A number that is none of theirs ends the walk, be it another page's or ESP.
    for number in (0..=255).filter(|number| ![0, 43, 44, 51, 60, 135, 139, 140].contains(number)) {
        if ![TCP, UDP, SCTP, 58].contains(&number) {
            let walked = whole(&frame(&[], &v6(&[], number, &[44; 64])));
            assert_eq!((walked.datagram.content, walked.datagram.transport), (Content::OTHER, 54));
            assert_eq!(walked.datagram.protocol, u32::from(number));
        }
    }
}

#[test]
fn an_extension_header_may_not_end_behind_its_packet() {
    let mut bytes = frame(&[], &v6(&[Extension::Options(60, 8)], UDP, &udp()));
    bytes[14 + 40 + 1] = 2;
    assert_eq!(read(&bytes), Err(Stop::ExtensionLength));
}

#[test]
fn in_ipv4_no_number_is_an_extension_header() {
    for number in [0, 43, 44, 51, 60, 135, 139, 140, 58, 50] {
        let walked = whole(&frame(&[], &plain_v4(number, &[6; 64])));
        assert_eq!((walked.datagram.content, walked.datagram.transport), (Content::OTHER, 34));
        assert_eq!(walked.datagram.protocol, u32::from(number));
    }
}

#[test]
fn parts_of_a_datagram_have_its_identity_and_the_first_has_its_ports() {
    let parts = [Part(0, true, 0x0a0b), Part(2, true, 0x0a0b), Part(0x1fff, false, 0x0a0b)];
    let read_v4 = |part, protocol| whole(&frame(&[], &v4(8, part, protocol, &udp()))).datagram;
    let read_v6 = |part, next| {
        let chain = [Extension::Options(0, 8), Extension::Fragment(part)];
        whole(&frame(&[], &v6(&chain, next, &udp()))).datagram
    };
    for [first, middle, last] in [parts.map(|part| read_v4(part, UDP)), parts.map(|part| read_v6(part, UDP))]
    {
        assert!(first.fragment.is_first() && !first.fragment.is_later() && !first.fragment.is_whole());
        assert_eq!((first.content, first.ports), (Content::PORTS, ports()));
        for later in [middle, last] {
            assert!(later.fragment.is_later() && !later.fragment.is_first());
            assert_eq!((later.content, later.ports), (Content::LATER_FRAGMENT, 0));
            assert_eq!(later.identity(), first.identity());
            assert_eq!(later.transport, first.transport);
        }
        assert_eq!(last.fragment.0, 0xfff8);
    }
    let (v4, v6) = (read_v4(parts[0], UDP), read_v6(parts[0], UDP));
    assert_eq!(v4.identification, u32::from(u16::from_ne_bytes([0x0a, 0x0b])));
    assert_eq!(v6.identification, u32::from_ne_bytes([0, 0, 0x0a, 0x0b]));
    // Another protocol is another datagram of IPv4; of IPv6, parts may disagree on what follows.
    assert_ne!(read_v4(parts[1], TCP).identity(), v4.identity());
    assert_eq!(read_v6(parts[1], 60).identity(), v6.identity());
    assert_ne!(read_v6(Part(2, false, 1), UDP).identity(), v6.identity());
    assert_ne!(v4.identity(), v6.identity());
}

#[test]
fn what_follows_a_later_fragment_is_data() {
    for next in [0, 44, 60, 51, 58] {
        let chain = [Extension::Fragment(Part(1, true, 1))];
        // Too few bytes for any header.
        let datagram = whole(&frame(&[], &v6(&chain, next, &[1, 2, 3]))).datagram;
        assert_eq!((datagram.content, datagram.length()), (Content::LATER_FRAGMENT, 3));
        assert_eq!((datagram.transport, datagram.protocol), (62, u32::from(next)));
    }
}

#[test]
fn a_fragment_of_a_fragment_is_no_packet() {
    let (atomic, first) = (Extension::Fragment(Part(0, false, 1)), Extension::Fragment(Part(0, true, 1)));
    for chain in [[atomic, atomic], [first, atomic], [atomic, first]] {
        assert_eq!(read(&frame(&[], &v6(&chain, UDP, &udp()))), Err(Stop::NestedFragment));
    }
}

#[test]
fn tcp_flags_and_echo_are_told() {
    for (is_syn, flags) in [(true, TcpFlags::SYN), (false, TcpFlags::ACK)] {
        assert_eq!(whole(&frame(&[], &plain_v4(TCP, &tcp(is_syn)))).tcp_flags, TcpFlags(flags));
        assert_eq!(whole(&frame(&[], &v6(&[], TCP, &tcp(is_syn)))).tcp_flags, TcpFlags(flags));
    }
    for packet in [plain_v4(1, &icmp(8, 3, &[])), v6(&[Extension::Options(0, 8)], 58, &icmp(128, 3, &[]))] {
        let walked = whole(&frame(&[], &packet));
        let kind = if walked.datagram.is_v6 == 0 { 8 } else { 128 };
        assert_eq!((walked.datagram.content, walked.icmp), (Content::ICMP, kind << 8 | 3));
    }
    // Each family has its own.
    assert_eq!(whole(&frame(&[], &plain_v4(58, &icmp(1, 0, &[])))).datagram.content, Content::OTHER);
    assert_eq!(whole(&frame(&[], &v6(&[], 1, &icmp(3, 0, &[])))).datagram.content, Content::OTHER);
}

#[test]
fn headers_that_contradict_themselves_are_named() {
    let good = frame(&[], &plain_v4(TCP, &tcp(true)));
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        read(&bytes)
    };
    assert_eq!(change(14, 0x65), Err(Stop::Version));
    assert_eq!(change(14, 0x44), Err(Stop::HeaderLength));
    assert_eq!(change(17, 19), Err(Stop::HeaderLength));
    assert_eq!(change(16, 1), Err(Stop::TotalLength));
    assert_eq!(change(17, 20 + 27), Err(Stop::TransportLength), "within its data offset of 28");
    assert_eq!(change(14 + 20 + 12, 0x40), Err(Stop::TransportLength), "less than 20");
    let mut v6 = frame(&[], &v6(&[], UDP, &udp()));
    v6[14] = 0x40;
    assert_eq!(read(&v6), Err(Stop::Version));
    for (protocol, bytes) in [(TCP, 19), (UDP, 7), (SCTP, 15), (1, 7)] {
        let mut short = frame(&[], &plain_v4(protocol, &vec![0x50; bytes]));
        // Behind the packet there is something, as there is in the shortest frames.
        short.extend([0x50; 20]);
        assert_eq!(read(&short), Err(Stop::TransportLength), "{protocol}");
    }
}

#[test]
fn the_farthest_offset_is_within_the_mask() {
    let chain = [Extension::Options(60, 320)];
    let quoted = v6(&[], UDP, &udp());
    let walked = whole(&frame(&[SERVICE, CUSTOMER], &v6(&chain, 58, &icmp(3, 0, &quoted))));
    assert_eq!(walked.quote.transport, 22 + 40 + 320 + 8 + 40);
    assert!(walked.quote.transport <= OFFSET_MAX);
    assert_eq!(walked.quote.ports, ports());
}

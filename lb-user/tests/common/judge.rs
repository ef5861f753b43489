//! What a frame has become on its way: one hop less, a tunnel's header around it, or an answer to its sender.
//!
//! Written from the RFCs and read by etherparse, not by the code under test: nothing of `lb_common` is used
//! here. It refuses to know which of them a frame should have become.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header,
    UdpHeader, icmpv4, icmpv6,
};

use crate::common::datagram::header_checksum;

/// The most of a packet that an answer quotes.
const QUOTED_MAX: usize = 128;

/// What is around a packet in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) kind: AroundKind,
    /// Bytes of all of it.
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AroundKind {
    Ipip,
    /// The port of the real server, and whether UDP has a checksum.
    Gue(u16, bool),
    /// Whether there is a checksum.
    Gre(bool),
}

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// And which size would fit.
    TooBig(u32),
    TimeExceeded,
    PortUnreachable,
}

/// Where the IP header of a frame lies, behind its tags.
pub(crate) fn ip_offset(frame: &[u8]) -> usize {
    let tags = frame[12..].chunks(4).take_while(|tag| matches!(tag, [0x81, 0, ..] | [0x88, 0xa8, ..]));
    14 + 4 * tags.count()
}

/// The frame that goes on by direct routing: other Ethernet addresses, one hop less, and nothing else.
pub(crate) fn direct_routing(frame: &[u8], addresses: &[u8]) -> Vec<u8> {
    let mut expected = frame.to_vec();
    expected[..12].copy_from_slice(addresses);
    one_hop_less(&mut expected[ip_offset(frame)..]);
    expected
}

fn one_hop_less(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        packet[8] -= 1;
        let header = 4 * usize::from(packet[0] & 0xf);
        let checksum = header_checksum(&packet[..header]);
        packet[10..12].copy_from_slice(&checksum);
        // A header with its checksum sums up to all ones (RFC 1071), as etherparse adds.
        assert_eq!(Sum16BitWords::new().add_slice(&packet[..header]).ones_complement(), 0);
    } else {
        packet[7] -= 1;
    }
}

/// What is around a frame's packet in the frame that it became. All of it is right, and the packet is the one
/// that it was but for a hop, or the test fails.
pub(crate) fn tunnel(frame: &[u8], out: &[u8]) -> Around {
    let mut inner = frame[14..].to_vec();
    one_hop_less(&mut inner);
    let is_v4 = inner[0] >> 4 == 4;
    let (hops, class, dont_fragment) = if is_v4 {
        (inner[8], inner[1], inner[6] & 0x40 != 0)
    } else {
        (inner[7], inner[0] << 4 | inner[1] >> 4, true)
    };
    let padding = inner.len() - packet_bytes(&inner);
    let (source, destination, protocol, rest) = match out[12..14] {
        [0x08, 0x00] => {
            let (header, rest) = Ipv4Header::from_slice(&out[14..]).unwrap();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len) + padding, out.len() - 14);
            assert_eq!(header.header_len(), 20);
            assert_eq!((header.dscp.value() << 2 | header.ecn.value(), header.time_to_live), (class, hops));
            assert_eq!((header.dont_fragment, header.more_fragments), (dont_fragment, false));
            assert_eq!(header.fragment_offset.value(), 0);
            (IpAddr::from(header.source), IpAddr::from(header.destination), header.protocol, rest)
        }
        [0x86, 0xdd] => {
            let (header, rest) = Ipv6Header::from_slice(&out[14..]).unwrap();
            assert_eq!(usize::from(header.payload_length) + padding, rest.len());
            assert_eq!((header.traffic_class, header.hop_limit), (class, hops));
            (IpAddr::from(header.source), IpAddr::from(header.destination), header.next_header, rest)
        }
        ref other => panic!("EtherType {other:02x?} around a packet"),
    };
    let packet = out.len() - inner.len();
    let covered = &rest[..rest.len() - padding];
    let number = if is_v4 { 4 } else { 41 };
    let kind = match protocol {
        IpNumber::IPV4 | IpNumber::IPV6 => {
            assert_eq!(protocol.0, number);
            AroundKind::Ipip
        }
        IpNumber::UDP => {
            let (header, data) = UdpHeader::from_slice(covered).unwrap();
            assert_eq!(usize::from(header.length), covered.len());
            assert!(header.source_port >= 49_152, "from port {}", header.source_port);
            assert_eq!(data[..4], [0, number, 0, 0], "the header of GUE");
            if header.checksum != 0 {
                let right = match (source, destination) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => {
                        header.calc_checksum_ipv4_raw(a.octets(), b.octets(), data)
                    }
                    (IpAddr::V6(a), IpAddr::V6(b)) => {
                        header.calc_checksum_ipv6_raw(a.octets(), b.octets(), data)
                    }
                    _ => panic!("two families"),
                };
                assert_eq!(header.checksum, right.unwrap(), "the checksum of UDP");
            }
            AroundKind::Gue(header.destination_port, header.checksum != 0)
        }
        IpNumber::GRE => {
            let has_checksum = covered[0] == 0x80;
            assert!(has_checksum || covered[0] == 0);
            let inner_type: [u8; 3] = if is_v4 { [0, 0x08, 0x00] } else { [0, 0x86, 0xdd] };
            assert_eq!(covered[1..4], inner_type);
            if has_checksum {
                assert_eq!(covered[6..8], [0; 2]);
                assert_eq!(Sum16BitWords::new().add_slice(covered).ones_complement(), 0, "GRE's checksum");
            }
            AroundKind::Gre(has_checksum)
        }
        other => panic!("protocol {other:?} around a packet"),
    };
    let tunnel_bytes = match kind {
        AroundKind::Ipip => 0,
        AroundKind::Gue(..) => 12,
        AroundKind::Gre(has_checksum) => {
            if has_checksum {
                8
            } else {
                4
            }
        }
    };
    assert_eq!(packet, out.len() - rest.len() + tunnel_bytes, "where the packet begins");
    assert!(out[packet..] == inner, "in the tunnel, {frame:02x?} became\n{out:02x?}");
    Around { source, destination, kind, bytes: packet - 14 }
}

/// Bytes of a packet, by its own account.
fn packet_bytes(packet: &[u8]) -> usize {
    let number = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
    if packet[0] >> 4 == 4 { number(2) } else { 40 + number(4) }
}

/// What the sender of a frame is told by the frame that it became.
pub(crate) fn answer(frame: &[u8], out: &[u8]) -> Told {
    assert_eq!((&out[..6], &out[6..12]), (&frame[6..12], &frame[..6]), "back to where it came from");
    assert_eq!(out[12..14], frame[12..14]);
    let caused_by = &frame[14..];
    let (told, quote) = if caused_by[0] >> 4 == 4 {
        let (cause, _) = Ipv4Header::from_slice(caused_by).unwrap();
        let (header, rest) = Ipv4Header::from_slice(&out[14..]).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), out.len() - 14);
        assert_eq!((header.source, header.destination), (cause.destination, cause.source));
        assert_eq!((header.protocol, header.time_to_live), (IpNumber::ICMP, 64));
        let icmp = Icmpv4Slice::from_slice(rest).unwrap();
        let kind = icmp.icmp_type();
        assert_eq!(icmp.checksum(), Icmpv4Header::with_checksum(kind.clone(), icmp.payload()).checksum);
        let told = match kind {
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu,
            }) => Told::TooBig(next_hop_mtu.into()),
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port) => Told::PortUnreachable,
            Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit) => Told::TimeExceeded,
            other => panic!("{other:?} to {frame:02x?}"),
        };
        (told, icmp.payload())
    } else {
        let (cause, _) = Ipv6Header::from_slice(caused_by).unwrap();
        let (header, rest) = Ipv6Header::from_slice(&out[14..]).unwrap();
        assert_eq!(usize::from(header.payload_length), rest.len());
        assert_eq!((header.source, header.destination), (cause.destination, cause.source));
        assert_eq!((header.next_header, header.hop_limit), (IpNumber::IPV6_ICMP, 64));
        let icmp = Icmpv6Slice::from_slice(rest).unwrap();
        assert!(icmp.is_checksum_valid(header.source, header.destination));
        let told = match icmp.icmp_type() {
            Icmpv6Type::PacketTooBig { mtu } => Told::TooBig(mtu),
            Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port) => Told::PortUnreachable,
            Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded) => Told::TimeExceeded,
            other => panic!("{other:?} to {frame:02x?}"),
        };
        (told, icmp.payload())
    };
    let quoted = packet_bytes(caused_by).min(QUOTED_MAX) / 4 * 4;
    assert!(*quote == caused_by[..quoted], "quoted of {frame:02x?}: {quote:02x?}");
    told
}

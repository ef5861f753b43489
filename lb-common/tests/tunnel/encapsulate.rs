//! What leaves the director.

use bytemuck::Zeroable as _;
use etherparse::{Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, UdpHeader};
use lb_common::Verdict;
use lb_common::forward::tunnel;
use lb_common::net::{HEADROOM, PacketBuffer};
use lb_common::wire::OuterHeader;
use proptest::prelude::*;

use crate::packets::{
    Cramped, DIRECTOR_V4, DIRECTOR_V6, ETHERNET, GUE_PORT, Inner, KINDS, Kind, LOADS, Load, REAL_SERVER_V4,
    REAL_SERVER_V6, any_inner, any_kind, is_right,
};

const FAMILIES: [bool; 2] = [false, true];

proptest! {
    #[test]
    fn every_header_and_checksum_is_right(
        inner in any_inner(), kind in any_kind(), outer_is_v6: bool, hash: u64,
    ) {
        judge(&inner, kind, outer_is_v6, hash);
    }

    #[test]
    fn a_packet_that_just_fits_is_sent_and_one_byte_more_is_not(
        inner in any_inner(), kind in any_kind(), outer_is_v6: bool,
    ) {
        let outer = kind.outer(outer_is_v6, inner.is_v6);
        let frame = inner.frame();
        let bytes = (frame.bytes.len() - 14 - inner.padding) as u32;
        let mtu = bytes + u32::from(outer.length);
        prop_assert_eq!(outer.inner_mtu(mtu), bytes);
        let mut packet = frame.clone();
        prop_assert_eq!(tunnel(&mut packet, ETHERNET, &outer, mtu, 1), Ok(()));
        for mtu in [mtu - 1, 0] {
            let mut packet = frame.clone();
            prop_assert_eq!(tunnel(&mut packet, ETHERNET, &outer, mtu, 1), Err(Verdict::TooBig));
            prop_assert_eq!(&packet, &frame);
        }
    }

    #[test]
    fn without_hops_it_is_not_sent(
        inner in any_inner(), kind in any_kind(), outer_is_v6: bool, ttl in 0..2_u8,
    ) {
        let inner = Inner { ttl, ..inner };
        let frame = inner.frame();
        let mut packet = frame.clone();
        let outer = kind.outer(outer_is_v6, inner.is_v6);
        // Whether it fits or not, as in LVS.
        for mtu in [1500, 0] {
            prop_assert_eq!(tunnel(&mut packet, ETHERNET, &outer, mtu, 1), Err(Verdict::TtlExceeded));
            prop_assert_eq!(&packet, &frame);
        }
    }

    #[test]
    fn without_room_in_front_it_stays_as_it_was(inner in any_inner(), kind in any_kind(), outer_is_v6: bool) {
        let frame = inner.frame();
        let mut packet = Cramped { packet: frame.clone(), in_front: true };
        let outer = kind.outer(outer_is_v6, inner.is_v6);
        prop_assert_eq!(tunnel(&mut packet, ETHERNET, &outer, 1500, 1), Err(Verdict::Internal));
        prop_assert_eq!(&packet.packet, &frame);
    }
}

/// Every combination once, whatever proptest comes upon; payloads of odd and even lengths.
#[test]
fn every_mix_of_families_kinds_and_loads_is_right() {
    for is_v6 in FAMILIES {
        for outer_is_v6 in FAMILIES {
            for kind in KINDS {
                for load in LOADS {
                    for payload in [0_u32, 1, 2, 3, 63, 64, 65, 700, 1303] {
                        let payload: Vec<u8> = (0..payload).map(|at| (at * 7) as u8).collect();
                        let inner = Inner { load, payload, ..Inner::tcp(is_v6, 60) };
                        judge(&inner, kind, outer_is_v6, 0x1234_5678_9abc_def0);
                    }
                }
            }
        }
    }
}

#[test]
fn no_packet_gets_longer_than_a_length_can_say() {
    for is_v6 in FAMILIES {
        for (bytes, verdict) in [(65_535 - 20, Ok(())), (65_536 - 20, Err(Verdict::TooBig))] {
            let outer = Kind::Ipip.outer(false, is_v6);
            let mut packet = Inner::tcp(is_v6, bytes).frame();
            assert_eq!(tunnel(&mut packet, ETHERNET, &outer, u32::MAX, 1), verdict);
        }
    }
}

/// Of a datagram without a checksum GRE's has to be read off, and there is an end to what can be read.
#[test]
fn what_cant_be_summed_up_stays_as_it_was() {
    let outer = Kind::Gre { checksum: true }.outer(false, false);
    let inner = |bytes: usize| Inner {
        load: Load::UdpWithout,
        payload: vec![7; bytes - 28],
        ..Inner::tcp(false, 60)
    };
    let mut packet = inner(4096).frame();
    assert_eq!(tunnel(&mut packet, ETHERNET, &outer, 9000, 1), Ok(()));
    assert!(is_right(&packet.bytes[34..]));
    let frame = inner(4097).frame();
    let mut packet = frame.clone();
    assert_eq!(tunnel(&mut packet, ETHERNET, &outer, 9000, 1), Err(Verdict::Internal));
    assert_eq!(packet, frame);
}

/// UDP's checksum of nothing is 0xffff: a zero would say that there is none.
#[test]
fn a_checksum_never_is_zero_by_chance() {
    let inner = Inner::tcp(false, 60);
    let outer = Kind::Gue { checksum: true }.outer(false, false);
    let mut checksums: Vec<[u8; 2]> = (0..0x4000)
        .map(|hash| {
            let mut packet = inner.frame();
            tunnel(&mut packet, ETHERNET, &outer, 1500, hash).unwrap();
            [packet.bytes[40], packet.bytes[41]]
        })
        .collect();
    checksums.sort_unstable();
    // A step down for each step up of the port: a quarter of all there are, and this packet's has the one.
    assert_eq!(checksums.first(), Some(&[0, 1]));
    assert_eq!(checksums.last(), Some(&[0xff, 0xff]));
}

#[test]
fn a_record_for_other_packets_sends_nothing() {
    for is_v6 in FAMILIES {
        for outer in [Kind::Ipip.outer(false, !is_v6), Kind::Ipip.outer(true, !is_v6), OuterHeader::zeroed()]
        {
            let frame = Inner::tcp(is_v6, 60).frame();
            let mut packet = frame.clone();
            assert_eq!(tunnel(&mut packet, ETHERNET, &outer, 1500, 1), Err(Verdict::Internal));
            assert_eq!(packet, frame);
        }
    }
}

#[test]
fn the_longest_outer_header_is_within_the_headroom() {
    for kind in KINDS {
        for outer_is_v6 in FAMILIES {
            assert!(usize::from(kind.outer(outer_is_v6, true).length) <= HEADROOM);
        }
    }
}

#[test]
fn addresses_of_two_families_make_no_tunnel() {
    use lb_common::wire::Family::V4;
    let (one, other) = (DIRECTOR_V4.into(), REAL_SERVER_V6.into());
    assert_eq!(OuterHeader::ipip(one, other, V4), None);
    assert_eq!(OuterHeader::gue(one, other, V4, GUE_PORT, true), None);
    assert_eq!(OuterHeader::gre(other, one, V4, false), None);
}

/// Two packets of one flow have one source port, and flows are spread over the dynamic ones.
#[test]
fn flows_are_told_apart_by_their_source_port() {
    let outer = Kind::Gue { checksum: true }.outer(false, false);
    let port = |hash: u64| {
        let mut packet = Inner::tcp(false, 60).frame();
        tunnel(&mut packet, ETHERNET, &outer, 1500, hash).unwrap();
        u16::from_be_bytes([packet.bytes[34], packet.bytes[35]])
    };
    let mut random = fastrand::Rng::with_seed(3);
    let ports: std::collections::HashSet<u16> = (0..1_000).map(|_| port(random.u64(..))).collect();
    assert!(ports.iter().all(|port| *port >= 49_152));
    // Of 16,384: about 970 are expected.
    assert!(ports.len() > 930, "{}", ports.len());
    assert_eq!(port(42), port(42));
}

/// Sends a packet into a tunnel and reads what comes out with other eyes.
fn judge(inner: &Inner, kind: Kind, outer_is_v6: bool, hash: u64) {
    let outer = kind.outer(outer_is_v6, inner.is_v6);
    let before = inner.frame().bytes;
    let mut packet = PacketBuffer { bytes: before.clone(), interface: 1 };
    assert_eq!(tunnel(&mut packet, ETHERNET, &outer, 1500, hash), Ok(()));
    let (ethernet, ip) = Ethernet2Header::from_slice(&packet.bytes).unwrap();
    assert_eq!(ethernet.to_bytes()[..12], ETHERNET);
    assert_eq!(packet.bytes.len(), before.len() + usize::from(outer.length));
    let ip = &ip[..ip.len() - inner.padding];
    let (protocol, rest) =
        if outer_is_v6 { judge_v6(inner, &ethernet, ip) } else { judge_v4(inner, &ethernet, ip, hash) };
    let carried = judge_rest(inner, kind, outer_is_v6, protocol, rest);
    judge_inner(inner, carried, &before);
}

fn judge_v4<'a>(inner: &Inner, ethernet: &Ethernet2Header, ip: &'a [u8], hash: u64) -> (IpNumber, &'a [u8]) {
    assert_eq!(ethernet.ether_type, etherparse::EtherType::IPV4);
    let (header, rest) = Ipv4Header::from_slice(ip).unwrap();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), ip.len());
    assert_eq!((header.source, header.destination), (DIRECTOR_V4, REAL_SERVER_V4));
    assert_eq!(header.dscp.value() << 2 | header.ecn.value(), inner.class);
    assert_eq!(header.time_to_live, inner.ttl - 1);
    assert!(header.options.is_empty() && !header.more_fragments && header.fragment_offset.value() == 0);
    assert_eq!(header.dont_fragment, inner.is_v6 || inner.dont_fragment);
    let own = if header.dont_fragment { 0 } else { inner.identification ^ (hash as u16).to_be() };
    assert_eq!(header.identification, own);
    (header.protocol, rest)
}

fn judge_v6<'a>(inner: &Inner, ethernet: &Ethernet2Header, ip: &'a [u8]) -> (IpNumber, &'a [u8]) {
    assert_eq!(ethernet.ether_type, etherparse::EtherType::IPV6);
    let (header, rest) = Ipv6Header::from_slice(ip).unwrap();
    assert_eq!(usize::from(header.payload_length), rest.len());
    assert_eq!((header.source, header.destination), (DIRECTOR_V6, REAL_SERVER_V6));
    assert_eq!(header.traffic_class, inner.class);
    assert_eq!(header.hop_limit, inner.ttl - 1);
    assert_eq!(header.flow_label.value(), 0);
    (header.next_header, rest)
}

/// The packet in what follows the outer IP header.
fn judge_rest<'a>(
    inner: &Inner,
    kind: Kind,
    outer_is_v6: bool,
    protocol: IpNumber,
    rest: &'a [u8],
) -> &'a [u8] {
    let (own, ether_type) = if inner.is_v6 { (41, [0x86, 0xdd]) } else { (4, [8, 0]) };
    match kind {
        Kind::Ipip => {
            assert_eq!(protocol.0, own);
            rest
        }
        Kind::Gre { checksum } => {
            assert_eq!(protocol, IpNumber::GRE);
            assert_eq!(rest[..4], [if checksum { 0x80 } else { 0 }, 0, ether_type[0], ether_type[1]]);
            if !checksum {
                return &rest[4..];
            }
            assert!(is_right(rest), "{:?}", inner.load);
            assert_eq!(rest[6..8], [0, 0]);
            &rest[8..]
        }
        Kind::Gue { checksum } => {
            assert_eq!(protocol, IpNumber::UDP);
            let (udp, rest) = UdpHeader::from_slice(rest).unwrap();
            assert_eq!(udp.destination_port, GUE_PORT);
            assert_eq!(usize::from(udp.length), 8 + rest.len());
            let known = matches!(inner.load, Load::Tcp | Load::Udp | Load::Icmp);
            if checksum && known {
                let right = if outer_is_v6 {
                    udp.calc_checksum_ipv6_raw(DIRECTOR_V6, REAL_SERVER_V6, rest).unwrap()
                } else {
                    udp.calc_checksum_ipv4_raw(DIRECTOR_V4, REAL_SERVER_V4, rest).unwrap()
                };
                assert_eq!(udp.checksum, right, "{:?}", inner.load);
            } else {
                assert_eq!(udp.checksum, 0);
            }
            assert_eq!(rest[..4], [0, own, 0, 0]);
            &rest[4..]
        }
    }
}

/// One hop less, and nothing else.
fn judge_inner(inner: &Inner, carried: &[u8], before: &[u8]) {
    let mut expected = before[14..before.len() - inner.padding].to_vec();
    if inner.is_v6 {
        expected[7] -= 1;
    } else {
        let (header, _) = Ipv4Header::from_slice(carried).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        expected[8] -= 1;
        expected[10..12].copy_from_slice(&header.header_checksum.to_be_bytes());
    }
    assert_eq!(carried, expected);
}

//! What a sender is told.

use etherparse::{
    Ethernet2Header, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, Ipv4Header,
    Ipv6Header, icmpv4, icmpv6,
};
use lb_common::forward::{QUOTED_MAX, icmp_error};
use lb_common::net::{IcmpError, PacketBuffer};
use proptest::prelude::*;

use crate::packets::{
    CLIENT_V4, CLIENT_V6, Cramped, Inner, Load, SERVICE_V4, SERVICE_V6, any_inner, is_right,
};

const ERRORS: [IcmpError; 3] =
    [IcmpError::TooBig { mtu: 1480 }, IcmpError::TimeExceeded, IcmpError::PortUnreachable];

proptest! {
    #[test]
    fn every_error_is_read_by_its_receiver(
        inner in any_inner(), error in proptest::sample::select(&ERRORS[..]),
    ) {
        prop_assume!(inner.load != Load::Icmp);
        judge(&inner, error);
    }

    #[test]
    fn without_room_the_packet_stays_as_it_was(inner in any_inner(), in_front: bool) {
        let frame = inner.frame();
        let mut packet = Cramped { packet: frame.clone(), in_front };
        prop_assert_eq!(icmp_error(&mut packet, IcmpError::TimeExceeded), None);
        prop_assert_eq!(&packet.packet, &frame);
    }

    #[test]
    fn icmp_is_not_answered_by_icmp(inner in any_inner()) {
        let frame = Inner { load: Load::Icmp, ..inner }.frame();
        let mut packet = frame.clone();
        prop_assert_eq!(icmp_error(&mut packet, IcmpError::PortUnreachable), None);
        prop_assert_eq!(&packet, &frame);
    }
}

#[test]
fn packets_of_every_size_are_answered() {
    for is_v6 in [false, true] {
        for bytes in 60..1600 {
            for error in ERRORS {
                judge(&Inner::tcp(is_v6, bytes), error);
            }
        }
    }
    // The smallest that there is: its header and eight bytes are quoted whole.
    let smallest = Inner { load: Load::Udp, payload: Vec::new(), ..Inner::tcp(false, 60) };
    judge(&smallest, IcmpError::PortUnreachable);
}

#[test]
fn the_sender_learns_what_fits() {
    for mtu in [0, 68, 1280, 1448, 1480, 8960, 65_535] {
        judge(&Inner::tcp(false, 1500), IcmpError::TooBig { mtu });
        judge(&Inner::tcp(true, 1500), IcmpError::TooBig { mtu });
    }
    judge(&Inner::tcp(true, 1500), IcmpError::TooBig { mtu: u32::MAX });
    let mut packet = Inner::tcp(false, 1500).frame();
    icmp_error(&mut packet, IcmpError::TooBig { mtu: 65_536 }).unwrap();
    assert_eq!(packet.bytes[38..42], [0, 0, 0xff, 0xff]);
}

#[test]
fn no_single_host_is_told() {
    let v4 = |address: [u8; 4]| (26, address.to_vec());
    let v6 = |address: std::net::Ipv6Addr| (22, address.octets().to_vec());
    let sources = [
        (false, v4([0, 0, 0, 0])),
        (false, v4([127, 0, 0, 1])),
        (false, v4([224, 0, 0, 1])),
        (false, v4([255; 4])),
        (true, v6("::".parse().unwrap())),
        (true, v6("::1".parse().unwrap())),
        (true, v6("ff02::1".parse().unwrap())),
        // Sent to many on the link; not the beginning of a datagram.
        (false, (0, vec![0xff; 6])),
        (true, (0, vec![0x33, 0x33, 0, 0, 0, 1])),
        (false, (20, vec![0, 1])),
        (false, (20, vec![0x20, 8])),
    ];
    for (is_v6, (at, bytes)) in sources {
        let mut frame = Inner::tcp(is_v6, 100).frame();
        frame.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
        let mut packet = frame.clone();
        assert_eq!(icmp_error(&mut packet, IcmpError::TimeExceeded), None, "{at}: {bytes:?}");
        assert_eq!(packet, frame);
    }
    for (at, bytes) in [v4([1, 0, 0, 1]), v4([126, 0, 0, 1]), v4([128, 0, 0, 1]), v4([223, 0, 0, 1])] {
        let mut packet = Inner::tcp(false, 100).frame();
        packet.bytes[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(icmp_error(&mut packet, IcmpError::TimeExceeded), Some(()));
    }
    for address in ["::2", "2001:db8::1", "fe80::1"] {
        let (at, bytes) = v6(address.parse().unwrap());
        let mut packet = Inner::tcp(true, 100).frame();
        packet.bytes[at..at + 16].copy_from_slice(&bytes);
        assert_eq!(icmp_error(&mut packet, IcmpError::TimeExceeded), Some(()));
    }
}

#[test]
fn a_frame_that_ends_before_its_packet_is_not_answered() {
    for is_v6 in [false, true] {
        let frame = Inner::tcp(is_v6, 100).frame();
        for length in 0..114 {
            let bytes = frame.bytes[..length].to_vec();
            let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
            if icmp_error(&mut packet, IcmpError::TimeExceeded).is_none() {
                assert_eq!(packet.bytes, bytes);
            } else {
                panic!("{length} bytes of 114 were answered");
            }
        }
    }
}

fn judge(inner: &Inner, error: IcmpError) {
    let before = inner.frame().bytes;
    let mut packet = PacketBuffer { bytes: before.clone(), interface: 1 };
    assert_eq!(icmp_error(&mut packet, error), Some(()));
    let (ethernet, ip) = Ethernet2Header::from_slice(&packet.bytes).unwrap();
    let (came, _) = Ethernet2Header::from_slice(&before).unwrap();
    assert_eq!((ethernet.source, ethernet.destination), (came.destination, came.source));
    assert_eq!(ethernet.ether_type, came.ether_type);
    let caused_by = &before[14..before.len() - inner.padding];
    let quote = if inner.is_v6 { judge_v6(ip, error) } else { judge_v4(ip, error) };
    assert_eq!(quote.len(), caused_by.len().min(QUOTED_MAX) / 4 * 4);
    assert_eq!(quote, &caused_by[..quote.len()]);
    // An answer is hardly larger than its cause.
    assert!(packet.bytes.len() <= before.len() + 48);
}

fn judge_v4(ip: &[u8], error: IcmpError) -> &[u8] {
    let (header, rest) = Ipv4Header::from_slice(ip).unwrap();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!(usize::from(header.total_len), ip.len());
    assert!(ip.len() <= 576);
    assert_eq!((header.source, header.destination), (SERVICE_V4, CLIENT_V4));
    assert_eq!((header.protocol, header.time_to_live), (IpNumber::ICMP, 64));
    assert_eq!((header.dscp.value(), header.ecn.value()), (48, 0));
    let icmp = Icmpv4Slice::from_slice(rest).unwrap();
    assert!(is_right(rest));
    let expected = match error {
        IcmpError::TooBig { mtu } => {
            let next_hop_mtu = mtu as u16;
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu,
            })
        }
        IcmpError::TimeExceeded => Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
        IcmpError::PortUnreachable => Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port),
    };
    assert_eq!(icmp.icmp_type(), expected);
    assert_eq!(icmp.checksum(), Icmpv4Header::with_checksum(expected, icmp.payload()).checksum);
    // The header, whose length it says, and the ports.
    let (quoted, ports) = Ipv4Header::from_slice(icmp.payload()).unwrap();
    assert!(ports.len() >= usize::from(quoted.payload_len().unwrap().min(8)) / 4 * 4);
    icmp.payload()
}

fn judge_v6(ip: &[u8], error: IcmpError) -> &[u8] {
    let (header, rest) = Ipv6Header::from_slice(ip).unwrap();
    assert_eq!(usize::from(header.payload_length), rest.len());
    assert!(ip.len() <= 1280);
    assert_eq!((header.source, header.destination), (SERVICE_V6, CLIENT_V6));
    assert_eq!((header.next_header, header.hop_limit), (IpNumber::IPV6_ICMP, 64));
    assert_eq!((header.traffic_class, header.flow_label.value()), (0xc0, 0));
    let icmp = Icmpv6Slice::from_slice(rest).unwrap();
    assert!(icmp.is_checksum_valid(header.source, header.destination));
    let expected = match error {
        IcmpError::TooBig { mtu } => Icmpv6Type::PacketTooBig { mtu },
        IcmpError::TimeExceeded => Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
        IcmpError::PortUnreachable => Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port),
    };
    assert_eq!(icmp.icmp_type(), expected);
    icmp.payload()
}

//! Ways to real servers, judged by the fields that frames need and by etherparse.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;

use etherparse::{IpNumber, NetSlice, SlicedPacket};
use lb_common::wire::{TUNNEL_GRE_CHECKSUM, TUNNEL_GUE, TUNNEL_IPIP};

use super::*;
use crate::model::Thresholds;
use crate::neighbour::Unreachable;

const NEIGHBOUR: Mac = [2, 0, 0, 0, 0, 2];
const OURS: Mac = [2, 0, 0, 0, 0, 1];
/// A frame's first bytes to that neighbour.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const IPIP: ForwardMethod = ForwardMethod::Tunnel(Tunnel::Ipip);
const METHODS: [ForwardMethod; 3] = [ForwardMethod::DirectRouting, ForwardMethod::Local, IPIP];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn server(address: &str, forward: ForwardMethod) -> RealServer {
    RealServer {
        name: None,
        address: ip(address),
        port: 80,
        weight: 1,
        thresholds: Thresholds::default(),
        forward,
        interface: None,
    }
}

fn on_link(from: Option<&str>, mtu: u32) -> Reach {
    Reach::OnLink { interface: 7, source: OURS, destination: NEIGHBOUR, mtu, from: from.map(ip) }
}

fn unresolved(from: Option<&str>, mtu: u32) -> Reach {
    Reach::Unresolved { interface: 7, source: OURS, mtu, from: from.map(ip) }
}

fn routed(destination: Option<Mac>, from: Option<&str>, mtu: u32) -> Reach {
    let gateway = ip("10.0.0.254");
    Reach::Routed { gateway, interface: 7, source: OURS, destination, mtu, from: from.map(ip) }
}

fn unreachable() -> Reach {
    Reach::Unreachable { why: Unreachable::NoRoute }
}

/// The source and destination of an outer header, and what it says comes next.
fn ends(outer: &OuterHeader) -> (IpAddr, IpAddr, IpNumber) {
    let mut packet = outer.bytes().to_vec();
    let length = packet.len() as u16;
    // What a packet adds: the length.
    match outer.family {
        4 => packet[2..4].copy_from_slice(&length.to_be_bytes()),
        _ => packet[4..6].copy_from_slice(&(length - 40).to_be_bytes()),
    }
    match SlicedPacket::from_ip(&packet).map(|sliced| sliced.net) {
        Ok(Some(NetSlice::Ipv4(ipv4))) => {
            let header = ipv4.header();
            (header.source_addr().into(), header.destination_addr().into(), header.protocol())
        }
        Ok(Some(NetSlice::Ipv6(ipv6))) => {
            let header = ipv6.header();
            (header.source_addr().into(), header.destination_addr().into(), header.next_header())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tunnel_goes_to_the_neighbour_or_to_the_router() {
    let server = server("10.0.1.11", IPIP);
    let from = Some("10.0.0.1");
    for reach in [on_link(from, 1400), routed(Some(NEIGHBOUR), from, 1400)] {
        let way = Way::new(&server, Family::V4, &reach);
        assert_eq!(
            (way.forward, way.ethernet, way.interface, way.mtu),
            (FORWARD_TUNNEL, ETHERNET, 7, 1400),
            "{reach:?}"
        );
        assert_eq!(ends(&way.outer), (ip("10.0.0.1"), ip("10.0.1.11"), IpNumber::IPV4));
        assert_eq!(obstacle(&server, &reach), None);
    }
    // As soon as somebody answers, only the addresses are missing.
    for reach in [unresolved(from, 1400), routed(None, from, 1400)] {
        let way = Way::new(&server, Family::V4, &reach);
        let known = Way::new(&server, Family::V4, &on_link(from, 1400));
        assert_eq!(way, Way { ethernet: [0; 12], ..known }, "{reach:?}");
        assert_eq!(obstacle(&server, &reach), None);
    }
}

#[test]
fn the_outer_header_is_of_the_configured_kind_and_of_the_families_of_both() {
    let gue = Tunnel::Gue { port: 6080, checksum: false };
    let gre = Tunnel::Gre { checksum: true };
    for (tunnel, to, from, inner, kind, next) in [
        (Tunnel::Ipip, "10.0.1.11", "10.0.0.1", Family::V6, TUNNEL_IPIP, IpNumber::IPV6),
        (Tunnel::Ipip, "fd00::11", "fd00::1", Family::V4, TUNNEL_IPIP, IpNumber::IPV4),
        (Tunnel::Ipip, "fd00::11", "fd00::1", Family::V6, TUNNEL_IPIP, IpNumber::IPV6),
        (gre, "fd00::11", "fd00::1", Family::V4, TUNNEL_GRE_CHECKSUM, IpNumber::GRE),
    ] {
        let way = Way::new(&server(to, ForwardMethod::Tunnel(tunnel)), inner, &on_link(Some(from), 1500));
        assert_eq!((way.outer.kind, way.outer.inner), (kind, inner as u8));
        assert_eq!(ends(&way.outer), (ip(from), ip(to), next));
    }
    let way = Way::new(
        &server("10.0.1.11", ForwardMethod::Tunnel(gue)),
        Family::V4,
        &on_link(Some("10.0.0.1"), 1500),
    );
    assert_eq!((way.outer.kind, way.outer.bytes()[9]), (TUNNEL_GUE, 17));
    assert_eq!(way.outer.bytes()[22..24], 6080_u16.to_be_bytes());
}

#[test]
fn a_tunnel_without_an_address_to_come_from_leads_nowhere() {
    let server = server("10.0.1.11", IPIP);
    for from in [None, Some("fd00::1")] {
        for reach in [on_link(from, 1500), unresolved(from, 1500), routed(Some(NEIGHBOUR), from, 1500)] {
            assert_eq!(Way::new(&server, Family::V4, &reach), Way::nowhere(IPIP));
            let why = obstacle(&server, &reach).unwrap();
            assert!(why.contains(from.unwrap_or("none to send from")), "{why}");
        }
    }
}

#[test]
fn direct_routing_needs_no_source_and_no_router() {
    let server = server("10.0.0.2", ForwardMethod::DirectRouting);
    for (reach, ethernet) in [(on_link(None, 9000), ETHERNET), (unresolved(None, 9000), [0; 12])] {
        let expected =
            Way { forward: FORWARD_DIRECT, ethernet, interface: 7, mtu: 9000, outer: OuterHeader::zeroed() };
        assert_eq!(Way::new(&server, Family::V4, &reach), expected);
        assert_eq!(obstacle(&server, &reach), None);
    }
    let reach = routed(Some(NEIGHBOUR), Some("10.0.0.1"), 9000);
    assert_eq!(Way::new(&server, Family::V4, &reach), Way::nowhere(ForwardMethod::DirectRouting));
    assert!(obstacle(&server, &reach).unwrap().contains("router 10.0.0.254"));
}

#[test]
fn who_is_this_host_is_local_by_any_method() {
    for forward in METHODS {
        let server = server("10.0.0.1", forward);
        assert_eq!(Way::new(&server, Family::V6, &Reach::Local), Way::nowhere(ForwardMethod::Local));
        assert_eq!(obstacle(&server, &Reach::Local), None);
    }
}

#[test]
fn what_cannot_be_reached_keeps_its_method_and_has_a_reason() {
    for (forward, number) in METHODS.into_iter().zip([FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_TUNNEL]) {
        let server = server("10.0.0.2", forward);
        let way = Way::new(&server, Family::V4, &unreachable());
        assert_eq!((way, way.forward, way.ethernet), (Way::nowhere(forward), number, [0; 12]));
        let why = (forward != ForwardMethod::Local).then(|| Unreachable::NoRoute.to_string());
        assert_eq!(obstacle(&server, &unreachable()), why);
    }
}

#[test]
fn a_found_record_is_believed_as_far_as_the_config_still_says_so() {
    let found = |forward, reach: &Reach| {
        Way::new(&server("fd00::11", forward), Family::V4, reach).destination(
            ServiceKey::zeroed(),
            [0; 16],
            [0; 2],
        )
    };
    let reach = routed(Some(NEIGHBOUR), Some("fd00::1"), 1400);
    let gue = |port| ForwardMethod::Tunnel(Tunnel::Gue { port, checksum: true });
    for forward in [IPIP, gue(6080), ForwardMethod::Tunnel(Tunnel::Gre { checksum: false })] {
        let server = server("fd00::11", forward);
        let now = Way::new(&server, Family::V4, &reach);
        assert_ne!(now, Way::nowhere(forward));
        // Also where it was another tunnel: what it comes from, and by whom, is still so.
        for before in [forward, IPIP, gue(6081)] {
            assert_eq!(Way::believed(&server, Family::V4, &found(before, &reach)), now);
        }
        // What was sent as it is doesn't tell where a tunnel comes from.
        let direct = found(ForwardMethod::DirectRouting, &on_link(Some("fd00::1"), 1400));
        assert_eq!(Way::believed(&server, Family::V4, &direct), Way::nowhere(forward));
        let here = found(forward, &Reach::Local);
        assert_eq!(
            Way::believed(&server, Family::V4, &here),
            Way::nowhere(ForwardMethod::Local),
            "this host still"
        );
    }
    let server = server("fd00::11", ForwardMethod::DirectRouting);
    let on_link = on_link(None, 1400);
    let direct = found(ForwardMethod::DirectRouting, &on_link);
    assert_eq!(Way::believed(&server, Family::V6, &direct), Way::new(&server, Family::V6, &on_link));
    // That neighbour may be a router.
    assert_eq!(
        Way::believed(&server, Family::V6, &found(IPIP, &reach)),
        Way::nowhere(ForwardMethod::DirectRouting)
    );
}

#[test]
fn a_record_has_every_part_of_a_way() {
    let server = server("10.0.1.11", IPIP);
    let way = Way::new(&server, Family::V4, &routed(Some(NEIGHBOUR), Some("10.0.0.1"), 1400));
    let service = ServiceKey { port: [0, 80], ..ServiceKey::zeroed() };
    let record = way.destination(service, [9; 16], [1, 2]);
    assert_eq!((record.service, record.address, record.port), (service, [9; 16], [1, 2]));
    let Destination { forward, ethernet, interface, mtu, outer, .. } = record;
    assert_eq!(Way { forward, ethernet, interface, mtu, outer }, way);
}

#[test]
fn a_path_that_is_too_narrow_for_ipv6_in_a_tunnel_is_told() {
    for (to, from, header) in [("10.0.1.11", "10.0.0.1", 20), ("fd00::11", "fd00::1", 40)] {
        let server = server(to, IPIP);
        let narrow = on_link(Some(from), 1280 + header - 1);
        let wide = on_link(Some(from), 1280 + header);
        let why = narrowness(&server, Family::V6, &narrow).unwrap();
        assert!(why.contains("leaves 1279") && why.contains(&format!("to {} or", 1280 + header)), "{why}");
        assert_eq!(narrowness(&server, Family::V6, &wide), None);
        assert_eq!(narrowness(&server, Family::V4, &narrow), None);
    }
    let direct = server("fd00::11", ForwardMethod::DirectRouting);
    assert_eq!(narrowness(&direct, Family::V6, &on_link(None, 1000)), None);
}

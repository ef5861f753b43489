//! What arrives at a real server without a tunnel device.

use etherparse::Ipv4Header;
use fastrand::Rng;
use lb_common::forward::{Decapsulation, decapsulate, tunnel};
use lb_common::net::PacketBuffer;
use proptest::prelude::*;

use crate::packets::{
    ETHERNET, GUE_PORT, Inner, KINDS, Kind, REAL_SERVER_V4, REAL_SERVER_V6, any_inner, any_kind,
};

const FRAMES: u32 = if cfg!(miri) { 300 } else { 200_000 };

proptest! {
    #[test]
    fn in_and_out_of_a_tunnel_is_one_hop(
        inner in any_inner(), kind in any_kind(), outer_is_v6: bool, hash: u64,
    ) {
        let mut packet = inner.frame();
        let mut expected = packet.bytes.clone();
        expected[..12].copy_from_slice(&ETHERNET);
        tunnel(&mut packet, ETHERNET, &kind.outer(outer_is_v6, inner.is_v6), 1500, hash).unwrap();
        prop_assert_eq!(decapsulate(&mut packet, our_port), Decapsulation::Decapsulated);
        if inner.is_v6 {
            expected[21] -= 1;
        } else {
            expected[22] -= 1;
            let (header, _) = Ipv4Header::from_slice(&expected[14..]).unwrap();
            expected[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
        }
        prop_assert_eq!(packet.bytes, expected);
    }

    #[test]
    fn what_ends_too_early_is_not_ours(
        inner in any_inner(), kind in any_kind(), outer_is_v6: bool, cut: proptest::sample::Index,
    ) {
        let bytes = sent(&Inner { padding: 0, ..inner }, kind, outer_is_v6);
        not_ours(&bytes[..cut.index(bytes.len())], our_port);
    }
}

#[test]
fn only_the_addresses_of_a_tunnels_end_are_ours() {
    for (outer_is_v6, kind) in [false, true].into_iter().flat_map(|outer| KINDS.map(|kind| (outer, kind))) {
        let bytes = sent(&Inner::tcp(false, 60), kind, outer_is_v6);
        not_ours(&bytes, |_| None);
        let mut asked = Vec::new();
        let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
        decapsulate(&mut packet, |address| {
            asked.push(address);
            Some(GUE_PORT.into())
        });
        assert_eq!(asked, [if outer_is_v6 { key(REAL_SERVER_V6) } else { key_v4() }]);
    }
}

#[test]
fn gue_is_ours_on_its_port_only() {
    for (kind, is_gue) in KINDS.map(|kind| (kind, matches!(kind, Kind::Gue { .. }))) {
        let bytes = sent(&Inner::tcp(true, 80), kind, false);
        for port in [0, GUE_PORT - 1, GUE_PORT + 1] {
            let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
            let decapsulation = decapsulate(&mut packet, |_| Some(port.into()));
            let expected = if is_gue { Decapsulation::NotOurs } else { Decapsulation::Decapsulated };
            assert_eq!(decapsulation, expected);
        }
    }
    // A datagram to port 0 is none of GUE's, even where GUE has no port.
    let mut bytes = sent(&Inner::tcp(true, 80), Kind::Gue { checksum: false }, false);
    bytes[36..38].fill(0);
    not_ours(&bytes, |_| Some(0));
}

/// Headers that the director doesn't make: where they lie, and what is there instead.
#[test]
fn other_headers_are_left_to_the_kernel() {
    let ipip: &[(usize, &[u8])] = &[
        // Another EtherType; version; header length; protocols; a fragment, its first and its second.
        (12, &[0x81, 0]),
        (14, &[0x65]),
        (14, &[0x46]),
        (14, &[0x44]),
        (23, &[41]),
        (23, &[6]),
        (23, &[50]),
        (20, &[0x20, 0]),
        (20, &[0, 1]),
        // Longer than the frame; shorter than itself; shorter than the packet in it.
        (16, &[1, 0]),
        (16, &[0, 19]),
        (16, &[0, 79]),
        // The packet: its version; its length; more than there is.
        (34, &[0x65]),
        (34, &[0x44]),
        (36, &[0, 61]),
        (36, &[0, 19]),
    ];
    let gre: &[(usize, &[u8])] = &[
        // Routing, key, sequence number, strict route, version, other protocols.
        (34, &[0x40]),
        (34, &[0x20]),
        (34, &[0xa0]),
        (34, &[0x10]),
        (34, &[0x08]),
        (35, &[1]),
        (36, &[0x65, 0x58]),
        (36, &[0x86, 0xdd]),
    ];
    let gue: &[(usize, &[u8])] = &[
        // UDP's length; variant 1; a control message; options; flags; other protocols.
        (38, &[0, 71]),
        (38, &[0, 73]),
        (42, &[0x40]),
        (42, &[0x45]),
        (42, &[0x20]),
        (42, &[0x01]),
        (44, &[0x80]),
        (45, &[0x01]),
        (43, &[41]),
        (43, &[6]),
        (43, &[0]),
    ];
    let kinds =
        [(Kind::Ipip, ipip), (Kind::Gre { checksum: false }, gre), (Kind::Gue { checksum: false }, gue)];
    for (kind, others) in kinds {
        for (at, other) in others {
            let mut bytes = sent(&Inner::tcp(false, 60), kind, false);
            bytes[*at..at + other.len()].copy_from_slice(other);
            right(&mut bytes);
            not_ours(&bytes, our_port);
        }
    }
}

#[test]
fn so_are_other_ipv6_headers() {
    // EtherType; version; lengths; an extension header; a fragment; other protocols.
    let others: &[(usize, &[u8])] = &[
        (12, &[8, 0]),
        (14, &[0x40]),
        (18, &[0, 59]),
        (18, &[0, 61]),
        (20, &[0]),
        (20, &[44]),
        (20, &[4]),
        (20, &[6]),
        // The packet: its version, its length.
        (54, &[0x40]),
        (58, &[0, 21]),
    ];
    for (at, other) in others {
        let mut bytes = sent(&Inner::tcp(true, 60), Kind::Ipip, true);
        bytes[*at..at + other.len()].copy_from_slice(other);
        not_ours(&bytes, our_port);
    }
}

#[test]
fn a_wrong_header_checksum_is_left_to_the_kernel() {
    let mut bytes = sent(&Inner::tcp(false, 60), Kind::Ipip, false);
    bytes[24] ^= 1;
    not_ours(&bytes, our_port);
}

#[test]
fn no_bytes_panic_and_what_is_not_ours_is_not_written_to() {
    let mut random = Rng::with_seed(11);
    let mut taken = 0;
    for _ in 0..FRAMES {
        let inner = Inner::tcp(random.bool(), random.usize(60..90));
        let kind = KINDS[random.usize(..KINDS.len())];
        let mut bytes = sent(&inner, kind, random.bool());
        for _ in 0..random.u8(..3) {
            let at = random.usize(12..bytes.len().min(90));
            bytes[at] = random.u8(..);
        }
        if random.bool() {
            right(&mut bytes);
        }
        bytes.truncate(random.usize(..bytes.len() + 40).min(bytes.len()));
        let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
        if decapsulate(&mut packet, our_port) == Decapsulation::Decapsulated {
            taken += 1;
            assert!(packet.bytes.len() < bytes.len());
        } else {
            assert_eq!(packet.bytes, bytes);
        }
    }
    assert!(taken > FRAMES / 20, "{taken}: then it proves little");
}

fn sent(inner: &Inner, kind: Kind, outer_is_v6: bool) -> Vec<u8> {
    let mut packet = inner.frame();
    tunnel(&mut packet, ETHERNET, &kind.outer(outer_is_v6, inner.is_v6), 1500, 5).unwrap();
    packet.bytes
}

/// Makes the outer header's checksum right.
fn right(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(14..34) else { return };
    header[10..12].fill(0);
    let checksum = etherparse::checksum::Sum16BitWords::new().add_slice(header).ones_complement();
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

fn not_ours(bytes: &[u8], port: impl FnOnce([u64; 2]) -> Option<u32>) {
    let mut packet = PacketBuffer { bytes: bytes.to_vec(), interface: 1 };
    assert_eq!(decapsulate(&mut packet, port), Decapsulation::NotOurs, "{bytes:02x?}");
    assert_eq!(packet.bytes, bytes);
}

fn our_port(address: [u64; 2]) -> Option<u32> {
    (address == key_v4() || address == key(REAL_SERVER_V6)).then_some(GUE_PORT.into())
}

fn key_v4() -> [u64; 2] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&REAL_SERVER_V4);
    key(bytes)
}

fn key(address: [u8; 16]) -> [u64; 2] {
    bytemuck::cast(address)
}

//! The ECN field of a packet that leaves a tunnel, row by row of RFC 6040, figure 4.

use etherparse::Ipv4Header;
use lb_common::forward::{Decapsulation, decapsulate, decapsulated_ecn, tunnel};

use crate::packets::{ETHERNET, Inner, Kind};

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// By the inner field: what leaves by an outer Not-ECT, ECT(0), ECT(1), CE. Nothing: it is dropped.
const FIGURE_4: [(u8, [Option<u8>; 4]); 4] = [
    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
    (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
    (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
    (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
];

#[test]
fn the_table_is_that_of_the_rfc() {
    for (inner, row) in FIGURE_4 {
        for (outer, leaves) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
            assert_eq!(
                decapsulated_ecn(inner.into(), outer.into()),
                leaves.map(u32::from),
                "{inner} in {outer}"
            );
        }
    }
}

#[test]
fn a_packet_leaves_with_it_and_nothing_else_is_changed() {
    for (is_v6, outer_is_v6) in [(false, false), (false, true), (true, false), (true, true)] {
        for (ecn, row) in FIGURE_4 {
            for (outer_ecn, leaves) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                let inner = Inner { class: 0xa8 | ecn, ..Inner::tcp(is_v6, 80) };
                check(&inner, outer_is_v6, outer_ecn, leaves);
            }
        }
    }
}

fn check(inner: &Inner, outer_is_v6: bool, outer_ecn: u8, leaves: Option<u8>) {
    let mut packet = inner.frame();
    let outer = Kind::Ipip.outer(outer_is_v6, inner.is_v6);
    tunnel(&mut packet, ETHERNET, &outer, 1500, 1).unwrap();
    mark(&mut packet.bytes[14..], outer_is_v6, outer_ecn);
    let before = packet.bytes.clone();
    let decapsulation = decapsulate(&mut packet, |_| Some(0));
    let Some(leaves) = leaves else {
        assert_eq!((decapsulation, packet.bytes), (Decapsulation::Dropped, before));
        return;
    };
    assert_eq!(decapsulation, Decapsulation::Decapsulated);
    let mut expected = before[14 + usize::from(outer.length)..].to_vec();
    mark(&mut expected, inner.is_v6, leaves);
    assert_eq!(packet.bytes[14..], expected);
}

/// As a router does that sees congestion.
fn mark(ip: &mut [u8], is_v6: bool, ecn: u8) {
    if is_v6 {
        ip[1] = ip[1] & 0xcf | ecn << 4;
    } else {
        ip[1] = ip[1] & 0xfc | ecn;
        let (header, _) = Ipv4Header::from_slice(ip).unwrap();
        ip[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    }
}

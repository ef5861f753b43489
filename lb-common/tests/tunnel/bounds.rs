//! How far a frame in memory grows and shrinks, and what a sum is told of.

use lb_common::net::{HEADROOM, Packet as _, PacketBuffer, Sum, TAILROOM};
use proptest::prelude::*;

use crate::packets::is_right;

fn frame(length: usize) -> PacketBuffer {
    PacketBuffer { bytes: (0..length).map(|at| at as u8).collect(), interface: 1 }
}

#[test]
fn a_head_moves_within_the_headroom_and_down_to_an_ethernet_header() {
    let bytes = frame(60).bytes;
    for by in 0..=HEADROOM {
        let mut packet = frame(60);
        assert_eq!(packet.move_head(by.cast_signed() as i32), Some(()));
        assert_eq!(packet.length(), 60 + by);
        assert_eq!(packet.bytes[by..], bytes);
    }
    for by in 0..=46_usize {
        let mut packet = frame(60);
        assert_eq!(packet.move_head(-(by.cast_signed() as i32)), Some(()));
        assert_eq!(packet.bytes, bytes[by..]);
    }
    for by in [HEADROOM.cast_signed() as i32 + 1, i32::MAX, -47, -60, -61, i32::MIN] {
        let mut packet = frame(60);
        assert_eq!(packet.move_head(by), None);
        assert_eq!(packet.bytes, bytes);
    }
}

#[test]
fn a_length_is_set_within_the_tailroom_and_down_to_an_ethernet_header() {
    let bytes = frame(60).bytes;
    for length in 14..=60 + TAILROOM {
        let mut packet = frame(60);
        assert_eq!(packet.set_length(length), Some(()));
        let kept = length.min(60);
        assert_eq!((packet.length(), &packet.bytes[..kept]), (length, &bytes[..kept]));
        assert!(packet.bytes[kept..].iter().all(|byte| *byte == 0));
    }
    for length in [0, 13, 61 + TAILROOM, usize::MAX] {
        let mut packet = frame(60);
        assert_eq!(packet.set_length(length), None);
        assert_eq!(packet.bytes, bytes);
    }
}

proptest! {
    #[test]
    fn a_packet_and_its_checksum_sum_up_to_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut packet = PacketBuffer { bytes: [&[9; 14][..], &bytes].concat(), interface: 1 };
        let sum = Sum::of_packet(&packet, 14, bytes.len()).unwrap();
        prop_assert_eq!(Sum::of_packet(&packet, 14, bytes.len() + 1), None);
        // A checksum lies at an even offset.
        packet.bytes.resize(14 + bytes.len().next_multiple_of(2), 0);
        packet.bytes.extend(sum.checksum().to_ne_bytes());
        prop_assert!(is_right(&packet.bytes[14..]));
    }
}

#[test]
fn what_is_longer_than_a_frame_in_one_piece_is_not_summed() {
    let packet = frame(5_000);
    assert!(Sum::of_packet(&packet, 14, Sum::PACKET_MAX).is_some());
    assert_eq!(Sum::of_packet(&packet, 14, Sum::PACKET_MAX + 1), None);
}

#[test]
fn a_sum_that_is_nothing_is_no_missing_checksum() {
    let nothing = Sum::ZERO.plus(0x1234).minus(Sum::ZERO.plus(0x1234));
    assert_eq!((nothing.checksum(), nothing.udp_checksum()), (0, 0xffff));
    assert_eq!(Sum::ZERO.plus(0x1234).udp_checksum(), !0x1234);
}

#[test]
fn the_largest_sums_fold() {
    // One's complement zero, however often.
    assert_eq!(Sum::ZERO.plus(u32::MAX).folded(), 0xffff);
    let sum = (0..1 << 12).fold(Sum::ZERO, |sum, _| sum.plus(u32::MAX));
    assert_eq!(sum.folded(), 0xffff);
    assert_eq!(sum.plus(1).folded(), 1);
    assert_eq!(Sum::ZERO.folded(), 0);
}

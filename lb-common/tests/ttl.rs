//! One hop less, and the checksum is still right: for every TTL and protocol that a header can have,
//! under every checksum that it can carry.
#![cfg(feature = "host")]

use bytemuck::Zeroable as _;
use etherparse::checksum::Sum16BitWords;
use lb_common::Verdict;
use lb_common::director::Task;
use lb_common::forward::direct_routing;
use lb_common::net::PacketBuffer;
use lb_common::wire::{Destination, FORWARD_DIRECT};

/// Interpreted, a few of each.
const STEP: usize = if cfg!(miri) { 4_099 } else { 1 };

#[test]
fn every_ttl_and_protocol_leaves_with_a_right_checksum() {
    for word in (0..=u16::MAX).step_by(STEP) {
        let [ttl, protocol] = word.to_be_bytes();
        check([0x12, 0x34], ttl, protocol);
    }
}

#[test]
fn every_checksum_is_updated_right() {
    // The identification takes every value, and with it the sum.
    for identification in (0..=u16::MAX).step_by(STEP) {
        for ttl in [2, 64, 255] {
            check(identification.to_be_bytes(), ttl, 6);
        }
    }
}

fn check([high, low]: [u8; 2], ttl: u8, protocol: u8) {
    let mut header = [0x45, 0, 0, 40, high, low, 0x40, 0, ttl, protocol, 0, 0, 192, 0, 2, 1, 10, 0, 0, 50];
    let checksum = Sum16BitWords::new().add_slice(&header).ones_complement().to_be_bytes();
    // etherparse adds words as they lie.
    let checksum = u16::from_be_bytes(checksum).to_ne_bytes();
    header[10..12].copy_from_slice(&checksum);
    assert!(is_right(&header));
    let mut bytes = vec![2; 12];
    bytes.extend([8, 0]);
    bytes.extend(header);
    let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
    let destination = Destination { ethernet: [3; 12], forward: FORWARD_DIRECT, ..Destination::zeroed() };
    let mut task = Task::zeroed();
    (task.offset, task.hops) = (14, u32::from(ttl));
    let sent = direct_routing(&mut packet, &task, &destination);
    if ttl < 2 {
        assert_eq!((sent, packet.bytes), (Err(Verdict::TtlExceeded), bytes));
        return;
    }
    assert_eq!(sent, Ok(()));
    assert_eq!(packet.bytes[..12], [3; 12]);
    assert_eq!(packet.bytes[22], ttl - 1);
    assert!(is_right(&packet.bytes[14..]), "TTL {ttl}, protocol {protocol}: {:02x?}", packet.bytes);
    // Nothing else.
    bytes[..12].fill(3);
    bytes[22] = ttl - 1;
    bytes[24..26].copy_from_slice(&packet.bytes[24..26]);
    assert_eq!(packet.bytes, bytes);
}

fn is_right(header: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(header).ones_complement() == 0
}

//! A packet that is neither forwarded nor answered leaves as it came, whatever its bytes are.
#![cfg(feature = "host")]

mod tables;

use fastrand::Rng;
use lb_common::director::{Decision, direct};
use lb_common::net::PacketBuffer;
use lb_common::verdict::{Action, Verdict};
use tables::{SERVICE_V4, SERVICE_V6, tables};

const FRAMES: u32 = if cfg!(miri) { 300 } else { 300_000 };

#[test]
fn only_what_is_forwarded_or_answered_is_written_to_and_no_bytes_panic() {
    let tables = tables();
    let mut random = Rng::with_seed(7);
    let (mut forwarded, mut answered) = (0, 0);
    for _ in 0..FRAMES {
        let bytes = frame(&mut random);
        let mut packet = PacketBuffer { bytes: bytes.clone(), interface: 1 };
        let Decision { verdict, interface } = direct(&mut packet, &&tables);
        assert_ne!(verdict, Verdict::Internal, "{bytes:02x?}");
        if verdict.action() == Action::Forward {
            forwarded += 1;
            assert_eq!(packet.bytes.len(), bytes.len());
        } else if interface != 0 {
            // Its hops were used up: the one verdict here that a sender is told.
            assert_eq!((verdict, interface), (Verdict::TtlExceeded, 1));
            assert_eq!((&packet.bytes[..6], &packet.bytes[6..12]), (&bytes[6..12], &bytes[..6]), "back");
            answered += 1;
        } else {
            assert_eq!(packet.bytes, bytes, "{verdict:?}");
        }
    }
    assert!(forwarded > 0 && answered > 0, "{forwarded} forwarded, {answered} answered: it proves nothing");
}

/// Random bytes of any length, mostly with an `EtherType`, an address and ports that lead on.
fn frame(random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..120)];
    random.fill(&mut bytes);
    let mut put = |at: usize, value: &[u8]| {
        if let Some(room) = bytes.get_mut(at..at + value.len()) {
            room.copy_from_slice(value);
        }
    };
    let (protocol, port) = if random.bool() { (6, 80_u16) } else { (17, 53) };
    if random.bool() {
        put(12, &[8, 0]);
        if random.u8(..4) > 0 {
            put(14, &[0x40 | random.u8(..16)]);
            put(16, &[0, random.u8(20..80)]);
            put(20, &[0x40, 0]);
        }
        put(23, &[protocol]);
        put(30, &SERVICE_V4);
        if random.bool() {
            put(14, &[0x45]);
            put(36, &port.to_be_bytes());
            put(46, &[0x50, random.u8(..32)]);
        }
    } else {
        put(12, &[0x86, 0xdd, 0x60]);
        put(18, &[0, random.u8(..60)]);
        put(20, &[protocol]);
        put(38, &SERVICE_V6);
        put(56, &port.to_be_bytes());
        put(66, &[0x50, random.u8(..32)]);
    }
    bytes
}

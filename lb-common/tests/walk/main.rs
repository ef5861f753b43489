//! What is found in a frame: each kind of tag, chain, fragment and ICMP error by itself, then anything at
//! all, with etherparse as the judge.
#![cfg(feature = "host")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any_frame;
mod errors;
mod frames;
mod judge;
mod layers;
mod plan;

use lb_common::net::PacketBuffer;
use lb_common::walk::{Frame, Stop, Walked, walk};

/// Between the lengths that a frame is cut to; interpreted, few of them.
const STEP: usize = if cfg!(miri) { 37 } else { 1 };

/// Reads a frame to its end.
fn read(bytes: &[u8]) -> Result<Walked, Stop> {
    let packet = PacketBuffer { bytes: bytes.to_vec(), interface: 1 };
    let frame = Frame::read(&packet, |word| word)?;
    walk(&packet, &frame, |word| word)
}

/// Asks for a frame that it be read as it is, and not if it ends anywhere before its packet does.
fn whole(bytes: &[u8]) -> Walked {
    let walked = read(bytes).unwrap();
    let end = walked.datagram.end as usize;
    for length in (0..end).step_by(STEP) {
        read(&bytes[..length]).unwrap_err();
    }
    // What pads a frame changes nothing.
    let mut padded = bytes.to_vec();
    padded.extend([0xff; 21]);
    assert_eq!(read(&padded), Ok(walked));
    walked
}

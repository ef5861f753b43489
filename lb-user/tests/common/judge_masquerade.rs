//! What a frame has become that was masqueraded: another address and port, every checksum right, and nothing else.
//!
//! Written from the RFCs, with sums by etherparse; nothing of `lb_common` is used here.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use crate::common::datagram::{ICMP, ICMPV6, TCP, UDP};
use crate::common::judge::ip_offset;

/// Which end of a packet was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewritten {
    Source,
    Destination,
}

impl Rewritten {
    fn other(self) -> Self {
        if self == Self::Source { Self::Destination } else { Self::Source }
    }

    fn port(self) -> usize {
        if self == Self::Source { 0 } else { 2 }
    }
}

/// Where a packet's headers lie.
#[derive(Clone, Copy, Debug)]
struct Layers {
    is_v4: bool,
    protocol: u8,
    transport: usize,
    /// Where the packet ends by its own account.
    end: usize,
    is_first: bool,
    is_part: bool,
}

impl Layers {
    fn of(packet: &[u8]) -> Self {
        let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        if packet[0] >> 4 == 4 {
            let fragment = number(6) & 0x3fff;
            let transport = 4 * usize::from(packet[0] & 0xf);
            let (is_first, is_part) = (fragment % 0x2000 == 0, fragment != 0);
            return Self {
                is_v4: true,
                protocol: packet[9],
                transport,
                end: number(2).into(),
                is_first,
                is_part,
            };
        }
        let (mut next, mut at) = (packet[6], 40);
        let (mut is_first, mut is_part) = (true, false);
        while is_first && ![TCP, UDP, ICMPV6].contains(&next) {
            let length = match next {
                44 => 8,
                51 => 4 * (usize::from(packet[at + 1]) + 2),
                _ => 8 * (usize::from(packet[at + 1]) + 1),
            };
            if next == 44 {
                (is_first, is_part) = (number(at + 2) >> 3 == 0, number(at + 2) & !6 != 0);
            }
            (next, at) = (packet[at], at + length);
        }
        let end = 40 + usize::from(number(4));
        Self { is_v4: false, protocol: next, transport: at, end, is_first, is_part }
    }
}

/// The end of a masqueraded packet that was rewritten, as it has it now, and the packet's protocol; port 0 where it
/// has none.
pub(crate) fn rewritten(out: &[u8], end: Rewritten) -> (IpAddr, u16, u8) {
    let packet = &out[ip_offset(out)..];
    let layers = Layers::of(packet);
    let port = |packet: &[u8], at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let protocol = layers.protocol;
    match protocol {
        _ if !layers.is_first => (read_address(packet, end), 0, protocol),
        TCP | UDP => (read_address(packet, end), port(packet, layers.transport + end.port()), protocol),
        _ => {
            // What went the other way names the other end.
            let quote = &packet[layers.transport + 8..];
            let at = Layers::of(quote).transport + end.other().port();
            (read_address(quote, end.other()), port(quote, at), protocol)
        }
    }
}

/// Fails unless `out` is `frame` with other Ethernet addresses, one hop less and another end.
pub(crate) fn masquerade(frame: &[u8], out: &[u8], ethernet: &[u8], end: Rewritten, to: (IpAddr, u16)) {
    let offset = ip_offset(frame);
    let layers = Layers::of(&frame[offset..]);
    let mut expected = frame.to_vec();
    expected[..12].copy_from_slice(ethernet);
    assert_eq!(out.len(), expected.len());
    let (packet, became) = (&mut expected[offset..], &out[offset..]);
    packet[if layers.is_v4 { 8 } else { 7 }] -= 1;
    match layers.protocol {
        TCP | UDP if layers.is_first => {
            write_address(packet, end, to.0);
            write_port(packet, layers.transport + end.port(), to.1);
            // Whether it is right is asked of the whole.
            let checksum = layers.transport + checksum_at(layers.protocol);
            if layers.protocol == TCP || packet[checksum..checksum + 2] != [0; 2] {
                packet[checksum..checksum + 2].copy_from_slice(&became[checksum..checksum + 2]);
            }
        }
        ICMP | ICMPV6 if layers.is_first => {
            let quote = layers.transport + 8;
            // A router's error stays the router's.
            let is_own = read_address(packet, end) == read_address(&packet[quote..], end.other());
            if end == Rewritten::Destination || is_own {
                write_address(packet, end, to.0);
            }
            rewrite_quote(packet, became, layers, end.other(), to);
        }
        _ => write_address(packet, end, to.0),
    }
    if layers.is_v4 {
        let header = &mut expected[offset..offset + layers.transport];
        header[10..12].fill(0);
        let sum = Sum16BitWords::new().add_slice(header).ones_complement();
        header[10..12].copy_from_slice(&sum.to_ne_bytes());
    }
    assert!(out == expected, "{frame:02x?} became\n{out:02x?}, not\n{expected:02x?}");
    let (before, after) = (is_right(&frame[offset..]), is_right(&out[offset..]));
    assert_eq!(before, after, "a checksum, {frame:02x?} became\n{out:02x?}");
}

/// The quoted packet, whose checksums are compared only as far as they are there.
fn rewrite_quote(packet: &mut [u8], out: &[u8], layers: Layers, end: Rewritten, to: (IpAddr, u16)) {
    let at = layers.transport + 8;
    let quoted = Layers::of(&packet[at..]);
    write_address(&mut packet[at..], end, to.0);
    write_port(packet, at + quoted.transport + end.port(), to.1);
    let checksum = at + quoted.transport + checksum_at(quoted.protocol);
    for at in
        [Some(layers.transport + 2), layers.is_v4.then_some(at + 10), Some(checksum)].into_iter().flatten()
    {
        if at + 2 <= layers.end {
            packet[at..at + 2].copy_from_slice(&out[at..at + 2]);
        }
    }
    if layers.is_v4 {
        // The quoted header's was right or not, and is so still.
        let header = |packet: &[u8]| {
            Sum16BitWords::new().add_slice(&packet[at..at + quoted.transport]).ones_complement()
        };
        assert_eq!(header(packet), header(out));
    }
}

const fn checksum_at(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

fn place(packet: &[u8], end: Rewritten) -> std::ops::Range<usize> {
    match (packet[0] >> 4, end) {
        (4, Rewritten::Source) => 12..16,
        (4, Rewritten::Destination) => 16..20,
        (_, Rewritten::Source) => 8..24,
        (_, Rewritten::Destination) => 24..40,
    }
}

fn read_address(packet: &[u8], end: Rewritten) -> IpAddr {
    let bytes = &packet[place(packet, end)];
    match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()),
    }
}

fn write_address(packet: &mut [u8], end: Rewritten, to: IpAddr) {
    let at = place(packet, end);
    match to {
        IpAddr::V4(to) => packet[at].copy_from_slice(&to.octets()),
        IpAddr::V6(to) => packet[at].copy_from_slice(&to.octets()),
    }
}

fn write_port(packet: &mut [u8], at: usize, port: u16) {
    packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
}

/// Whether a packet's transport checksum is right; `None` where it can't be told, or there is none.
fn is_right(packet: &[u8]) -> Option<bool> {
    let Layers { is_v4, protocol, transport, end, is_part, .. } = Layers::of(packet);
    let covered = packet.get(transport..end)?;
    if is_part || protocol == UDP && covered[6..8] == [0; 2] {
        return None;
    }
    let pseudo = if is_v4 { &packet[12..20] } else { &packet[8..40] };
    let length = (covered.len() as u16).to_be_bytes();
    let sum = Sum16BitWords::new().add_slice(covered);
    let sum = match protocol {
        ICMP => sum,
        _ => sum.add_slice(pseudo).add_2bytes([0, protocol]).add_2bytes(length),
    };
    Some(sum.ones_complement() == 0)
}

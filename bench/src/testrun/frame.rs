//! The frames that are measured, byte by byte.
//!
//! Refuses to know what becomes of them.

use lb_common::wire::{Family, Protocol};

/// The length of most frames, in bytes.
const FRAME: usize = 78;

/// The first client; others follow.
pub(crate) const CLIENT: [u8; 4] = [172, 16, 0, 0];
/// The first of other clients, so many that no two are alike.
pub(super) const CROWD: [u8; 4] = [10, 64, 0, 0];
/// A host between the director and a client.
const ROUTER: [u8; 4] = [192, 0, 2, 1];
/// The first port that the harness gives a client.
const CLIENT_PORT: u16 = 1_024;

pub(super) const SYN: u8 = 2;
pub(super) const ACK: u8 = 16;

/// What lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A TCP segment or UDP datagram.
    Whole,
    /// The first fragment of a UDP datagram.
    FirstFragment,
    /// Another fragment of the same one.
    LaterFragment,
    /// ICMP destination unreachable about a segment that the service has sent to the first client.
    IcmpError,
    /// What the first real server answers the first client, by its own address.
    Reply,
    /// No IP.
    Arp,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
    /// As in [`lb_common::wire::ServiceKey::address`].
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
    /// The first real server's address, likewise.
    pub(crate) real_server: [u8; 16],
}

/// The frame; `flags` are TCP's.
pub(crate) fn frame(content: Content, to: &Target, flags: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 100];
    if content == Content::Arp {
        frame.extend([0x08, 0x06]);
        frame.resize(FRAME, 0);
        return frame;
    }
    let payload = match content {
        Content::IcmpError => icmp_error(to),
        Content::LaterFragment => vec![0; 24],
        _ => transport(content, to, flags),
    };
    if to.family == Family::V6 {
        v6(&mut frame, content, to, payload);
    } else {
        v4(&mut frame, content, to, payload);
    }
    frame
}

fn transport(content: Content, to: &Target, flags: u8) -> Vec<u8> {
    let mut ports = [CLIENT_PORT.to_be_bytes(), to.port.to_be_bytes()];
    if content == Content::Reply {
        ports.reverse();
    }
    let mut bytes = ports.concat();
    if to.protocol == Protocol::Tcp {
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags]);
        bytes.resize(24, 0);
    } else {
        bytes.extend([0, 24, 0, 0]);
        bytes.resize(24, 0);
    }
    bytes
}

fn v4(frame: &mut Vec<u8>, content: Content, to: &Target, mut payload: Vec<u8>) {
    frame.extend([0x08, 0x00]);
    let service = first_four(to.address);
    let (protocol, source, destination) = match content {
        Content::IcmpError => (1, ROUTER, service),
        Content::Reply => (to.protocol as u8, first_four(to.real_server), CLIENT),
        _ => (to.protocol as u8, CLIENT, service),
    };
    if matches!(content, Content::Whole | Content::Reply) {
        payload.resize(FRAME - 34, 0);
        if to.protocol == Protocol::Udp {
            payload[5] = payload.len() as u8;
        }
    }
    frame.extend(header_v4(protocol, fragment_v4(content), payload.len(), source, destination));
    frame.extend(payload);
    // What is read of a frame is 64 bytes at least.
    frame.resize(frame.len().max(FRAME), 0);
}

const fn first_four([a, b, c, d, ..]: [u8; 16]) -> [u8; 4] {
    [a, b, c, d]
}

/// Identification, flags and offset in eight bytes.
const fn fragment_v4(content: Content) -> [u8; 4] {
    match content {
        Content::FirstFragment => [0, 7, 0x20, 0],
        Content::LaterFragment => [0, 7, 0, 3],
        _ => [0, 0, 0x40, 0],
    }
}

/// With the checksum that a kernel wants.
pub(super) fn header_v4(
    protocol: u8,
    fragment: [u8; 4],
    payload: usize,
    source: [u8; 4],
    destination: [u8; 4],
) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload as u16).to_be_bytes());
    header.extend(fragment);
    header.extend([64, protocol, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let checksum = !native_sum(&header);
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    header
}

/// The one's complement sum of words as they lie.
pub(crate) fn native_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn v6(frame: &mut Vec<u8>, content: Content, to: &Target, mut payload: Vec<u8>) {
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    let fragment = |more: u8, offset: u8| [to.protocol as u8, 0, 0, offset << 3 | more, 0, 0, 0, 7];
    let (next, extension) = match content {
        Content::IcmpError => (58, vec![]),
        Content::FirstFragment => (44, fragment(1, 0).to_vec()),
        Content::LaterFragment => (44, fragment(0, 3).to_vec()),
        _ => (to.protocol as u8, vec![]),
    };
    payload.splice(..0, extension);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    let (source, destination) = match content {
        Content::IcmpError => (mapped(ROUTER), to.address),
        Content::Reply => (to.real_server, mapped(CLIENT)),
        _ => (mapped(CLIENT), to.address),
    };
    frame.extend(source);
    frame.extend(destination);
    frame.extend(payload);
}

/// Destination unreachable, and the packet that it is about.
fn icmp_error(to: &Target) -> Vec<u8> {
    let ports = [to.port.to_be_bytes(), CLIENT_PORT.to_be_bytes(), [0; 2], [0; 2]].concat();
    let (mut bytes, quoted) = if to.family == Family::V6 {
        let mut quoted = vec![0x60, 0, 0, 0, 0, 24, to.protocol as u8, 64];
        quoted.extend(to.address);
        quoted.extend(mapped(CLIENT));
        (vec![1, 0, 0, 0, 0, 0, 0, 0], quoted)
    } else {
        let [a, b, c, d, ..] = to.address;
        let quoted = header_v4(to.protocol as u8, [0, 0, 0x40, 0], 24, [a, b, c, d], CLIENT);
        (vec![3, 1, 0, 0, 0, 0, 0, 0], quoted)
    };
    bytes.extend(quoted);
    bytes.extend(ports);
    bytes
}

/// A client's IPv6 address: its last four bytes are what the harness counts up.
fn mapped(client: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = client;
    [0xfd, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

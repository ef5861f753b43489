//! Frames, built by etherparse where it knows how. It refuses to know what is to be found in them.

use etherparse::{
    IpAuthHeader, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, TcpHeader, UdpHeader,
};

pub(crate) const V4: [[u8; 4]; 2] = [[192, 0, 2, 7], [198, 51, 100, 1]];
pub(crate) const V6: [[u8; 16]; 2] = [
    [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6],
    [0x20, 1, 0xd, 0xb8, 0xf, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7, 6, 5, 4],
];
pub(crate) const PORTS: [u16; 2] = [40_000, 443];
pub(crate) const HOPS: u8 = 61;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;

/// A tag of 802.1Q, and one of 802.1ad, as they lie.
pub(crate) const CUSTOMER: [u8; 4] = [0x81, 0x00, 0xa1, 0x23];
pub(crate) const SERVICE: [u8; 4] = [0x88, 0xa8, 0x0f, 0xff];

/// Which part of a datagram: offset in units of eight bytes, whether more follow, and the identification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part(pub(crate) u16, pub(crate) bool, pub(crate) u32);

/// One IPv6 extension header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extension {
    /// By number and length in bytes: those whose second byte counts units of eight.
    Options(u8, usize),
    /// With so many bytes of authentication data.
    Authentication(usize),
    Fragment(Part),
}

/// A frame of Ethernet addresses, tags and an IP packet.
pub(crate) fn frame(tags: &[[u8; 4]], packet: &[u8]) -> Vec<u8> {
    let ether_type = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], tags.as_flattened(), &ether_type, packet].concat()
}

/// An IPv4 packet. `options` is a multiple of four up to 40.
pub(crate) fn v4(options: usize, part: Part, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(0, HOPS, IpNumber(protocol), V4[0], V4[1]).unwrap();
    // One option: no operation. Followed by bytes that look like a TCP header's.
    header.options = Ipv4Options::try_from(&[1; 40][..options]).unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.dont_fragment = false;
    header.fragment_offset = IpFragOffset::try_new(part.0).unwrap();
    header.more_fragments = part.1;
    header.identification = part.2 as u16;
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), payload].concat()
}

/// An IPv4 packet without options that is no fragment.
pub(crate) fn plain_v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    v4(0, Part(0, false, 0), protocol, payload)
}

/// An IPv6 packet.
pub(crate) fn v6(chain: &[Extension], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (mut next, mut rest) = (protocol, payload.to_vec());
    for extension in chain.iter().rev() {
        let (number, header) = extension_bytes(*extension, next);
        (next, rest) = (number, [header, rest].concat());
    }
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::try_new(0x1_2345).unwrap(),
        payload_length: rest.len() as u16,
        next_header: IpNumber(next),
        hop_limit: HOPS,
        source: V6[0],
        destination: V6[1],
    };
    [header.to_bytes().as_slice(), &rest].concat()
}

fn extension_bytes(extension: Extension, next: u8) -> (u8, Vec<u8>) {
    let next = IpNumber(next);
    match extension {
        Extension::Options(number, length) => {
            // Bytes that look like a chain of their own.
            let header = Ipv6RawExtHeader::new_raw(next, &vec![60; length - 2]).unwrap();
            (number, header.to_bytes().to_vec())
        }
        Extension::Authentication(length) => {
            let header = IpAuthHeader::new(next, 0x0102_0304, 1, &vec![60; length]).unwrap();
            (51, header.to_bytes().to_vec())
        }
        Extension::Fragment(Part(offset, more, identification)) => {
            let offset = IpFragOffset::try_new(offset).unwrap();
            (44, Ipv6FragmentHeader::new(next, offset, more, identification).to_bytes().to_vec())
        }
    }
}

/// A TCP header and a payload.
pub(crate) fn tcp(is_syn: bool) -> Vec<u8> {
    let mut header = TcpHeader::new(PORTS[0], PORTS[1], 7, 1024);
    (header.syn, header.ack) = (is_syn, !is_syn);
    header.set_options_raw(&[1; 8]).unwrap();
    [header.to_bytes().as_slice(), b"GET /"].concat()
}

/// A UDP header and a payload.
pub(crate) fn udp() -> Vec<u8> {
    let header = UdpHeader { source_port: PORTS[0], destination_port: PORTS[1], length: 15, checksum: 0 };
    [header.to_bytes().as_slice(), b"payload"].concat()
}

/// A header of SCTP and a COOKIE ACK.
pub(crate) fn sctp() -> Vec<u8> {
    let ports = PORTS.map(u16::to_be_bytes);
    [ports.as_flattened(), &[1, 2, 3, 4, 5, 6, 7, 8, 11, 0, 0, 4]].concat()
}

/// A message of ICMP or ICMPv6.
pub(crate) fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0xab, 0xcd, 0, 0, 5, 0xdc], rest].concat()
}

//! Packets that etherparse builds, with all checksums computed in full, and where their headers lie.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions,
    Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, PacketBuilder, TcpHeader,
};
use lb_common::forward::{Endpoint, Headers};
use lb_common::wire::Family;
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const CLIENT: Side = ([192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 50_000);
pub(crate) const SERVICE: Side = ([10, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], 1122);
pub(crate) const REAL_SERVER: Side = ([10, 0, 0, 51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], 22);

pub(crate) fn spec(is_v6: bool, is_tcp: bool) -> Spec {
    Spec {
        is_v6,
        is_tcp,
        source: CLIENT,
        destination: SERVICE,
        hops: 64,
        tags: vec![],
        options: 0,
        payload: b"SSH-2.0-x".to_vec(),
        is_unsummed: false,
    }
}

pub(crate) fn families_and_protocols() -> impl Iterator<Item = Spec> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().map(|(a, b)| spec(a, b))
}

/// One side of a flow; of the address, IPv4 has the first four bytes.
pub(crate) type Side = ([u8; 16], u16);

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) is_v6: bool,
    pub(crate) is_tcp: bool,
    pub(crate) source: Side,
    pub(crate) destination: Side,
    pub(crate) hops: u8,
    pub(crate) tags: Vec<[u8; 2]>,
    /// IPv4's options in words of 4 bytes, or IPv6's hop-by-hop header in words of 8; 0 is none.
    pub(crate) options: usize,
    pub(crate) payload: Vec<u8>,
    /// UDP without a checksum.
    pub(crate) is_unsummed: bool,
}

impl Spec {
    pub(crate) fn family(&self) -> Family {
        if self.is_v6 { Family::V6 } else { Family::V4 }
    }

    pub(crate) fn headers(&self) -> IpHeaders {
        if self.is_v6 {
            let ip = Ipv6Header {
                traffic_class: 3,
                flow_label: Ipv6FlowLabel::try_new(0xa_bcde).unwrap(),
                hop_limit: self.hops,
                source: self.source.0,
                destination: self.destination.0,
                ..Ipv6Header::default()
            };
            let padding = vec![0; 8 * self.options - usize::from(self.options > 0) * 2];
            let hop_by_hop_options =
                (self.options > 0).then(|| Ipv6RawExtHeader::new_raw(IpNumber::UDP, &padding).unwrap());
            return IpHeaders::Ipv6(ip, Ipv6Extensions { hop_by_hop_options, ..Ipv6Extensions::default() });
        }
        let address = |[a, b, c, d, ..]: [u8; 16]| [a, b, c, d];
        let (source, destination) = (address(self.source.0), address(self.destination.0));
        let mut ip = Ipv4Header::new(0, self.hops, IpNumber::UDP, source, destination).unwrap();
        ip.identification = 0x1234;
        ip.options = Ipv4Options::try_from(vec![1; 4 * self.options].as_slice()).unwrap();
        IpHeaders::Ipv4(ip, Ipv4Extensions::default())
    }

    /// Bytes from the IP header to the transport header.
    pub(crate) fn header_bytes(&self) -> usize {
        if self.is_v6 { 40 + 8 * self.options } else { 20 + 4 * self.options }
    }

    /// The packet, from its IP header on.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut bytes = vec![];
        let ip = PacketBuilder::ip(self.headers());
        if self.is_tcp {
            let mut tcp = TcpHeader::new(self.source.1, self.destination.1, 0x0102_0304, 5000);
            tcp.ack = true;
            ip.tcp_header(tcp).write(&mut bytes, &self.payload).unwrap();
        } else {
            ip.udp(self.source.1, self.destination.1).write(&mut bytes, &self.payload).unwrap();
            if self.is_unsummed {
                let at = self.header_bytes() + 6;
                bytes[at..at + 2].fill(0);
            }
        }
        bytes
    }

    /// An ICMP error with this header, about what it quotes.
    pub(crate) fn error(&self, code: u8, quote: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        let (ip, rest) = (PacketBuilder::ip(self.headers()), [0, 0, 5, 0xdc]);
        if self.is_v6 {
            ip.icmpv6_raw(1, code, rest).write(&mut bytes, quote).unwrap();
        } else {
            ip.icmpv4_raw(3, code, rest).write(&mut bytes, quote).unwrap();
        }
        bytes
    }

    /// A frame around a packet.
    pub(crate) fn frame(&self, ethernet: [u8; 12], packet: &[u8]) -> Vec<u8> {
        let mut bytes = ethernet.to_vec();
        for tag in &self.tags {
            bytes.extend([0x81, 0]);
            bytes.extend(tag);
        }
        bytes.extend(if self.is_v6 { [0x86, 0xdd] } else { [8, 0] });
        bytes.extend(packet);
        bytes
    }

    /// Where its headers lie, if its IP header is at `network`.
    pub(crate) fn place_at(&self, network: usize) -> Headers {
        let transport = (network + self.header_bytes()) as u32;
        Headers { network: network as u32, transport, is_tcp: u32::from(self.is_tcp), family: self.family() }
    }

    pub(crate) fn place(&self) -> Headers {
        self.place_at(14 + 4 * self.tags.len())
    }

    /// As it is after so many hops, with ends replaced.
    pub(crate) fn after(&self, hops: u8, source: Side, destination: Side) -> Self {
        Self { hops: self.hops - hops, source, destination, ..self.clone() }
    }

    /// An endpoint of its family.
    pub(crate) fn endpoint(&self, (address, port): Side) -> Endpoint {
        let mut words: [u64; 2] = bytemuck::cast(address);
        if !self.is_v6 {
            words = [words[0] & 0xffff_ffff, 0];
        }
        Endpoint { address: words, port: u64::from(port.to_be()) }
    }
}

pub(crate) fn any_spec() -> impl Strategy<Value = Spec> {
    let tags = vec(any::<[u8; 2]>(), 0..3);
    (any::<[bool; 3]>(), any::<[Side; 2]>(), 3..=255_u8, tags, 0..=10_usize, vec(any::<u8>(), 0..100))
        .prop_map(|([is_v6, is_tcp, is_unsummed], [source, destination], hops, tags, options, payload)| {
            Spec {
                is_v6,
                is_tcp,
                source,
                destination,
                hops,
                tags,
                options,
                payload,
                is_unsummed: is_unsummed && !is_tcp,
            }
        })
}

/// The packet in two fragments, the second from `at` * 8 bytes of the transport header on; with each the
/// bytes of its fragment header.
pub(crate) fn fragments(spec: &Spec, at: usize) -> [(Vec<u8>, u32); 2] {
    let whole = spec.packet();
    let protocol = if spec.is_tcp { IpNumber::TCP } else { IpNumber::UDP };
    let (first, second) = whole[spec.header_bytes()..].split_at(at * 8);
    [(first, 0, true), (second, at, false)].map(|(payload, offset, more)| {
        let mut bytes = vec![];
        let offset = IpFragOffset::try_new(offset as u16).unwrap();
        match spec.headers() {
            IpHeaders::Ipv4(mut ip, _) => {
                ip.fragment_offset = offset;
                ip.more_fragments = more;
                ip.dont_fragment = false;
                ip.protocol = protocol;
                ip.set_payload_len(payload.len()).unwrap();
                ip.write(&mut bytes).unwrap();
            }
            IpHeaders::Ipv6(mut ip, _) => {
                ip.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
                ip.set_payload_length(payload.len() + 8).unwrap();
                ip.write(&mut bytes).unwrap();
                Ipv6FragmentHeader::new(protocol, offset, more, 77).write(&mut bytes).unwrap();
            }
        }
        bytes.extend(payload);
        (bytes, if spec.is_v6 { 8 } else { 0 })
    })
}

//! Packets for services, tunnels to real servers, and the judge of both.

use std::net::IpAddr;

use bytemuck::Pod;
use etherparse::checksum::Sum16BitWords;
use etherparse::{
    EtherType, Ethernet2Header, IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type,
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, TcpHeader, UdpHeader,
};
use lb_common::net::{Packet, PacketBuffer};
use lb_common::wire::{Family, OuterHeader};
use proptest::prelude::*;

pub(crate) const CLIENT_V4: [u8; 4] = [198, 51, 100, 7];
pub(crate) const SERVICE_V4: [u8; 4] = [203, 0, 113, 50];
pub(crate) const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
pub(crate) const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50];

pub(crate) const DIRECTOR_V4: [u8; 4] = [192, 0, 2, 1];
pub(crate) const REAL_SERVER_V4: [u8; 4] = [192, 0, 2, 200];
pub(crate) const DIRECTOR_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const REAL_SERVER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe];

/// Who hands the director its packets, and the director.
const CLIENT_SIDE: [u8; 6] = [2, 0x11, 0x12, 0x13, 0x14, 0x15];
const OURS: [u8; 6] = [2, 0x21, 0x22, 0x23, 0x24, 0x25];
/// Of the way to the real server: destination, source.
pub(crate) const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 0xa1, 2, 0, 0, 0, 0, 0xa2];
pub(crate) const GUE_PORT: u16 = 6080;

/// What the packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Tcp,
    Udp,
    /// A datagram without a checksum.
    UdpWithout,
    /// A datagram that is followed by bytes which its length doesn't count.
    UdpTrailed,
    Icmp,
    /// A protocol of which nothing is known.
    Other,
    /// TCP, with more fragments to come.
    Fragment,
}

pub(crate) const LOADS: [Load; 7] =
    [Load::Tcp, Load::Udp, Load::UdpWithout, Load::UdpTrailed, Load::Icmp, Load::Other, Load::Fragment];

/// A packet of a client.
#[derive(Clone, Debug)]
pub(crate) struct Inner {
    pub(crate) is_v6: bool,
    pub(crate) load: Load,
    pub(crate) payload: Vec<u8>,
    pub(crate) class: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) identification: u16,
    /// Words of IPv4 options.
    pub(crate) options: u8,
    /// Bytes behind it that are not the packet's.
    pub(crate) padding: usize,
}

impl Inner {
    pub(crate) fn tcp(is_v6: bool, bytes: usize) -> Self {
        let headers = if is_v6 { 60 } else { 40 };
        Self {
            is_v6,
            load: Load::Tcp,
            payload: vec![0x5a; bytes - headers],
            class: 0,
            ttl: 64,
            dont_fragment: true,
            identification: 0,
            options: 0,
            padding: 0,
        }
    }

    /// Its frame, as it comes in.
    pub(crate) fn frame(&self) -> PacketBuffer {
        let ether_type = if self.is_v6 { EtherType::IPV6 } else { EtherType::IPV4 };
        let ethernet = Ethernet2Header { source: CLIENT_SIDE, destination: OURS, ether_type };
        let mut bytes = ethernet.to_bytes().to_vec();
        bytes.extend(self.ip());
        bytes.extend(std::iter::repeat_n(0xee, self.padding));
        PacketBuffer { bytes, interface: 1 }
    }

    fn ip(&self) -> Vec<u8> {
        let (number, transport) = self.transport();
        if self.is_v6 {
            let header = Ipv6Header {
                traffic_class: self.class,
                flow_label: 0xa_bcde.try_into().unwrap(),
                payload_length: transport.len() as u16,
                next_header: number,
                hop_limit: self.ttl,
                source: CLIENT_V6,
                destination: SERVICE_V6,
            };
            return [&header.to_bytes()[..], &transport].concat();
        }
        let mut header =
            Ipv4Header::new(transport.len() as u16, self.ttl, number, CLIENT_V4, SERVICE_V4).unwrap();
        header.dscp = (self.class >> 2).try_into().unwrap();
        header.ecn = (self.class & 3).try_into().unwrap();
        header.identification = self.identification;
        header.dont_fragment = self.dont_fragment;
        header.more_fragments = self.load == Load::Fragment;
        header.fragment_offset = IpFragOffset::ZERO;
        header.options = Ipv4Options::try_from(&vec![1; usize::from(self.options) * 4][..]).unwrap();
        header.set_payload_len(transport.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&header.to_bytes()[..], &transport].concat()
    }

    fn transport(&self) -> (IpNumber, Vec<u8>) {
        let payload = &self.payload[..];
        match self.load {
            Load::Tcp | Load::Fragment => {
                let mut tcp = TcpHeader::new(40_000, 443, 0x0102_0304, 512);
                tcp.syn = true;
                tcp.checksum = if self.is_v6 {
                    tcp.calc_checksum_ipv6_raw(CLIENT_V6, SERVICE_V6, payload).unwrap()
                } else {
                    tcp.calc_checksum_ipv4_raw(CLIENT_V4, SERVICE_V4, payload).unwrap()
                };
                if self.load == Load::Fragment {
                    // Of the whole segment, of which this is a part.
                    tcp.checksum ^= 0x5555;
                }
                let number = if self.is_v6 && self.load == Load::Fragment {
                    return (IpNumber::IPV6_FRAGMENTATION_HEADER, {
                        let fragment = [6, 0, 0, 1, 1, 2, 3, 4];
                        [&fragment, &tcp.to_bytes()[..], payload].concat()
                    });
                } else {
                    IpNumber::TCP
                };
                (number, [&tcp.to_bytes()[..], payload].concat())
            }
            Load::Udp | Load::UdpWithout | Load::UdpTrailed => {
                let mut udp = if self.is_v6 {
                    UdpHeader::with_ipv6_checksum(
                        40_000,
                        53,
                        &Ipv6Header { source: CLIENT_V6, destination: SERVICE_V6, ..Ipv6Header::default() },
                        payload,
                    )
                    .unwrap()
                } else {
                    let ip =
                        Ipv4Header { source: CLIENT_V4, destination: SERVICE_V4, ..Ipv4Header::default() };
                    UdpHeader::with_ipv4_checksum(40_000, 53, &ip, payload).unwrap()
                };
                if self.load == Load::UdpWithout {
                    udp.checksum = 0;
                }
                let trail: &[u8] = if self.load == Load::UdpTrailed { &[7, 8, 9] } else { &[] };
                (IpNumber::UDP, [&udp.to_bytes()[..], payload, trail].concat())
            }
            Load::Icmp if self.is_v6 => {
                let kind = Icmpv6Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 2 });
                let icmp = Icmpv6Header::with_checksum(kind, CLIENT_V6, SERVICE_V6, payload).unwrap();
                (IpNumber::IPV6_ICMP, [&icmp.to_bytes()[..], payload].concat())
            }
            Load::Icmp => {
                let kind = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 2 });
                let icmp = Icmpv4Header::with_checksum(kind, payload);
                (IpNumber::ICMP, [&icmp.to_bytes()[..], payload].concat())
            }
            Load::Other => (IpNumber::from(200), payload.to_vec()),
        }
    }
}

/// Any packet that may be sent on.
pub(crate) fn any_inner() -> impl Strategy<Value = Inner> {
    let ip = (any::<bool>(), any::<u8>(), 2..=255_u8, any::<bool>(), any::<u16>(), 0..=10_u8);
    let load =
        (proptest::sample::select(&LOADS[..]), proptest::collection::vec(any::<u8>(), 0..300), 0..20_usize);
    (ip, load).prop_map(|((is_v6, class, ttl, dont_fragment, identification, options), load)| {
        let (load, payload, padding) = load;
        Inner { is_v6, load, payload, class, ttl, dont_fragment, identification, options, padding }
    })
}

/// A kind of tunnel, as ipvsadm has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipip,
    Gue { checksum: bool },
    Gre { checksum: bool },
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::Ipip,
    Kind::Gue { checksum: false },
    Kind::Gue { checksum: true },
    Kind::Gre { checksum: false },
    Kind::Gre { checksum: true },
];

impl Kind {
    /// The outer header, in all four mixes of families.
    pub(crate) fn outer(self, outer_is_v6: bool, inner_is_v6: bool) -> OuterHeader {
        let (source, destination) = if outer_is_v6 {
            (IpAddr::from(DIRECTOR_V6), IpAddr::from(REAL_SERVER_V6))
        } else {
            (IpAddr::from(DIRECTOR_V4), IpAddr::from(REAL_SERVER_V4))
        };
        let inner = if inner_is_v6 { Family::V6 } else { Family::V4 };
        match self {
            Self::Ipip => OuterHeader::ipip(source, destination, inner),
            Self::Gue { checksum } => OuterHeader::gue(source, destination, inner, GUE_PORT, checksum),
            Self::Gre { checksum } => OuterHeader::gre(source, destination, inner, checksum),
        }
        .unwrap()
    }
}

pub(crate) fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&KINDS[..])
}

/// Whether bytes and the checksum in them sum up to nothing.
pub(crate) fn is_right(bytes: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(bytes).ones_complement() == 0
}

/// A frame whose driver leaves no room: in front, or behind.
#[derive(Clone, Debug)]
pub(crate) struct Cramped {
    pub(crate) packet: PacketBuffer,
    /// Otherwise it may grow in front, and its length may not be set.
    pub(crate) in_front: bool,
}

impl Packet for Cramped {
    fn length(&self) -> usize {
        self.packet.length()
    }

    fn interface(&self) -> u32 {
        self.packet.interface()
    }

    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        self.packet.read(offset)
    }

    fn write<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        self.packet.write(offset, value)
    }

    fn move_head(&mut self, by: i32) -> Option<()> {
        if self.in_front { None } else { self.packet.move_head(by) }
    }

    fn set_length(&mut self, _: usize) -> Option<()> {
        None
    }
}

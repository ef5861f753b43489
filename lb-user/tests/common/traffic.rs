//! Random traffic with structure: packets for services, and whatever else shares the wire.

use std::net::IpAddr;

use fastrand::Rng;

use crate::common::datagram::{ACK, Datagram, FIN, ICMP, ICMPV6, Part, RST, SCTP, SYN, TCP, UDP};
use crate::common::icmp::icmp;
use crate::common::services::Endpoint;

/// IPv6 extension headers that say what follows them, but for the fragment header.
pub(super) const EXTENSIONS: [u8; 7] = [0, 43, 51, 60, 135, 139, 140];
/// IPv6's fragment header.
pub(super) const FRAGMENT_HEADER: u8 = 44;

/// Of so many last packets for services something more may be heard: an ICMP error, a late part.
pub(super) const REMEMBERED: usize = 64;

/// A source of packets; the same seed gives the same ones.
pub(crate) struct Traffic {
    pub(crate) random: Rng,
    /// No packet that is a near miss is for one of these.
    pub(crate) services: Vec<Endpoint>,
    /// How many addresses clients have, and how many ports each.
    pub(crate) clients: (u16, u16),
    /// Parts of near misses whose first one was sent.
    pub(super) parts: Vec<Datagram>,
}

impl Traffic {
    pub(crate) fn new(seed: u64, services: Vec<Endpoint>, clients: (u16, u16)) -> Self {
        Self { random: Rng::with_seed(seed), services, clients, parts: Vec::new() }
    }

    /// A packet for a service, whole and without tags and extension headers.
    pub(crate) fn hit(&mut self) -> Datagram {
        let service = self.services[self.random.usize(..self.services.len())];
        let random = &mut self.random;
        let (addresses, ports) = self.clients;
        let host = random.u16(..addresses);
        let client = match service.address {
            IpAddr::V4(_) => IpAddr::from([192, 0, (host >> 8) as u8, host as u8]),
            IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]),
        };
        let port = 1024 + random.u16(..ports);
        let mut datagram = Datagram::new(service.protocol, (client, port), (service.address, service.port));
        datagram.tcp_flags = match random.u8(..20) {
            0..8 => SYN,
            8..14 => ACK,
            14..16 => FIN | ACK,
            16 => RST,
            17 => SYN | ACK,
            18 => 0,
            _ => random.u8(..),
        };
        datagram.chunk = match random.u8(..16) {
            0..5 => 1,
            5..8 => 10,
            8..11 => 0,
            _ => random.u8(..16),
        };
        if random.u8(..20) == 0 {
            spoil(&mut datagram, random);
        }
        datagram.ttl = if random.u8(..20) == 0 { random.u8(..3) } else { random.u8(2..) };
        datagram.identification = random.u16(..);
        if random.u8(..4) == 0 {
            datagram.option_words = random.u8(..11);
            datagram.tcp_option_words = random.u8(..11);
        }
        let longest = if random.u8(..8) == 0 { 1300 } else { 32 };
        let payload = random.usize(..longest);
        datagram.payload.resize(payload, random.u8(..));
        if random.u8(..8) == 0 {
            datagram.padding = random.u8(..30);
        }
        datagram
    }

    /// Some tags.
    pub(super) fn tags(&mut self, count: std::ops::Range<usize>) -> Vec<u16> {
        let count = self.random.usize(count);
        (0..count).map(|_| [0x8100, 0x88a8][self.random.usize(..2)]).collect()
    }

    /// Makes a packet the first of its parts; the others.
    pub(super) fn split(&mut self, datagram: &mut Datagram) -> Vec<Datagram> {
        let header = match datagram.transport {
            TCP => 20 + 4 * usize::from(datagram.tcp_option_words),
            UDP => 8,
            SCTP => 16,
            _ => 0,
        };
        // The first part is a multiple of eight bytes long.
        let first = (header + datagram.payload.len() / 8 * 8).next_multiple_of(8).max(8);
        datagram.payload.resize(first - header, 0x3c);
        let mut offset = first as u16;
        let count = self.random.u8(1..4);
        let mut parts = Vec::new();
        for part in 1..=count {
            let bytes = 8 * self.random.u16(1..20);
            let has_more = part < count;
            parts.push(Datagram {
                payload: vec![0x96; usize::from(bytes)],
                part: Some(Part { offset, has_more }),
                padding: 0,
                ..datagram.clone()
            });
            offset += bytes;
        }
        datagram.part = Some(Part { offset: 0, has_more: true });
        parts
    }

    /// An ICMP error to the sender of a packet.
    pub(super) fn quoting(&mut self, about: &Datagram) -> Datagram {
        let mut quoted = Vec::new();
        about.write(&mut quoted);
        let random = &mut self.random;
        let is_v4 = about.source.is_ipv4();
        let kind = if is_v4 { [3, 11, 5, 12, 4] } else { [1, 2, 3, 4, 1] }[random.usize(..5)];
        let most = if random.bool() { 512 } else { 28 + random.usize(..100) };
        let quote = &quoted[14..quoted.len().min(14 + most)];
        let from =
            if is_v4 { IpAddr::from([198, 51, 100, 7]) } else { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 7]) };
        let ethernet_source = about.ethernet_source;
        let mut error = icmp(from, about.source, kind, random.u8(..5), 0x05dc, quote);
        error.ethernet_source = ethernet_source;
        error.ttl = if random.u8(..20) == 0 { random.u8(..3) } else { 64 };
        error.option_words = if random.u8(..4) == 0 { random.u8(..11) } else { 0 };
        error
    }

    /// A frame that has nothing to do with any service.
    pub(crate) fn other(&mut self, frame: &mut Vec<u8>) {
        let random = &mut self.random;
        frame.clear();
        match random.u8(..8) {
            0 => {
                // No structure at all.
                let length = random.usize(14..200);
                frame.resize(length, 0);
                random.fill(frame);
            }
            1 => {
                // Other EtherTypes: ARP, LLDP, MPLS, 802.3 lengths, and all the rest.
                let length = random.usize(14..100);
                frame.resize(length, 0);
                random.fill(frame);
                let ether_type =
                    [0x0806, 0x88cc, 0x8847, 0x0026, 0x8808, 0x8100, 0x0800, 0x86dd][random.usize(..8)];
                frame[12..14].copy_from_slice(&u16::to_be_bytes(ether_type));
            }
            kind => {
                let (source, destination) = if kind % 2 == 0 {
                    (IpAddr::from(random.u32(..).to_be_bytes()), IpAddr::from(random.u32(..).to_be_bytes()))
                } else {
                    (IpAddr::from(random.u128(..).to_be_bytes()), IpAddr::from(random.u128(..).to_be_bytes()))
                };
                let transport = [TCP, UDP, ICMP, ICMPV6, 2, 47, 112, 132][random.usize(..8)];
                let ports = (random.u16(..), random.u16(..));
                let mut datagram = Datagram::new(transport, (source, ports.0), (destination, ports.1));
                datagram.tcp_flags = random.u8(..);
                datagram.ttl = random.u8(..);
                datagram.fragment = if random.u8(..8) == 0 { random.u16(..) } else { 0 };
                datagram.option_words = if random.u8(..4) == 0 { random.u8(..11) } else { 0 };
                datagram.payload.resize(random.usize(..64), random.u8(..));
                if random.u8(..8) == 0 {
                    datagram.extensions = vec![EXTENSIONS[random.usize(..EXTENSIONS.len())], FRAGMENT_HEADER];
                }
                if random.u8(..8) == 0 {
                    let offset = 8 * random.u16(..100);
                    datagram.part = Some(Part { offset, has_more: random.bool() });
                }
                datagram.write(frame);
            }
        }
    }
}

/// Makes a packet come from where nobody sends from.
fn spoil(datagram: &mut Datagram, random: &mut Rng) {
    let is_v4 = datagram.source.is_ipv4();
    match random.u8(..4) {
        0 => datagram.source_port = 0,
        1 => datagram.source = datagram.destination,
        _ if is_v4 => {
            let first: u8 = [0, 1, 126, 127, 128, 223, 224, 239, 240, 255][random.usize(..10)];
            let rest = [0, 1, 0xff_ffff, random.u32(..1 << 24)][random.usize(..4)];
            datagram.source = IpAddr::from((u32::from(first) << 24 | rest).to_be_bytes());
        }
        _ => {
            let first = [0, 0, 0, 0xfe80, 0xff02, 0xffff][random.usize(..6)];
            let last = random.u16(..3);
            datagram.source = IpAddr::from([first, 0, 0, 0, 0, 0, 0, last]);
        }
    }
}

/// Adds to parts that are sent later. Those that are too late are never sent: the first one is forgotten by then.
pub(super) fn keep_back(parts: &mut Vec<Datagram>, later: &mut Vec<Datagram>) {
    parts.append(later);
    if parts.len() > REMEMBERED {
        parts.drain(..REMEMBERED / 2);
    }
}

//! Random traffic with structure: packets for services, near misses, and whatever else shares the wire.

use std::net::IpAddr;

use fastrand::Rng;

use crate::common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP, UDP};
use crate::common::services::Endpoint;

/// A source of packets; the same seed gives the same ones.
pub(crate) struct Traffic {
    pub(crate) random: Rng,
    /// No packet that is a near miss is for one of these.
    pub(crate) services: Vec<Endpoint>,
    /// How many addresses clients have, and how many ports each.
    pub(crate) clients: (u16, u16),
}

/// Ways to miss a service by little. Most take a packet for a service and change one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Port,
    Protocol,
    EtherType,
    Tagged,
    Fragment,
    Cut,
    CutWithItsLength,
    Version,
    HeaderLength,
    IpLength,
    DataOffset,
    QuotedInIcmp,
    Address,
    Extension,
    FromTheService,
}

impl Miss {
    pub(crate) const ALL: [Self; 15] = [
        Self::Port,
        Self::Protocol,
        Self::EtherType,
        Self::Tagged,
        Self::Fragment,
        Self::Cut,
        Self::CutWithItsLength,
        Self::Version,
        Self::HeaderLength,
        Self::IpLength,
        Self::DataOffset,
        Self::QuotedInIcmp,
        Self::Address,
        Self::Extension,
        Self::FromTheService,
    ];
}

impl Traffic {
    pub(crate) fn new(seed: u64, services: Vec<Endpoint>, clients: (u16, u16)) -> Self {
        Self { random: Rng::with_seed(seed), services, clients }
    }

    /// A packet for a service.
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

    /// A packet that is for none, but nearly; written to `frame`.
    pub(crate) fn near_miss(&mut self, frame: &mut Vec<u8>) -> Miss {
        let miss = Miss::ALL[self.random.usize(..Miss::ALL.len())];
        let mut datagram = self.hit();
        self.change(&mut datagram, miss);
        datagram.write(frame);
        miss
    }

    fn change(&mut self, datagram: &mut Datagram, miss: Miss) {
        let is_v4 = datagram.source.is_ipv4();
        match miss {
            Miss::Port => loop {
                datagram.destination_port = match self.random.u8(..3) {
                    0 => datagram.destination_port ^ 1 << self.random.u8(..16),
                    1 => datagram.destination_port.swap_bytes(),
                    _ => self.random.u16(..),
                };
                if !self.is_for_service(datagram) {
                    break;
                }
            },
            Miss::Protocol => loop {
                let protocol =
                    if self.random.bool() { TCP + UDP - datagram.transport } else { self.random.u8(..) };
                datagram.protocol = Some(protocol);
                // What stands behind is read as what the header says.
                let endpoint =
                    Endpoint { protocol, address: datagram.destination, port: datagram.destination_port };
                if !self.services.contains(&endpoint) {
                    break;
                }
            },
            Miss::EtherType => {
                let own = if is_v4 { 0x0800 } else { 0x86dd };
                let other = match self.random.u8(..4) {
                    0 => own ^ 1 << self.random.u8(..16),
                    1 => [0x0806, 0x86dd, 0x0800, 0x88cc, 0x8847, 0x8864, 0x8100, 0x88a8, 0, 0xffff]
                        [self.random.usize(..10)],
                    _ => self.random.u16(..),
                };
                datagram.ether_type = Some(if other == own { 0x0806 } else { other });
            }
            Miss::Tagged => {
                let tags: [&[u16]; 4] = [&[0x8100], &[0x88a8], &[0x88a8, 0x8100], &[0x9100]];
                datagram.tags = tags[self.random.usize(..4)].to_vec();
            }
            Miss::Fragment if is_v4 => {
                datagram.fragment = match self.random.u8(..3) {
                    0 => 0x2000,
                    1 => self.random.u16(1..0x2000),
                    _ => 0x8000 | self.random.u16(1..0x4000),
                };
            }
            Miss::Fragment => datagram.extensions = vec![44],
            Miss::Cut => datagram.cut = Some(14 + self.random.usize(..datagram.ip_bytes())),
            Miss::Version => {
                let version = self.random.u8(..15);
                let own = if is_v4 { 4 } else { 6 };
                datagram.version = Some(if version >= own { version + 1 } else { version });
            }
            Miss::HeaderLength if is_v4 => datagram.header_words = Some(self.random.u8(..5)),
            Miss::HeaderLength | Miss::IpLength => {
                let (begin, end) =
                    (if is_v4 { 0 } else { 40 }, datagram.ip_bytes() + usize::from(datagram.padding));
                let wrong = if is_v4 && self.random.bool() {
                    self.random.u16(..20 + 4 * u16::from(datagram.option_words))
                } else {
                    self.random.u16((end - begin + 1) as u16..)
                };
                datagram.ip_length = Some(wrong);
            }
            Miss::DataOffset if datagram.transport == TCP => {
                let most =
                    (datagram.payload.len() / 4 + usize::from(datagram.tcp_option_words) + 6).min(16) as u8;
                let wrong = if most < 16 && self.random.bool() {
                    self.random.u8(most..16)
                } else {
                    self.random.u8(..5)
                };
                datagram.data_offset = Some(wrong);
            }
            // UDP has no data offset: its header is cut short too.
            Miss::CutWithItsLength | Miss::DataOffset => self.shorten(datagram),
            Miss::QuotedInIcmp => self.quote(datagram),
            Miss::Address => {
                datagram.destination = flip_bit(datagram.destination, &mut self.random);
                if self.is_for_service(datagram) {
                    datagram.destination_port = 9;
                }
            }
            Miss::Extension if is_v4 => {
                datagram.protocol = Some([4, 41, 47, 50, 51, 132][self.random.usize(..6)]);
            }
            Miss::Extension => {
                let numbers = [0, 43, 44, 51, 60, 135, 139, 140];
                let count = self.random.usize(1..4);
                datagram.extensions = (0..count).map(|_| numbers[self.random.usize(..8)]).collect();
            }
            Miss::FromTheService => {
                std::mem::swap(&mut datagram.source, &mut datagram.destination);
                std::mem::swap(&mut datagram.source_port, &mut datagram.destination_port);
            }
        }
    }

    /// Ends the packet within its transport header, with a length that agrees.
    fn shorten(&mut self, datagram: &mut Datagram) {
        let header = match datagram.transport {
            TCP => 20 + 4 * usize::from(datagram.tcp_option_words),
            _ => 8,
        };
        let before = datagram.ip_bytes() - header - datagram.payload.len();
        let left = self.random.usize(..header);
        let base = if datagram.source.is_ipv4() { before } else { 0 };
        datagram.ip_length = Some((base + left) as u16);
        // With padding behind or without.
        let behind = if self.random.bool() { self.random.usize(..32) } else { 0 };
        datagram.cut = Some(14 + before + left + behind);
    }

    /// An ICMP error to the packet's sender or to the service, about the packet.
    fn quote(&mut self, datagram: &mut Datagram) {
        let mut quoted = Vec::new();
        datagram.write(&mut quoted);
        let is_v4 = datagram.source.is_ipv4();
        let kind = if is_v4 { [3, 11, 5, 12] } else { [1, 2, 3, 4] }[self.random.usize(..4)];
        let mut payload = vec![kind, self.random.u8(..5), 0, 0, 0, 0, 5, 0xdc];
        payload.extend(&quoted[14..quoted.len().min(14 + 128)]);
        let protocol = if is_v4 { 1 } else { 58 };
        let to = if self.random.bool() { datagram.destination } else { datagram.source };
        let from =
            if is_v4 { IpAddr::from([198, 51, 100, 7]) } else { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 7]) };
        let ethernet_source = datagram.ethernet_source;
        *datagram = Datagram { ethernet_source, payload, ..Datagram::new(protocol, (from, 0), (to, 0)) };
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
                let transport = [TCP, UDP, 1, 58, 2, 47, 112, 132][random.usize(..8)];
                let ports = (random.u16(..), random.u16(..));
                let mut datagram = Datagram::new(transport, (source, ports.0), (destination, ports.1));
                datagram.tcp_flags = random.u8(..);
                datagram.ttl = random.u8(..);
                datagram.fragment = if random.u8(..8) == 0 { random.u16(..) } else { 0 };
                datagram.option_words = if random.u8(..4) == 0 { random.u8(..11) } else { 0 };
                datagram.payload.resize(random.usize(..64), random.u8(..));
                datagram.write(frame);
            }
        }
    }

    fn is_for_service(&self, datagram: &Datagram) -> bool {
        let endpoint = Endpoint {
            protocol: datagram.transport,
            address: datagram.destination,
            port: datagram.destination_port,
        };
        self.services.contains(&endpoint)
    }
}

fn flip_bit(address: IpAddr, random: &mut Rng) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::from((address.to_bits() ^ 1 << random.u8(..32)).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from((address.to_bits() ^ 1 << random.u8(..128)).to_be_bytes()),
    }
}

//! Near misses: packets that are for no service, by little.

use std::net::IpAddr;

use fastrand::Rng;

use crate::common::datagram::{Datagram, SCTP, TCP, UDP};
use crate::common::icmp::icmp;
use crate::common::services::Endpoint;
use crate::common::traffic::{EXTENSIONS, FRAGMENT_HEADER, Traffic, keep_back};

/// Ways to miss a service by little. Most take a packet for a service and change one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Port,
    Protocol,
    EtherType,
    ManyTags,
    /// The first part of a datagram, for a service's address but no service.
    FirstPart,
    /// One that follows it.
    LaterPart,
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
    pub(crate) const ALL: [Self; 16] = [
        Self::Port,
        Self::Protocol,
        Self::EtherType,
        Self::ManyTags,
        Self::FirstPart,
        Self::LaterPart,
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
    /// A packet that is for none, but nearly; written to `frame`.
    pub(crate) fn near_miss(&mut self, frame: &mut Vec<u8>) -> Miss {
        let miss = Miss::ALL[self.random.usize(..Miss::ALL.len())];
        let mut datagram = self.hit();
        let miss = self.change(&mut datagram, miss);
        // What misses without a tag does so with one or two.
        if self.random.u8(..8) == 0 && miss != Miss::ManyTags {
            datagram.tags = self.tags(1..3);
        }
        datagram.write(frame);
        miss
    }

    /// Makes a packet miss; in which way it does.
    fn change(&mut self, datagram: &mut Datagram, miss: Miss) -> Miss {
        let is_v4 = datagram.source.is_ipv4();
        match miss {
            Miss::Port => self.change_port(datagram),
            Miss::Protocol => loop {
                let protocol = match self.random.u8(..4) {
                    0 => TCP,
                    1 => UDP,
                    2 => SCTP,
                    _ => self.random.u8(..),
                };
                datagram.protocol = Some(protocol);
                // What stands behind is read as what the header says.
                let endpoint =
                    Endpoint { protocol, address: datagram.destination, port: datagram.destination_port };
                let is_walked = !is_v4 && (EXTENSIONS.contains(&protocol) || protocol == FRAGMENT_HEADER);
                if !is_walked && !self.services.contains(&endpoint) {
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
            Miss::ManyTags => {
                datagram.tags = self.tags(3..6);
                if self.random.u8(..4) == 0 {
                    // QinQ as it was before 802.1ad: a number of its own.
                    datagram.tags = vec![0x9100];
                }
            }
            Miss::FirstPart => {
                self.split_into(datagram);
            }
            Miss::LaterPart => match self.parts.len() {
                0 => {
                    self.split_into(datagram);
                    return Miss::FirstPart;
                }
                count => *datagram = self.parts.remove(self.random.usize(..count)),
            },
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
            // UDP and SCTP have no data offset: their headers are cut short too.
            Miss::CutWithItsLength | Miss::DataOffset => self.shorten(datagram),
            Miss::QuotedInIcmp => self.quote(datagram),
            Miss::Address => {
                datagram.destination = flip_bit(datagram.destination, &mut self.random);
                if self.is_for_service(datagram) {
                    datagram.destination_port = 9;
                }
            }
            Miss::Extension if is_v4 => {
                datagram.protocol = Some([4, 41, 47, 50, 51, 136][self.random.usize(..6)]);
            }
            Miss::Extension => self.change_extensions(datagram),
            Miss::FromTheService => {
                std::mem::swap(&mut datagram.source, &mut datagram.destination);
                std::mem::swap(&mut datagram.source_port, &mut datagram.destination_port);
            }
        }
        miss
    }

    /// Gives an IPv6 packet extension headers that lead nowhere.
    fn change_extensions(&mut self, datagram: &mut Datagram) {
        match self.random.u8(..3) {
            // Too many.
            0 => {
                let count = self.random.usize(9..13);
                datagram.extensions =
                    (0..count).map(|_| EXTENSIONS[self.random.usize(..EXTENSIONS.len())]).collect();
            }
            // A part of a part.
            1 => datagram.extensions = vec![FRAGMENT_HEADER; self.random.usize(2..4)],
            // And behind them nothing that is scheduled, or nothing at all.
            _ => {
                let count = self.random.usize(1..9);
                datagram.extensions =
                    (0..count).map(|_| EXTENSIONS[self.random.usize(..EXTENSIONS.len())]).collect();
                datagram.protocol = Some([4, 41, 47, 50, 59, 136][self.random.usize(..6)]);
            }
        }
    }

    /// An ICMP error about the packet to whoever sent it, or to the service; nobody has sent it.
    fn quote(&mut self, datagram: &mut Datagram) {
        let service = datagram.destination;
        if self.random.bool() {
            std::mem::swap(&mut datagram.source, &mut datagram.destination);
            std::mem::swap(&mut datagram.source_port, &mut datagram.destination_port);
            // Of a client that there is not.
            datagram.destination_port = self.random.u16(..1024);
        }
        *datagram = self.quoting(datagram);
        if self.random.bool() {
            datagram.destination = service;
        }
    }

    fn change_port(&mut self, datagram: &mut Datagram) {
        loop {
            datagram.destination_port = match self.random.u8(..3) {
                0 => datagram.destination_port ^ 1 << self.random.u8(..16),
                1 => datagram.destination_port.swap_bytes(),
                _ => self.random.u16(..),
            };
            if !self.is_for_service(datagram) {
                break;
            }
        }
    }

    /// Makes a packet the first part of a datagram that is for no service; the others follow it some time.
    fn split_into(&mut self, datagram: &mut Datagram) {
        match self.random.u8(..3) {
            0 => datagram.transport = [47, 50, 103, 200][self.random.usize(..4)],
            1 => {
                let (client, service) = (datagram.source, datagram.destination);
                let echo = if client.is_ipv4() { 8 } else { 128 };
                let identification = datagram.identification;
                *datagram = icmp(client, service, echo, 0, 1, &[7; 40]);
                datagram.identification = identification;
            }
            _ => self.change_port(datagram),
        }
        if !datagram.source.is_ipv4() && self.random.bool() {
            datagram.extensions = vec![EXTENSIONS[self.random.usize(..EXTENSIONS.len())]];
        }
        let mut later = self.split(datagram);
        keep_back(&mut self.parts, &mut later);
    }

    /// Ends the packet within its transport header, with a length that agrees.
    fn shorten(&mut self, datagram: &mut Datagram) {
        let header = match datagram.transport {
            TCP => 20 + 4 * usize::from(datagram.tcp_option_words),
            SCTP => 16,
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

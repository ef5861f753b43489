//! Packets for services with all that may lie between their ends, and what follows from them.

use std::collections::VecDeque;

use std::net::IpAddr;

use crate::common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP, UDP};
use crate::common::traffic::{EXTENSIONS, FRAGMENT_HEADER, REMEMBERED, Traffic, keep_back};

/// A source of packets that remembers what it has sent.
pub(crate) struct Journeys {
    pub(crate) traffic: Traffic,
    /// The last packets for services.
    sent: VecDeque<Datagram>,
    /// What masqueraded real servers answer to the last packets that reached them.
    answers: VecDeque<Datagram>,
    /// Parts of datagrams whose first one was sent, or is still among them.
    parts: Vec<Datagram>,
}

impl Journeys {
    pub(crate) fn new(traffic: Traffic) -> Self {
        Self { traffic, sent: VecDeque::new(), answers: VecDeque::new(), parts: Vec::new() }
    }

    /// A packet for a service with anything that may lie between its ends, a part of one, or an ICMP error about
    /// what the service has sent to the client of one.
    pub(crate) fn next(&mut self) -> Datagram {
        let mut datagram = match self.traffic.random.u8(..32) {
            0 | 1 => self.error(),
            2 => {
                let mut datagram = self.traffic.hit();
                let mut later = self.traffic.split(&mut datagram);
                keep_back(&mut self.parts, &mut later);
                // Sometimes the first part is late.
                if self.traffic.random.u8(..4) == 0 && !self.parts.is_empty() {
                    let place = self.traffic.random.usize(..self.parts.len());
                    std::mem::swap(&mut self.parts[place], &mut datagram);
                }
                datagram
            }
            3..6 if !self.parts.is_empty() => {
                let place = self.traffic.random.usize(..self.parts.len());
                self.parts.remove(place)
            }
            6..14 if !self.answers.is_empty() => self.answer(),
            _ => {
                let mut datagram = self.traffic.hit();
                self.fill(&mut datagram);
                self.sent.push_back(datagram.clone());
                if self.sent.len() > REMEMBERED {
                    self.sent.pop_front();
                }
                datagram
            }
        };
        if self.traffic.random.u8(..16) == 0 {
            datagram.tags = self.traffic.tags(1..3);
        }
        datagram
    }

    /// A masqueraded real server was sent a packet of this client: it will answer.
    pub(crate) fn will_answer(&mut self, transport: u8, real_server: (IpAddr, u16), client: (IpAddr, u16)) {
        self.answers.push_back(Datagram::new(transport, real_server, client));
        if self.answers.len() > REMEMBERED {
            self.answers.pop_front();
        }
    }

    /// Something from a masqueraded real server: an answer, a part of one, an ICMP error, or what is no answer.
    fn answer(&mut self) -> Datagram {
        let place = self.traffic.random.usize(..self.answers.len());
        let mut datagram = self.answers[place].clone();
        let random = &mut self.traffic.random;
        datagram.tcp_flags =
            if datagram.transport == TCP { [SYN | ACK, ACK, FIN | ACK, RST][random.usize(..4)] } else { 0 };
        datagram.ttl = if random.u8(..20) == 0 { random.u8(..3) } else { 64 };
        datagram.identification = random.u16(..);
        datagram.payload.resize(random.usize(..64), random.u8(..));
        match random.u8(..8) {
            0 => {
                // About what it was sent.
                std::mem::swap(&mut datagram.source, &mut datagram.destination);
                std::mem::swap(&mut datagram.source_port, &mut datagram.destination_port);
                let real_server = datagram.destination;
                let mut error = self.traffic.quoting(&datagram);
                if self.traffic.random.bool() {
                    error.source = real_server;
                }
                return error;
            }
            1 => {
                let mut later = self.traffic.split(&mut datagram);
                keep_back(&mut self.parts, &mut later);
            }
            2 => datagram.source_port ^= random.u16(..4),
            _ => self.fill(&mut datagram),
        }
        datagram
    }

    /// What a packet may have besides: extension headers, DSCP and ECN, more payload than fits, no checksum.
    fn fill(&mut self, datagram: &mut Datagram) {
        let random = &mut self.traffic.random;
        datagram.class = random.u8(..);
        if datagram.source.is_ipv6() && random.u8(..6) == 0 {
            let count = random.usize(1..=8);
            datagram.extensions = (0..count).map(|_| EXTENSIONS[random.usize(..EXTENSIONS.len())]).collect();
            if random.bool() {
                let place = random.usize(..count);
                datagram.extensions[place] = FRAGMENT_HEADER;
            }
        }
        if random.bool() {
            datagram.fragment = 0;
        }
        if random.u8(..16) == 0 {
            let payload = random.usize(1_200..1_800);
            datagram.payload.resize(payload, 0xc3);
        }
        if datagram.transport == UDP && datagram.source.is_ipv4() && random.u8(..4) == 0 {
            datagram.checksum = Some(0);
        }
    }

    /// An ICMP error to a service about what it has sent to a client that was there a moment ago, or might have been.
    fn error(&mut self) -> Datagram {
        let mut about = match self.sent.len() {
            0 => self.traffic.hit(),
            count => self.sent[self.traffic.random.usize(..count)].clone(),
        };
        (about.tags, about.padding, about.checksum) = (Vec::new(), 0, None);
        std::mem::swap(&mut about.source, &mut about.destination);
        std::mem::swap(&mut about.source_port, &mut about.destination_port);
        self.traffic.quoting(&about)
    }
}

//! Packets for services with all that may lie between their ends, and what follows from them.

use std::collections::VecDeque;

use crate::common::datagram::{Datagram, UDP};
use crate::common::traffic::{EXTENSIONS, FRAGMENT_HEADER, REMEMBERED, Traffic, keep_back};

/// A source of packets that remembers what it has sent.
pub(crate) struct Journeys {
    pub(crate) traffic: Traffic,
    /// The last packets for services.
    sent: VecDeque<Datagram>,
    /// Parts of datagrams whose first one was sent, or is still among them.
    parts: Vec<Datagram>,
}

impl Journeys {
    pub(crate) fn new(traffic: Traffic) -> Self {
        Self { traffic, sent: VecDeque::new(), parts: Vec::new() }
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

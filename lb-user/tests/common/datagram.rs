//! Frames by description: Ethernet, tags, IP, TCP, UDP or anything, each field as it should be unless it is told
//! otherwise.
//!
//! Written from the RFCs, not from the code under test: nothing of `lb_common` is used here.

use std::net::IpAddr;

/// The director's Ethernet address on the interface that all frames come in by.
pub(crate) const DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Who sends to it: a router.
pub(crate) const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// IPv6's fragment header.
const FRAGMENT_HEADER: u8 = 44;
/// "Don't fragment", "more fragments" of IPv4.
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of its first byte, behind the headers that every part has; a multiple of eight. From here on only the
    /// payload is there: a part that is not the first has no transport header.
    pub(crate) offset: u16,
    pub(crate) has_more: bool,
}

/// One frame. What is `None` is as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) ethernet_source: [u8; 6],
    /// 802.1Q and 802.1ad tags, outermost first: the tag protocol identifiers.
    pub(crate) tags: Vec<u16>,
    pub(crate) ether_type: Option<u16>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The version in the header.
    pub(crate) version: Option<u8>,
    /// DSCP and ECN.
    pub(crate) class: u8,
    /// The length of the IPv4 header in the header, in words of four bytes.
    pub(crate) header_words: Option<u8>,
    /// Words of IPv4 options.
    pub(crate) option_words: u8,
    /// IPv4's total length, IPv6's payload length.
    pub(crate) ip_length: Option<u16>,
    /// Identification, of IPv6 in its fragment header.
    pub(crate) identification: u16,
    /// Flags and offset of IPv4, unless it is a part.
    pub(crate) fragment: u16,
    pub(crate) part: Option<Part>,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// IPv6 extension headers, eight bytes each, by their numbers. A part has its own behind them.
    pub(crate) extensions: Vec<u8>,
    /// The protocol in the header; what follows is TCP or UDP all the same.
    pub(crate) protocol: Option<u8>,
    /// [`TCP`], [`UDP`], [`SCTP`], or only the payload; of ICMP with a checksum.
    pub(crate) transport: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tcp_flags: u8,
    /// The type of SCTP's first chunk, which has the payload.
    pub(crate) chunk: u8,
    /// Words of TCP options.
    pub(crate) tcp_option_words: u8,
    /// The data offset in the TCP header.
    pub(crate) data_offset: Option<u8>,
    /// The checksum of TCP, UDP or ICMP.
    pub(crate) checksum: Option<u16>,
    pub(crate) payload: Vec<u8>,
    /// Zeros behind the packet, as Ethernet pads short frames.
    pub(crate) padding: u8,
    /// The frame ends after so many bytes.
    pub(crate) cut: Option<usize>,
}

impl Datagram {
    pub(crate) fn new(transport: u8, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Self {
        Self {
            ethernet_source: ROUTER,
            tags: Vec::new(),
            ether_type: None,
            source: source.0,
            destination: destination.0,
            version: None,
            class: 0,
            header_words: None,
            option_words: 0,
            ip_length: None,
            identification: 0,
            fragment: DONT_FRAGMENT,
            part: None,
            ttl: 64,
            extensions: Vec::new(),
            protocol: None,
            transport,
            source_port: source.1,
            destination_port: destination.1,
            tcp_flags: if transport == TCP { SYN } else { 0 },
            chunk: 1,
            tcp_option_words: 0,
            data_offset: None,
            checksum: None,
            payload: Vec::new(),
            padding: 0,
            cut: None,
        }
    }

    /// Bytes from the IP header on, without padding.
    pub(crate) fn ip_bytes(&self) -> usize {
        let is_v4 = self.source.is_ipv4();
        let header = if is_v4 { 20 + 4 * usize::from(self.option_words) } else { 40 };
        let fragment_header = if is_v4 || self.part.is_none() { 0 } else { 8 };
        header + 8 * self.extensions.len() + fragment_header + self.transport_bytes()
    }

    fn is_later_part(&self) -> bool {
        self.part.is_some_and(|part| part.offset > 0)
    }

    fn transport_bytes(&self) -> usize {
        self.payload.len()
            + match self.transport {
                _ if self.is_later_part() => 0,
                TCP => 20 + 4 * usize::from(self.tcp_option_words),
                UDP => 8,
                SCTP => 16,
                _ => 0,
            }
    }

    /// The frame, in place of what `frame` held.
    pub(crate) fn write(&self, frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend(DIRECTOR);
        frame.extend(self.ethernet_source);
        for (index, tag) in self.tags.iter().enumerate() {
            frame.extend(tag.to_be_bytes());
            frame.extend((index as u16 + 5).to_be_bytes());
        }
        let family = if self.source.is_ipv4() { 0x0800_u16 } else { 0x86dd };
        frame.extend(self.ether_type.unwrap_or(family).to_be_bytes());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.write_ipv4(frame, source.octets(), destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.write_ipv6(frame, source.octets(), destination.octets());
            }
            _ => panic!("two families in {self:?}"),
        }
        self.write_transport(frame);
        frame.resize(frame.len() + usize::from(self.padding), 0);
        frame.truncate(self.cut.unwrap_or(frame.len()));
    }

    fn write_ipv4(&self, frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4]) {
        let begin = frame.len();
        let words = self.header_words.unwrap_or(5 + self.option_words);
        let fragment = match self.part {
            Some(Part { offset, has_more: true }) => MORE_FRAGMENTS | (offset / 8),
            Some(Part { offset, has_more: false }) => offset / 8,
            None => self.fragment,
        };
        frame.push(self.version.unwrap_or(4) << 4 | words);
        frame.push(self.class);
        frame.extend(self.ip_length.unwrap_or(self.ip_bytes() as u16).to_be_bytes());
        frame.extend(self.identification.to_be_bytes());
        frame.extend(fragment.to_be_bytes());
        frame.extend([self.ttl, self.protocol.unwrap_or(self.transport), 0, 0]);
        frame.extend(source);
        frame.extend(destination);
        // "No operation".
        frame.resize(frame.len() + 4 * usize::from(self.option_words), 1);
        let checksum = header_checksum(&frame[begin..]);
        frame[begin + 10..begin + 12].copy_from_slice(&checksum);
    }

    fn write_ipv6(&self, frame: &mut Vec<u8>, source: [u8; 16], destination: [u8; 16]) {
        let protocol = self.protocol.unwrap_or(self.transport);
        let numbers: Vec<u8> =
            self.extensions.iter().copied().chain(self.part.map(|_| FRAGMENT_HEADER)).collect();
        let next = |index: usize| numbers.get(index).copied().unwrap_or(protocol);
        frame.extend([self.version.unwrap_or(6) << 4 | self.class >> 4, self.class << 4, 0, 0]);
        frame.extend(self.ip_length.unwrap_or((self.ip_bytes() - 40) as u16).to_be_bytes());
        frame.extend([next(0), self.ttl]);
        frame.extend(source);
        frame.extend(destination);
        for (index, &number) in numbers.iter().enumerate() {
            if number == FRAGMENT_HEADER {
                // Without a part: an atomic fragment.
                let part = self.part.filter(|_| index + 1 == numbers.len());
                let fragment = part.map_or(0, |part| part.offset | u16::from(part.has_more));
                frame.extend([next(index + 1), 0]);
                frame.extend(fragment.to_be_bytes());
                frame.extend(u32::from(self.identification).to_be_bytes());
            } else {
                // Length 0 is eight bytes, of an authentication header too; six of padding (PadN).
                frame.extend([next(index + 1), 0, 1, 4, 0, 0, 0, 0]);
            }
        }
    }

    fn write_transport(&self, frame: &mut Vec<u8>) {
        let begin = frame.len();
        let field = match self.transport {
            _ if self.is_later_part() => None,
            TCP => {
                frame.extend(self.source_port.to_be_bytes());
                frame.extend(self.destination_port.to_be_bytes());
                frame.extend([0, 0, 0, 1, 0, 0, 0, 2]);
                frame.extend([self.data_offset.unwrap_or(5 + self.tcp_option_words) << 4, self.tcp_flags]);
                // Window, checksum, urgent pointer.
                frame.extend([0xff, 0xff, 0, 0, 0, 0]);
                frame.resize(frame.len() + 4 * usize::from(self.tcp_option_words), 1);
                Some(16)
            }
            UDP => {
                frame.extend(self.source_port.to_be_bytes());
                frame.extend(self.destination_port.to_be_bytes());
                frame.extend((8 + self.payload.len() as u16).to_be_bytes());
                frame.extend([0, 0]);
                Some(6)
            }
            SCTP => {
                frame.extend(self.source_port.to_be_bytes());
                frame.extend(self.destination_port.to_be_bytes());
                // Verification tag, and a checksum that nobody on the way asks for.
                frame.extend([0, 0, 0, 3, 0x5c, 0x7b, 0, 1]);
                frame.extend([self.chunk, 0]);
                frame.extend((4 + self.payload.len() as u16).to_be_bytes());
                None
            }
            ICMP | ICMPV6 if self.payload.len() >= 8 => Some(2),
            _ => None,
        };
        frame.extend(&self.payload);
        let Some(field) = field else { return };
        let at = begin + field;
        let checksum = self.checksum.unwrap_or_else(|| self.transport_checksum(&frame[begin..]));
        frame[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The checksum of a transport header, whose own field is zero, and what follows it.
    fn transport_checksum(&self, bytes: &[u8]) -> u16 {
        let pseudo: u32 = match (self.source, self.destination) {
            _ if self.transport == ICMP => 0,
            (IpAddr::V4(a), IpAddr::V4(b)) => sum(&a.octets()) + sum(&b.octets()),
            (IpAddr::V6(a), IpAddr::V6(b)) => sum(&a.octets()) + sum(&b.octets()),
            _ => 0,
        };
        // One that is called by the other's number is sound as that: some service may take it.
        let called = self.protocol.filter(|protocol| [TCP, UDP].contains(protocol));
        let protocol = called.unwrap_or(self.transport);
        let length = if self.transport == ICMP { 0 } else { u32::from(protocol) + bytes.len() as u32 };
        match complement(pseudo + length + sum(bytes)) {
            // Nothing would say that there is none.
            0 if self.transport == UDP => 0xffff,
            checksum => checksum,
        }
    }
}

/// The checksum of an IPv4 header (RFC 791), computed in full; its own field counts as zero.
pub(crate) fn header_checksum(header: &[u8]) -> [u8; 2] {
    complement(sum(&header[..10]) + sum(&header[12..])).to_be_bytes()
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum()
}

fn complement(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

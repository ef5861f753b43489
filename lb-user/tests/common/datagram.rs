//! Frames by description: Ethernet, tags, IP, TCP or UDP, each field as it should be unless it is told otherwise.
//!
//! Written from the RFCs, not from the code under test: nothing of `lb_common` is used here.

use std::net::IpAddr;

/// The director's Ethernet address on the interface that all frames come in by.
pub(crate) const DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Who sends to it: a router.
pub(crate) const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

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
    /// The length of the IPv4 header in the header, in words of four bytes.
    pub(crate) header_words: Option<u8>,
    /// Words of IPv4 options.
    pub(crate) option_words: u8,
    /// IPv4's total length, IPv6's payload length.
    pub(crate) ip_length: Option<u16>,
    /// Identification, flags and offset of IPv4.
    pub(crate) identification: u16,
    pub(crate) fragment: u16,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// IPv6 extension headers, eight bytes each, by their numbers.
    pub(crate) extensions: Vec<u8>,
    /// The protocol in the header; what follows is TCP or UDP all the same.
    pub(crate) protocol: Option<u8>,
    /// [`TCP`], [`UDP`], or only the payload.
    pub(crate) transport: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tcp_flags: u8,
    /// Words of TCP options.
    pub(crate) tcp_option_words: u8,
    /// The data offset in the TCP header.
    pub(crate) data_offset: Option<u8>,
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
            header_words: None,
            option_words: 0,
            ip_length: None,
            identification: 0,
            fragment: 0x4000,
            ttl: 64,
            extensions: Vec::new(),
            protocol: None,
            transport,
            source_port: source.1,
            destination_port: destination.1,
            tcp_flags: if transport == TCP { SYN } else { 0 },
            tcp_option_words: 0,
            data_offset: None,
            payload: Vec::new(),
            padding: 0,
            cut: None,
        }
    }

    /// Bytes from the IP header on, without padding.
    pub(crate) fn ip_bytes(&self) -> usize {
        let header = if self.source.is_ipv4() { 20 + 4 * usize::from(self.option_words) } else { 40 };
        header + 8 * self.extensions.len() + self.transport_bytes()
    }

    fn transport_bytes(&self) -> usize {
        self.payload.len()
            + match self.transport {
                TCP => 20 + 4 * usize::from(self.tcp_option_words),
                UDP => 8,
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
        frame.extend(&self.payload);
        frame.resize(frame.len() + usize::from(self.padding), 0);
        frame.truncate(self.cut.unwrap_or(frame.len()));
    }

    fn write_ipv4(&self, frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4]) {
        let begin = frame.len();
        let words = self.header_words.unwrap_or(5 + self.option_words);
        frame.push(self.version.unwrap_or(4) << 4 | words);
        frame.push(0);
        frame.extend(self.ip_length.unwrap_or(self.ip_bytes() as u16).to_be_bytes());
        frame.extend(self.identification.to_be_bytes());
        frame.extend(self.fragment.to_be_bytes());
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
        let mut next = self.extensions.iter().copied().chain([protocol]);
        frame.extend([self.version.unwrap_or(6) << 4, 0, 0, 0]);
        frame.extend(self.ip_length.unwrap_or((self.ip_bytes() - 40) as u16).to_be_bytes());
        frame.extend([next.next().unwrap_or(protocol), self.ttl]);
        frame.extend(source);
        frame.extend(destination);
        for next in next {
            // Length 0 is eight bytes; six of padding (PadN). For a fragment header: offset 0, the last one.
            frame.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        }
    }

    fn write_transport(&self, frame: &mut Vec<u8>) {
        if !matches!(self.transport, TCP | UDP) {
            return;
        }
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(self.destination_port.to_be_bytes());
        if self.transport == TCP {
            frame.extend([0, 0, 0, 1, 0, 0, 0, 2]);
            frame.extend([self.data_offset.unwrap_or(5 + self.tcp_option_words) << 4, self.tcp_flags]);
            // Window, a checksum that nobody looks at, urgent pointer.
            frame.extend([0xff, 0xff, 0xbe, 0xef, 0, 0]);
            frame.resize(frame.len() + 4 * usize::from(self.tcp_option_words), 1);
        } else {
            frame.extend((8 + self.payload.len() as u16).to_be_bytes());
            frame.extend([0xbe, 0xef]);
        }
    }
}

/// The checksum of an IPv4 header (RFC 791), computed in full; its own field counts as zero.
pub(crate) fn header_checksum(header: &[u8]) -> [u8; 2] {
    let words = header.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.enumerate().filter(|&(index, _)| index != 5).map(|(_, word)| word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

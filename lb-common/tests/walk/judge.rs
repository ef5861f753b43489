//! What etherparse finds in an IP packet, and where it and we are known to differ: [`is_excused`] and
//! [`is_stop_excused`] say it all.

use etherparse::err::ip_auth::HeaderError::ZeroPayloadLen;
use etherparse::err::ipv6::SliceError;
use etherparse::err::ipv6_exts::HeaderError::{HopByHopNotAtStart, IpAuth};
use etherparse::{Ipv4HeaderSlice, Ipv4Slice, Ipv6ExtensionSlice, Ipv6Slice, TcpHeaderSlice, UdpHeaderSlice};
use lb_common::walk::{Content, Datagram, EXTENSIONS_END_MAX, EXTENSIONS_MAX, Stop};

use super::frames::{SCTP, TCP, UDP};

/// What etherparse finds in a packet. Offsets count from the packet's start.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) addresses: [Vec<u8>; 2],
    pub(crate) hops: u8,
    pub(crate) protocol: u8,
    pub(crate) fragment: u32,
    pub(crate) identification: Vec<u8>,
    pub(crate) transport: usize,
    pub(crate) end: usize,
    pub(crate) extensions: usize,
    pub(crate) fragments: usize,
}

/// Reads a packet by etherparse.
pub(crate) fn judge(is_v6: bool, packet: &[u8]) -> Result<Found, Option<SliceError>> {
    if !is_v6 {
        Ipv4Slice::from_slice(packet).map_err(|_| None)?;
        let header = Ipv4HeaderSlice::from_slice(packet).unwrap();
        return Ok(Found {
            addresses: [header.source().to_vec(), header.destination().to_vec()],
            hops: header.ttl(),
            protocol: header.protocol().0,
            fragment: u32::from(header.fragments_offset().value()) << 3 | u32::from(header.more_fragments()),
            identification: header.identification().to_be_bytes().to_vec(),
            transport: header.slice().len(),
            end: usize::from(header.total_len()),
            extensions: 0,
            fragments: 0,
        });
    }
    let slice = Ipv6Slice::from_slice(packet).map_err(Some)?;
    let header = slice.header();
    let mut found = Found {
        addresses: [header.source().to_vec(), header.destination().to_vec()],
        hops: header.hop_limit(),
        protocol: header.next_header().0,
        fragment: 0,
        identification: vec![0; 4],
        transport: 40,
        end: 40 + usize::from(header.payload_length()),
        extensions: 0,
        fragments: 0,
    };
    for extension in slice.extensions().clone() {
        let (next, bytes) = match extension {
            Ipv6ExtensionSlice::HopByHop(header)
            | Ipv6ExtensionSlice::Routing(header)
            | Ipv6ExtensionSlice::DestinationOptions(header) => (header.next_header(), header.slice().len()),
            Ipv6ExtensionSlice::Authentication(header) => (header.next_header(), header.slice().len()),
            Ipv6ExtensionSlice::Fragment(header) => {
                found.fragment =
                    u32::from(header.fragment_offset().value()) << 3 | u32::from(header.more_fragments());
                found.identification = header.identification().to_be_bytes().to_vec();
                found.fragments += 1;
                (header.next_header(), header.slice().len())
            }
        };
        found.extensions += 1;
        found.protocol = next.0;
        found.transport += bytes;
        if found.fragment > 1 {
            // Etherparse goes on, though what follows is data.
            break;
        }
    }
    Ok(found)
}

/// Whether etherparse goes no further than a header that we walk.
pub(crate) fn is_unknown_to_the_judge(found: &Found) -> bool {
    found.fragment <= 1 && matches!(found.protocol, 135 | 139 | 140)
}

/// Whether we may find a packet where etherparse doesn't.
pub(crate) fn is_excused(datagram: &Datagram, error: Option<&SliceError>) -> bool {
    match error {
        // Of IPv4's authentication header we don't ask what it is.
        None => datagram.protocol == 51,
        Some(SliceError::Exts(HopByHopNotAtStart | IpAuth(ZeroPayloadLen))) => true,
        // Etherparse has read the data of a later fragment as headers.
        Some(_) => datagram.fragment.is_later(),
    }
}

/// Whether we may stop in IP's headers, of a packet that begins at `at`, where etherparse doesn't.
pub(crate) fn is_stop_excused(stop: Stop, found: &Found, at: usize) -> bool {
    match stop {
        _ if is_unknown_to_the_judge(found) => true,
        Stop::ManyExtensions => {
            found.extensions > EXTENSIONS_MAX || at + found.transport > EXTENSIONS_END_MAX as usize
        }
        Stop::NestedFragment | Stop::MalformedQuote => found.fragments > 1,
        _ => false,
    }
}

pub(crate) fn assert_alike(datagram: &Datagram, found: &Found, at: usize) {
    let address = |words: [u64; 2], bytes: &[u8]| bytemuck::bytes_of(&words)[..bytes.len()] == *bytes;
    assert!(address(datagram.source, &found.addresses[0]));
    assert!(address(datagram.destination, &found.addresses[1]));
    assert_eq!(datagram.hops, u32::from(found.hops));
    assert_eq!(datagram.offset as usize, at);
    if !is_unknown_to_the_judge(found) {
        let identification = bytemuck::bytes_of(&datagram.identification);
        assert_eq!(datagram.protocol, u32::from(found.protocol));
        assert_eq!(datagram.fragment.0, found.fragment);
        assert_eq!(&identification[..found.identification.len()], &found.identification);
        assert_eq!(datagram.transport as usize, at + found.transport);
    }
}

/// What lies at a packet's transport header, its ports, TCP flags, and ICMP type and code; nothing if it is cut.
pub(crate) fn expected_content(
    is_v6: bool,
    found: &Found,
    payload: &[u8],
) -> Option<(Content, u32, u32, u32)> {
    let ports = |from: u16, to: u16| {
        let [[a, b], [c, d]] = [from, to].map(u16::to_be_bytes);
        u32::from_ne_bytes([a, b, c, d])
    };
    Some(match found.protocol {
        _ if found.fragment > 1 => (Content::LATER_FRAGMENT, 0, 0, 0),
        TCP => {
            let tcp = TcpHeaderSlice::from_slice(payload).ok()?;
            let flags = u32::from(tcp.slice()[13]);
            (Content::PORTS, ports(tcp.source_port(), tcp.destination_port()), flags, 0)
        }
        UDP => {
            let udp = UdpHeaderSlice::from_slice(payload).ok()?;
            (Content::PORTS, ports(udp.source_port(), udp.destination_port()), 0, 0)
        }
        SCTP => (Content::PORTS, u32::from_ne_bytes(*payload.first_chunk::<16>()?.first_chunk()?), 0, 0),
        1 | 58 if is_v6 == (found.protocol == 58) => {
            let [kind, code, ..] = *payload.first_chunk::<8>()?;
            let is_error = if is_v6 { matches!(kind, 1..5) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
            let content = if is_error { Content::ERROR } else { Content::ICMP };
            (content, 0, 0, u32::from(kind) << 8 | u32::from(code))
        }
        _ => (Content::OTHER, 0, 0, 0),
    })
}

/// What etherparse makes of a quote.
pub(crate) struct Quote {
    found: Result<Found, Option<SliceError>>,
    at: usize,
    bytes: Vec<u8>,
}

/// Reads a quote, which etherparse is told to be as long as it is: its own account is not to be believed.
pub(crate) fn judge_quote(is_v6: bool, quote: &[u8], at: usize) -> Quote {
    let mut bytes = quote.to_vec();
    let (place, headers) = if is_v6 { (4, 40) } else { (2, 0) };
    if bytes.len() >= 40 {
        bytes[place..place + 2].copy_from_slice(&((quote.len() - headers) as u16).to_be_bytes());
    } else if !is_v6 && bytes.len() >= 20 {
        bytes[2..4].copy_from_slice(&(quote.len() as u16).to_be_bytes());
    }
    Quote { found: judge(is_v6, &bytes), at, bytes }
}

impl Quote {
    fn has_ports(&self, found: &Found) -> bool {
        found.fragment <= 1
            && [TCP, UDP, SCTP].contains(&found.protocol)
            && !is_unknown_to_the_judge(found)
            && self.bytes.len() >= found.transport
    }

    /// Whether there is reason to stop in it.
    pub(crate) fn may_stop(&self, stop: Stop) -> bool {
        match &self.found {
            Err(_) => true,
            Ok(found) => {
                is_stop_excused(stop, found, self.at)
                    || stop == Stop::TruncatedQuote
                        && self.has_ports(found)
                        && self.bytes.len() - found.transport < 8
            }
        }
    }

    pub(crate) fn compare(&self, ours: &Datagram) -> String {
        let found = match &self.found {
            Ok(found) => found,
            Err(error) => {
                assert!(is_excused(ours, error.as_ref()), "{error:?} {ours:?}");
                return "excused".to_owned();
            }
        };
        assert_alike(ours, found, self.at);
        if is_unknown_to_the_judge(found) {
            return "not followed by the judge".to_owned();
        }
        let ports = self.has_ports(found).then(|| self.bytes[found.transport..].first_chunk().unwrap());
        let content = match ports {
            _ if found.fragment > 1 => Content::LATER_FRAGMENT,
            Some(_) => Content::PORTS,
            None => Content::OTHER,
        };
        assert_eq!(
            (ours.content, ours.ports),
            (content, ports.map_or(0, |ports| u32::from_ne_bytes(*ports)))
        );
        format!("{content:?}")
    }
}

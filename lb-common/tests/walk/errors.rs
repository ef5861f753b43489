//! ICMP errors and what they quote.

use lb_common::walk::{Content, Stop, Walked};

use super::frames::{
    CUSTOMER, Extension, Part, SCTP, TCP, UDP, frame, icmp, plain_v4, sctp, tcp, udp, v4, v6,
};
use super::layers::{assert_addresses, ports};
use super::{read, whole};

const WHOLE: Part = Part(0, false, 1);
const ERRORS_V4: [u8; 5] = [3, 4, 5, 11, 12];
const ERRORS_V6: [u8; 4] = [1, 2, 3, 4];

/// A frame with an error, behind options or extension headers of its own.
fn error(is_v6: bool, kind: u8, quoted: &[u8]) -> Vec<u8> {
    let message = icmp(kind, 1, quoted);
    let packet =
        if is_v6 { v6(&[Extension::Options(0, 16)], 58, &message) } else { v4(12, WHOLE, 1, &message) };
    frame(&[CUSTOMER], &packet)
}

/// Where the quote of such a frame begins.
const fn quote_at(is_v6: bool) -> u32 {
    18 + if is_v6 { 40 + 16 } else { 20 + 12 } + 8
}

fn assert_quoted_ports(walked: &Walked, headers: u32, protocol: u8) {
    let is_v6 = walked.datagram.is_v6 == 1;
    assert_eq!((walked.datagram.content, walked.datagram.ports), (Content::ERROR, 0));
    assert_eq!(walked.datagram.transport + 8, quote_at(is_v6));
    let quote = walked.quote;
    assert_eq!((quote.offset, quote.transport), (quote_at(is_v6), quote_at(is_v6) + headers));
    assert_eq!((quote.content, quote.ports), (Content::PORTS, ports()));
    assert_eq!((quote.protocol, quote.is_v6), (u32::from(protocol), walked.datagram.is_v6));
    assert_addresses(&walked.datagram);
    assert_addresses(&quote);
}

#[test]
fn every_error_tells_whose_packet_it_quotes_in_eight_bytes_and_in_more() {
    use Extension::{Authentication, Fragment, Options};
    let chain =
        [Options(0, 8), Options(43, 24), Fragment(Part(0, false, 9)), Authentication(4), Options(60, 8)];
    for (protocol, payload) in [(TCP, tcp(false)), (UDP, udp()), (SCTP, sctp())] {
        for quoted in [&payload[..8], &payload] {
            for kind in ERRORS_V4 {
                for options in [0, 4, 40] {
                    let walked = whole(&error(false, kind, &v4(options, WHOLE, protocol, quoted)));
                    assert_quoted_ports(&walked, 20 + options as u32, protocol);
                    assert_eq!(walked.icmp, u32::from(kind) << 8 | 1);
                }
            }
            for kind in ERRORS_V6 {
                for (chain, bytes) in [(&[][..], 0), (&chain[..], 64)] {
                    let walked = whole(&error(true, kind, &v6(chain, protocol, quoted)));
                    assert_quoted_ports(&walked, 40 + bytes, protocol);
                    assert_eq!(walked.icmp, u32::from(kind) << 8 | 1);
                }
            }
        }
    }
}

#[test]
fn other_messages_quote_nothing() {
    let (quoted_v4, quoted_v6) = (plain_v4(TCP, &tcp(true)), v6(&[], TCP, &tcp(true)));
    for kind in 0..=255 {
        let walked = whole(&error(false, kind, &quoted_v4));
        assert_eq!(walked.datagram.content == Content::ERROR, ERRORS_V4.contains(&kind), "ICMP {kind}");
        let walked = whole(&error(true, kind, &quoted_v6));
        assert_eq!(walked.datagram.content == Content::ERROR, ERRORS_V6.contains(&kind), "ICMPv6 {kind}");
    }
}

#[test]
fn less_than_eight_quoted_bytes_are_not_enough() {
    for (is_v6, quoted) in [(false, v4(8, WHOLE, TCP, &tcp(true))), (true, v6(&[], TCP, &tcp(true)))] {
        let headers = if is_v6 { 40 } else { 28 };
        for length in 0..headers + 8 {
            let short = error(is_v6, 3, &quoted[..length]);
            assert_eq!(read(&short), Err(Stop::TruncatedQuote), "{length}");
            // The same where the frame goes on behind the packet.
            let padded = [short, quoted[length..].to_vec()].concat();
            assert_eq!(read(&padded), Err(Stop::TruncatedQuote), "{length}");
        }
        assert_eq!(whole(&error(is_v6, 3, &quoted[..headers + 8])).quote.length(), 8);
    }
    // A chain that the quote ends in.
    let quoted = v6(&[Extension::Options(60, 64)], TCP, &tcp(true));
    for length in 40..40 + 64 + 8 {
        assert_eq!(read(&error(true, 3, &quoted[..length])), Err(Stop::TruncatedQuote), "{length}");
    }
}

#[test]
fn a_quoted_later_fragment_has_no_ports() {
    let part = Part(5, true, 0x0b0c);
    let chain = [Extension::Options(60, 8), Extension::Fragment(part)];
    for (is_v6, quoted, headers) in
        [(false, v4(4, part, UDP, &[1; 8]), 24), (true, v6(&chain, UDP, &[1; 8]), 56)]
    {
        let walked = whole(&error(is_v6, 3, &quoted));
        assert_eq!(
            (walked.datagram.content, walked.quote.content),
            (Content::ERROR, Content::LATER_FRAGMENT)
        );
        assert_eq!((walked.quote.ports, walked.quote.fragment.0), (0, 0x29));
        assert_eq!(walked.quote.transport, quote_at(is_v6) + headers);
        assert_ne!(walked.quote.identification, 0);
    }
    // The first one has.
    let first = v4(0, Part(0, true, 7), UDP, &udp()[..8]);
    let walked = whole(&error(false, 11, &first));
    assert_quoted_ports(&walked, 20, UDP);
    assert!(walked.quote.fragment.is_first());
}

#[test]
fn a_quoted_packet_without_ports_is_told_by_its_protocol() {
    for (is_v6, quoted, protocol) in [
        (false, plain_v4(1, &icmp(8, 0, &[])), 1),
        (false, plain_v4(47, &[0; 4]), 47),
        (true, v6(&[], 58, &icmp(128, 0, &[])), 58),
        (true, v6(&[], 50, &[]), 50),
    ] {
        let walked = whole(&error(is_v6, 3, &quoted));
        assert_eq!((walked.quote.content, walked.quote.protocol), (Content::OTHER, protocol));
        assert_addresses(&walked.quote);
    }
}

#[test]
fn what_is_quoted_must_be_a_packet_of_the_family() {
    let (quoted_v4, quoted_v6) = (plain_v4(TCP, &tcp(true)), v6(&[], TCP, &tcp(true)));
    let long_v4 = [quoted_v4.clone(), vec![0; 40]].concat();
    assert_eq!(read(&error(true, 3, &long_v4)), Err(Stop::MalformedQuote));
    assert_eq!(read(&error(false, 3, &quoted_v6)), Err(Stop::MalformedQuote));
    let mut short = quoted_v4.clone();
    short[0] = 0x44;
    assert_eq!(read(&error(false, 3, &short)), Err(Stop::MalformedQuote));
    let nested = [Extension::Fragment(Part(0, true, 1)); 2];
    assert_eq!(read(&error(true, 3, &v6(&nested, UDP, &udp()))), Err(Stop::MalformedQuote));
    let nine = [Extension::Options(60, 8); 9];
    assert_eq!(read(&error(true, 3, &v6(&nine, UDP, &udp()))), Err(Stop::ManyExtensions));
}

#[test]
fn a_quoted_length_is_not_believed() {
    // Swapped, and shortened by the header's own length, as old routers have it.
    let mut quoted = plain_v4(UDP, &udp());
    for length in [[quoted[3], quoted[2]], [0, 15], [0, 0]] {
        quoted[2..4].copy_from_slice(&length);
        assert_quoted_ports(&whole(&error(false, 3, &quoted)), 20, UDP);
    }
}

//! What leaves by masquerade is, byte for byte, the packet that its sender would have made for the other
//! endpoint, one hop later: etherparse builds both, with checksums computed in full.
#![cfg(feature = "host")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use bytemuck::Zeroable as _;
use etherparse::{IpHeaders, SlicedPacket, TransportSlice};
use lb_common::Verdict;
use lb_common::forward::{
    Endpoint, Headers, masquerade, masquerade_icmp, masquerade_icmp_reply, masquerade_reply,
};
use lb_common::net::PacketBuffer;
use lb_common::wire::{Destination, ServiceKey};
use packets::{CLIENT, REAL_SERVER, SERVICE, Side, Spec, any_spec, families_and_protocols, fragments, spec};
use proptest::collection::vec;
use proptest::prelude::*;

/// Interpreted, a few of each.
const CASES: u32 = if cfg!(miri) { 5 } else { 1000 };
const STEP: usize = if cfg!(miri) { 4_099 } else { 1 };

/// Ethernet addresses before and after.
const BEFORE: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const AFTER: [u8; 12] = [2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4];

fn buffer(bytes: &[u8]) -> PacketBuffer {
    PacketBuffer { bytes: bytes.to_vec(), interface: 1 }
}

/// The service's port 1122 is the real server's 22, and etherparse reads what left.
#[test]
fn ports_are_mapped_there_and_back() {
    for there in families_and_protocols() {
        let place = Headers::plain(there.family(), u32::from(there.is_tcp));
        assert_eq!(place, there.place());
        let mut packet = buffer(&there.frame(BEFORE, &there.packet()));
        assert_eq!(masquerade(&mut packet, place, &there.endpoint(REAL_SERVER), AFTER), Ok(()));
        assert_eq!(read(&packet.bytes), (CLIENT.1, 22));

        let answer = there.after(0, REAL_SERVER, CLIENT);
        let mut packet = buffer(&answer.frame(BEFORE, &answer.packet()));
        assert_eq!(masquerade_reply(&mut packet, place, &there.endpoint(SERVICE), AFTER), Ok(()));
        assert_eq!(read(&packet.bytes), (1122, CLIENT.1));
    }
}

/// The ports of a frame whose checksums verify.
fn read(frame: &[u8]) -> (u16, u16) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let ip = IpHeaders::from_slice(&frame[14..]).unwrap().0;
    if let IpHeaders::Ipv4(ip, _) = &ip {
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    }
    match (sliced.transport.unwrap(), &ip) {
        (TransportSlice::Tcp(tcp), IpHeaders::Ipv4(ip, _)) => {
            assert_eq!(tcp.calc_checksum_ipv4(ip.source, ip.destination), Ok(tcp.checksum()));
            (tcp.source_port(), tcp.destination_port())
        }
        (TransportSlice::Tcp(tcp), IpHeaders::Ipv6(ip, _)) => {
            assert_eq!(tcp.calc_checksum_ipv6(ip.source, ip.destination), Ok(tcp.checksum()));
            (tcp.source_port(), tcp.destination_port())
        }
        (TransportSlice::Udp(udp), ip) => {
            let sum = match ip {
                IpHeaders::Ipv4(ip, _) => udp.to_header().calc_checksum_ipv4(ip, udp.payload()),
                IpHeaders::Ipv6(ip, _) => udp.to_header().calc_checksum_ipv6(ip, udp.payload()),
            };
            assert_eq!(sum, Ok(udp.checksum()));
            (udp.source_port(), udp.destination_port())
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn both_ways_are_the_packet_made_for_the_other_endpoint(spec in any_spec(), to: Side) {
        let endpoint = spec.endpoint(to);
        let frame = spec.frame(BEFORE, &spec.packet());

        let mut packet = buffer(&frame);
        prop_assert_eq!(masquerade(&mut packet, spec.place(), &endpoint, AFTER), Ok(()));
        let expected = spec.after(1, spec.source, to);
        prop_assert_eq!(&packet.bytes, &expected.frame(AFTER, &expected.packet()));

        // There and back is the identity, but for hops and the frame's addresses.
        let service = spec.endpoint(spec.destination);
        prop_assert_eq!(masquerade(&mut packet, spec.place(), &service, BEFORE), Ok(()));
        let expected = spec.after(2, spec.source, spec.destination);
        prop_assert_eq!(&packet.bytes, &expected.frame(BEFORE, &expected.packet()));

        let mut packet = buffer(&frame);
        prop_assert_eq!(masquerade_reply(&mut packet, spec.place(), &endpoint, AFTER), Ok(()));
        let expected = spec.after(1, to, spec.destination);
        prop_assert_eq!(&packet.bytes, &expected.frame(AFTER, &expected.packet()));
    }

    /// A router, or the client itself, about an answer of the service: it goes to the real server.
    /// A router behind the real server, or that itself, about a client's packet: it goes to the client.
    /// However much is quoted, from eight bytes of the transport header on.
    #[test]
    fn an_error_quotes_what_its_receiver_has_sent(
        outer in any_spec(), quoted in any_spec(), to: Side, code: u8, is_sender: bool, is_in: bool,
        cut in 8..130_usize, trailer in vec(any::<u8>(), 0..40),
    ) {
        let quoted = Spec { is_v6: outer.is_v6, ..quoted };
        // Half a checksum: below.
        let cut = if quoted.is_tcp && cut == 17 { 16 } else { cut };
        let seen = if is_in { quoted.source } else { quoted.destination };
        // Who has the address in the quote, or somebody else.
        let met = if is_in || is_sender { seen } else { outer.source };
        let is_sender = outer.endpoint(met).address == outer.endpoint(seen).address;
        let outer = if is_in {
            Spec { destination: met, ..outer }
        } else {
            Spec { source: met, ..outer }
        };
        let wrap = |outer: &Spec, ethernet, quoted: &Spec| {
            let mut quote = quoted.packet();
            quote.truncate(quoted.header_bytes() + cut);
            let mut frame = outer.frame(ethernet, &outer.error(code, &quote));
            frame.extend(&trailer);
            frame
        };
        let mut packet = buffer(&wrap(&outer, BEFORE, &quoted));
        let place = outer.place();
        let quote = quoted.place_at(place.transport as usize + 8);
        let endpoint = outer.endpoint(to);
        let expected = if is_in {
            prop_assert_eq!(masquerade_icmp(&mut packet, place, quote, &endpoint, AFTER), Ok(()));
            let quoted = quoted.after(0, to, quoted.destination);
            wrap(&outer.after(1, outer.source, to), AFTER, &quoted)
        } else {
            prop_assert_eq!(masquerade_icmp_reply(&mut packet, place, quote, &endpoint, AFTER), Ok(()));
            let quoted = quoted.after(0, quoted.source, to);
            wrap(&outer.after(1, if is_sender { to } else { outer.source }, outer.destination), AFTER, &quoted)
        };
        prop_assert_eq!(&packet.bytes, &expected);
    }

    /// In a later fragment the addresses change and nothing else; the first has the checksum of all.
    #[test]
    fn fragments_are_put_together_with_a_right_checksum(spec in any_spec(), to: Side, at in 3..10_usize) {
        let spec = Spec { options: 0, payload: [spec.payload.as_slice(), &[7; 80]].concat(), ..spec };
        let expected = spec.after(1, spec.source, to);
        let mut both: Vec<u8> = vec![];
        for (first, expected) in fragments(&spec, at).into_iter().zip(fragments(&expected, at)) {
            let mut place = spec.place();
            place.transport = if both.is_empty() { place.transport + expected.1 } else { 0 };
            let mut packet = buffer(&spec.frame(BEFORE, &first.0));
            prop_assert_eq!(masquerade(&mut packet, place, &spec.endpoint(to), AFTER), Ok(()));
            prop_assert_eq!(&packet.bytes, &spec.frame(AFTER, &expected.0));
            both.extend(&packet.bytes[place.network as usize + spec.header_bytes() + expected.1 as usize..]);
        }
        // What the real server puts together is what a whole packet would have carried.
        prop_assert_eq!(&both, &expected.packet()[expected.header_bytes()..]);
    }

    /// Where the frame ends too early, it stays as it was.
    #[test]
    fn nothing_is_half_written(outer in any_spec(), quoted in any_spec(), to: Side, cut in 0..64_usize) {
        let quoted = Spec { is_v6: outer.is_v6, ..quoted };
        let endpoint = outer.endpoint(to);
        let frame = outer.frame(BEFORE, &outer.packet());
        let checksum_end = if outer.is_tcp { 18 } else { 8 };
        let place = outer.place();
        for is_in in [true, false] {
            let needed = place.transport as usize + checksum_end;
            for length in [cut.min(needed - 1), needed - 1 - cut.min(needed - 1), needed] {
                let mut packet = buffer(&frame[..length]);
                let sent = if is_in {
                    masquerade(&mut packet, place, &endpoint, AFTER)
                } else {
                    masquerade_reply(&mut packet, place, &endpoint, AFTER)
                };
                prop_assert_eq!(sent.is_ok(), length == needed);
                prop_assert_eq!(packet.bytes == frame[..length], length < needed);
            }
        }
        let frame = outer.frame(BEFORE, &outer.error(1, &quoted.packet()));
        let quote = quoted.place_at(place.transport as usize + 8);
        for is_in in [true, false] {
            let needed = quote.transport as usize + if quoted.is_tcp { 18 } else { 8 };
            for length in [cut.min(needed - 1), needed - 1 - cut.min(needed - 1), needed] {
                let mut packet = buffer(&frame[..length]);
                let sent = if is_in {
                    masquerade_icmp(&mut packet, place, quote, &endpoint, AFTER)
                } else {
                    masquerade_icmp_reply(&mut packet, place, quote, &endpoint, AFTER)
                };
                prop_assert_eq!(sent.is_ok(), length == needed);
                prop_assert_eq!(packet.bytes == frame[..length], length < needed);
            }
        }
    }
}

/// RFC 1624's corner case: the low word of an address takes every value, so every sum comes out once, and
/// zero among them, in the header of IPv4, in TCP and in UDP.
#[test]
fn a_sum_of_zero_is_zero_but_in_udp() {
    for spec in families_and_protocols() {
        let frame = spec.frame(BEFORE, &spec.packet());
        let checksum_at = spec.place().transport as usize + if spec.is_tcp { 16 } else { 6 };
        let (mut zeros, mut ones, mut header_zeros) = (0, 0, 0);
        for low in (0..=u16::MAX).step_by(STEP) {
            let mut to = REAL_SERVER;
            let at = if spec.is_v6 { 14 } else { 2 };
            to.0[at..at + 2].copy_from_slice(&low.to_be_bytes());
            let mut packet = buffer(&frame);
            assert_eq!(masquerade(&mut packet, spec.place(), &spec.endpoint(to), AFTER), Ok(()));
            let expected = spec.after(1, CLIENT, to);
            assert_eq!(packet.bytes, expected.frame(AFTER, &expected.packet()));
            zeros += u32::from(packet.bytes[checksum_at..][..2] == [0, 0]);
            ones += u32::from(packet.bytes[checksum_at..][..2] == [0xff, 0xff]);
            header_zeros += u32::from(packet.bytes[24..26] == [0, 0]);
        }
        if !cfg!(miri) {
            // 0x0000 and 0xffff of the address are one to the sum.
            assert!(header_zeros > 0 || spec.is_v6);
            assert!(if spec.is_tcp { zeros > 0 && ones == 0 } else { ones > 0 && zeros == 0 });
        }
    }
}

#[test]
fn udp_without_a_checksum_stays_without() {
    for spec in families_and_protocols().filter(|spec| !spec.is_tcp) {
        let spec = Spec { is_unsummed: true, ..spec };
        let checksum_at = spec.place().transport as usize + 6;
        let mut packet = buffer(&spec.frame(BEFORE, &spec.packet()));
        assert_eq!(masquerade(&mut packet, spec.place(), &spec.endpoint(REAL_SERVER), AFTER), Ok(()));
        assert_eq!(packet.bytes[checksum_at..checksum_at + 2], [0, 0]);
    }
}

#[test]
fn the_last_hop_ends_it_before_anything_is_written() {
    for (hops, spec) in [0, 1].into_iter().flat_map(|hops| families_and_protocols().map(move |s| (hops, s))) {
        let spec = Spec { hops, ..spec };
        let place = spec.place();
        let to = spec.endpoint(REAL_SERVER);
        let frame = spec.frame(BEFORE, &spec.packet());
        let mut packet = buffer(&frame);
        assert_eq!(masquerade(&mut packet, place, &to, AFTER), Err(Verdict::TtlExceeded));
        assert_eq!(masquerade_reply(&mut packet, place, &to, AFTER), Err(Verdict::TtlExceeded));
        assert_eq!(packet.bytes, frame);
        let frame = spec.frame(BEFORE, &spec.error(0, &spec.packet()));
        let mut packet = buffer(&frame);
        let quote = spec.place_at(place.transport as usize + 8);
        assert_eq!(masquerade_icmp(&mut packet, place, quote, &to, AFTER), Err(Verdict::TtlExceeded));
        assert_eq!(masquerade_icmp_reply(&mut packet, place, quote, &to, AFTER), Err(Verdict::TtlExceeded));
        assert_eq!(packet.bytes, frame);
    }
}

/// The quote ends within TCP's checksum: what is there of it stays, as what the frame has behind it does.
#[test]
fn half_a_checksum_is_none() {
    for spec in families_and_protocols().filter(|spec| spec.is_tcp) {
        let (place, end) = (spec.place(), spec.header_bytes() + 17);
        let answer = spec.after(0, SERVICE, CLIENT);
        let before = answer.packet();
        let mut after = spec.after(0, REAL_SERVER, CLIENT).packet();
        assert_ne!(before[end - 1], after[end - 1], "then it proves nothing");
        after[end - 1] = before[end - 1];
        let frame = |outer: &Spec, ethernet, quote: &[u8]| {
            let mut frame = outer.frame(ethernet, &outer.error(0, &quote[..end]));
            frame.extend([9; 30]);
            frame
        };
        let mut packet = buffer(&frame(&spec, BEFORE, &before));
        let quote = spec.place_at(place.transport as usize + 8);
        assert_eq!(masquerade_icmp(&mut packet, place, quote, &spec.endpoint(REAL_SERVER), AFTER), Ok(()));
        assert_eq!(packet.bytes, frame(&spec.after(1, CLIENT, REAL_SERVER), AFTER, &after));
    }
}

/// Without ports there is no flow to which an error would belong.
#[test]
fn an_error_without_ports_is_not_rewritten() {
    let spec = spec(false, true);
    let (place, to) = (spec.place(), spec.endpoint(REAL_SERVER));
    let frame = spec.frame(BEFORE, &spec.error(0, &spec.packet()));
    let mut packet = buffer(&frame);
    let quote = Headers { transport: 0, ..spec.place_at(42) };
    assert_eq!(masquerade_icmp(&mut packet, place, quote, &to, AFTER), Err(Verdict::Internal));
    let (place, quote) = (Headers { transport: 0, ..place }, spec.place_at(42));
    assert_eq!(masquerade_icmp_reply(&mut packet, place, quote, &to, AFTER), Err(Verdict::Internal));
    assert_eq!(packet.bytes, frame);
}

#[test]
fn an_endpoint_is_a_real_server_or_a_service() {
    let service = ServiceKey { address: [1; 16], port: [4, 98], ..ServiceKey::zeroed() };
    let destination = Destination { address: [2; 16], port: [0, 22], service, ..Destination::zeroed() };
    let words = |byte| [u64::from_ne_bytes([byte; 8]); 2];
    let port = |port: u16| u64::from(port.to_be());
    assert_eq!(Endpoint::from(&destination), Endpoint { address: words(2), port: port(22) });
    assert_eq!(Endpoint::from(&service), Endpoint { address: words(1), port: port(1122) });
}

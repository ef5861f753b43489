//! The language of the vectors: packets, services and real servers, each in one line.
//!
//! ```text
//! tcp 192.0.2.1:4000 > 10.0.0.50:80 syn ttl=1 payload=10      a packet; see `packet` for its words
//! tcp 10.0.0.50:80 rr                                         a service
//! 10.0.1.1 at 02:00:00:00:01:01 interface 2 weight 3 down     a real server; see `real_server`
//! ```
//!
//! A word that is not known panics with the line.

use std::net::SocketAddr;

use lb_user::model::{ForwardMethod, Scheduler};
use lb_user::plan::Health;

use crate::common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP, UDP};
use crate::common::services::{Endpoint, RealServer};

/// The frame of a line, or of `hex` and its bytes.
pub(crate) fn packet(line: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    if let Some(digits) = line.strip_prefix("hex ") {
        return bytes(digits);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let [transport, source, ">", destination, options @ ..] = words.as_slice() else {
        panic!("what packet is {line:?}?")
    };
    let ends = [*source, *destination]
        .map(|end| end.parse::<SocketAddr>().unwrap_or_else(|_| panic!("{end} in {line:?}")));
    let [source, destination] = ends.map(|end| (end.ip(), end.port()));
    let mut datagram = Datagram::new(transport_number(transport), source, destination);
    datagram.tcp_flags = 0;
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || {
            let digits = value.strip_prefix("0x");
            let number = digits.map_or_else(|| value.parse(), |digits| u16::from_str_radix(digits, 16));
            number.unwrap_or_else(|_| panic!("{option} in {line:?}"))
        };
        match name {
            "syn" => datagram.tcp_flags |= SYN,
            "ack" => datagram.tcp_flags |= ACK,
            "fin" => datagram.tcp_flags |= FIN,
            "rst" => datagram.tcp_flags |= RST,
            "ttl" => datagram.ttl = number() as u8,
            "payload" => datagram.payload = vec![0x5a; usize::from(number())],
            "padding" => datagram.padding = number() as u8,
            "options" => datagram.option_words = number() as u8,
            "tcp-options" => datagram.tcp_option_words = number() as u8,
            "fragment" => datagram.fragment = number(),
            "protocol" => datagram.protocol = Some(number() as u8),
            "version" => datagram.version = Some(number() as u8),
            "header-words" => datagram.header_words = Some(number() as u8),
            "data-offset" => datagram.data_offset = Some(number() as u8),
            "ip-length" => datagram.ip_length = Some(number()),
            "ether-type" => datagram.ether_type = Some(number()),
            "tag" => datagram.tags.push(number()),
            "extension" => datagram.extensions.push(number() as u8),
            "cut" => datagram.cut = Some(usize::from(number())),
            "id" => datagram.identification = number(),
            "from" => datagram.ethernet_source = ethernet(value),
            _ => panic!("{option} in {line:?} is no word for a packet"),
        }
    }
    datagram.write(&mut frame);
    frame
}

/// `tcp 10.0.0.50:80 rr`
pub(crate) fn service(line: &str) -> (Endpoint, Scheduler) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [transport, end, scheduler] = words.as_slice() else { panic!("what service is {line:?}?") };
    let end: SocketAddr = end.parse().unwrap_or_else(|_| panic!("{end} in {line:?}"));
    let scheduler = match *scheduler {
        "rr" => Scheduler::Rr,
        "wrr" => Scheduler::Wrr,
        _ => panic!("{scheduler} in {line:?} is no scheduler"),
    };
    (Endpoint { protocol: transport_number(transport), address: end.ip(), port: end.port() }, scheduler)
}

/// An address, then any of `at ETHERNET` (else it is not resolved), `interface N` (else 1), `weight N`
/// (else 1), `local`, `down`, `unknown`.
pub(crate) fn real_server(line: &str) -> RealServer {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or_default();
    let mut server = RealServer {
        address: address.parse().unwrap_or_else(|_| panic!("{address} in {line:?}")),
        ethernet: None,
        interface: 1,
        weight: 1,
        forward: ForwardMethod::DirectRouting,
        health: Health::Up,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("what {word} in {line:?}?"));
        match word {
            "at" => server.ethernet = Some(ethernet(value())),
            "interface" => server.interface = value().parse().unwrap(),
            "weight" => server.weight = value().parse().unwrap(),
            "local" => server.forward = ForwardMethod::Local,
            "down" => server.health = Health::Down,
            "unknown" => server.health = Health::Unknown,
            _ => panic!("{word} in {line:?} is no word for a real server"),
        }
    }
    server
}

pub(crate) fn ethernet(text: &str) -> [u8; 6] {
    bytes(&text.replace(':', "")).try_into().unwrap_or_else(|_| panic!("{text} is no Ethernet address"))
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte at the end");
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn transport_number(name: &str) -> u8 {
    match name {
        "tcp" => TCP,
        "udp" => UDP,
        _ => panic!("{name} is no transport protocol of the vectors"),
    }
}

//! The language of the vectors: packets, services and real servers, each in one line.
//!
//! ```text
//! tcp 192.0.2.1:4000 > 10.0.0.50:80 syn ttl=1 payload=10      a packet; see `packet` for its words
//! icmp 198.51.100.7 > 10.0.0.50 type=3 code=1 about tcp 10.0.0.50:80 > 192.0.2.1:4000 ack
//! tcp 10.0.0.50:80 mh mh-port ring=251                        a service
//! mark 7 rr                                                   a service by mark; "7/ipv6" for IPv6
//! 7 10.0.0.50,10.0.0.51 tcp ports 80,8000-8100                a class; see `class`
//! 10.0.1.1 at 02:00:00:00:01:01 interface 2 weight 3 down     a real server; see `real_server`
//! ```
//!
//! A word that is not known panics with the line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lb_common::wire::{Persistence, Prefix as SourcePrefix};
use lb_user::dataplane::clock;
use lb_user::model::{
    Class, ForwardMethod, Netmask, Ports, Prefix, Protocol, RingSize, Scheduler, SchedulerFlags, Thresholds,
    Tunnel, family_of,
};
use lb_user::plan::Health;

use crate::common::classes::marked;
use crate::common::datagram::{ACK, Datagram, FIN, Part, RST, SCTP, SYN, TCP, UDP};
use crate::common::icmp::icmp;
use crate::common::services::{Endpoint, MTU, RealServer, address_bytes};

/// The frame of a line, or of `hex` and its bytes.
pub(crate) fn packet(line: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    match line.strip_prefix("hex ") {
        Some(digits) => frame = bytes(digits),
        None => datagram(line).write(&mut frame),
    }
    frame
}

fn datagram(line: &str) -> Datagram {
    let (line, about) = line.split_once(" about ").map_or((line, None), |(line, about)| (line, Some(about)));
    let words: Vec<&str> = line.split_whitespace().collect();
    let [transport, source, ">", destination, options @ ..] = words.as_slice() else {
        panic!("what packet is {line:?}?")
    };
    let mut datagram = if *transport == "icmp" {
        let ends = [*source, *destination]
            .map(|end| end.parse::<IpAddr>().unwrap_or_else(|_| panic!("{end} in {line:?}")));
        let quoted = about.map_or_else(Vec::new, |about| packet(about).split_off(14));
        icmp(ends[0], ends[1], 0, 0, 0, &quoted)
    } else {
        let ends = [*source, *destination]
            .map(|end| end.parse::<SocketAddr>().unwrap_or_else(|_| panic!("{end} in {line:?}")));
        let [source, destination] = ends.map(|end| (end.ip(), end.port()));
        Datagram::new(transport_number(transport), source, destination)
    };
    datagram.tcp_flags = 0;
    for option in options {
        word(&mut datagram, option, line);
    }
    datagram
}

/// One word of a packet.
fn word(datagram: &mut Datagram, option: &str, line: &str) {
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
        "chunk" => datagram.chunk = chunk(value),
        "ttl" => datagram.ttl = number() as u8,
        "class" => datagram.class = number() as u8,
        "payload" => datagram.payload = vec![0x5a; usize::from(number())],
        "padding" => datagram.padding = number() as u8,
        "options" => datagram.option_words = number() as u8,
        "tcp-options" => datagram.tcp_option_words = number() as u8,
        "fragment" => datagram.fragment = number(),
        "part" => {
            let offset = value.trim_end_matches('+');
            let offset = offset.parse().unwrap_or_else(|_| panic!("{option} in {line:?}"));
            datagram.part = Some(Part { offset, has_more: value.ends_with('+') });
        }
        "protocol" => datagram.protocol = Some(number() as u8),
        "version" => datagram.version = Some(number() as u8),
        "header-words" => datagram.header_words = Some(number() as u8),
        "data-offset" => datagram.data_offset = Some(number() as u8),
        "checksum" => datagram.checksum = Some(number()),
        "ip-length" => datagram.ip_length = Some(number()),
        "ether-type" => datagram.ether_type = Some(number()),
        "tag" => datagram.tags.push(number()),
        "extension" => datagram.extensions.push(number() as u8),
        "cut" => datagram.cut = Some(usize::from(number())),
        "id" => datagram.identification = number(),
        "from" => datagram.ethernet_source = ethernet(value),
        "type" => datagram.payload[0] = number() as u8,
        "code" => datagram.payload[1] = number() as u8,
        "quoted" => datagram.payload.truncate(8 + usize::from(number())),
        _ => panic!("{option} in {line:?} is no word for a packet"),
    }
}

/// The number of an SCTP chunk (RFC 9260, section 3.2), by its name or as it is.
fn chunk(name: &str) -> u8 {
    const NAMES: [&str; 15] = [
        "data",
        "init",
        "init-ack",
        "sack",
        "heartbeat",
        "heartbeat-ack",
        "abort",
        "shutdown",
        "shutdown-ack",
        "error",
        "cookie-echo",
        "cookie-ack",
        "ecne",
        "cwr",
        "shutdown-complete",
    ];
    let number = NAMES.iter().position(|known| *known == name).map(|number| number as u8);
    number.or_else(|| name.parse().ok()).unwrap_or_else(|| panic!("{name} is no chunk"))
}

/// How a service schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheduling {
    pub(crate) scheduler: Scheduler,
    pub(crate) flags: SchedulerFlags,
    pub(crate) ring_size: RingSize,
    pub(crate) one_packet: bool,
    pub(crate) persistence: Persistence,
    /// New flows in a tick; 0: any number.
    pub(crate) new_flows: u32,
    pub(crate) sources: BTreeMap<SourcePrefix, bool>,
}

/// `tcp 10.0.0.50:80 mh`, then any of the scheduler's flags (`mh-port`), `ring=251`, `one-packet`, `persistent=360`
/// (seconds), `netmask=255.255.255.0`, `gate=N` (new flows in a tick), `allow=PREFIX`, `deny=PREFIX`.
pub(crate) fn service(line: &str) -> (Endpoint, Scheduling) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [transport, end, scheduler, options @ ..] = words.as_slice() else {
        panic!("what service is {line:?}?")
    };
    let endpoint = if *transport == "mark" {
        let (mark, family) = end.split_once('/').unwrap_or((end, "ipv4"));
        marked(mark.parse().unwrap_or_else(|_| panic!("{end} in {line:?}")), family == "ipv6")
    } else {
        let end: SocketAddr = end.parse().unwrap_or_else(|_| panic!("{end} in {line:?}"));
        Endpoint { protocol: transport_number(transport), address: end.ip(), port: end.port() }
    };
    let mut scheduling = Scheduling {
        scheduler: Scheduler::from_label(scheduler)
            .unwrap_or_else(|| panic!("{scheduler} in {line:?} is no scheduler")),
        flags: SchedulerFlags::default(),
        ring_size: RingSize::default(),
        one_packet: false,
        persistence: Persistence::NONE,
        new_flows: 0,
        sources: BTreeMap::new(),
    };
    let (mut timeout, mut netmask) = (0, Netmask::whole(family_of(endpoint.address)));
    for option in options {
        match *option {
            "one-packet" => scheduling.one_packet = true,
            _ if option.starts_with("persistent=") => timeout = option[11..].parse().unwrap(),
            _ if option.starts_with("netmask=") => {
                let mask = &option[8..];
                netmask = match mask.parse() {
                    Ok(bits) => Netmask::V6(bits),
                    Err(_) => Netmask::V4(mask.parse().unwrap_or_else(|_| panic!("{option} in {line:?}"))),
                };
            }
            "sh-port" | "mh-port" => scheduling.flags.port = true,
            "sh-fallback" | "mh-fallback" => scheduling.flags.fallback = true,
            _ if option.starts_with("gate=") => scheduling.new_flows = option[5..].parse().unwrap(),
            _ if option.starts_with("allow=") => drop(scheduling.sources.insert(prefix(&option[6..]), true)),
            _ if option.starts_with("deny=") => drop(scheduling.sources.insert(prefix(&option[5..]), false)),
            _ => {
                let slots = option.strip_prefix("ring=").and_then(|slots| slots.parse().ok());
                scheduling.ring_size = slots
                    .and_then(RingSize::new)
                    .unwrap_or_else(|| panic!("{option} in {line:?} is no word for a service"));
            }
        }
    }
    if timeout != 0 {
        scheduling.persistence = Persistence::new(timeout, netmask.bytes(), clock());
    }
    (endpoint, scheduling)
}

/// A mark and addresses, then any of `tcp`, `udp`, `ports 80,8000-8100`, `interface N`, `from 192.0.2.0/24`,
/// `not-from ETHERNET`. What there may be several of stands behind commas.
pub(crate) fn class(line: &str) -> Class {
    fn list<T>(text: &str, read: impl Fn(&str) -> T) -> Vec<T> {
        text.split(',').map(read).collect()
    }
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} in {line:?}"));
    let address = |text: &str| text.parse::<IpAddr>().unwrap_or_else(|_| panic!("{text} in {line:?}"));
    let mut words = line.split_whitespace();
    let mut next = |what: &str| words.next().unwrap_or_else(|| panic!("no {what} in {line:?}"));
    let mark = next("mark").parse().unwrap_or_else(|_| panic!("what mark has {line:?}?"));
    let addresses = list(next("address"), address);
    let (protocol, ports, interface, sources, macs) = (None, Vec::new(), None, Vec::new(), Vec::new());
    let mut class = Class { mark, addresses, protocol, ports, interface, sources, not_source_macs: macs };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("what {word} in {line:?}?"));
        match word {
            "tcp" => class.protocol = Some(Protocol::Tcp),
            "udp" => class.protocol = Some(Protocol::Udp),
            "sctp" => class.protocol = Some(Protocol::Sctp),
            "ports" => {
                class.ports = list(value(), |range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    Ports { first: number(first), last: number(last) }
                });
            }
            "interface" => class.interface = Some(value().to_owned()),
            "from" => {
                class.sources = list(value(), |prefix| {
                    let (network, length) = prefix.split_once('/').unwrap_or((prefix, "128"));
                    Prefix::of(address(network), number(length) as u8)
                });
            }
            "not-from" => class.not_source_macs = list(value(), ethernet),
            _ => panic!("{word} in {line:?} is no word for a class"),
        }
    }
    class
}

/// `10.0.0.0/8`.
fn prefix(text: &str) -> SourcePrefix {
    let (address, bits) = text.split_once('/').unwrap_or_else(|| panic!("{text} is no prefix"));
    let address: IpAddr = address.parse().unwrap_or_else(|_| panic!("{text} is no prefix"));
    SourcePrefix { is_v6: address.is_ipv6(), bits: bits.parse().unwrap(), address: address_bytes(address) }
}

/// An address, then any of `at ETHERNET` (else it is not resolved), `interface N` (else 1), `weight N`
/// (else 1), `upper N`, `lower N`, `local`, `tunnel KIND`, `masquerade`, `port N` (else the service's), `mtu N` (else 1,500), `down`, `unknown`.
pub(crate) fn real_server(line: &str) -> RealServer {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or_default();
    let mut server = RealServer {
        address: address.parse().unwrap_or_else(|_| panic!("{address} in {line:?}")),
        ethernet: None,
        interface: 1,
        weight: 1,
        thresholds: Thresholds::default(),
        forward: ForwardMethod::DirectRouting,
        port: None,
        mtu: MTU,
        health: Health::Up,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("what {word} in {line:?}?"));
        match word {
            "at" => server.ethernet = Some(ethernet(value())),
            "interface" => server.interface = value().parse().unwrap(),
            "weight" => server.weight = value().parse().unwrap(),
            "upper" => server.thresholds.upper = value().parse().unwrap(),
            "lower" => server.thresholds.lower = value().parse().unwrap(),
            "mtu" => server.mtu = value().parse().unwrap(),
            "masquerade" => server.forward = ForwardMethod::Masquerade,
            "port" => server.port = Some(value().parse().unwrap()),
            "local" => server.forward = ForwardMethod::Local,
            "tunnel" => server.forward = ForwardMethod::Tunnel(tunnel(value())),
            "down" => server.health = Health::Down,
            "unknown" => server.health = Health::Unknown,
            _ => panic!("{word} in {line:?} is no word for a real server"),
        }
    }
    server
}

/// `ipip`, `gue:PORT`, `gre`; `gue-checksum:PORT`, `gre-checksum`.
fn tunnel(word: &str) -> Tunnel {
    let (kind, port) = word.split_once(':').unwrap_or((word, ""));
    let port = || port.parse().unwrap_or_else(|_| panic!("what port is in {word:?}?"));
    match kind {
        "ipip" => Tunnel::Ipip,
        "gue" => Tunnel::Gue { port: port(), checksum: false },
        "gue-checksum" => Tunnel::Gue { port: port(), checksum: true },
        "gre" => Tunnel::Gre { checksum: false },
        "gre-checksum" => Tunnel::Gre { checksum: true },
        _ => panic!("{word} is no tunnel"),
    }
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
        "sctp" => SCTP,
        _ => panic!("{name} is no transport protocol of the vectors"),
    }
}

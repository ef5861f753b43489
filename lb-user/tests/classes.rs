//! Which service a packet is for, beside a plain reference; and that rules for other addresses cost it nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod classes;
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod report;
    pub(crate) mod services;
}

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::programs::Program;
use lb_common::director::direct;
use lb_common::net::PacketBuffer;
use lb_common::verdict::Verdict;
use lb_common::wire::{Options, RULES_MAX, ServiceKey};
use lb_user::dataplane::{Dataplane as _, MemoryDataplane};
use lb_user::model::{Class, ForwardMethod, Ports, Prefix, Protocol, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, Wanted, WantedService, plan};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use common::classes::{marked, rules};
use common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP};
use common::director::{load, sizes, timeouts};
use common::report::say;
use common::services::{Endpoint, MTU, RealServer};

const MACS: [[u8; 6]; 3] = [[2, 0, 0, 0, 0, 0xc1], [2, 0, 0, 0, 0, 0xc2], [0xc2, 0, 0, 0, 0, 0xc1]];

fn address(number: u8) -> IpAddr {
    match number {
        0..2 => IpAddr::from([10, 0, 0, 50 + number]),
        number => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)]),
    }
}

/// A client among a few, and networks around it.
fn client(is_v4: bool, bits: u8) -> IpAddr {
    if is_v4 {
        IpAddr::from([192, bits << 4, 2, bits >> 4])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, u16::from(bits << 4) << 8, 0, 0, 0, u16::from(bits >> 4)])
    }
}

#[derive(Clone, Debug)]
struct Sent {
    protocol: Protocol,
    client: IpAddr,
    to: IpAddr,
    port: u16,
    interface: u32,
    mac: [u8; 6],
    tcp_flags: u8,
}

fn ports() -> impl Strategy<Value = Ports> {
    (1..9_u16, 0..4_u16).prop_map(|(first, more)| Ports { first, last: first + more })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)]
}

fn class() -> impl Strategy<Value = Class> {
    let addresses = proptest::collection::btree_set(0..4_u8, 1..4);
    let sources = vec((any::<u8>(), 0..=32_u8), 0..4);
    let interface = option::weighted(0.3, 1..3_u32);
    let macs = vec(prop::sample::select(&MACS[..]), 0..3);
    (1..5_u32, addresses, option::of(protocol()), vec(ports(), 0..4), interface, sources, macs).prop_map(
        |(mark, addresses, protocol, ports, interface, sources, not_source_macs)| {
            let addresses: Vec<_> = addresses.into_iter().map(address).collect();
            let both = [true, false].into_iter().flat_map(|is_v4| {
                sources.iter().map(move |&(bits, length)| {
                    Prefix::of(client(is_v4, bits), if is_v4 { length } else { 4 * length })
                })
            });
            let is_named = |prefix: &Prefix| {
                addresses.iter().any(|address| address.is_ipv4() == prefix.address.is_ipv4())
            };
            let sources: BTreeSet<_> = both.filter(is_named).collect();
            Class {
                mark,
                protocol,
                ports,
                interface: interface.map(|index| index.to_string()),
                sources: sources.into_iter().collect(),
                not_source_macs,
                addresses,
            }
        },
    )
}

fn service() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        (1..5_u32, any::<bool>()).prop_map(|(mark, is_v6)| marked(mark, is_v6)),
        (protocol(), 0..4_u8, 0..10_u16).prop_map(|(protocol, number, port)| Endpoint {
            protocol: protocol as u8,
            address: address(number),
            port,
        }),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let macs = prop::sample::select(&MACS[..]);
    let flags = prop::sample::select(&[SYN, SYN, SYN, SYN, ACK, FIN | ACK, RST][..]);
    (protocol(), any::<u8>(), 0..4_u8, 0..12_u16, 1..3_u32, macs, flags).prop_map(
        |(protocol, bits, number, port, interface, mac, tcp_flags)| {
            let to = address(number);
            Sent { protocol, client: client(to.is_ipv4(), bits), to, port, interface, mac, tcp_flags }
        },
    )
}

/// The mark of a packet: the first class of the whole list.
fn mark(classes: &[Class], sent: &Sent) -> Option<u32> {
    let matches = |class: &&Class| {
        let ports = class.ports.iter().any(|ports| (ports.first..=ports.last).contains(&sent.port));
        let interface = class.interface.as_ref().is_none_or(|name| *name == sent.interface.to_string());
        let sources = class.sources.iter().any(|prefix| is_within(sent.client, prefix));
        class.addresses.contains(&sent.to)
            && class.protocol.is_none_or(|protocol| protocol == sent.protocol)
            && (class.ports.is_empty() || ports)
            && interface
            && (class.sources.is_empty() || sources)
            && !class.not_source_macs.contains(&sent.mac)
    };
    classes.iter().find(matches).map(|class| class.mark)
}

/// Compared bit by bit.
fn is_within(address: IpAddr, prefix: &Prefix) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (address, network) = (bits(address), bits(prefix.address));
    let bit = |bytes: &[u8], index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    address.len() == network.len()
        && (0..usize::from(prefix.length)).all(|index| bit(&address, index) == bit(&network, index))
}

/// By its place among the services, or why it is nobody's.
fn reference(classes: &[Class], services: &[Endpoint], sent: &Sent) -> Result<usize, Verdict> {
    let find = |endpoint: Endpoint| services.iter().position(|service| *service == endpoint);
    let is_v6 = !sent.to.is_ipv4();
    let mark = mark(classes, sent);
    let own = |port| find(Endpoint { protocol: sent.protocol as u8, address: sent.to, port });
    let found = mark.and_then(|mark| find(marked(mark, is_v6))).or_else(|| own(sent.port)).or_else(|| own(0));
    let is_service_address = services.iter().any(|it| it.protocol != 0 && it.address == sent.to)
        || classes.iter().any(|it| it.addresses.contains(&sent.to) && find(marked(it.mark, is_v6)).is_some());
    if found.is_some() && sent.port == 0 {
        return Err(Verdict::ZeroPort);
    }
    if found.is_some() && sent.protocol == Protocol::Tcp && sent.tcp_flags != SYN {
        return Err(Verdict::NoConnection);
    }
    found.ok_or(match mark {
        _ if !is_service_address => Verdict::NotServiceAddress,
        Some(_) => Verdict::NoMarkedService,
        None => Verdict::NoService,
    })
}

fn dataplane() -> MemoryDataplane {
    let tables =
        TableSizes { flows: 1_024, destinations: 64, ring_slots: 64, templates: 64, ..TableSizes::default() };
    MemoryDataplane::new(sizes(&tables).settings())
}

/// Services with one real server each, whose Ethernet address ends with the service's place.
fn wanted(classes: &[Class], services: &[Endpoint]) -> Wanted {
    let services = services.iter().enumerate().map(|(place, service)| {
        let is_v4 = service.address.is_ipv4();
        let server = RealServer {
            address: if is_v4 {
                IpAddr::from([10, 0, 1, 1])
            } else {
                IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, 1])
            },
            ethernet: Some([2, 0, 0, 0, 1, place as u8]),
            interface: 1,
            weight: 1,
            forward: ForwardMethod::DirectRouting,
            port: None,
            mtu: MTU,
            thresholds: Thresholds::default(),
            health: Health::Up,
        };
        WantedService::new(service.key(), Scheduler::Rr, vec![server.wanted(service)])
    });
    Wanted {
        services: services.collect(),
        rules: rules(classes),
        peers: BTreeSet::new(),
        interfaces: BTreeSet::from([1]),
        timeouts: timeouts(),
        options: Options::DEFAULT,
    }
}

fn bring(dataplane: &mut MemoryDataplane, wanted: &Wanted) {
    let changes = plan(&dataplane.held().unwrap(), wanted, |service| dataplane.picks(service)).unwrap();
    for change in &changes {
        dataplane.apply(change).unwrap();
    }
}

fn run(dataplane: &MemoryDataplane, sent: &Sent, client_port: u16) -> Result<usize, Verdict> {
    let mut datagram = Datagram::new(sent.protocol as u8, (sent.client, client_port), (sent.to, sent.port));
    (datagram.ethernet_source, datagram.tcp_flags) = (sent.mac, sent.tcp_flags);
    let mut packet = PacketBuffer { bytes: Vec::new(), interface: sent.interface };
    datagram.write(&mut packet.bytes);
    match direct(&mut packet, &&dataplane.tables).verdict {
        Verdict::DirectRouting => Ok(usize::from(packet.bytes[5])),
        verdict => Err(verdict),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_first_class_of_the_whole_list_says_the_mark(
        steps in vec((vec(class(), 0..6), vec(service(), 1..8), vec(sent(), 1..32)), 1..4),
    ) {
        let mut dataplane = dataplane();
        for (step, (classes, services, packets)) in steps.into_iter().enumerate() {
            let distinct: BTreeSet<ServiceKey> = services.iter().map(Endpoint::key).collect();
            let services: Vec<_> = distinct
                .iter()
                .map(|key| *services.iter().find(|service| service.key() == *key).unwrap())
                .collect();
            bring(&mut dataplane, &wanted(&classes, &services));
            for (index, sent) in packets.iter().enumerate() {
                // From a port of its own, so that no connection is met.
                let met = run(&dataplane, sent, (1024 + 32 * step + index) as u16);
                prop_assert_eq!(met, reference(&classes, &services, sent), "{:?}", sent);
            }
        }
    }
}

/// Of one address, a class with so many ports from 1 on.
fn of_ports(address: IpAddr, mark: u32, ports: u16) -> Class {
    Class {
        mark,
        addresses: vec![address],
        protocol: None,
        ports: (1..=ports).map(|port| Ports { first: port, last: port }).collect(),
        interface: None,
        sources: Vec::new(),
        not_source_macs: Vec::new(),
    }
}

#[test]
fn rules_for_other_addresses_are_not_met() {
    let to = address(0);
    let sent = |port| Sent {
        protocol: Protocol::Tcp,
        client: client(true, 1),
        to,
        port,
        interface: 1,
        mac: MACS[0],
        tcp_flags: SYN,
    };
    let services = [marked(1, false), Endpoint { protocol: TCP, address: to, port: 9 }];
    let own = vec![of_ports(to, 1, 3)];
    // 1,000 rules of 100 addresses, in front and behind.
    let others = |from: u8| {
        (from..from + 50).map(|number| of_ports(IpAddr::from([10, 1, 0, number]), 1, 10)).collect::<Vec<_>>()
    };
    let all = [others(0), own.clone(), others(50)].concat();
    let mut seen = Vec::new();
    for classes in [&[][..], &own, &all] {
        let mut dataplane = dataplane();
        bring(&mut dataplane, &wanted(classes, &services));
        let counts = [2, 3, 9].map(|port| {
            let before = dataplane.tables.rules_seen();
            let place = run(&dataplane, &sent(port), 1024);
            let is_marked = port < 9 && !classes.is_empty();
            assert_eq!(
                place,
                if port == 9 || is_marked { Ok(usize::from(port == 9)) } else { Err(Verdict::NoService) }
            );
            dataplane.tables.rules_seen() - before
        });
        seen.push(counts);
        // Established: nothing is looked for.
        let before = dataplane.tables.rules_seen();
        assert_eq!(run(&dataplane, &sent(9), 1024), Ok(1));
        assert_eq!(dataplane.tables.rules_seen(), before);
    }
    assert_eq!(seen, [[0, 0, 0], [3, 3, 3], [3, 3, 3]]);
}

#[test]
fn as_many_rules_as_an_address_can_have_are_met_and_no_more() {
    let to = address(0);
    let services = [marked(1, false)];
    let mut dataplane = dataplane();
    bring(&mut dataplane, &wanted(&[of_ports(to, 1, RULES_MAX as u16)], &services));
    let sent = |port| Sent {
        protocol: Protocol::Udp,
        client: client(true, 1),
        to,
        port,
        interface: 1,
        mac: MACS[0],
        tcp_flags: SYN,
    };
    assert_eq!(run(&dataplane, &sent(RULES_MAX as u16), 1024), Ok(0));
    assert_eq!(run(&dataplane, &sent(1), 1024), Ok(0));
    assert_eq!(run(&dataplane, &sent(RULES_MAX as u16 + 1), 1024), Err(Verdict::NoService));
}

#[test]
fn the_verifier_does_not_meet_rules() {
    let counts = [4, 1 << 20].map(|class_rules| {
        let tables = TableSizes { flows: 1_024, class_rules, ..TableSizes::default() };
        let mut kernel = load(&sizes(&tables));
        let programs = kernel.ebpf_mut().programs().map(|(name, program)| {
            let Program::Xdp(program) = program else { panic!("{name} is no program for XDP") };
            (name.to_owned(), program.info().unwrap().verified_instruction_count())
        });
        programs.collect::<std::collections::BTreeMap<_, _>>()
    });
    say(&format!("director_classify: {:?} verified instructions", counts[0]["director_classify"]));
    assert_eq!(counts[0], counts[1]);
}

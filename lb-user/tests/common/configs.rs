//! Configs at random: services of every kind, real servers of every kind, some of them not well.
//! It refuses to know what becomes of packets under them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fastrand::Rng;
use lb_common::wire::{Family, Options, Persistence, Prefix as SourcePrefix, ServiceKey};
use lb_user::dataplane::clock;
use lb_user::model::{
    Class, ForwardMethod, Netmask, Ports, Prefix, Protocol, RingSize, Scheduler, SchedulerFlags, Thresholds,
    Tunnel,
};
use lb_user::plan::{Health, Wanted, WantedService};

use crate::common::classes::{marked, rules};
use crate::common::datagram::{ROUTER, SCTP, TCP, UDP};
use crate::common::director::timeouts;
use crate::common::services::{Endpoint, MTU, RealServer, address_bytes};

/// The port of real servers by GUE.
pub(crate) const GUE_PORT: u16 = 6080;

/// The port of services whose real servers have thresholds.
const LIMITED: u16 = 443;

/// Ethernet addresses of directors, which may be peers.
pub(crate) const PEERS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0x98], [2, 0, 0, 0, 0, 0x99]];

/// The mark of classes that may be of SCTP.
const ANY_PROTOCOL: u32 = 3;

/// Services: by address and port, on all ports, by mark.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let addresses = [
        IpAddr::from([10, 0, 0, 50]),
        IpAddr::from([10, 0, 0, 51]),
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x50]),
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x51]),
    ];
    let transports = [(TCP, 80), (TCP, 443), (UDP, 53), (SCTP, 9899), (TCP, 0), (UDP, 0)];
    let marks = [marked(1, false), marked(2, false), marked(3, false), marked(1, true), marked(3, true)];
    addresses
        .into_iter()
        .flat_map(|address| transports.map(|(protocol, port)| Endpoint { protocol, address, port }))
        .chain(marks)
        .collect()
}

/// What a class with a service's mark may match; without one, another service.
fn marked_end(random: &mut Rng, classes: &[Class], configured: &[Endpoint], service: &Endpoint) -> Endpoint {
    let is_v4 = service.address.is_ipv4();
    let ends = classes.iter().flat_map(|class| {
        let addresses = class.addresses.iter().filter(|address| address.is_ipv4() == is_v4);
        addresses.filter(|&&address| marked(class.mark, !address.is_ipv4()) == *service).map(
            move |&address| {
                let port = class.ports.first().map_or(8_000, |ports| ports.last);
                let protocol = class.protocol.map_or(TCP, |protocol| protocol as u8);
                Endpoint { protocol, address, port }
            },
        )
    });
    let others = configured.iter().copied().filter(|service| service.protocol != 0);
    random
        .choice(ends.collect::<Vec<_>>())
        .or_else(|| random.choice(others.collect::<Vec<_>>()))
        .unwrap_or(Endpoint { protocol: TCP, address: IpAddr::from([10, 0, 0, 50]), port: 81 })
}

/// A config at random: some of the services, each with some real servers, some of them not well.
pub(crate) fn config(random: &mut Rng, pool: &[Endpoint]) -> (Vec<Endpoint>, Wanted) {
    let configured: Vec<Endpoint> =
        random.choose_multiple(pool.iter().copied(), 8 + random.clone().usize(..8));
    let services = configured.iter().map(|service| {
        let scheduler = SCHEDULERS[random.usize(..SCHEDULERS.len())];
        let flags = SchedulerFlags { port: random.bool(), fallback: random.bool() };
        let ring_size = RingSize::new([251, 251, 251, 509, 1_021][random.usize(..5)]).unwrap();
        let count = random.usize(..6);
        let real_servers = random.choose_multiple(1..=6, count);
        let destinations =
            real_servers.into_iter().map(|number| real_server(random, service, number).wanted(service));
        let service = WantedService::new(service.key(), scheduler, destinations.collect());
        let one_packet = service.key.protocol != TCP && random.u8(..4) == 0;
        let persistence = if one_packet { Persistence::NONE } else { persistence(random, service.key) };
        let (new_flows, sources) = guard(random, service.key.family == 6);
        WantedService { flags, ring_size, one_packet, persistence, new_flows, sources, ..service }
    });
    let services = services.collect();
    let classes = classes(random, pool);
    // What is for all ports, or a mark, gets packets to some port.
    let targets = configured.iter().map(|service| match service {
        Endpoint { protocol: 0, .. } => marked_end(random, &classes, &configured, service),
        Endpoint { port: 0, .. } => Endpoint { port: [81, 8_000, 9][random.usize(..3)], ..*service },
        _ => *service,
    });
    let targets = targets.collect();
    let peers = if random.bool() { BTreeSet::from(PEERS) } else { BTreeSet::from([PEERS[0]]) };
    let options = Options::new(random.u32(..4), random.u8(..3) > 0, random.u8(..8) == 0, random.u8(..8) == 0)
        .with_expire_quiescent_template(random.bool());
    let rules = rules(&classes);
    let interfaces = BTreeSet::from([1, 2, 3]);
    (targets, Wanted { services, rules, peers, interfaces, timeouts: timeouts(), options })
}

/// Classes at random, for the addresses of services: most of their marks have one.
fn classes(random: &mut Rng, pool: &[Endpoint]) -> Vec<Class> {
    let addresses: BTreeSet<IpAddr> =
        pool.iter().filter(|service| service.protocol != 0).map(|service| service.address).collect();
    let count = random.usize(..8);
    let class = |random: &mut Rng| {
        let count = random.usize(1..3);
        let addresses = random.choose_multiple(addresses.iter().copied(), count);
        let ports = (0..random.u8(..4)).map(|_| {
            let first = [80, 443, 53, 8_000][random.usize(..4)];
            Ports { first, last: first + random.u16(..2) }
        });
        let ports = ports.collect();
        let mut sources = Vec::new();
        if random.bool() {
            for _ in 0..random.u8(1..4) {
                let host = random.u8(..16);
                sources.push(Prefix::of(IpAddr::from([192, 0, 0, host]), random.u8(26..=32)));
                let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]);
                sources.push(Prefix::of(v6, random.u8(122..=128)));
            }
        }
        let mark = random.u32(1..=4);
        // What nobody masquerades goes to services that don't.
        let protocols = [Some(Protocol::Tcp), Some(Protocol::Udp), None, Some(Protocol::Sctp)];
        Class {
            mark,
            addresses,
            protocol: protocols[random.usize(..if mark == ANY_PROTOCOL { 4 } else { 2 })],
            ports,
            interface: (random.u8(..4) == 0).then(|| random.u32(1..=2).to_string()),
            sources,
            not_source_macs: if random.u8(..4) == 0 {
                vec![PEERS[0], if random.u8(..4) == 0 { ROUTER } else { PEERS[1] }]
            } else {
                Vec::new()
            },
        }
    };
    (0..count).map(|_| class(random)).collect()
}

/// Every other service is persistent, and its clients are networks of any size.
fn persistence(random: &mut Rng, service: ServiceKey) -> Persistence {
    let mask = match service.family() {
        Family::V4 => Netmask::V4([u32::MAX, u32::MAX, 0xffff_fffc, 0xff][random.usize(..4)].into()),
        Family::V6 => Netmask::V6([128, 128, 126, 64][random.usize(..4)]),
    };
    // No end that a test could come to see: it would be a jiffy's matter who does.
    let timeout = random.u32(1..=31 * 24) * 3_600;
    if random.bool() { Persistence::new(timeout, mask.bytes(), clock()) } else { Persistence::NONE }
}

/// All that are offered.
const SCHEDULERS: [Scheduler; 14] = [
    Scheduler::Rr,
    Scheduler::Wrr,
    Scheduler::Lc,
    Scheduler::Wlc,
    Scheduler::Sed,
    Scheduler::Nq,
    Scheduler::Fo,
    Scheduler::Ovf,
    Scheduler::Twos,
    Scheduler::Lblc,
    Scheduler::Sh,
    Scheduler::Dh,
    Scheduler::Mh,
    Scheduler::Maglev,
];

/// A gate at random, and prefixes of clients.
fn guard(random: &mut Rng, is_v6: bool) -> (u32, BTreeMap<SourcePrefix, bool>) {
    let new_flows = if random.u8(..3) == 0 { random.u32(1..200) } else { 0 };
    let count = if random.u8(..3) == 0 { random.usize(..5) } else { 0 };
    let prefixes = (0..count).map(|_| {
        let most = if is_v6 { 128 } else { 32 };
        let bits = most - random.u8(..6);
        let bits = if random.u8(..8) == 0 { random.u8(..=most) } else { bits };
        let client = u16::from(random.u8(..16));
        let address = if is_v6 {
            let client = u128::from(client) | 0x2001_0db8 << 96;
            (client & u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0)).to_be_bytes()
        } else {
            let client = u32::from(client) | 192 << 24;
            let address = client & u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            address_bytes(IpAddr::from(address.to_be_bytes()))
        };
        (SourcePrefix { is_v6, bits, address }, random.u8(..3) > 0)
    });
    (new_flows, prefixes.collect())
}

fn real_server(random: &mut Rng, service: &Endpoint, number: u8) -> RealServer {
    let is_any = [false, true].into_iter().any(|is_v6| *service == marked(ANY_PROTOCOL, is_v6));
    let forward = match random.u8(..24) {
        0 | 1 => ForwardMethod::Local,
        2..10 => ForwardMethod::Tunnel(
            [
                Tunnel::Ipip,
                Tunnel::Gue { port: GUE_PORT, checksum: random.bool() },
                Tunnel::Gre { checksum: random.bool() },
            ][random.usize(..3)],
        ),
        // Which nobody can do for SCTP.
        10..16 if service.protocol != SCTP && !is_any => ForwardMethod::Masquerade,
        _ => ForwardMethod::DirectRouting,
    };
    let upper = if service.port == LIMITED { random.u32(..12) } else { 0 };
    let thresholds = Thresholds { upper, lower: random.u32(..=upper) };
    // Through a tunnel it may be of the other family.
    let is_other = matches!(forward, ForwardMethod::Tunnel(_)) && random.bool();
    let is_local = forward == ForwardMethod::Local;
    RealServer {
        address: if service.address.is_ipv4() == is_other {
            IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, u16::from(number)])
        } else {
            IpAddr::from([10, 0, 1, number])
        },
        ethernet: (random.u8(..10) > 0 && !is_local).then(|| [2, 0, 0, 0, 1, random.u8(..)]),
        interface: random.u32(1..=3),
        weight: random.u32(..5),
        thresholds,
        forward,
        port: random.bool().then(|| 8_000 + u16::from(number)),
        mtu: [MTU, MTU, 1_400, 1_280, 600][random.usize(..5)],
        health: match random.u8(..8) {
            0 => Health::Down,
            1 => Health::Unknown,
            _ => Health::Up,
        },
    }
}

//! The same random traffic through the host's data plane and the kernel's, under configs that keep changing.
//!
//! Both run the same functions; what may differ is everything beneath them: the compiler, the maps,
//! the atomics, the clock. `LB_SEED` repeats or varies a run, `LB_PACKETS` sets how many.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod interfaces;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
    pub(crate) mod traffic;
    pub(crate) mod twins;
}

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use fastrand::Rng;
use lb_common::verdict::{Action, Verdict};
use lb_common::wire::{Line, State, entry_destination};
use lb_user::dataplane::Dataplane as _;
use lb_user::model::{ForwardMethod, Scheduler, TableSizes};
use lb_user::plan::{Health, Wanted, WantedService, free};

use common::datagram::{TCP, UDP, header_checksum};
use common::director::TIMEOUTS;
use common::parameter::number;
use common::report::say;
use common::services::{Endpoint, RealServer, director_on};
use common::traffic::Traffic;
use common::twins::{Fate, Twins};

const PACKETS_A_CONFIG: u64 = 2_000;

const PEERS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0x98], [2, 0, 0, 0, 0, 0x99]];

#[test]
fn a_million_packets_meet_the_same_fate_on_the_host_and_in_the_kernel() {
    let (seed, packets) = (number("LB_SEED", 1), number("LB_PACKETS", 1_000_000));
    common::interfaces::enter_namespace();
    let started = Instant::now();
    // In the second table there is hardly room: connections are displaced, and some find no place.
    let mut hits = [0; Verdict::COUNT];
    let mut evictions = [0; State::ALL.len()];
    let mut freed = 0;
    for (part, flows) in [(0, 8_192), (1, 1)] {
        let sizes = TableSizes { flows, services: 16, destinations: 256, ring_slots: 4_096 };
        let mut twins = Twins::new(&sizes);
        freed += run(&mut twins, seed + part, packets / 2);
        for &verdict in Verdict::ALL {
            hits[verdict.index()] += twins.host.tables.verdicts(verdict);
        }
        for state in State::ALL {
            evictions[state as usize] += twins.host.tables.evictions(state);
        }
    }
    say(&format!(
        "{packets} packets in {:.1?}, {freed} numbers of destinations given back",
        started.elapsed()
    ));
    for &verdict in Verdict::ALL {
        say(&format!("  verdict {}: {}", verdict.label(), hits[verdict.index()]));
    }
    for state in State::ALL {
        say(&format!("  evicted {}: {}", state.label(), evictions[state as usize]));
    }
    let reached: u64 =
        Verdict::ALL.iter().filter(|verdict| reaches_a_service(**verdict)).map(|v| hits[v.index()]).sum();
    say(&format!("  for a service: {reached}"));
    assert!(reached >= packets / 2, "of {packets} packets only {reached} were for a service");
    // Fewer packets need not meet everything.
    if packets >= 1_000_000 {
        for &verdict in Verdict::ALL {
            // Internal is what no packet can meet while the tables are right.
            let is_met = hits[verdict.index()] > 0;
            assert_eq!(is_met, verdict != Verdict::Internal, "verdict {}", verdict.label());
        }
        for proven in [State::Established, State::Udp] {
            assert_eq!(evictions[proven as usize], 0, "{} is never displaced", proven.label());
        }
        for state in [State::SynReceived, State::FinWait, State::UdpNew, State::Close] {
            assert!(evictions[state as usize] > 0, "no {} was displaced", state.label());
        }
    }
}

fn run(twins: &mut Twins, seed: u64, packets: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let pool = endpoints();
    let mut traffic = Traffic::new(random.u64(..), pool.clone(), (16, 64));
    let (mut frame, mut freed) = (Vec::new(), 0);
    let mut configured = Vec::new();
    for packet in 0..packets {
        if packet % PACKETS_A_CONFIG == 0 {
            twins.assert_same_tables();
            if random.bool() {
                freed += free_destinations(twins);
            }
            let wanted;
            (configured, wanted) = config(&mut random, &pool);
            twins.apply(&wanted);
        }
        // Services that are configured, mostly; and those that are or were.
        traffic.services.clone_from(if random.u8(..8) == 0 { &pool } else { &configured });
        match random.u8(..10) {
            0..7 => {
                let mut datagram = traffic.hit();
                if random.u8(..20) == 0 {
                    datagram.ethernet_source = PEERS[random.usize(..2)];
                }
                datagram.write(&mut frame);
            }
            7..9 => drop(traffic.near_miss(&mut frame)),
            _ => traffic.other(&mut frame),
        }
        check(&frame, &twins.run(&frame));
    }
    twins.assert_same_tables();
    freed
}

/// Gives back the numbers of destinations that were removed and that no entry names; how many.
fn free_destinations(twins: &mut Twins) -> usize {
    let names = |line: &Line, number| line.entries.iter().any(|&entry| entry_destination(entry) == number);
    let is_named = |number| twins.host.tables.lines().any(|line| names(&line, number));
    let changes = free(&twins.host.held().unwrap(), is_named);
    for change in &changes {
        twins.host.apply(change).unwrap();
        twins.kernel.apply(change).unwrap();
    }
    changes.len()
}

/// What must hold of any fate, whoever computed it.
fn check(frame: &[u8], Fate { verdict, action, frame: out }: &Fate) {
    if verdict.action() != Action::Forward {
        assert!(frame == out, "{verdict:?} writes nothing");
        return;
    }
    assert!(["tx", "redirect"].contains(action), "{verdict:?} ends in {action}");
    let mut expected = frame.to_vec();
    expected[..12].copy_from_slice(&out[..12]);
    assert_eq!(out[..5], [2, 0, 0, 0, 1], "the real server's Ethernet address");
    assert!((1..=3).map(director_on).any(|address| out[6..12] == address), "the director's Ethernet address");
    let hops = if frame[12..14] == [8, 0] { 22 } else { 21 };
    expected[hops] -= 1;
    if hops == 22 {
        let header = 14..14 + 4 * usize::from(frame[14] & 0xf);
        let checksum = header_checksum(&expected[header]);
        expected[24..26].copy_from_slice(&checksum);
    }
    assert!(expected == *out, "{frame:02x?} is forwarded as\n{out:02x?} and not as\n{expected:02x?}");
}

/// Whether the packet was judged by a service's tables.
const fn reaches_a_service(verdict: Verdict) -> bool {
    !matches!(
        verdict,
        Verdict::NotIp
            | Verdict::Tagged
            | Verdict::Truncated
            | Verdict::NotServiceAddress
            | Verdict::Malformed
            | Verdict::Fragment
            | Verdict::ExtensionHeader
            | Verdict::OtherProtocol
            | Verdict::NoService
    )
}

fn endpoints() -> Vec<Endpoint> {
    let addresses = [
        IpAddr::from([10, 0, 0, 50]),
        IpAddr::from([10, 0, 0, 51]),
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x50]),
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x51]),
    ];
    let transports = [(TCP, 80), (TCP, 443), (UDP, 53)];
    addresses
        .into_iter()
        .flat_map(|address| transports.map(|(protocol, port)| Endpoint { protocol, address, port }))
        .collect()
}

/// A config at random: some of the services, each with some real servers, some of them not well.
fn config(random: &mut Rng, pool: &[Endpoint]) -> (Vec<Endpoint>, Wanted) {
    let configured: Vec<Endpoint> =
        random.choose_multiple(pool.iter().copied(), 4 + random.clone().usize(..8));
    let services = configured.iter().map(|service| {
        let scheduler = if random.bool() { Scheduler::Rr } else { Scheduler::Wrr };
        let count = random.usize(..6);
        let real_servers = random.choose_multiple(1..=6, count);
        let destinations =
            real_servers.into_iter().map(|number| real_server(random, service, number).wanted(service));
        WantedService { key: service.key(), scheduler, destinations: destinations.collect() }
    });
    let services = services.collect();
    let peers = if random.bool() { BTreeSet::from(PEERS) } else { BTreeSet::from([PEERS[0]]) };
    (configured, Wanted { services, peers, interfaces: BTreeSet::from([1, 2, 3]), timeouts: TIMEOUTS })
}

fn real_server(random: &mut Rng, service: &Endpoint, number: u8) -> RealServer {
    let is_local = random.u8(..12) == 0;
    RealServer {
        address: match service.address {
            IpAddr::V4(_) => IpAddr::from([10, 0, 1, number]),
            IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, u16::from(number)]),
        },
        ethernet: (random.u8(..10) > 0 && !is_local).then(|| [2, 0, 0, 0, 1, random.u8(..)]),
        interface: random.u32(1..=3),
        weight: random.u32(..5),
        forward: if is_local { ForwardMethod::Local } else { ForwardMethod::DirectRouting },
        health: match random.u8(..8) {
            0 => Health::Down,
            1 => Health::Unknown,
            _ => Health::Up,
        },
    }
}

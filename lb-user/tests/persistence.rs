//! Persistence: random sequences against a plain model, ends to the jiffy, what connections keep, floods.
//!
//! Time is the test's own on the host. The kernel's can't be set: there, tables are told that a second has fewer
//! jiffies than it has. `LB_SEED` repeats or varies a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common"]
mod common {
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
}

#[path = "persistence/flood.rs"]
mod flood;
#[path = "persistence/model.rs"]
mod model;
#[path = "persistence/sweep.rs"]
mod sweep;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use lb_common::director::direct;
use lb_common::host::MemoryTables;
use lb_common::net::PacketBuffer;
use lb_common::verdict::Verdict;
use lb_common::wire::{
    Clock, EMPTY, Family, LINE_SLOTS, Options, Persistence, Place, State, entry_destination, entry_tag,
};
use lb_user::dataplane::{Dataplane, MemoryDataplane, clock};
use lb_user::model::{ForwardMethod, Netmask, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, Wanted, WantedService, plan};

use common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP, UDP};
use common::director::sizes;
use common::services::{Endpoint, MTU, RealServer};

const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 50));

#[test]
fn a_client_is_remembered_to_the_jiffy() {
    for seconds in [1, 2, 60, 360, 31 * 86_400] {
        let host = host(seconds);
        let tables = &host.tables;
        let timeout = u64::from(seconds) * u64::from(clock().hz());
        let mut now = 1 << 33;
        tables.set_jiffies(now);
        let first = connect(tables, TCP, 1).unwrap();
        // Each connection begins it anew.
        for _ in 0..3 {
            now += timeout - 1;
            tables.set_jiffies(now);
            assert_eq!(connect(tables, TCP, 1), Some(first), "{seconds} s");
        }
        now += timeout;
        tables.set_jiffies(now);
        // rr goes on with another one.
        assert_ne!(connect(tables, TCP, 1), Some(first), "{seconds} s");
        assert_eq!(templates(tables).len(), 1, "the new one is instead of the old one");
    }
}

#[test]
fn a_template_is_held_from_its_first_established_connection_on() {
    let host = host(360);
    let tables = &host.tables;
    let state = || {
        let [(_, _, word)] = templates(tables)[..] else { panic!("one template") };
        State::of(word)
    };
    let port = next_port();
    send(tables, TCP, 1, port, SYN);
    assert_eq!(state(), State::Template);
    send(tables, TCP, 1, port, FIN | ACK);
    assert_eq!(state(), State::Template, "that has not been established");
    send(tables, TCP, 1, next_port(), SYN);
    assert_eq!(state(), State::Template);
    let port = next_port();
    send(tables, TCP, 1, port, SYN);
    send(tables, TCP, 1, port, ACK);
    assert_eq!(state(), State::TemplateHeld);
    send(tables, TCP, 1, next_port(), SYN);
    assert_eq!(state(), State::TemplateHeld, "and stays so");
}

#[test]
fn templates_are_no_load() {
    let host = host(360);
    let tables = &host.tables;
    for client in 0..8 {
        connect(tables, TCP, client).unwrap();
        connect(tables, UDP, client).unwrap();
    }
    let numbers = 1..tables.settings.destinations;
    let loads = numbers.clone().map(|number| tables.load(number));
    let [inactive, active] =
        loads.fold([0, 0], |[a, b], load| [a + load.connections[0], b + load.connections[1]]);
    assert_eq!((inactive, active), (8, 8));
    assert_eq!(numbers.map(|number| tables.counters(number).connections).sum::<u64>(), 16);
    assert_eq!(templates(tables).len(), 16);
}

#[test]
fn threads_that_meet_the_same_new_clients_at_once_remember_each_of_them_once() {
    const THREADS: u32 = 8;
    const CLIENTS: u32 = 1_000;
    let host = host(360);
    let tables = &host.tables;
    let (arrived, next) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arrived, next) = (&arrived, &next);
            scope.spawn(move || {
                for client in 0..CLIENTS {
                    // All together: the last one to come lets them go.
                    if arrived.fetch_add(1, SeqCst) == THREADS - 1 {
                        arrived.store(0, SeqCst);
                        next.store(client + 1, SeqCst);
                    }
                    while next.load(SeqCst) <= client {
                        std::thread::yield_now();
                    }
                    send(tables, TCP, client, 1_024 + thread as u16, SYN).unwrap();
                }
            });
        }
    });
    let templates = templates(tables);
    let distinct: BTreeSet<_> = templates.iter().map(|(_, entry, _)| entry_tag(*entry)).collect();
    assert_eq!((templates.len(), distinct.len()), (CLIENTS as usize, CLIENTS as usize));
    for (place, entry, _) in templates {
        assert!(entry_destination(entry) != 0 && tables.template(place).service == 0);
    }
    // From now on each goes where its template says.
    for client in 0..CLIENTS {
        assert_eq!(connect(tables, TCP, client), connect(tables, TCP, client), "client {client}");
    }
}

#[test]
fn where_all_places_are_held_a_connection_does_without() {
    let host = MemoryDataplane::new(sizes(&small(1)).settings());
    let host = configured(host, persistence(360));
    let tables = &host.tables;
    let mut served = 0;
    while tables.without_template() == 0 {
        let port = next_port();
        send(tables, TCP, served, port, SYN).unwrap();
        send(tables, TCP, served, port, ACK).unwrap();
        served += 1;
        assert!(served < 1_000, "some places are for ever free");
    }
    assert_eq!(tables.evictions(State::TemplateHeld), 0);
    assert_eq!(templates(tables).len(), LINE_SLOTS, "one line");
    // Whoever has none is scheduled each time.
    let went: BTreeSet<_> = (0..4).map(|_| connect(tables, TCP, served - 1).unwrap()).collect();
    assert_eq!(went.len(), 4);
    assert_eq!(tables.without_template(), 5);
}

fn small(templates: u32) -> TableSizes {
    TableSizes {
        flows: 100_000,
        services: 4,
        destinations: 64,
        ring_slots: 1_024,
        templates,
        ..TableSizes::default()
    }
}

fn persistence(seconds: u32) -> Persistence {
    Persistence::new(seconds, Netmask::whole(Family::V4).bytes(), clock())
}

/// Tables in memory with [`configure`]'s services, which remember clients for so long.
fn host(seconds: u32) -> MemoryDataplane {
    configured(MemoryDataplane::new(sizes(&small(10_000)).settings()), persistence(seconds))
}

fn configured(mut host: MemoryDataplane, persistence: Persistence) -> MemoryDataplane {
    configure(&mut host, persistence, &[1, 1, 1, 1]);
    host
}

/// A TCP and a UDP service by rr, with the same real servers of these weights.
fn configure(dataplane: &mut impl Dataplane, persistence: Persistence, weights: &[u32]) {
    let services = [(TCP, 80), (UDP, 53)].map(|(protocol, port)| {
        let service = Endpoint { protocol, address: SERVICE, port };
        let destinations = (1..)
            .zip(weights)
            .map(|(number, &weight)| real_server(number, weight, Health::Up).wanted(&service));
        let service = WantedService::new(service.key(), Scheduler::Rr, destinations.collect());
        WantedService { persistence, ..service }
    });
    apply(dataplane, services.to_vec(), Options::DEFAULT);
}

fn apply(dataplane: &mut impl Dataplane, services: Vec<WantedService>, options: Options) {
    let held = dataplane.held().unwrap();
    let wanted = Wanted {
        services,
        rules: [].into(),
        peers: BTreeSet::new(),
        interfaces: BTreeSet::from([1]),
        timeouts: held.settings.timeouts,
        options,
    };
    for change in plan(&held, &wanted, |_| 0).unwrap() {
        dataplane.apply(&change).unwrap();
    }
}

fn real_server(number: u8, weight: u32, health: Health) -> RealServer {
    RealServer {
        address: IpAddr::from([10, 0, 1, number]),
        port: None,
        ethernet: Some([2, 0, 0, 0, 1, number]),
        interface: 1,
        weight,
        forward: ForwardMethod::DirectRouting,
        mtu: MTU,
        thresholds: Thresholds::default(),
        health,
    }
}

/// A port that no connection had before.
fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(10_000);
    u16::try_from(NEXT.fetch_add(1, SeqCst) % 50_000 + 10_000).unwrap()
}

/// Opens a connection from a new port; the number of the real server that it goes to.
fn connect(tables: &MemoryTables, protocol: u8, client: u32) -> Option<u8> {
    send(tables, protocol, client, next_port(), SYN)
}

/// One packet of a client, which is the last bits of an address; the number of the real server that it goes to.
fn send(tables: &MemoryTables, protocol: u8, client: u32, port: u16, flags: u8) -> Option<u8> {
    let mut packet = PacketBuffer { bytes: frame(protocol, client, port, flags), interface: 1 };
    let verdict = direct(&mut packet, &tables).verdict;
    (verdict == Verdict::DirectRouting).then(|| packet.bytes[5])
}

fn frame(protocol: u8, client: u32, port: u16, flags: u8) -> Vec<u8> {
    let service_port = if protocol == TCP { 80 } else { 53 };
    let client = IpAddr::from((0x6440_0000 + client).to_be_bytes());
    let mut datagram = Datagram::new(protocol, (client, port), (SERVICE, service_port));
    datagram.tcp_flags = flags;
    let mut bytes = Vec::new();
    datagram.write(&mut bytes);
    bytes
}

/// Every template: its place, its entry, its state word.
fn templates(tables: &MemoryTables) -> Vec<(Place, u64, u32)> {
    let lines = (0..).zip(tables.lines()).skip(tables.settings.lines as usize);
    let slots = lines.flat_map(|(index, line)| {
        (0..LINE_SLOTS).map(move |slot| (Place::new(index, slot), line.entries[slot], line.states[slot]))
    });
    slots.filter(|&(_, entry, _)| entry != EMPTY).collect()
}

/// A clock by which a second passes in a few jiffies.
fn fast_clock() -> Clock {
    Clock::new(16)
}

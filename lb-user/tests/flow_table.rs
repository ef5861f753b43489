//! The flow table under load: a million connections at once, a flood on top, threads that race, time that passes.
//!
//! The first two run on the host and in the kernel; races, late writes and expiry need a table whose
//! clock and threads are the test's own, and run on the host. `LB_SEED` repeats or varies a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
}

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::director::{FlowLine as _, Tables as _, direct};
use lb_common::host::MemoryTables;
use lb_common::net::PacketBuffer;
use lb_common::verdict::Verdict;
use lb_common::wire::{EMPTY, LINE_SLOTS, Line, Load, Options, State, entry_destination, entry_tag};
use lb_user::dataplane::{Dataplane, KernelDataplane, MemoryDataplane};
use lb_user::model::{ForwardMethod, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, Wanted, WantedService, plan};

use common::datagram::{ACK, Datagram, FIN, RST, SCTP, SYN, TCP, UDP};
use common::director::{load, sizes, timeouts};
use common::parameter::number;
use common::report::say;
use common::services::{Endpoint, MTU, RealServer};

const MILLION: u32 = 1_000_000;

/// Five times as many as there are connections, and twice what the table has room for.
const FLOOD: u32 = 5 * MILLION;

/// At most so many of a million connections find no place: 0.05 %.
const DISPLACED_MAX: u32 = 500;

const REAL_SERVERS: u8 = 4;

/// What the program returns for a frame that leaves where it came in (Linux, `enum xdp_action`).
const XDP_TX: u32 = 3;

#[test]
fn a_million_connections_stand_through_a_flood_on_the_host() {
    let mut host = MemoryDataplane::new(sizes(&a_million_flows()).settings());
    configure(&mut host);
    let tables = &host.tables;
    stand_through_a_flood("host", |frame| sent_to(tables, frame.clone()));
    for state in [State::Established, State::Udp] {
        assert_eq!(tables.evictions(state), 0, "{}", state.label());
    }
    assert!(tables.evictions(State::SynReceived) > 0, "the flood displaced its own");
    assert_loads_are_a_recount(tables);
}

#[test]
fn a_million_connections_stand_through_a_flood_in_the_kernel() {
    let mut kernel: KernelDataplane = load(&sizes(&a_million_flows()));
    configure(&mut kernel);
    let mut out = vec![0; 4096];
    stand_through_a_flood("kernel", |frame| {
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = kernel.program().unwrap().test_run(options).unwrap();
        (result.return_value == XDP_TX).then(|| out[5])
    });
    let evictions = kernel.verdict_counts().evictions;
    for state in [State::Established, State::Udp] {
        assert_eq!(evictions[state as usize], 0, "{}", state.label());
    }
    assert!(evictions[State::SynReceived as usize] > 0, "the flood displaced its own");
}

/// `run` sends a frame through the director, and says which real server it went to.
fn stand_through_a_flood(name: &str, mut run: impl FnMut(&Vec<u8>) -> Option<u8>) {
    let mut flood = fastrand::Rng::with_seed(number("LB_SEED", 1));
    let mut frame = Vec::new();
    Datagram::new(TCP, (IpAddr::from([0; 4]), 0), (SERVICE, 80)).write(&mut frame);

    let started = Instant::now();
    let mut placed: Vec<Option<u8>> = Vec::with_capacity(MILLION as usize);
    for client in 0..MILLION {
        let real_server = run(address(&mut frame, client, SYN));
        if real_server.is_some() {
            assert_eq!(run(address(&mut frame, client, ACK)), real_server, "client {client}");
        }
        placed.push(real_server);
    }
    let refused = placed.iter().filter(|real_server| real_server.is_none()).count() as u32;
    let mut displaced = 0;
    for (client, &real_server) in (0..).zip(&placed) {
        let after = run(address(&mut frame, client, ACK));
        displaced += u32::from(after != real_server);
    }
    say(&format!(
        "{name}: {MILLION} connections in {:.1?}: {refused} found no place, {displaced} were displaced",
        started.elapsed()
    ));
    assert!(refused + displaced <= DISPLACED_MAX, "{refused} refused and {displaced} displaced of {MILLION}");

    let started = Instant::now();
    let mut taken = 0;
    for _ in 0..FLOOD {
        // Sources in another half of the address space than the connections'.
        let source = flood.u32(..) | 0x8000_0000;
        frame[26..30].copy_from_slice(&source.to_be_bytes());
        frame[34..36].copy_from_slice(&flood.u16(..).to_be_bytes());
        frame[TCP_FLAGS] = SYN;
        taken += u32::from(run(&frame).is_some());
    }
    say(&format!("{name}: {FLOOD} SYNs of a flood in {:.1?}: {taken} found a place", started.elapsed()));
    assert!(taken > 0, "a flood takes what is free");
    let gone = (0..)
        .zip(&placed)
        .filter(|(client, real_server)| {
            real_server.is_some() && run(address(&mut frame, *client, ACK)) != **real_server
        })
        .count();
    assert_eq!(gone, 0, "established connections that a flood displaced");
}

#[test]
fn threads_that_enter_the_same_flows_at_once_leave_one_entry_each() {
    const THREADS: u32 = 8;
    const FLOWS: u32 = 5_000;
    let host = small(100_000);
    let tables = &host.tables;
    let (arrived, next) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (arrived, next) = (&arrived, &next);
            scope.spawn(move || {
                for flow in 0..FLOWS {
                    // All enter each flow together: the last one to come lets them go.
                    if arrived.fetch_add(1, SeqCst) == THREADS - 1 {
                        arrived.store(0, SeqCst);
                        next.store(flow + 1, SeqCst);
                    }
                    while next.load(SeqCst) <= flow {
                        std::thread::yield_now();
                    }
                    send(tables, TCP, flow, SYN);
                    // And one of its own, among the others'.
                    send(tables, TCP, (thread + 1) * 10_000_000 + flow % 1_000, SYN);
                }
            });
        }
    });
    let mut entries: HashMap<u64, Vec<u32>> = HashMap::new();
    for (_, _, entry, _) in live(tables) {
        entries.entry(entry_tag(entry)).or_default().push(entry_destination(entry));
    }
    let twice = entries.values().filter(|destinations| destinations.len() > 1).count();
    let flows = entries.len() as u32;
    say(&format!("{THREADS} threads: {flows} flows, {twice} of them with two entries"));
    assert_eq!(flows, FLOWS + THREADS * 1_000, "each flow has an entry");
    assert_eq!(twice, 0, "flows with two entries");
    assert_loads_are_a_recount(tables);
}

#[test]
fn threads_that_open_end_and_displace_each_others_connections_keep_the_loads_right() {
    const THREADS: u64 = 8;
    // 16 lines, so that everybody meets everybody.
    let host = small(1);
    let tables = &host.tables;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..20_000 {
                    let flags = [SYN, SYN, ACK, FIN | ACK, RST][random.usize(..5)];
                    let protocol = if random.u8(..4) == 0 { UDP } else { TCP };
                    send(tables, protocol, random.u32(..400), flags);
                }
            });
        }
    });
    let evicted: u64 = State::ALL.iter().map(|&state| tables.evictions(state)).sum();
    say(&format!("{THREADS} threads on 16 lines: {evicted} connections displaced"));
    assert!(evicted > 0);
    assert_eq!(tables.evictions(State::Established) + tables.evictions(State::Udp), 0);
    assert_loads_are_a_recount(tables);
}

#[test]
fn a_late_state_write_on_a_reused_slot_is_harmless() {
    let host = small(1);
    let tables = &host.tables;
    // A's entry, as a CPU has found it that will write its state.
    assert_eq!(send(tables, TCP, 1, SYN), Verdict::DirectRouting);
    let (index, slot, entry, word) = live(tables)[0];
    let line = tables.line(index).unwrap();
    // Meanwhile A is ended, and B takes the slot: in the same tick, in the same state.
    let number = entry_destination(entry);
    assert!(line.exchange_entry(slot, entry, EMPTY));
    tables.add_load(number, State::activity(word), -1);
    let mut b = 2;
    let b_entry = loop {
        assert_eq!(send(tables, TCP, b, SYN), Verdict::DirectRouting);
        let now = line.entry(slot);
        if now != EMPTY {
            break now;
        }
        b += 1;
        assert!(b < 1_000, "someone takes the slot");
    };
    assert_eq!(line.state(slot), word, "the late write meets the word that it expects");
    assert!(line.exchange_state(slot, word, State::Established.at(tables.now())));
    tables.add_load(number, State::activity(word), -1);
    tables.add_load(number, 1, 1);

    assert_eq!(line.entry(slot), b_entry, "B's entry is as it was");
    assert_loads_are_a_recount(tables);
    assert_eq!(send(tables, TCP, 1, ACK), Verdict::NoConnection, "A is not back");
    assert_eq!(send(tables, TCP, b, ACK), Verdict::DirectRouting, "B lives");
    assert_eq!(send(tables, TCP, b, FIN | ACK), Verdict::DirectRouting);
    assert_eq!(send(tables, TCP, b, SYN), Verdict::DirectRouting, "and ends, and begins again");
    assert_loads_are_a_recount(tables);
}

#[test]
fn connections_expire_when_their_state_says() {
    const FIN_ACK: u8 = FIN | ACK;
    // What opens a connection and brings it to a state; its idle timeout in seconds.
    // Of SCTP by the types of chunks: INIT, COOKIE ECHO, SHUTDOWN, SHUTDOWN COMPLETE, ABORT.
    let cases: [(State, u8, &[u8], u64); 11] = [
        (State::SynReceived, TCP, &[SYN], 60),
        (State::Established, TCP, &[SYN, ACK], 900),
        (State::FinWait, TCP, &[SYN, ACK, FIN_ACK], 120),
        (State::Close, TCP, &[SYN, ACK, RST], 10),
        (State::TimeWait, TCP, &[SYN, FIN_ACK], 120),
        (State::Udp, UDP, &[0, 0], 300),
        (State::SctpInit, SCTP, &[1], 61),
        (State::SctpEstablished, SCTP, &[1, 10], 900),
        (State::CloseWait, SCTP, &[1, 10, 7], 61),
        (State::SctpClosed, SCTP, &[1, 10, 7, 14], 61),
        (State::SctpClosed, SCTP, &[1, 6], 61),
    ];
    for (state, protocol, segments, timeout) in cases {
        // A tick is up to a second, and the first and the last may be nearly whole.
        for (idle, is_there) in [(timeout, true), (timeout + 3, false)] {
            let host = small(1_000);
            let tables = &host.tables;
            for &flags in segments {
                assert_eq!(send(tables, protocol, 1, flags), Verdict::DirectRouting);
            }
            let [(_, _, entry, word)] = live(tables)[..] else { panic!("one entry") };
            assert_eq!(State::of(word), state);
            tables.advance(idle);
            // A SACK of SCTP.
            let verdict = send(tables, protocol, 1, if protocol == SCTP { 3 } else { ACK });
            let connections = tables.counters(entry_destination(entry)).connections;
            let scheduled: u64 =
                (1..tables.settings.destinations).map(|n| tables.counters(n).connections).sum();
            match protocol {
                TCP | SCTP if is_there => {
                    assert_eq!(verdict, Verdict::DirectRouting, "{state:?} after {idle} s");
                }
                TCP | SCTP => {
                    let ended = if protocol == TCP { Verdict::NoConnection } else { Verdict::NoAssociation };
                    assert_eq!(verdict, ended, "{state:?} after {idle} s");
                    assert_eq!(live(tables), [], "its entry is gone");
                    assert_eq!(tables.load(entry_destination(entry)), Load::default());
                }
                // A datagram opens a flow again, at the next real server.
                _ => assert_eq!((connections, scheduled), (1, 2 - u64::from(is_there)), "UDP after {idle} s"),
            }
            assert_loads_are_a_recount(tables);
        }
    }
}

const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 50));

/// Where the flags of a TCP segment lie in a frame without IP options.
const TCP_FLAGS: usize = 47;

fn a_million_flows() -> TableSizes {
    let tables = TableSizes { flows: MILLION, ..TableSizes::default() };
    let (_, lines, bytes) = sizes(&tables).arrays().into_iter().find(|(name, ..)| *name == "FLOWS").unwrap();
    assert!(lines as usize * bytes <= 34_000_000, "{lines} lines");
    tables
}

fn small(flows: u32) -> MemoryDataplane {
    let tables = TableSizes {
        flows,
        services: 4,
        destinations: 16,
        ring_slots: 256,
        templates: 1,
        ..TableSizes::default()
    };
    let mut host = MemoryDataplane::new(sizes(&tables).settings());
    configure(&mut host);
    host
}

/// A service of each protocol, with the same four real servers each.
fn configure(dataplane: &mut impl Dataplane) {
    let services = [(TCP, 80), (UDP, 53), (SCTP, 9899)].map(|(protocol, port)| {
        let service = Endpoint { protocol, address: SERVICE, port };
        let real_server = |number: u8| RealServer {
            address: IpAddr::from([10, 0, 1, number]),
            ethernet: Some([2, 0, 0, 0, 1, number]),
            interface: 1,
            weight: 1,
            thresholds: Thresholds::default(),
            forward: ForwardMethod::DirectRouting,
            port: None,
            mtu: MTU,
            health: Health::Up,
        };
        let destinations = (1..=REAL_SERVERS).map(|number| real_server(number).wanted(&service)).collect();
        WantedService::new(service.key(), Scheduler::Rr, destinations)
    });
    let wanted = Wanted {
        services: services.to_vec(),
        rules: BTreeMap::new(),
        peers: BTreeSet::new(),
        interfaces: BTreeSet::from([1]),
        timeouts: timeouts(),
        options: Options::DEFAULT,
    };
    for change in plan(&dataplane.held().unwrap(), &wanted, |_| 0).unwrap() {
        dataplane.apply(&change).unwrap();
    }
}

/// Makes a SYN or ACK the one of a client, who is a number of few bits: addresses and ports in sequence.
fn address(frame: &mut Vec<u8>, client: u32, flags: u8) -> &Vec<u8> {
    let (host, port) = (0x6440_0000 + (client >> 6), 1024 + (client & 63) as u16);
    frame[26..30].copy_from_slice(&host.to_be_bytes());
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[TCP_FLAGS] = flags;
    frame
}

/// The last byte of the Ethernet address of the real server that a frame goes to, if it goes to one.
fn sent_to(tables: &MemoryTables, frame: Vec<u8>) -> Option<u8> {
    let mut packet = PacketBuffer { bytes: frame, interface: 1 };
    (direct(&mut packet, &tables).verdict == Verdict::DirectRouting).then(|| packet.bytes[5])
}

/// One packet of a client on the host: of TCP with these flags, of SCTP with a chunk of this type.
fn send(tables: &MemoryTables, protocol: u8, client: u32, flags: u8) -> Verdict {
    let port =
        [(TCP, 80), (SCTP, 9899)].into_iter().find(|(of, _)| *of == protocol).map_or(53, |(_, port)| port);
    let mut datagram =
        Datagram::new(protocol, (IpAddr::from((0x6440_0000 + client).to_be_bytes()), 1024), (SERVICE, port));
    (datagram.tcp_flags, datagram.chunk) = (flags, flags);
    let mut packet = PacketBuffer { bytes: Vec::new(), interface: 1 };
    datagram.write(&mut packet.bytes);
    direct(&mut packet, &tables).verdict
}

/// Every entry: its line, its slot, the entry, its state word.
fn live(tables: &MemoryTables) -> Vec<(u32, usize, u64, u32)> {
    let slots = |(index, line): (u32, Line)| {
        (0..LINE_SLOTS).map(move |slot| (index, slot, line.entries[slot], line.states[slot]))
    };
    (0..).zip(tables.lines()).flat_map(slots).filter(|&(_, _, entry, _)| entry != EMPTY).collect()
}

fn assert_loads_are_a_recount(tables: &MemoryTables) {
    let mut recount: HashMap<u32, [i32; 2]> = HashMap::new();
    for (_, _, entry, word) in live(tables) {
        recount.entry(entry_destination(entry)).or_default()[State::activity(word)] += 1;
    }
    for number in 0..tables.settings.destinations {
        let counted = recount.remove(&number).unwrap_or_default();
        assert_eq!(
            tables.load(number).connections,
            counted,
            "inactive and active of destination {number}, and as counted"
        );
    }
    assert!(recount.is_empty(), "entries of destinations that there are not: {recount:?}");
}

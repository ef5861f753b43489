//! maglev: what a change of the real servers moves, and that no connection moves with it.
//!
//! `LB_SEED` repeats or varies a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod parameter;
    pub(crate) mod report;
    pub(crate) mod services;
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::sched::{Member, RingSize, maglev};
use lb_common::wire::{Options, entry_destination};
use lb_user::dataplane::{Dataplane as _, KernelDataplane};
use lb_user::model::{ForwardMethod, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, MAGLEV_SEED, Wanted, WantedService, free, plan};

use common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP};
use common::director::{load, sizes, timeouts};
use common::parameter::number;
use common::report::say;
use common::services::{Endpoint, MTU, RealServer};

const CONNECTIONS: u32 = 100_000;

/// Of so many nothing is heard for two changes and more.
const SILENT: u32 = 20_000;

const CHANGES: u32 = 1_000;

/// What the program returns for a frame that leaves where it came in (Linux, `enum xdp_action`).
const XDP_TX: u32 = 3;

/// Real servers that there may be.
const MOST: u8 = 40;

#[test]
fn a_removal_disturbs_few_more_than_those_who_lose_their_real_server() {
    for (real_servers, most) in [(10_u8, 1.1), (100, 1.7)] {
        let members: Vec<Member> = (1..=real_servers).map(member).collect();
        let size = RingSize::new(65_521).unwrap();
        let before = maglev(&members, MAGLEV_SEED, size);
        let mut worst = 0.0_f64;
        let mut sum = 0.0;
        for gone in 0..members.len() {
            let mut left = members.clone();
            let removed = left.remove(gone).number;
            let after = maglev(&left, MAGLEV_SEED, size);
            let lost = before.iter().filter(|&&number| number == removed).count();
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let ratio = moved as f64 / lost as f64;
            worst = worst.max(ratio);
            sum += ratio;
        }
        let mean = sum / f64::from(real_servers);
        say(&format!(
            "{real_servers} real servers: {mean:.3} times those who must move, {worst:.3} at worst"
        ));
        assert!(worst <= most, "{real_servers} real servers: {worst} times those who must move");
    }
}

#[test]
fn a_thousand_changes_move_no_connection_to_a_real_server_that_is_still_there() {
    let mut random = fastrand::Rng::with_seed(number("LB_SEED", 1));
    let tables = TableSizes { flows: 2 * CONNECTIONS, destinations: 4_096, ..TableSizes::default() };
    let mut kernel = load(&sizes(&tables));
    let mut configured: BTreeMap<u8, (u32, Health)> =
        (1..=10).map(|number| (number, (1, Health::Up))).collect();
    configure(&mut kernel, &configured);
    let mut at: Vec<u8> = (0..CONNECTIONS)
        .map(|client| {
            let real_server = sent_to(&kernel, client, SYN).unwrap();
            assert_eq!(sent_to(&kernel, client, ACK), Some(real_server));
            real_server
        })
        .collect();
    let (mut checked, mut lost) = (0_u64, 0_u64);
    for change in 0..CHANGES {
        let number = random.u8(1..=MOST);
        let can_go = configured.len() > 2;
        match random.u8(..5) {
            0 if can_go => drop(configured.remove(&number)),
            1 => drop(configured.insert(number, (0, Health::Up))),
            2 => drop(configured.insert(number, (1, Health::Down))),
            _ => drop(configured.insert(number, (random.u32(1..=8), Health::Up))),
        }
        if !configured.values().any(|&(weight, health)| weight > 0 && health == Health::Up) {
            configured.insert(1, (1, Health::Up));
        }
        configure(&mut kernel, &configured);
        // Not all of them, every time; and some of them seldom.
        let talkers = if change % 50 == 49 { 0..CONNECTIONS } else { 0..CONNECTIONS - SILENT };
        let step = if change % 50 == 49 { 1 } else { 97 };
        for client in talkers.skip(random.usize(..step)).step_by(step) {
            let home = &mut at[client as usize];
            if configured.contains_key(home) {
                assert_eq!(
                    sent_to(&kernel, client, ACK),
                    Some(*home),
                    "client {client} after {change} changes"
                );
                checked += 1;
            } else {
                // Its real server is no more: it begins anew.
                assert_eq!(sent_to(&kernel, client, [RST, FIN | ACK][random.usize(..2)]), None);
                *home = sent_to(&kernel, client, SYN).unwrap();
                assert_eq!(sent_to(&kernel, client, ACK), Some(*home));
                lost += 1;
            }
        }
        // Numbers of destinations are given back only while nobody names them.
        let named: BTreeSet<u32> = if change % 100 == 99 { names(&kernel) } else { continue };
        for change in free(&kernel.held().unwrap(), |number| named.contains(&number)) {
            kernel.apply(&change).unwrap();
        }
    }
    say(&format!("{CHANGES} changes: {checked} packets found their real server, {lost} had lost theirs"));
    assert!(checked > 1_000_000 && lost > 10_000);
}

fn names(kernel: &KernelDataplane) -> BTreeSet<u32> {
    let entries = kernel.lines().flat_map(|line| line.entries);
    entries.map(entry_destination).filter(|&number| number != 0).collect()
}

const SERVICE: Endpoint =
    Endpoint { protocol: TCP, address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 50)), port: 80 };

fn configure(kernel: &mut KernelDataplane, real_servers: &BTreeMap<u8, (u32, Health)>) {
    let destinations = real_servers.iter().map(|(&number, &(weight, health))| {
        let real_server = RealServer {
            address: IpAddr::from([10, 0, 1, number]),
            ethernet: Some([2, 0, 0, 0, 1, number]),
            interface: 1,
            weight,
            forward: ForwardMethod::DirectRouting,
            port: None,
            mtu: MTU,
            thresholds: Thresholds::default(),
            health,
        };
        real_server.wanted(&SERVICE)
    });
    let service = WantedService {
        ring_size: RingSize::new(4_093).unwrap(),
        ..WantedService::new(SERVICE.key(), Scheduler::Maglev, destinations.collect())
    };
    let wanted = Wanted {
        services: vec![service],
        rules: [].into(),
        peers: BTreeSet::new(),
        interfaces: BTreeSet::from([1]),
        timeouts: timeouts(),
        options: Options::DEFAULT,
    };
    for change in plan(&kernel.held().unwrap(), &wanted, |_| 0).unwrap() {
        kernel.apply(&change).unwrap();
    }
}

/// The real server that a client's segment is sent to.
fn sent_to(kernel: &KernelDataplane, client: u32, flags: u8) -> Option<u8> {
    let source = IpAddr::from((0x6440_0000 + (client >> 6)).to_be_bytes());
    let mut datagram = Datagram::new(TCP, (source, 1024 + (client & 63) as u16), (SERVICE.address, 80));
    datagram.tcp_flags = flags;
    let mut frame = Vec::new();
    datagram.write(&mut frame);
    let mut out = [0; 256];
    let options = TestRunOptions { data_in: Some(&frame), data_out: Some(&mut out), ..TestRunOptions::new() };
    let result = kernel.program().unwrap().test_run(options).unwrap();
    (result.return_value == XDP_TX).then(|| out[5])
}

/// A real server as the ring sees it.
fn member(number: u8) -> Member {
    Member {
        number: u32::from(number),
        weight: 1,
        last_weight: 1,
        address: [u64::from(u32::from_le_bytes([10, 0, 1, number])), 0],
        port: 80_u16.to_be(),
    }
}

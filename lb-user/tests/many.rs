//! As many real servers in one service as a scheduler can compare, behind as many rules as an address can have: many
//! more than one run of a program, or one call of a function, looks at.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common {
    pub(crate) mod classes;
    pub(crate) mod datagram;
    pub(crate) mod director;
    pub(crate) mod interfaces;
    pub(crate) mod services;
    pub(crate) mod twins;
}

use std::collections::BTreeSet;
use std::net::IpAddr;

use lb_common::director::COMPARED_MAX;
use lb_common::verdict::Verdict;
use lb_common::wire::{Options, RULES_MAX};
use lb_user::model::{Class, ForwardMethod, Ports, Scheduler, TableSizes, Thresholds};
use lb_user::plan::{Health, Wanted, WantedService};

use common::classes::{marked, rules};
use common::datagram::{ACK, Datagram, FIN, RST, SYN, TCP};
use common::director::timeouts;
use common::services::{Endpoint, MTU, RealServer};
use common::twins::Twins;

const SERVICE: Endpoint =
    Endpoint { protocol: TCP, address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 50)), port: 80 };

/// Sends a segment of a connection; to whom, by the last two bytes of its Ethernet address.
fn send(twins: &mut Twins, connection: u16, flags: u8) -> u16 {
    let client = (IpAddr::from([192, 0, 2, 1]), 4_000 + connection);
    let mut datagram = Datagram::new(TCP, client, (SERVICE.address, SERVICE.port));
    datagram.tcp_flags = flags;
    let mut frame = Vec::new();
    datagram.write(&mut frame);
    let fate = twins.run(&frame);
    assert_eq!(fate.verdict, Verdict::DirectRouting, "connection {connection}");
    u16::from_be_bytes([fate.frame[4], fate.frame[5]])
}

/// The service's address and port, in the last of as many rules as there may be.
fn class() -> Class {
    let others = (1..RULES_MAX as u16).map(|port| Ports { first: 1_000 + port, last: 1_000 + port });
    let own = Ports { first: SERVICE.port, last: SERVICE.port };
    Class {
        mark: 7,
        addresses: vec![SERVICE.address],
        protocol: None,
        ports: others.chain([own]).collect(),
        interface: None,
        sources: Vec::new(),
        not_source_macs: Vec::new(),
    }
}

/// A service whose real servers are 1 to `COMPARED_MAX`, in the order of adding. All have weight 1 but `heavy`.
fn service(endpoint: &Endpoint, scheduler: Scheduler, heavy: u16) -> WantedService {
    let real_servers = (1..=COMPARED_MAX as u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        RealServer {
            address: IpAddr::from([10, 1, high, low]),
            ethernet: Some([2, 0, 0, 0, high, low]),
            interface: 1,
            weight: if number == heavy { 2 } else { 1 },
            thresholds: Thresholds::default(),
            forward: ForwardMethod::DirectRouting,
            port: None,
            mtu: MTU,
            health: Health::Up,
        }
    });
    let destinations = real_servers.map(|real_server| real_server.wanted(endpoint));
    WantedService::new(endpoint.key(), scheduler, destinations.collect())
}

#[test]
fn all_real_servers_are_compared_however_many() {
    common::interfaces::enter_namespace();
    let last = COMPARED_MAX as u16;
    let tables = TableSizes {
        flows: 1_024,
        services: 1,
        destinations: 4_096,
        ring_slots: 8_192,
        templates: 1,
        ..TableSizes::default()
    };
    for (mark, scheduler, heavy, expected) in [
        // The last one added is looked at first, and stays unless another one is better: the first added is.
        (None, Scheduler::Lc, 1, [last, last - 1, last - 2]),
        (None, Scheduler::Wlc, 1, [last, last - 1, last - 2]),
        (None, Scheduler::Ovf, 1, [1, 1, 1]),
        (Some(7), Scheduler::Wlc, 1, [last, last - 1, last - 2]),
        (None, Scheduler::Sed, 1, [1, last, last - 1]),
    ] {
        let endpoint = mark.map_or(SERVICE, |mark| marked(mark, false));
        let classes: Vec<_> = mark.map(|_| class()).into_iter().collect();
        let mut twins = Twins::new(&tables);
        twins.apply(&Wanted {
            services: vec![service(&endpoint, scheduler, heavy)],
            rules: rules(&classes),
            peers: BTreeSet::new(),
            interfaces: BTreeSet::from([1]),
            timeouts: timeouts(),
            options: Options::DEFAULT,
        });
        let picked = [0, 1, 2].map(|connection| send(&mut twins, connection, SYN));
        assert_eq!(picked, expected, "{scheduler:?}");
        for (connection, flags) in [(0, ACK), (1, ACK), (0, FIN | ACK), (1, RST)] {
            assert_eq!(send(&mut twins, connection, flags), expected[usize::from(connection)]);
        }
        twins.assert_same_tables();
    }
}

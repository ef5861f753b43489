//! The example in the documentation is a file, and this model.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::parse;
use crate::model::{
    AddressOwner, Check, CheckKind, Class, Connections, Director, Family, ForwardMethod, Guard, Model,
    Netmask, Peer, Persistence, Ports, Prefix, Protocol, RealServer, RingSize, Scheduler, SchedulerFlags,
    ServiceId, TableSizes, Thresholds, Timeouts, Tunnel, VirtualService, XdpMode,
};

#[test]
fn the_example_is_this_model() {
    let real_server = |address_: &str, port| RealServer {
        name: None,
        address: address(address_),
        port,
        weight: 1,
        thresholds: Thresholds::default(),
        forward: ForwardMethod::DirectRouting,
        interface: None,
    };
    let model = Model {
        director: director(),
        classes: vec![class()],
        services: vec![
            VirtualService {
                id: ServiceId::Address { protocol: Protocol::Tcp, address: address("10.0.0.50"), port: 80 },
                scheduler: Scheduler::Wrr,
                scheduler_flags: SchedulerFlags::default(),
                ring_size: RingSize::default(),
                one_packet: false,
                persistence: Some(Persistence {
                    timeout: Duration::from_secs(360),
                    netmask: Netmask::V4(Ipv4Addr::new(255, 255, 255, 0)),
                }),
                guard: guard(),
                check: Some(Check {
                    kind: CheckKind::Tcp { port: Some(80) },
                    interval: Duration::from_secs(2),
                    timeout: Duration::from_secs(1),
                    rise: 2,
                    fall: 3,
                }),
                real_servers: vec![
                    RealServer {
                        name: Some("web1".to_owned()),
                        weight: 5,
                        thresholds: Thresholds { upper: 1_000, lower: 800 },
                        interface: Some("eth0".to_owned()),
                        ..real_server("10.0.0.11", 80)
                    },
                    RealServer {
                        name: Some("this-host".to_owned()),
                        forward: ForwardMethod::Local,
                        ..real_server("10.0.0.2", 80)
                    },
                ],
            },
            VirtualService {
                id: ServiceId::Address { protocol: Protocol::Tcp, address: address("10.0.0.50"), port: 443 },
                scheduler: Scheduler::Mh,
                scheduler_flags: SchedulerFlags { port: true, fallback: true },
                ring_size: RingSize::new(4_093).unwrap(),
                one_packet: false,
                persistence: None,
                guard: Guard::default(),
                check: None,
                real_servers: vec![RealServer {
                    forward: ForwardMethod::Tunnel(Tunnel::Gue { port: 6_080, checksum: true }),
                    ..real_server("192.168.7.11", 443)
                }],
            },
            by_rr(
                ServiceId::Address { protocol: Protocol::Tcp, address: address("10.0.0.50"), port: 22 },
                None,
                vec![RealServer { forward: ForwardMethod::Masquerade, ..real_server("192.168.8.11", 1122) }],
            ),
            by_rr(
                ServiceId::Mark { mark: 7, family: Family::V4 },
                Some(Check::new(CheckKind::Tcp { port: Some(80) })),
                vec![real_server("10.0.0.13", 0)],
            ),
            by_rr(
                ServiceId::Address { protocol: Protocol::Udp, address: address("fd00::50"), port: 53 },
                Some(Check::new(CheckKind::Tcp { port: None })),
                vec![real_server("fd00::11", 53), RealServer { weight: 0, ..real_server("fd00::12", 53) }],
            ),
        ],
    };
    assert_eq!(parse("example.toml", include_str!("../example.toml")).unwrap(), model);
}

/// A service of which nothing else is said.
fn by_rr(id: ServiceId, check: Option<Check>, real_servers: Vec<RealServer>) -> VirtualService {
    VirtualService {
        id,
        scheduler: Scheduler::Rr,
        scheduler_flags: SchedulerFlags::default(),
        ring_size: RingSize::default(),
        one_packet: false,
        persistence: None,
        guard: Guard::default(),
        check,
        real_servers,
    }
}

fn class() -> Class {
    Class {
        mark: 7,
        addresses: vec![address("10.0.0.50"), address("10.0.0.51")],
        protocol: Some(Protocol::Tcp),
        ports: [(80, 80), (443, 443), (8_000, 8_100)].map(|(first, last)| Ports { first, last }).to_vec(),
        interface: Some("eth0".to_owned()),
        sources: vec![Prefix { address: address("192.0.2.0"), length: 24 }],
        not_source_macs: vec![[2, 0, 0, 0, 0, 0x13]],
    }
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let example = parse("example.toml", include_str!("../example.toml")).unwrap();
    let said = example.director;
    assert_eq!((said.timeouts, said.tables), (Timeouts::default(), TableSizes::default()));
    let check = example.services[0].check;
    assert_eq!(check, Some(Check::new(CheckKind::Tcp { port: Some(80) })));
    assert_eq!(example.services[1].ring_size, RingSize::default());
    let empty = parse("lb.toml", "").unwrap();
    assert_eq!(empty, Model::default());
    assert_eq!((empty.director.interfaces.len(), empty.director.metrics), (0, None));
}

fn director() -> Director {
    Director {
        interfaces: vec!["eth0".to_owned()],
        xdp_mode: XdpMode::Auto,
        metrics: Some("127.0.0.1:9105".parse().unwrap()),
        peers: vec![Peer::Mac([2, 0, 0, 0, 0, 0x12]), Peer::Address(address("10.0.0.12"))],
        service_addresses: AddressOwner::Director,
        timeouts: Timeouts {
            tcp: Duration::from_secs(900),
            tcp_fin: Duration::from_secs(120),
            udp: Duration::from_secs(300),
        },
        connections: Connections {
            conn_reuse_mode: 2,
            expire_nodest_conn: true,
            sloppy_tcp: false,
            sloppy_sctp: false,
            expire_quiescent_template: false,
        },
        tables: TableSizes {
            flows: 1_000_000,
            services: 1_024,
            destinations: 16_384,
            ring_slots: 1_048_576,
            class_addresses: 4_096,
            class_rules: 4_096,
            templates: 65_536,
            sources: 16_384,
            localities: 16_384,
        },
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn prefix(text: &str, bits: u8) -> Prefix {
    Prefix { address: address(text), length: bits }
}

fn guard() -> Guard {
    Guard {
        new_flows_max: 10_000,
        allow: vec![prefix("10.0.0.0", 8), prefix("192.0.2.1", 32)],
        deny: vec![prefix("10.9.0.0", 16)],
    }
}

//! What a whole model makes of the facts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lb_common::wire::{FORWARD_LOCAL, FORWARD_TUNNEL, Family};

use super::*;
use crate::model::{Director, Guard, Protocol, RingSize, Scheduler, SchedulerFlags, Thresholds, Tunnel};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const TUNNEL: ForwardMethod = ForwardMethod::Tunnel(Tunnel::Ipip);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// One service, with real servers by these addresses and methods.
fn model(service: &str, servers: &[(&str, ForwardMethod)]) -> Model {
    let real_servers = servers.iter().map(|&(address, forward)| RealServer {
        name: None,
        address: ip(address),
        port: 80,
        weight: 3,
        thresholds: Thresholds { upper: 7, lower: 5 },
        forward,
        interface: None,
    });
    let service = VirtualService {
        id: ServiceId::Address { protocol: Protocol::Tcp, address: ip(service), port: 80 },
        scheduler: Scheduler::Rr,
        scheduler_flags: SchedulerFlags::default(),
        ring_size: RingSize::default(),
        one_packet: false,
        persistence: None,
        guard: Guard::default(),
        check: None,
        real_servers: real_servers.collect(),
    };
    Model { director: Director::default(), classes: Vec::new(), services: vec![service] }
}

fn routed(from: Option<&str>, mtu: u32) -> Reach {
    Reach::Routed {
        gateway: ip("10.0.0.254"),
        interface: 7,
        source: [2, 0, 0, 0, 0, 1],
        destination: Some(MAC),
        mtu,
        from: from.map(ip),
    }
}

fn reach(all: &[(&str, Reach)]) -> BTreeMap<IpAddr, Reach> {
    all.iter().map(|(address, reach)| (ip(address), reach.clone())).collect()
}

fn records(facts: &Facts, model: &Model) -> Vec<Destination> {
    let wanted = facts.wanted(model, &BTreeMap::new());
    wanted.services[0].destinations.iter().map(|wanted| wanted.destination).collect()
}

#[test]
fn who_is_sent_frames_is_watched() {
    let mut model = model(
        "10.0.0.50",
        &[
            ("10.0.0.2", ForwardMethod::DirectRouting),
            ("fd00::11", TUNNEL),
            ("127.0.0.1", ForwardMethod::Local),
        ],
    );
    model.director.peers = vec![Peer::Address(ip("10.0.0.9")), Peer::Mac(MAC)];
    assert_eq!(watched(&model), ["10.0.0.2", "10.0.0.9", "fd00::11"].map(ip).into());
}

#[test]
fn a_tunnel_gets_its_record_and_its_interface() {
    let model = model("fd00::50", &[("10.0.1.11", TUNNEL), ("10.0.0.1", TUNNEL)]);
    let reach = reach(&[("10.0.1.11", routed(Some("10.0.0.1"), 1400)), ("10.0.0.1", Reach::Local)]);
    let facts = Facts { reach, ..Facts::default() };
    let [tunnel, local] = records(&facts, &model)[..] else { unreachable!() };
    assert_eq!((tunnel.forward, tunnel.interface, tunnel.mtu, tunnel.weight), (FORWARD_TUNNEL, 7, 1400, 3));
    assert_eq!(
        (tunnel.ethernet[..6].to_vec(), tunnel.address),
        (MAC.to_vec(), address_bytes(ip("10.0.1.11")))
    );
    assert_eq!((tunnel.outer.family, tunnel.outer.inner), (Family::V4 as u8, Family::V6 as u8));
    assert_eq!((local.forward, local.outer.length), (FORWARD_LOCAL, 0), "as LVS does");
    assert_eq!(facts.wanted(&model, &[("eth0".to_owned(), 3)].into()).interfaces, [3, 7].into());
}

#[test]
fn what_was_found_is_believed_until_netlink_tells() {
    let model = model("10.0.0.50", &[("10.0.1.11", TUNNEL)]);
    let told = |from| reach(&[("10.0.1.11", routed(from, 1400))]);
    let known = Facts { reach: told(Some("10.0.0.1")), ..Facts::default() };
    let [before] = records(&known, &model)[..] else { unreachable!() };

    let mut facts = Facts::default();
    assert_ne!(records(&facts, &model), [before]);
    facts.believed.insert((before.service, before.address, before.port), before);
    assert_eq!(records(&facts, &model), [before], "its MTU and its outer header too");
    facts.reach = told(None);
    assert!(!records(&facts, &model)[0].is_resolved());
}

#[test]
fn the_first_that_cannot_be_reached_is_named() {
    let model = model("10.0.0.50", &[("10.0.1.10", TUNNEL), ("10.0.1.11", TUNNEL)]);
    let far =
        |from| reach(&[("10.0.1.10", routed(Some("10.0.0.1"), 1400)), ("10.0.1.11", routed(from, 1400))]);
    assert_eq!(off_link(&model, &far(Some("10.0.0.1"))), None);
    assert_eq!(off_link(&model, &BTreeMap::new()), None, "nothing is known yet");
    let line = off_link(&model, &far(None)).unwrap();
    assert!(line.starts_with("TCP 10.0.0.50:80: real server 10.0.1.11: a tunnel"), "{line}");
}

#[test]
fn tunnels_with_too_little_room_are_named() {
    let servers = [("10.0.1.10", TUNNEL), ("10.0.1.11", TUNNEL)];
    let reach = reach(&[
        ("10.0.1.10", routed(Some("10.0.0.1"), 1300)),
        ("10.0.1.11", routed(Some("10.0.0.1"), 1299)),
    ]);
    let lines = Vec::from_iter(narrow(&model("fd00::50", &servers), &reach));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("TCP [fd00::50]:80: real server 10.0.1.11: its path"), "{line}");
    assert_eq!(narrow(&model("10.0.0.50", &servers), &reach), BTreeSet::new());
}

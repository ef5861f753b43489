//! Whom each scheduler picks, as Linux 6.12.117 did with the same real servers and clients.
//!
//! Three real servers are added in the order 1, 2, 3, all weights given when they are added, and one
//! connection after the other is opened and held. Those of hashing schedulers come from 10.0.0.101, .102
//! and so on. X: refused. Where Linux counted inactive connections of earlier lines, that line is not
//! here, or is what LVS's rule makes of none.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lb_bench::lab::{OneArm, greeted};
use lb_common::sched::{Member, RingSize, hash_key, mh, mh_slot};
use lb_common::wire::Family;

/// The transcript's port: mh hashes the real servers' ports.
const PORT: u16 = 80;

/// A SYN is answered by then, or it was refused without a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose address a connection comes from.
#[derive(Clone, Copy)]
enum Clients {
    /// All from one, by ports of the kernel's choice.
    One,
    /// Each from its own.
    Many,
}

/// One service and what became of its connections.
struct Line {
    scheduler: &'static str,
    /// A value of `scheduler_flags`, or nothing.
    flag: &'static str,
    weights: [u32; 3],
    clients: Clients,
    picks: &'static str,
}

const fn line(scheduler: &'static str, weights: [u32; 3], picks: &'static str) -> Line {
    Line { scheduler, flag: "", weights, clients: Clients::One, picks }
}

const fn hashed(scheduler: &'static str, flag: &'static str, weights: [u32; 3], picks: &'static str) -> Line {
    Line { scheduler, flag, weights, clients: Clients::Many, picks }
}

const TRANSCRIPT: [Line; 18] = [
    line("rr", [1, 1, 1], "3 2 1 3 2 1 3 2 1"),
    line("rr", [1, 0, 1], "3 1 3 1 3 1"),
    line("wrr", [1, 2, 3], "3 2 1 3 3 2 3 2 1 3 3 2"),
    line("wrr", [4, 3, 2], "3 2 1 1 2 1 3 2 1 3 2 1 1 2 1 3 2 1"),
    // Linux's own began with 2, which had the fewest inactive ones of earlier lines.
    line("lc", [1, 1, 1], "3 2 1 3 2 1 3 2 1"),
    line("wlc", [1, 2, 3], "3 2 1 3 2 3 3 2 1 3 2 3"),
    line("sed", [1, 2, 3], "3 2 3 3 2 1 3 2 3 3 2 1"),
    line("nq", [1, 2, 3], "3 2 1 3 3 2 3 2 3 3 2 1"),
    line("fo", [1, 2, 3], "3 3 3 3"),
    line("ovf", [2, 3, 1], "2 2 2 2 1 1 1 3 3 X"),
    hashed("sh", "", [1, 1, 1], "3 2 1 2 3 2 1 3 1 2 2 3 1 3 1 1 2 3 2 1"),
    hashed("sh", "", [1, 2, 3], "3 3 1 3 2 3 3 3 3 2 3 2 1 2 1 3 2 3 2 1"),
    // Six of twenty are refused, and each takes its time: the first of them.
    hashed("sh", "", [1, 0, 1], "3 X 1 X 3"),
    hashed("sh", "sh-fallback", [1, 0, 1], "3 1 1 1 3 1 1 3 1 1 1 3 1 3 1 1 1 3 1 1"),
    hashed("mh", "", [1, 1, 1], "3 2 1 3 2 1 3 1 3 2 2 2 2 1 3 3 1 3 2 1"),
    hashed("mh", "", [1, 2, 3], "3 2 2 3 2 3 3 1 3 3 2 2 2 3 3 3 2 3 2 1"),
    hashed("mh", "mh-fallback", [1, 0, 1], "3 3 1 3 3 1 3 1 3 3 3 1 1 1 3 3 1 3 3 1"),
    hashed("dh", "", [1, 1, 1], "2 2 2 2 2 2"),
];

#[test]
fn every_scheduler_picks_as_linux_did() {
    let lab = OneArm::new("schedulers", 3).unwrap();
    let services: Vec<_> =
        TRANSCRIPT.iter().enumerate().map(|(at, line)| (service_v4(at, line), line)).collect();
    assert_picks(&lab, &services);
}

#[test]
fn ipv6_is_picked_for_alike() {
    let lab = OneArm::new("schedulers-6", 3).unwrap();
    let wlc = line("wlc", [1, 2, 3], "3 2 1 3 2 3 3 2 1 3 2 3");
    let picks = mh_picks_v6([1, 2, 3]).leak();
    let mh = hashed("mh", "", [1, 2, 3], picks);
    // Not by chance: each has its share.
    assert!(["1", "2", "3"].iter().all(|name| picks.contains(name)), "{picks}");
    let v6 = |last: u16| IpAddr::from(Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 1, last));
    assert_picks(&lab, &[(v6(1), &wlc), (v6(2), &mh)]);
}

/// dh hashes the service's address, which is the transcript's; the other lines have one each.
fn service_v4(at: usize, line: &Line) -> IpAddr {
    let last = if line.scheduler == "dh" { 50 } else { 150 + at as u8 };
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn assert_picks(lab: &OneArm, services: &[(IpAddr, &Line)]) {
    let most = services.iter().map(|(_, line)| line.picks.split(' ').count()).max().unwrap_or(0);
    let is_v4 = services.iter().all(|(address, _)| address.is_ipv4());
    for at in 0..most {
        let length = if is_v4 { 24 } else { 64 };
        lab.client.add_address("eth0", &format!("{}/{length}", client(is_v4, at))).unwrap();
    }
    for (index, host) in lab.real_servers.iter().enumerate() {
        for (address, _) in services.iter().filter(|(address, _)| !is_standard(*address)) {
            host.carry_service_address(*address).unwrap();
        }
        host.greeter(PORT, &(index + 1).to_string()).unwrap();
    }
    let _director = lab.director.director(&config(services)).unwrap();
    for (address, line) in services {
        let Line { scheduler, flag, weights, clients, picks } = line;
        let mut held = Vec::new();
        let mut picked = Vec::new();
        for at in 0..picks.split(' ').count() {
            let from = match clients {
                Clients::One if is_v4 => [10, 0, 0, 100].into(),
                Clients::One => Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 0x100).into(),
                Clients::Many => client(is_v4, at),
            };
            let service = SocketAddr::new(*address, PORT);
            let from = SocketAddr::new(from, 0);
            let connection = lab.client.within(|| greeted(from, service, PATIENCE)).unwrap();
            picked.push(connection.as_ref().map_or("X".to_owned(), |greeted| greeted.name.clone()));
            held.extend(connection);
        }
        assert_eq!(picked.join(" "), *picks, "{scheduler} {flag} {weights:?} at {address}");
    }
}

/// The address that every topology's real servers carry already.
fn is_standard(address: IpAddr) -> bool {
    [IpAddr::from(OneArm::SERVICE_V4), OneArm::SERVICE_V6.into()].contains(&address)
}

/// 10.0.0.101, .102 and so on, or `fd00:10::1:101` and so on.
fn client(is_v4: bool, at: usize) -> IpAddr {
    if is_v4 {
        Ipv4Addr::new(10, 0, 0, 101 + at as u8).into()
    } else {
        Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 1, 0x101 + at as u16).into()
    }
}

fn config(services: &[(IpAddr, &Line)]) -> String {
    let mut text = "[director]\ninterfaces = [\"eth0\"]\n".to_owned();
    for (address, Line { scheduler, flag, weights, .. }) in services {
        let service = SocketAddr::new(*address, PORT);
        writeln!(text, "\n[[virtual_service]]\nprotocol = \"tcp\"\naddress = \"{service}\"").unwrap();
        writeln!(text, "scheduler = \"{scheduler}\"").unwrap();
        if !flag.is_empty() {
            writeln!(text, "scheduler_flags = [\"{flag}\"]").unwrap();
        }
        for (index, weight) in weights.iter().enumerate() {
            let v4 = || OneArm::real_server_v4(index).into();
            let real_server = if address.is_ipv4() { v4() } else { OneArm::real_server_v6(index).into() };
            let real_server = SocketAddr::new(real_server, PORT);
            writeln!(text, "\n[[virtual_service.real_server]]\naddress = \"{real_server}\"").unwrap();
            writeln!(text, "weight = {weight}").unwrap();
        }
    }
    text
}

/// No transcript has IPv6: what the builder and the hash say, which others judge.
fn mh_picks_v6(weights: [u32; 3]) -> String {
    let words = |address: Ipv6Addr| {
        let [a, b]: [[u8; 8]; 2] = bytemuck::cast(address.octets());
        [u64::from_ne_bytes(a), u64::from_ne_bytes(b)]
    };
    let added = [0, 1, 2].map(|index: usize| Member {
        number: index as u32 + 1,
        weight: weights[index],
        last_weight: weights[index],
        address: words(OneArm::real_server_v6(index)),
        port: PORT.to_be(),
    });
    let ring = mh(&added, Family::V6, RingSize::default());
    let pick = |at| {
        let IpAddr::V6(client) = client(false, at) else { unreachable!("clients of IPv6") };
        ring[mh_slot(hash_key(words(client), 0), ring.len() as u32) as usize].to_string()
    };
    (0..20).map(pick).collect::<Vec<_>>().join(" ")
}

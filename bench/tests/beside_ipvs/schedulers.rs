//! Whom each scheduler picks, by direct routing, at first and after the weights were changed.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::directors::{Call, PORT, Picks, Running, SERVICES, assert_alike, call, own, service_address};
use super::in_guest;
use super::service::{Forward, Service};
use lb_bench::lab::OneArm;

const REAL_SERVERS: usize = 4;

/// Clients of a service.
const CLIENTS: u16 = 32;

/// Where they are, on the lab's client.
const CLIENT_PREFIXES: [&str; 2] = ["10.0.8.0/24", "fd00:10::8:0/112"];

/// Addresses of the service by dh, which hashes nothing else; each has one client.
const DH: u8 = 12;

/// A scheduler with its flags, the real servers' weights, and the weights that they get then.
type Case = (&'static str, &'static str, [u32; REAL_SERVERS], [u32; REAL_SERVERS]);

/// These go by the order of connections, or by how many are open.
const IN_TURN: [Case; 12] = [
    ("rr", "", [1, 1, 1, 1], [1, 0, 1, 1]),
    ("rr", "", [1, 0, 1, 1], [1, 1, 1, 1]),
    ("wrr", "", [1, 2, 3, 4], [1, 2, 0, 4]),
    ("wrr", "", [4, 3, 2, 0], [4, 3, 2, 6]),
    ("wrr", "", [10, 20, 30, 15], [1, 1, 1, 1]),
    ("lc", "", [1, 1, 1, 1], [1, 0, 1, 1]),
    ("wlc", "", [1, 2, 3, 4], [4, 3, 0, 1]),
    ("wlc", "", [3, 1, 0, 5], [3, 1, 2, 5]),
    ("sed", "", [1, 2, 3, 4], [1, 2, 0, 4]),
    ("nq", "", [1, 2, 3, 4], [4, 2, 0, 1]),
    ("fo", "", [1, 4, 3, 2], [1, 0, 3, 2]),
    ("ovf", "", [6, 12, 3, 7], [6, 0, 3, 38]),
];

/// These go by addresses and ports alone.
const BY_HASH: [Case; 12] = [
    ("sh", "", [1, 1, 1, 1], [1, 1, 0, 1]),
    ("sh", "", [1, 2, 3, 4], [2, 2, 3, 4]),
    ("sh", "sh-port", [1, 2, 3, 4], [1, 2, 3, 0]),
    ("sh", "sh-fallback", [1, 0, 1, 1], [0, 0, 1, 1]),
    ("sh", "sh-fallback,sh-port", [3, 0, 1, 2], [3, 1, 0, 2]),
    ("mh", "", [1, 1, 1, 1], [1, 1, 0, 1]),
    ("mh", "", [1, 2, 3, 4], [4, 2, 3, 1]),
    ("mh", "mh-port", [1, 2, 3, 4], [1, 2, 0, 4]),
    ("mh", "mh-fallback", [1, 2, 1, 1], [0, 2, 1, 1]),
    ("mh", "mh-fallback,mh-port", [10, 20, 15, 5], [10, 0, 15, 0]),
    ("mh", "mh-port", [100, 200, 0, 1], [100, 200, 1, 0]),
    ("dh", "", [1, 1, 1, 1], [1, 0, 1, 1]),
];

#[test]
fn each_client_is_sent_where_the_kernels_ipvs_sends_it() {
    if in_guest("schedulers::each_client_is_sent_where_the_kernels_ipvs_sends_it").is_in_guest().unwrap() {
        compare();
    }
}

fn compare() {
    let lab = OneArm::new("beside", REAL_SERVERS).unwrap();
    prepare(&lab);
    let kernel = picks(&lab, Running::kernel(&lab.director, &services(false)));
    let ours = picks(&lab, Running::ours(&lab.director, "interfaces = [\"eth0\"]", &services(false)));
    for (name, told) in &kernel {
        // Where all go to one, nothing is seen; fo is meant to do that.
        let real_servers: BTreeSet<_> = told.iter().filter_map(|told| told.split(' ').next()).collect();
        assert!(real_servers.len() > 1 || name.starts_with("fo"), "{name}: {told:?}");
    }
    assert_alike(&kernel, &ours);
}

/// Clients and services have more addresses than the lab's hosts.
fn prepare(lab: &OneArm) {
    let director: [IpAddr; 2] = [OneArm::DIRECTOR_V4.into(), OneArm::DIRECTOR_V6.into()];
    let client: [IpAddr; 2] = ["10.0.0.100", "fd00:10::100"].map(|address| address.parse().unwrap());
    for family in 0..2 {
        own(&lab.client, CLIENT_PREFIXES[family]);
        lab.client.add_route(SERVICES[family], director[family]).unwrap();
        lab.director.add_route(CLIENT_PREFIXES[family], client[family]).unwrap();
        for real_server in &lab.real_servers {
            own(real_server, SERVICES[family]);
            real_server.add_route(CLIENT_PREFIXES[family], client[family]).unwrap();
        }
    }
    for real_server in &lab.real_servers {
        real_server.greeter(PORT, real_server.short_name()).unwrap();
    }
}

/// All cases for both families, with the first or the second weights.
fn services(is_after: bool) -> Vec<Service> {
    let mut services = Vec::new();
    for is_v4 in [true, false] {
        let mut number = 0;
        for (scheduler, flags, before, after) in IN_TURN.iter().chain(&BY_HASH) {
            let weights = if is_after { after } else { before };
            for _ in 0..if *scheduler == "dh" { DH } else { 1 } {
                number += 1;
                let real_server = |(index, weight): (usize, &u32)| {
                    let v4 = || OneArm::real_server_v4(index).into();
                    let address = if is_v4 { v4() } else { OneArm::real_server_v6(index).into() };
                    (SocketAddr::new(address, PORT), *weight)
                };
                services.push(Service {
                    address: SocketAddr::new(service_address(is_v4, number), PORT),
                    scheduler,
                    flags,
                    forward: Forward::DirectRouting,
                    real_servers: weights.iter().enumerate().map(real_server).collect(),
                });
            }
        }
    }
    services
}

/// What became of each client, before and after the change of weights.
fn picks(lab: &OneArm, mut director: Running<'_>) -> Picks {
    let mut picks = Picks::new();
    // The schedulers that count connections count these.
    let mut held = Vec::new();
    for (when, first_port) in [("at first", 20_000), ("then", 30_000)] {
        let services = services(when == "then");
        if when == "then" {
            director.reweigh(&services);
        }
        let mut calls: Vec<(String, Call)> = Vec::new();
        for Service { address, scheduler, flags, real_servers, .. } in &services {
            let weights: Vec<_> = real_servers.iter().map(|(_, weight)| *weight).collect();
            let name = format!("{scheduler} {flags} {weights:?} for {} {when}", family(*address));
            let clients = if *scheduler == "dh" { 1 } else { CLIENTS };
            let to = |at| (client(address.is_ipv4(), at, first_port), *address);
            if IN_TURN.iter().any(|(in_turn, ..)| in_turn == scheduler) {
                let (told, open) = call(&lab.client, &(0..clients).map(to).collect::<Vec<_>>(), 1);
                picks.entry(name).or_default().extend(told);
                held.extend(open);
            } else {
                calls.extend((0..clients).map(|at| (name.clone(), to(at))));
            }
        }
        // At once, since those that are refused wait.
        let (names, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let (told, _open) = call(&lab.client, &calls, 64);
        for (name, told) in names.into_iter().zip(told) {
            picks.entry(name).or_default().push(told);
        }
    }
    // Reset while there is still a way to the real servers: the other director's clients have the same ports.
    drop(held);
    director.end();
    picks
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Sixteen addresses, and for each client a port of its own.
fn client(is_v4: bool, at: u16, first_port: u16) -> SocketAddr {
    let last = 1 + at % 16;
    let address = if is_v4 { format!("10.0.8.{last}") } else { format!("fd00:10::8:{last:x}") };
    SocketAddr::new(address.parse().unwrap(), first_port + 13 * at)
}

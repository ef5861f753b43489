//! Whom masquerading picks, and that real servers see the client as it is: both ways through the director.

use std::net::{IpAddr, SocketAddr};

use super::directors::{PORT, Picks, Running, SERVICES, assert_alike, call, own, service_address};
use super::in_guest;
use super::service::{Forward, Service};
use super::transfer::{noise, store_server, there_and_back};
use lb_bench::lab::TwoArm;

const REAL_SERVERS: usize = 3;

/// Where real servers greet, behind [`PORT`] of the service.
const OWN_PORT: u16 = 8080;

/// Where real servers give back what they get, and the service at which.
const STORE: u16 = 9090;
const STORE_SERVICE: u16 = 90;

/// Connections of each of the two clients to each service.
const CALLS: u16 = 12;

/// Where the clients are, each on a line of its own.
const CLIENT_PREFIXES: [[&str; 2]; 2] =
    [["10.0.8.0/24", "fd00:10::8:0/112"], ["10.0.7.0/24", "fd00:12::7:0/112"]];

const CASES: [(&str, &str, [u32; REAL_SERVERS]); 8] = [
    ("rr", "", [1, 1, 1]),
    ("wrr", "", [4, 3, 2]),
    ("lc", "", [1, 1, 1]),
    ("wlc", "", [1, 2, 3]),
    ("sh", "", [1, 2, 3]),
    ("sh", "sh-port", [1, 1, 1]),
    ("mh", "", [1, 1, 1]),
    ("mh", "mh-port", [1, 2, 3]),
];

#[test]
fn masqueraded_clients_go_where_the_kernels_ipvs_sends_them() {
    if in_guest("masquerade::masqueraded_clients_go_where_the_kernels_ipvs_sends_them").is_in_guest().unwrap()
    {
        compare();
    }
}

fn compare() {
    let lab = TwoArm::new("beside-nat", REAL_SERVERS).unwrap();
    prepare(&lab);
    let services = services();
    let kernel = picks(&lab, Running::kernel(&lab.director, &services), &services);
    let interfaces = r#"interfaces = ["eth0", "eth1", "eth2"]"#;
    let ours = picks(&lab, Running::ours(&lab.director, interfaces, &services), &services);
    assert_alike(&kernel, &ours);
}

fn prepare(lab: &TwoArm) {
    let gateways: [[IpAddr; 2]; 2] = [["10.0.0.100", "fd00:10::100"], ["10.0.2.100", "fd00:12::100"]]
        .map(|own| own.map(|own| own.parse().unwrap()));
    for ((client, prefixes), gateways) in lab.clients.iter().zip(CLIENT_PREFIXES).zip(gateways) {
        for (prefix, gateway) in prefixes.into_iter().zip(gateways) {
            own(client, prefix);
            lab.director.add_route(prefix, gateway).unwrap();
        }
    }
    // The first client's link has the same beginning.
    lab.clients[0].add_route(SERVICES[1], "fd00:10::1".parse().unwrap()).unwrap();
    for real_server in &lab.real_servers {
        real_server.greeter(OWN_PORT, real_server.short_name()).unwrap();
        store_server(real_server, STORE);
    }
}

fn services() -> Vec<Service> {
    let mut services = Vec::new();
    for is_v4 in [true, false] {
        let mut service =
            |number, (port, own_port), (scheduler, flags, weights): (_, _, [u32; REAL_SERVERS])| {
                let real_server = |(index, weight)| {
                    let v4 = || TwoArm::real_server_v4(index).into();
                    let address = if is_v4 { v4() } else { TwoArm::real_server_v6(index).into() };
                    (SocketAddr::new(address, own_port), weight)
                };
                services.push(Service {
                    address: SocketAddr::new(service_address(is_v4, number), port),
                    scheduler,
                    flags,
                    forward: Forward::Masquerade,
                    real_servers: weights.into_iter().enumerate().map(real_server).collect(),
                });
            };
        for (number, case) in (1..).zip(CASES) {
            service(number, (PORT, OWN_PORT), case);
        }
        service(1, (STORE_SERVICE, STORE), ("rr", "", [1, 1, 1]));
    }
    services
}

fn picks(lab: &TwoArm, director: Running<'_>, services: &[Service]) -> Picks {
    let mut picks = Picks::new();
    let mut held = Vec::new();
    for (first_port, Service { address, scheduler, flags, .. }) in (20_000..).step_by(200).zip(services) {
        for (line, host) in lab.clients.iter().enumerate() {
            let name = format!("{scheduler} {flags} at {address} for {}", host.short_name());
            if address.port() == STORE_SERVICE {
                let data = noise(1 << 20);
                let back = host.within(|| there_and_back(*address, &data)).unwrap();
                assert!(back == data, "{name}: {} bytes came back, or other ones", back.len());
                continue;
            }
            let from = |at| client(line, address.is_ipv4(), at, first_port);
            let calls: Vec<_> = (0..CALLS).map(|at| (from(at), *address)).collect();
            let (told, open) = call(host, &calls, 1);
            assert_eq!(open.len(), calls.len(), "{name}: {told:?}");
            for ((from, _), greeted) in calls.iter().zip(&open) {
                assert_eq!(greeted.seen_as, *from, "{name}");
            }
            picks.insert(name, told);
            held.extend(open);
        }
    }
    // Reset while there is still a way to the real servers: the other director's clients have the same ports.
    drop(held);
    director.end();
    picks
}

/// Eight addresses of a client, and for each connection a port of its own: to the real server, connections to two
/// services from one port would be the same.
fn client(line: usize, is_v4: bool, at: u16, first_port: u16) -> SocketAddr {
    let last = 1 + at % 8;
    let address = match (line, is_v4) {
        (0, true) => format!("10.0.8.{last}"),
        (_, true) => format!("10.0.7.{last}"),
        (0, false) => format!("fd00:10::8:{last}"),
        (_, false) => format!("fd00:12::7:{last}"),
    };
    SocketAddr::new(address.parse().unwrap(), first_port + 13 * at)
}

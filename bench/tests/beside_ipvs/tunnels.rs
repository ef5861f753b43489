//! The kernel's own tunnel devices at the end of tunnels: what ours wraps, they take apart as they do IPVS's.

use std::net::SocketAddr;

use super::directors::{PORT, Picks, Running, SERVICES, assert_alike, call, own, service_address};
use super::in_guest;
use super::service::{Forward, Service};
use super::transfer::{noise, store_server, there_and_back};
use lb_bench::lab::{Host, OneArm};

const REAL_SERVERS: usize = 2;

/// Where real servers give back what they get.
const STORE: u16 = 8080;

/// Requests to each service.
const REQUESTS: u16 = 6;

/// The real server whose devices want GRE with a checksum; the other's want it without.
const WITH_CHECKSUM: usize = 1;

/// A tunnel as both directors are told of it, and the real servers that end it.
struct Tunnel {
    forward: Forward,
    ends: &'static [usize],
}

const fn tunnel(ours: &'static str, ipvsadm: &'static str, ends: &'static [usize]) -> Tunnel {
    Tunnel { forward: Forward::Tunnel { ours, ipvsadm }, ends }
}

const IPIP: Tunnel = tunnel(r#"{ type = "ipip" }"#, "--tun-type ipip", &[0, 1]);

const TUNNELS: [Tunnel; 5] = [
    IPIP,
    tunnel(r#"{ type = "gre" }"#, "--tun-type gre --tun-nocsum", &[0]),
    tunnel(r#"{ type = "gre", checksum = true }"#, "--tun-type gre --tun-csum", &[WITH_CHECKSUM]),
    tunnel(r#"{ type = "gue", port = 6080 }"#, "--tun-type gue --tun-port 6080 --tun-nocsum", &[0, 1]),
    tunnel(
        r#"{ type = "gue", port = 6080, checksum = true }"#,
        "--tun-type gue --tun-port 6080 --tun-csum",
        &[0, 1],
    ),
];

#[test]
fn the_kernels_own_tunnel_devices_take_our_tunnels_apart() {
    if in_guest("tunnels::the_kernels_own_tunnel_devices_take_our_tunnels_apart").is_in_guest().unwrap() {
        compare();
    }
}

fn compare() {
    let lab = OneArm::new("ends", REAL_SERVERS).unwrap();
    for (index, real_server) in lab.real_servers.iter().enumerate() {
        end_tunnels(real_server, index);
        for prefix in SERVICES {
            own(real_server, prefix);
        }
        real_server.greeter(PORT, real_server.short_name()).unwrap();
        store_server(real_server, STORE);
    }
    lab.client.add_route(SERVICES[0], OneArm::DIRECTOR_V4.into()).unwrap();
    lab.client.add_route(SERVICES[1], OneArm::DIRECTOR_V6.into()).unwrap();
    let services = services();

    let director = Running::kernel(&lab.director, &services);
    let kernel = picks(&lab, &services);
    director.end();
    let director = Running::ours(&lab.director, "interfaces = [\"eth0\"]", &services);
    let ours = picks(&lab, &services);
    assert_alike(&kernel, &ours);
    let refused: Vec<_> = ours.iter().filter(|(_, told)| told.iter().any(|told| told == "X")).collect();
    assert!(refused.is_empty(), "{refused:?}");

    // Segments as long as the client's link takes: it has to learn that they are too long for the tunnel.
    let data = noise(3 << 20);
    for service in services.iter().filter(|service| service.address.port() == STORE) {
        let back = lab.client.within(|| there_and_back(service.address, &data)).unwrap();
        assert!(back == data, "{service:?}: {} bytes came back, or other ones", back.len());
    }
    for (index, real_server) in lab.real_servers.iter().enumerate() {
        for device in devices(index) {
            assert!(received(real_server, device) > 0, "{device} of {}", real_server.short_name());
        }
    }
    director.end();
}

/// Gives a real server devices that take any packet in a packet for its own addresses.
fn end_tunnels(host: &Host, index: usize) {
    let (v4, v6) = (OneArm::real_server_v4(index).to_string(), OneArm::real_server_v6(index).to_string());
    let ip = |words: &str| host.run("ip", words.split(' ')).unwrap();
    // The kernel's own ip6tnl0 has IPv6 inside only.
    ip(&format!("link add name any6 type ip6tnl mode any local {v6} remote ::"));
    if index == WITH_CHECKSUM {
        ip(&format!("link add name sum4 type gre local {v4} remote any icsum"));
        ip(&format!("link add name sum6 type ip6gre local {v6} remote :: icsum"));
    }
    for device in devices(index) {
        ip(&format!("link set {device} up"));
    }
    // What is in GUE goes on to tunl0 and any6.
    ip("fou add port 6080 gue");
    ip("-6 fou add port 6080 gue");
}

fn devices(index: usize) -> [&'static str; 5] {
    let [gre, gre6] = if index == WITH_CHECKSUM { ["sum4", "sum6"] } else { ["gre0", "ip6gre0"] };
    ["tunl0", "sit0", "any6", gre, gre6]
}

/// Packets that came out of a device.
fn received(host: &Host, device: &str) -> u64 {
    let said = host.run("cat", [format!("/sys/class/net/{device}/statistics/rx_packets")]).unwrap();
    said.trim_end().parse().unwrap()
}

/// Every tunnel within its own family, and IP in IP across, each once for greetings and once for data.
fn services() -> Vec<Service> {
    let alike = |is_v4| TUNNELS.iter().map(move |tunnel| (is_v4, is_v4, tunnel));
    let across = [(true, false, &IPIP), (false, true, &IPIP)];
    let mut services = Vec::new();
    for (number, (is_v4, is_outer_v4, tunnel)) in (1..).zip(alike(true).chain(alike(false)).chain(across)) {
        for port in [PORT, STORE] {
            let real_server = |index: &usize| {
                let v4 = || OneArm::real_server_v4(*index).into();
                let address = if is_outer_v4 { v4() } else { OneArm::real_server_v6(*index).into() };
                (SocketAddr::new(address, port), 1)
            };
            services.push(Service {
                address: SocketAddr::new(service_address(is_v4, number), port),
                scheduler: "rr",
                flags: "",
                forward: tunnel.forward,
                real_servers: tunnel.ends.iter().map(real_server).collect(),
            });
        }
    }
    services
}

fn picks(lab: &OneArm, services: &[Service]) -> Picks {
    let mut picks = Picks::new();
    for Service { address, forward, .. } in services.iter().filter(|service| service.address.port() == PORT) {
        let client = if address.is_ipv4() { "10.0.0.100" } else { "fd00:10::100" }.parse().unwrap();
        let calls: Vec<_> =
            (0..REQUESTS).map(|at| (SocketAddr::new(client, 20_000 + at), *address)).collect();
        let (told, _open) = call(&lab.client, &calls, 1);
        picks.insert(format!("{forward:?} at {address}"), told);
    }
    picks
}

//! Through tunnels to real servers behind a router: who answers, and that what is too big for the way is
//! said to its sender, not lost.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::Duration;

use super::capture::Capture;
use super::config::CHECK;
use super::transfer::{noise, store_server, there_and_back};
use lb_bench::lab::{Host, Routed};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};

/// Nothing here takes longer without being lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests to each service, a multiple of the real servers.
const REQUESTS: usize = 10;

const REAL_SERVERS: usize = 2;

const V4: IpAddr = IpAddr::V4(Routed::SERVICE_V4);
const V6: IpAddr = IpAddr::V6(Routed::SERVICE_V6);

/// One kind of tunnel.
struct Tunnel {
    /// What stands behind `tunnel =`.
    config: &'static str,
    /// Bytes between the outer IP header and the packet.
    bytes: u32,
    /// What tshark calls them.
    protocols: &'static str,
    /// What tshark thinks of their checksum: 1 is good, 3 there is none, 4 there is none where IPv6 wants
    /// one, apart from tunnels (RFC 6935).
    checksums: &'static [&'static str],
}

/// Ever more bytes, so that each has to teach a client a smaller size than the one before.
const TUNNELS: [Tunnel; 5] = [
    Tunnel { config: r#"{ type = "ipip" }"#, bytes: 0, protocols: "", checksums: &[""] },
    Tunnel { config: r#"{ type = "gre" }"#, bytes: 4, protocols: ":gre", checksums: &[""] },
    Tunnel { config: r#"{ type = "gre", checksum = true }"#, bytes: 8, protocols: ":gre", checksums: &["1"] },
    Tunnel {
        config: r#"{ type = "gue", port = 6080 }"#,
        bytes: 12,
        protocols: ":udp:gue",
        checksums: &["3", "4"],
    },
    Tunnel {
        config: r#"{ type = "gue", port = 6080, checksum = true }"#,
        bytes: 12,
        protocols: ":udp:gue",
        checksums: &["1"],
    },
];

/// A service whose real servers are reached by a tunnel.
struct Service {
    address: SocketAddr,
    /// Whether the outer header is IPv4.
    is_outer_v4: bool,
    tunnel: &'static Tunnel,
}

/// A service for each tunnel, from this port on, with the outer header of the service's family.
fn one_of_each(address: IpAddr, first_port: u16) -> Vec<Service> {
    let of = |(port, tunnel)| Service {
        address: SocketAddr::new(address, port),
        is_outer_v4: address.is_ipv4(),
        tunnel,
    };
    (first_port..).zip(&TUNNELS).map(of).collect()
}

fn config(services: &[Service]) -> String {
    let mut text = "[director]\ninterfaces = [\"eth0\"]\n".to_owned();
    for Service { address, is_outer_v4, tunnel } in services {
        writeln!(text, "\n[[virtual_service]]\nprotocol = \"tcp\"\naddress = \"{address}\"").unwrap();
        writeln!(text, "scheduler = \"rr\"\n{CHECK}").unwrap();
        for index in 0..REAL_SERVERS {
            let v4 = || Routed::real_server_v4(index).into();
            let real_server = if *is_outer_v4 { v4() } else { Routed::real_server_v6(index).into() };
            let real_server = SocketAddr::new(real_server, address.port());
            writeln!(text, "\n[[virtual_service.real_server]]\naddress = \"{real_server}\"").unwrap();
            writeln!(text, "forward = \"tunnel\"\ntunnel = {}", tunnel.config).unwrap();
        }
    }
    text
}

fn assert_all_answer_in_turn(name: &str, services: &[Service]) {
    let lab = Routed::new(name, REAL_SERVERS).unwrap();
    let mut ports: Vec<_> = services.iter().map(|service| service.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let _servers: Vec<_> = ports.iter().map(|port| lab.http_servers(*port).unwrap()).collect();
    let _director = lab.director.director(&config(services)).unwrap();
    for Service { address, is_outer_v4, tunnel } in services {
        let what = format!("{address} {}", tunnel.config);
        let answers = lab.client.curl(&format!("http://{address}/"), REQUESTS).unwrap();
        assert_eq!(answers.failed(), 0, "{what}: {:?}", answers.failures().next());
        let expected: Vec<_> = ["rs2", "rs1"].into_iter().cycle().take(REQUESTS).collect();
        assert_eq!(answers.bodies().collect::<Vec<_>>(), expected, "{what}");

        let ip = |is_v4| if is_v4 { "ip" } else { "ipv6" };
        let protocols = format!("{}{}:{}", ip(*is_outer_v4), tunnel.protocols, ip(address.is_ipv4()));
        let capture = Capture::start(&lab.router);
        let answers = lab.client.curl(&format!("http://{address}/"), 1).unwrap();
        assert_eq!(answers.failed(), 0, "{what}: {:?}", answers.failures().next());
        let seen = capture.headers(&lab.router);
        assert!(!seen.is_empty(), "{what}: no tunnel was seen");
        for (stack, checksum) in seen {
            assert_eq!(stack, protocols, "{what}");
            assert!(tunnel.checksums.contains(&checksum.as_str()), "{what}: checksum status {checksum}");
        }
    }
}

#[test]
fn every_tunnel_carries_ipv4_in_ipv4() {
    assert_all_answer_in_turn("tunnels-4", &one_of_each(V4, 8001));
}

#[test]
fn every_tunnel_carries_ipv6_in_ipv6() {
    assert_all_answer_in_turn("tunnels-6", &one_of_each(V6, 8001));
}

#[test]
fn real_servers_may_be_of_the_other_family() {
    let across = |service, is_outer_v4| Service {
        address: SocketAddr::new(service, 8001),
        is_outer_v4,
        tunnel: &TUNNELS[0],
    };
    assert_all_answer_in_turn("tunnels-46", &[across(V6, true), across(V4, false)]);
}

/// Twenty megabytes in each direction, while the way into the tunnel takes 1,400 bytes and all else 1,500.
#[test]
fn what_is_too_big_for_the_way_is_made_smaller_by_its_sender() {
    const PATH: u32 = 1_400;
    let lab = Routed::new("narrow", REAL_SERVERS).unwrap();
    lab.narrow(PATH as u16).unwrap();
    let mut services = one_of_each(V4, 8001);
    services.extend(one_of_each(V6, 8001));
    for real_server in &lab.real_servers {
        for port in (8001..).take(TUNNELS.len()) {
            store_server(real_server, port);
        }
    }
    let _director = lab.director.director(&config(&services)).unwrap();
    let data = noise(20 << 20);
    for Service { address, tunnel, .. } in &services {
        let what = format!("{address} {}", tunnel.config);
        let back = lab.client.within(|| there_and_back(*address, &data)).unwrap();
        assert!(back == data, "{what}: {} bytes came back, or other ones", back.len());
        let outer = if address.is_ipv4() { 20 } else { 40 };
        assert_eq!(learned_mtu(&lab.client, address.ip()), Some(PATH - outer - tunnel.bytes), "{what}");
    }
    // Nothing came to the router that it had to refuse.
    assert_eq!((counter(&lab.router, "IpFragFails"), counter(&lab.router, "Ip6FragFails")), (0, 0));
}

/// The MTU of the client's way to an address, as ICMP errors have taught it.
fn learned_mtu(client: &Host, address: IpAddr) -> Option<u32> {
    let route = client.run("ip", ["route", "get", &address.to_string()]).unwrap();
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu");
    words.nth(1)?.parse().ok()
}

/// One of the kernel's counters, as nstat(8) names it.
fn counter(host: &Host, name: &str) -> u64 {
    let counters = host.run("nstat", ["--ignore", "--noupdate", "--zeros", name]).unwrap();
    let mut words = counters.split_whitespace().skip_while(|word| *word != name);
    words.nth(1).unwrap().parse().unwrap()
}

/// A service of each family at port 8001, through ipip of the same family.
fn of_both_families() -> [Service; 2] {
    [V4, V6].map(|address| Service {
        address: SocketAddr::new(address, 8001),
        is_outer_v4: address.is_ipv4(),
        tunnel: &TUNNELS[0],
    })
}

#[test]
fn a_packet_loses_a_hop_and_its_outer_header_counts_on() {
    let lab = Routed::new("hops", REAL_SERVERS).unwrap();
    let _servers = lab.http_servers(8001).unwrap();
    let _director = lab.director.director(&config(&of_both_families())).unwrap();
    for address in [V4, V6] {
        let capture = Capture::start(&lab.router);
        let answers = lab.client.curl(&format!("http://{}/", SocketAddr::new(address, 8001)), 1).unwrap();
        assert_eq!(answers.failed(), 0, "{:?}", answers.failures().next());
        // As it came to the router, and as it left: 64 when the client sent it.
        assert_eq!([capture.hops(), capture.hops()], [(63, 63), (62, 63)], "{address}");
    }
}

#[test]
fn who_sends_with_too_few_hops_is_told() {
    let lab = Routed::new("last-hop", REAL_SERVERS).unwrap();
    let _servers = lab.http_servers(8001).unwrap();
    let _director = lab.director.director(&config(&of_both_families())).unwrap();
    for (sysctl, address) in [("net.ipv4.ip_default_ttl", V4), ("net.ipv6.conf.eth0.hop_limit", V6)] {
        lab.client.sysctl(sysctl, "1").unwrap();
        let service = SocketAddr::new(address, 8001);
        let error =
            lab.client.within(|| TcpStream::connect_timeout(&service, PATIENCE)).unwrap().unwrap_err();
        // What ICMP's time exceeded becomes.
        assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{service}");
        lab.client.sysctl(sysctl, "64").unwrap();
        lab.client.within(|| TcpStream::connect_timeout(&service, PATIENCE)).unwrap().unwrap();
    }
}

/// The lab's own part, without a director: a packet in a packet that the test makes.
#[test]
fn a_real_server_gets_what_is_in_the_outer_header() {
    let lab = Routed::new("end", 1).unwrap();
    let service = SocketAddrV4::new(Routed::SERVICE_V4, 9000);
    let sink = lab.real_servers[0].within(|| UdpSocket::bind(service)).unwrap().unwrap();
    sink.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 100), 7);
    let packet = datagram(client, service, b"inside");
    lab.director
        .within(|| {
            let (family, kind) = (AddressFamily::INET, SocketType::RAW);
            let socket = rustix::net::socket(family, kind, Some(ipproto::IPIP)).unwrap();
            let end = SocketAddrV4::new(Routed::real_server_v4(0), 0);
            rustix::net::sendto(&socket, &packet, SendFlags::empty(), &end).unwrap();
        })
        .unwrap();
    let mut buffer = [0; 64];
    let (length, from) = sink.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"inside"[..], client.into()));
}

/// UDP over IPv4, without UDP's checksum (RFC 768).
fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = 28 + payload.len() as u16;
    let mut words = vec![0x4500, length, 0, 0x4000, 64 * 256 + 17, 0];
    for address in [from.ip(), to.ip()] {
        let bits = address.to_bits();
        words.extend([(bits >> 16) as u16, bits as u16]);
    }
    let sum: u32 = words.iter().map(|word| u32::from(*word)).sum();
    words[5] = !((sum >> 16) + (sum & 0xffff)) as u16;
    words.extend([from.port(), to.port(), length - 20, 0]);
    let header = words.into_iter().flat_map(u16::to_be_bytes);
    header.chain(payload.iter().copied()).collect()
}

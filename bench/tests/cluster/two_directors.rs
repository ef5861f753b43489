//! Two directors that are both real servers, both with their rules live: no packet is scheduled twice.
//!
//! With plain services, no marks and no iptables, LVS loops here: the directors send each other the
//! packets that each should serve.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use super::config::{CHECK, Service, config, metric};
use lb_bench::lab::{Host, TwoDirectors};

/// Requests, a multiple of three.
const REQUESTS: usize = 300;

fn services<'a>() -> Vec<Service<'a>> {
    let v4 = |protocol, address, real_servers, check| Service {
        address,
        protocol,
        scheduler: "rr",
        real_servers,
        check,
    };
    vec![
        v4("tcp", "10.0.0.50:80", &[("10.0.0.11:80", 1), ("10.0.0.12:80", 1), ("10.0.0.13:80", 1)], CHECK),
        v4(
            "tcp",
            "[fd00:10::50]:80",
            &[("[fd00:10::11]:80", 1), ("[fd00:10::12]:80", 1), ("[fd00:10::13]:80", 1)],
            CHECK,
        ),
        v4(
            "udp",
            "10.0.0.50:9000",
            &[("10.0.0.11:9000", 1), ("10.0.0.12:9000", 1), ("10.0.0.13:9000", 1)],
            "",
        ),
        v4(
            "udp",
            "[fd00:10::50]:9000",
            &[("[fd00:10::11]:9000", 1), ("[fd00:10::12]:9000", 1), ("[fd00:10::13]:9000", 1)],
            "",
        ),
    ]
}

/// Answers each datagram with a name, from the address that it was sent to.
fn udp_names(host: &Host, address: IpAddr, name: &'static str) {
    let socket = host.within(|| UdpSocket::bind((address, 9000))).unwrap().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _client_has_left = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// Who answers one datagram from this port: a flow of its own, as long as no port is used twice.
fn ask(client: &Host, port: u16, service: SocketAddr) -> String {
    let local: IpAddr = if service.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = client.within(|| UdpSocket::bind((local, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.send_to(b"who", service).unwrap();
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, service);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn no_packet_is_scheduled_twice_and_none_loops() {
    let lab = TwoDirectors::new("coloc").unwrap();
    let _servers = lab.http_servers(80).unwrap();
    let (v4, v6) = (IpAddr::from(TwoDirectors::SERVICE_V4), IpAddr::from(TwoDirectors::SERVICE_V6));
    for (host, name) in [(lab.ds1(), "ds1"), (lab.ds2(), "ds2"), (lab.rs3(), "rs3")] {
        udp_names(host, v4, name);
        udp_names(host, v6, name);
    }
    // The same file on both, but for who answers ARP: keepalived's part.
    let common = "metrics = \"127.0.0.1:9105\"\npeers = [\"10.0.0.11\", \"10.0.0.12\"]";
    let _first = lab.ds1().director(&config(common, &services())).unwrap();
    let backup = format!("{common}\nservice_addresses = \"operator\"");
    let _second = lab.ds2().director(&config(&backup, &services())).unwrap();

    let cycle: Vec<_> = ["rs3", "ds2", "ds1"].into_iter().cycle().take(REQUESTS).collect();
    for url in ["http://10.0.0.50/", "http://[fd00:10::50]/"] {
        let answers = lab.client.curl(url, REQUESTS).unwrap();
        assert_eq!(answers.failed(), 0, "{url}: {:?}", answers.failures().next());
        assert_eq!(answers.bodies().collect::<Vec<_>>(), cycle, "{url}");
    }
    for service in [SocketAddr::new(v4, 9000), SocketAddr::new(v6, 9000)] {
        let names: Vec<_> = (20_000..).take(REQUESTS).map(|port| ask(&lab.client, port, service)).collect();
        assert_eq!(names, cycle, "{service}");
    }

    let connections = |host| metric(host, "lb_service_connections_total");
    assert_eq!(connections(lab.ds1()), 4 * REQUESTS as u64);
    assert_eq!(connections(lab.ds2()), 0, "the second director scheduled what the first had scheduled");
    let forwarded = metric(lab.ds2(), "lb_packets_total{action=\"forward\"");
    assert_eq!(forwarded, 0);
    let spared = metric(lab.ds2(), "lb_packets_total{action=\"pass\",reason=\"peer_director\"");
    assert!(spared >= 4 * REQUESTS as u64 / 3, "{spared}");
    assert_eq!(metric(lab.ds1(), "lb_packets_total{action=\"drop\""), 0);
}

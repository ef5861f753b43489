//! Masqueraded real servers: requests under their address and port, answers by the line that the client is on, and
//! nothing else of theirs touched.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::config::{CHECK, metric};
use super::transfer::{noise, store_server, there_and_back};
use lb_bench::lab::{Host, TwoArm};

/// Nothing here takes longer without being lost.
const PATIENCE: Duration = Duration::from_secs(20);

const REAL_SERVERS: usize = 3;

/// Requests of each client to each service, a multiple of the real servers.
const REQUESTS: usize = 30;

const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(TwoArm::SERVICE_V4), IpAddr::V6(TwoArm::SERVICE_V6)];

/// Port 80 of both service addresses, at port 8080 of the real servers; UDP likewise, 53 at 5353.
fn config(real_servers: usize) -> String {
    let interfaces = r#"interfaces = ["eth0", "eth1", "eth2"]"#;
    let mut text = format!("[director]\n{interfaces}\nmetrics = \"127.0.0.1:9105\"\n");
    for address in ADDRESSES {
        for (protocol, port, own_port, check) in [("tcp", 80, 8080, CHECK), ("udp", 53, 5353, "")] {
            let service = SocketAddr::new(address, port);
            writeln!(text, "\n[[virtual_service]]\nprotocol = \"{protocol}\"\naddress = \"{service}\"")
                .unwrap();
            writeln!(text, "scheduler = \"rr\"\n{check}").unwrap();
            for index in 0..real_servers {
                let real_server = SocketAddr::new(real_server(address, index), own_port);
                writeln!(text, "\n[[virtual_service.real_server]]\naddress = \"{real_server}\"").unwrap();
                writeln!(text, "forward = \"masquerade\"").unwrap();
            }
        }
    }
    text
}

/// Of the family of a service's address.
fn real_server(service: IpAddr, index: usize) -> IpAddr {
    match service {
        IpAddr::V4(_) => TwoArm::real_server_v4(index).into(),
        IpAddr::V6(_) => TwoArm::real_server_v6(index).into(),
    }
}

#[test]
fn clients_on_two_lines_are_answered_by_all_in_turn() {
    let lab = TwoArm::new("masquerade", REAL_SERVERS).unwrap();
    let _servers = lab.http_servers(8080).unwrap();
    let _director = lab.director.director(&config(REAL_SERVERS)).unwrap();
    for address in ADDRESSES {
        for client in &lab.clients {
            let service = SocketAddr::new(address, 80);
            let answers = client.curl(&format!("http://{service}/"), REQUESTS).unwrap();
            let what = format!("{service} from {}", client.short_name());
            assert_eq!(answers.failed(), 0, "{what}: {:?}", answers.failures().next());
            let expected: Vec<_> = ["rs3", "rs2", "rs1"].into_iter().cycle().take(REQUESTS).collect();
            assert_eq!(answers.bodies().collect::<Vec<_>>(), expected, "{what}");
        }
    }
    // Of each request at least SYN and ACK, its answer, and the end.
    let replies = metric(&lab.director, r#"lb_packets_total{action="forward",reason="masquerade_reply""#);
    assert!(replies >= (4 * REQUESTS * 3) as u64, "{replies} answers passed the director");
    for host in lab.real_servers.iter().chain(&lab.clients) {
        assert_eq!(bad_checksums(host), 0, "{}", host.short_name());
    }
}

#[test]
fn datagrams_are_answered_in_the_services_name_and_refusals_too() {
    let lab = TwoArm::new("masquerade-udp", 1).unwrap();
    let _director = lab.director.director(&config(1)).unwrap();
    let [client, _] = &lab.clients;
    for address in ADDRESSES {
        let service = SocketAddr::new(address, 53);
        // Nobody listens: the real server's ICMP error quotes what the client has sent.
        let socket = udp(client, service);
        socket.send(b"anybody?").unwrap();
        let error = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{service}");

        let at = SocketAddr::new(real_server(address, 0), 5353);
        let server = lab.real_servers[0].within(|| UdpSocket::bind(at)).unwrap().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        // Longer than the link takes: in parts, both ways.
        let question = noise(4_000);
        let socket = udp(client, service);
        socket.send(&question).unwrap();
        let mut asked = vec![0; 8_000];
        let (length, from) = server.recv_from(&mut asked).unwrap();
        assert!(asked[..length] == question, "{service}: {length} bytes were asked, or other ones");
        assert_eq!(from, socket.local_addr().unwrap(), "the client's own address and port");
        server.send_to(&question, from).unwrap();
        let mut answer = vec![0; 8_000];
        let length = socket.recv(&mut answer).unwrap();
        assert!(answer[..length] == question, "{service}: {length} bytes came back, or other ones");
    }
    for host in lab.real_servers.iter().chain(&lab.clients) {
        assert_eq!(bad_checksums(host), 0, "{}", host.short_name());
    }
}

/// A hundred megabytes to the real server, and back.
#[test]
fn a_hundred_megabytes_come_back_as_they_were() {
    let lab = TwoArm::new("masquerade-bulk", 1).unwrap();
    store_server(&lab.real_servers[0], 8080);
    let _director = lab.director.director(&config(1)).unwrap();
    let data = noise(100 << 20);
    for (address, client) in ADDRESSES.into_iter().zip(&lab.clients) {
        let service = SocketAddr::new(address, 80);
        let back = client.within(|| there_and_back(service, &data)).unwrap();
        assert!(back == data, "{service}: {} bytes came back, or other ones", back.len());
        assert_eq!(bad_checksums(client), 0);
    }
    assert_eq!(bad_checksums(&lab.real_servers[0]), 0);
}

#[test]
fn what_real_servers_do_for_themselves_passes() {
    let lab = TwoArm::new("masquerade-own", 1).unwrap();
    let _server = lab.clients[1].http_server(8000, "outside").unwrap();
    let _director = lab.director.director(&config(1)).unwrap();
    for address in ["10.0.2.100", "[fd00:12::100]"] {
        let answers = lab.real_servers[0].curl(&format!("http://{address}:8000/"), 3).unwrap();
        assert_eq!(answers.failed(), 0, "{address}: {:?}", answers.failures().next());
        assert_eq!(answers.bodies().collect::<Vec<_>>(), ["outside"; 3]);
    }
    assert!(metric(&lab.director, r#"lb_packets_total{action="pass",reason="real_servers_own""#) > 0);
}

fn udp(client: &Host, service: SocketAddr) -> UdpSocket {
    let any: SocketAddr = if service.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
    let socket = client.within(|| UdpSocket::bind(any)).unwrap().unwrap();
    client.within(|| socket.connect(service)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What a host's kernel has thrown away for its checksum.
fn bad_checksums(host: &Host) -> u64 {
    let options = ["--ignore", "--noupdate", "--zeros"];
    let names = ["TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors"];
    let icmp = ["IcmpInCsumErrors", "Icmp6InCsumErrors"];
    let said = host.run("nstat", options.iter().chain(&names).chain(&icmp)).unwrap();
    said.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

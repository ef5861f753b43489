//! What may not cost a connection: a reload, a crash of the daemon, a real server's death.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::config::{CHECK, Service, config};
use super::traffic::{LongConnections, Sink, Stream, echo_server};
use lb_bench::lab::{Host, OneArm};

const ECHO: &str = "10.0.0.50:7";
const STREAM: &str = "10.0.0.50:9000";
const CONNECTIONS: usize = 100;

/// An echo service and a service for the stream, on these real servers. Only the echo is checked: a
/// stream is checked by UDP later.
fn cluster_of(hosts: &[&str]) -> String {
    let echo: Vec<_> = hosts.iter().map(|host| (format!("{host}:7"), 1)).collect();
    let echo: Vec<_> = echo.iter().map(|(address, weight)| (address.as_str(), *weight)).collect();
    let stream: Vec<_> = hosts.iter().map(|host| (format!("{host}:9000"), 1)).collect();
    let stream: Vec<_> = stream.iter().map(|(address, weight)| (address.as_str(), *weight)).collect();
    config(
        "",
        &[
            Service { address: ECHO, protocol: "tcp", scheduler: "rr", real_servers: &echo, check: CHECK },
            Service { address: STREAM, protocol: "udp", scheduler: "rr", real_servers: &stream, check: "" },
        ],
    )
}

/// Frames that the lab's own queues lost on the way from the client to the real servers.
fn lost_by_the_lab(lab: &OneArm) -> u64 {
    let drops = |host: &Host, interface: &str| -> u64 {
        let statistics = host.run("ethtool", ["-S", interface]).unwrap();
        statistics
            .lines()
            .filter(|line| line.contains("drops:") || line.contains("errors:"))
            .filter_map(|line| line.rsplit(':').next()?.trim().parse::<u64>().ok())
            .sum()
    };
    let hosts = lab.real_servers.iter().chain([&lab.client, &lab.director]);
    hosts
        .map(|host| drops(host, "eth0") + drops(lab.lan.host(), &format!("{}.eth0", host.short_name())))
        .sum()
}

#[test]
fn neither_reload_nor_crash_breaks_a_connection_or_loses_a_datagram() {
    let lab = OneArm::new("survival", 4).unwrap();
    let echo: SocketAddr = ECHO.parse().unwrap();
    let stream: SocketAddr = STREAM.parse().unwrap();
    let mut sinks = Vec::new();
    for server in &lab.real_servers {
        echo_server(server, SocketAddr::from(([0; 4], 7)));
        sinks.push(Sink::open(server, SocketAddr::from(([0; 4], 9000))));
    }
    let three = ["10.0.0.11", "10.0.0.12", "10.0.0.13"];
    let four = ["10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"];
    let mut director = lab.director.director(&cluster_of(&three)).unwrap();

    let connections = LongConnections::open(&lab.client, echo, CONNECTIONS);
    let datagrams = Stream::start(&lab.client, stream, 20_000);
    connections.wait_for_echoes(500);
    datagrams.wait_for(10_000);

    let said = director.reload(&cluster_of(&four)).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");
    connections.wait_for_echoes(500);
    datagrams.wait_for(10_000);

    director.crash_and_restart().unwrap();
    connections.wait_for_echoes(500);
    datagrams.wait_for(10_000);

    let said = director.reload(&cluster_of(&three)).unwrap();
    assert!(!said.contains("not reloaded"), "{said}");
    datagrams.wait_for(10_000);

    let broken = connections.close();
    // Those that had been given to the fourth server would have broken: nobody had.
    assert!(broken.is_empty(), "{} of {CONNECTIONS} broke: {broken:?}", broken.len());
    let sent = datagrams.stop();
    let received = || sinks.iter().map(Sink::received).sum::<u64>();
    let until = Instant::now() + Duration::from_secs(2);
    while received() < sent && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    let lost = sent - received();
    let by_the_lab = lost_by_the_lab(&lab);
    println!("{sent} datagrams, {lost} lost, the lab's queues lost {by_the_lab}");
    assert!(lost <= by_the_lab, "{lost} of {sent} lost, and only {by_the_lab} of them by the lab");
    assert_eq!(
        sinks.iter().filter(|sink| sink.received() > 0).count(),
        1,
        "one flow stays on one real server"
    );
}

#[test]
fn a_dead_real_server_leaves_and_comes_back_and_the_others_go_on() {
    let lab = OneArm::new("death", 3).unwrap();
    let mut servers = lab.http_servers(80).unwrap();
    for server in &lab.real_servers {
        echo_server(server, SocketAddr::from(([0; 4], 7)));
    }
    let web = Service {
        address: "10.0.0.50:80",
        protocol: "tcp",
        scheduler: "rr",
        real_servers: &[("10.0.0.11:80", 1), ("10.0.0.12:80", 1), ("10.0.0.13:80", 1)],
        check: CHECK,
    };
    let echo = Service {
        address: ECHO,
        real_servers: &[("10.0.0.11:7", 1), ("10.0.0.12:7", 1), ("10.0.0.13:7", 1)],
        ..web
    };
    let mut director = lab.director.director(&config("", &[web, echo])).unwrap();
    let connections = LongConnections::open(&lab.client, ECHO.parse().unwrap(), 30);
    let before = lab.client.curl("http://10.0.0.50/", 300).unwrap();
    assert_eq!((before.failed(), before.tally().len()), (0, 3));

    servers[1].kill().unwrap();
    let down = director.daemon().wait_for_line("real server is down", Duration::from_secs(5)).unwrap();
    assert!(down.contains("10.0.0.12"), "{down}");
    // The tables follow the line within the same breath; the next request comes after both.
    let without = lab.client.curl("http://10.0.0.50/", 600).unwrap();
    assert_eq!(without.failed(), 0, "{:?}", without.failures().next());
    assert_eq!(without.tally().into_iter().collect::<Vec<_>>(), [("rs1", 300), ("rs3", 300)]);

    servers[1] = lab.real_servers[1].http_server(80, "rs2").unwrap();
    let up = director.daemon().wait_for_line("real server is up", Duration::from_secs(5)).unwrap();
    assert!(up.contains("10.0.0.12"), "{up}");
    let again = lab.client.curl("http://10.0.0.50/", 600).unwrap();
    assert_eq!(again.failed(), 0, "{:?}", again.failures().next());
    assert_eq!(again.tally().get("rs2"), Some(&200));

    let broken = connections.close();
    assert!(broken.is_empty(), "{broken:?}");
}

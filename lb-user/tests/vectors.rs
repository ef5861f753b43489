//! Whole decisions from data files: a config, packets in, what must become of them.
//!
//! Every vector in `tests/vectors` runs on the host and, by the kernel's test run, on the shipped
//! object. Both must do what the file says: action, verdict, bytes, counters. `tests/vectors/README.md`
//! says how a file is written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common"]
mod common {
    pub(crate) mod datagram;
    pub(crate) mod describe;
    pub(crate) mod director;
    pub(crate) mod interfaces;
    pub(crate) mod report;
    pub(crate) mod services;
    pub(crate) mod twins;
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use etherparse::checksum::Sum16BitWords;
use lb_common::verdict::Verdict;
use lb_user::model::TableSizes;
use lb_user::plan::{Wanted, WantedService};
use serde::Deserialize;

use common::datagram::header_checksum;
use common::director::TIMEOUTS;
use common::report::say;
use common::services::{RealServer, address_bytes, director_on};
use common::twins::{Fate, Twins};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    configs: BTreeMap<String, Config>,
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    peers: Vec<String>,
    services: Vec<Service>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    service: String,
    real_servers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    /// The config that it begins with.
    config: String,
    /// For how many connections there is room; 1: 16 lines of five.
    flows: Option<u32>,
    steps: Vec<Step>,
    /// What each real server has in the end, by service and address.
    #[serde(default)]
    counters: BTreeMap<String, Counters>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Another config.
    config: Option<String>,
    packet: Option<String>,
    /// Action and verdict of the packet.
    is: Option<String>,
    /// The real server that it is sent to.
    to: Option<IpAddr>,
    /// Packets with ports from the packet's on; the last numbers of the real servers that they are sent to.
    order: Option<String>,
    /// Connections with ports from the packet's on are established until one is not sent.
    #[serde(default)]
    fill: bool,
}

#[derive(Default, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
struct Counters {
    packets: u64,
    bytes: u64,
    connections: u64,
    dropped: u64,
    active: i32,
    inactive: i32,
}

#[test]
fn every_vector_ends_as_its_file_says_on_the_host_and_in_the_kernel() {
    common::interfaces::enter_namespace();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut met = BTreeSet::new();
    for path in &paths {
        let name = path.file_stem().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for vector in &file.vector {
            // Said before it runs: if it fails, the last line is the one.
            say(&format!("{name}: {}", vector.name));
            met.extend(run(&file.configs, vector));
        }
    }
    let all: BTreeSet<Verdict> =
        Verdict::ALL.iter().copied().filter(|&verdict| verdict != Verdict::Internal).collect();
    let missing: Vec<_> = all.difference(&met).collect();
    assert_eq!(missing, [] as [&Verdict; 0], "verdicts that no vector meets");
}

/// Runs one vector; which verdicts it met.
fn run(configs: &BTreeMap<String, Config>, vector: &Vector) -> BTreeSet<Verdict> {
    let config = |name: &String| configs.get(name).unwrap_or_else(|| panic!("there is no config {name:?}"));
    let flows = vector.flows.unwrap_or(1_024);
    let sizes = TableSizes { flows, services: 8, destinations: 64, ring_slots: 1_024 };
    let mut twins = Twins::new(&sizes);
    let mut current = config(&vector.config);
    twins.apply(&wanted(current));
    let mut verdicts = [0; Verdict::COUNT];
    for step in &vector.steps {
        if let Some(name) = &step.config {
            current = config(name);
            twins.apply(&wanted(current));
        }
        let Some(line) = &step.packet else { continue };
        let mut send = |line: &str| {
            let frame = common::describe::packet(line);
            let fate = twins.run(&frame);
            verdicts[fate.verdict.index()] += 1;
            (frame, fate)
        };
        if let Some(order) = &step.order {
            for (index, number) in order.split_whitespace().enumerate() {
                let (_, fate) = send(&with_port_plus(line, index));
                assert_eq!(sent_to(current, &fate), Some(number), "packet {index} of {order:?}");
            }
            continue;
        }
        let (frame, fate) = if step.fill { fill(line, &mut send) } else { send(line) };
        check(current, step, &frame, &fate);
    }
    twins.assert_same_tables();
    // The host's are the kernel's; these are everybody's.
    for &verdict in Verdict::ALL {
        assert_eq!(
            twins.host.tables.verdicts(verdict),
            verdicts[verdict.index()],
            "{} counted",
            verdict.label()
        );
    }
    for (name, expected) in &vector.counters {
        assert_eq!(counters(&twins, name), *expected, "counters of {name}");
    }
    Verdict::ALL.iter().copied().filter(|verdict| verdicts[verdict.index()] > 0).collect()
}

/// Opens connections, and acknowledges them, until one is not sent; that one.
fn fill(line: &str, send: &mut impl FnMut(&str) -> (Vec<u8>, Fate)) -> (Vec<u8>, Fate) {
    for index in 0..10_000 {
        let syn = with_port_plus(line, index);
        let (frame, fate) = send(&syn);
        if fate.verdict != Verdict::DirectRouting {
            return (frame, fate);
        }
        send(&syn.replace("syn", "ack"));
    }
    panic!("10,000 connections, and all of them found a place");
}

fn check(config: &Config, step: &Step, frame: &[u8], fate: &Fate) {
    let line = step.packet.as_deref().unwrap_or_default();
    let is = step.is.as_deref().unwrap_or_else(|| panic!("{line}: the file doesn't say what it is"));
    assert_eq!(format!("{} {}", fate.action, fate.verdict.label()), is, "{line}");
    let Some(address) = step.to else {
        assert!(fate.frame == frame, "{line}: nothing is written, but it became {:02x?}", fate.frame);
        assert!(!is.starts_with("tx") && !is.starts_with("redirect"), "{line}: the file doesn't say to whom");
        return;
    };
    let server =
        servers(config).find(|server| server.address == address).unwrap_or_else(|| panic!("{address}"));
    let mut expected = frame.to_vec();
    expected[..6].copy_from_slice(&server.ethernet.unwrap());
    expected[6..12].copy_from_slice(&director_on(server.interface));
    if address.is_ipv4() {
        let header = 14..14 + 4 * usize::from(frame[14] & 0xf);
        expected[22] -= 1;
        let checksum = header_checksum(&expected[header.clone()]);
        expected[24..26].copy_from_slice(&checksum);
        // A header with its checksum sums up to all ones (RFC 1071), as etherparse adds.
        let sum = Sum16BitWords::new().add_slice(&fate.frame[header]).ones_complement();
        assert_eq!(sum, 0, "{line}: checksum");
    } else {
        expected[21] -= 1;
    }
    assert!(fate.frame == expected, "{line}: became\n{:02x?}, not\n{expected:02x?}", fate.frame);
}

/// The last number of the address of the real server that a frame was sent to.
fn sent_to(config: &Config, fate: &Fate) -> Option<&'static str> {
    const NUMBERS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    let server =
        servers(config).find(|server| server.ethernet.is_some_and(|address| fate.frame[..6] == address))?;
    let [.., last] = match server.address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }[..] else {
        return None;
    };
    NUMBERS.get(usize::from(last)).copied()
}

fn servers(config: &Config) -> impl Iterator<Item = RealServer> + '_ {
    config
        .services
        .iter()
        .flat_map(|service| &service.real_servers)
        .map(|line| common::describe::real_server(line))
}

/// `tcp 10.0.0.50:80 10.0.1.1`: a real server of a service.
fn counters(twins: &Twins, name: &str) -> Counters {
    let words: Vec<&str> = name.split_whitespace().collect();
    let [transport, service, address] = words.as_slice() else { panic!("what is {name:?}?") };
    let (endpoint, _) = common::describe::service(&format!("{transport} {service} rr"));
    let address = address_bytes(address.parse().unwrap());
    let tables = &twins.host.tables;
    let is_it = |number: &u32| {
        let head = tables.heads[*number as usize];
        let destination = tables.destinations[head.record as usize];
        head.record != 0 && destination.service == endpoint.key() && destination.address == address
    };
    let number =
        (1..tables.settings.destinations).find(is_it).unwrap_or_else(|| panic!("{name} is in no table"));
    let (sum, load) = (tables.counters(number), tables.load(number));
    Counters {
        packets: sum.packets,
        bytes: sum.bytes,
        connections: sum.connections,
        dropped: sum.dropped,
        active: load.active(),
        inactive: load.inactive(),
    }
}

fn wanted(config: &Config) -> Wanted {
    let services = config.services.iter().map(|service| {
        let (endpoint, scheduler) = common::describe::service(&service.service);
        let servers = service.real_servers.iter().map(|line| common::describe::real_server(line));
        let destinations = servers.map(|server| server.wanted(&endpoint)).collect();
        WantedService { key: endpoint.key(), scheduler, destinations }
    });
    Wanted {
        services: services.collect(),
        peers: config.peers.iter().map(|peer| common::describe::ethernet(peer)).collect(),
        interfaces: servers(config).map(|server| server.interface).collect(),
        timeouts: TIMEOUTS,
    }
}

/// The line of a packet, from a source port that is higher by `plus`.
fn with_port_plus(line: &str, plus: usize) -> String {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    let [transport, source, rest] = words.as_slice() else { panic!("what packet is {line:?}?") };
    let mut source: SocketAddr = source.parse().unwrap();
    source.set_port(source.port() + plus as u16);
    format!("{transport} {source} {rest}")
}

//! Whole decisions from data files: a config, packets in, what must become of them.
//!
//! Every vector in `tests/vectors` runs on the host and, by the kernel's test run, on the shipped
//! object. Both must do what the file says: action, verdict, bytes, counters. `tests/vectors/README.md`
//! says how a file is written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common"]
mod common {
    pub(crate) mod classes;
    pub(crate) mod datagram;
    pub(crate) mod describe;
    pub(crate) mod director;
    pub(crate) mod icmp;
    pub(crate) mod interfaces;
    pub(crate) mod judge;
    pub(crate) mod judge_masquerade;
    pub(crate) mod report;
    pub(crate) mod services;
    pub(crate) mod templates;
    pub(crate) mod twins;
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use lb_common::director::Tables as _;
use lb_common::verdict::Verdict;
use lb_common::wire::{FORWARD_REPLY, Options, Tick};
use lb_user::model::{Connections, ForwardMethod, TableSizes, Tunnel};
use lb_user::plan::{Wanted, WantedService};
use serde::Deserialize;

use common::classes::rules;
use common::datagram::{DIRECTOR, ROUTER};
use common::describe::Scheduling;
use common::director::timeouts;
use common::judge::{Around, AroundKind, Told};
use common::judge_masquerade::{self, Rewritten, rewritten};
use common::report::say;
use common::services::{RealServer, address_bytes, director_on, tunnels_from};
use common::templates::end_templates;
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
    #[serde(default)]
    options: ConnectionOptions,
    #[serde(default)]
    classes: Vec<String>,
    services: Vec<Service>,
}

/// As in `[director.connections]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionOptions {
    conn_reuse_mode: Option<u32>,
    expire_nodest_conn: Option<bool>,
    sloppy_tcp: Option<bool>,
    sloppy_sctp: Option<bool>,
    expire_quiescent_template: Option<bool>,
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
    /// For how many templates; 1: one line of five.
    templates: Option<u32>,
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
    /// The service in whose name the packet goes back, to the router that all others come from.
    back: Option<SocketAddr>,
    /// What the packet has become: the answer to its sender.
    answer: Option<String>,
    /// Packets with ports from the packet's on; the last numbers of the Ethernet addresses of the real servers that
    /// they are sent to, X: none.
    order: Option<String>,
    /// The same, with source addresses from the packet's on.
    clients: Option<String>,
    /// The time of all templates is over, to the second, and nobody has looked at them yet.
    #[serde(default)]
    end_templates: bool,
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
            met.extend(run_in_a_tick(&file.configs, vector));
        }
    }
    let all: BTreeSet<Verdict> =
        Verdict::ALL.iter().copied().filter(|&verdict| verdict != Verdict::Internal).collect();
    let missing: Vec<_> = all.difference(&met).collect();
    assert_eq!(missing, [] as [&Verdict; 0], "verdicts that no vector meets");
}

/// Runs one vector; which verdicts it met. What a gate counts begins anew with every tick: where one is asked, a vector
/// that failed and was of several ticks is run again.
fn run_in_a_tick(configs: &BTreeMap<String, Config>, vector: &Vector) -> BTreeSet<Verdict> {
    let names = vector.steps.iter().filter_map(|step| step.config.as_ref()).chain([&vector.config]);
    let services = names.filter_map(|name| configs.get(name)).flat_map(|config| &config.services);
    let has_gate = services.into_iter().any(|service| service.service.contains(" gate="));
    for _ in 0..20 {
        let mut ticks = BTreeSet::new();
        match catch_unwind(AssertUnwindSafe(|| run(configs, vector, &mut ticks))) {
            Ok(met) => return met,
            Err(_) if has_gate && ticks.len() > 1 => say("  of several ticks: once more"),
            Err(why) => resume_unwind(why),
        }
    }
    panic!("{}: never within a tick", vector.name)
}

/// Runs one vector; which verdicts it met. `ticks` are those of its packets.
fn run(configs: &BTreeMap<String, Config>, vector: &Vector, ticks: &mut BTreeSet<u32>) -> BTreeSet<Verdict> {
    let config = |name: &String| configs.get(name).unwrap_or_else(|| panic!("there is no config {name:?}"));
    let flows = vector.flows.unwrap_or(1_024);
    let templates = vector.templates.unwrap_or(1_024);
    let sizes = TableSizes {
        flows,
        services: 16,
        destinations: 64,
        ring_slots: 16_384,
        templates,
        sources: 64,
        localities: 8,
        ..TableSizes::default()
    };
    let mut twins = Twins::new(&sizes);
    let mut current = config(&vector.config);
    twins.apply(&wanted(current));
    let mut verdicts = [0; Verdict::COUNT];
    for step in &vector.steps {
        if let Some(name) = &step.config {
            current = config(name);
            twins.apply(&wanted(current));
        }
        if step.end_templates {
            end_templates(&mut twins);
        }
        let Some(line) = &step.packet else { continue };
        let mut send = |line: &str| {
            let frame = common::describe::packet(line);
            let fate = twins.run(&frame);
            verdicts[fate.verdict.index()] += 1;
            ticks.extend([(&twins.host.tables).now(), twins.kernel.now().unwrap()].map(Tick::number));
            (frame, fate)
        };
        let orders =
            [(&step.order, with_port_plus as fn(&str, usize) -> String), (&step.clients, with_address_plus)];
        let orders = orders.into_iter().filter_map(|(order, with)| Some((order.as_ref()?, with)));
        let mut is_done = false;
        for (order, with) in orders {
            is_done = true;
            let went = order.split_whitespace().enumerate().map(|(index, _)| {
                let (_, fate) = send(&with(line, index));
                sent_to(current, &fate)
            });
            assert_eq!(went.collect::<Vec<_>>().join(" "), *order, "{line}: one after the other");
        }
        if is_done {
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
    if let Some(told) = &step.answer {
        assert_eq!(common::judge::answer(frame, &fate.frame), self::told(told), "{line}");
        return;
    }
    if let Some(service) = step.back {
        let (end, to) = (Rewritten::Source, (service.ip(), service.port()));
        let router = [ROUTER, DIRECTOR].concat();
        assert_eq!(rewritten(&fate.frame, end).0, to.0, "{line}");
        judge_masquerade::masquerade(frame, &fate.frame, &router, end, to);
        return;
    }
    let Some(address) = step.to else {
        assert!(fate.frame == frame, "{line}: nothing is written, but it became {:02x?}", fate.frame);
        assert!(!is.starts_with("tx") && !is.starts_with("redirect"), "{line}: the file doesn't say to whom");
        return;
    };
    let server =
        servers(config).find(|server| server.address == address).unwrap_or_else(|| panic!("{address}"));
    let addresses = [server.ethernet.unwrap(), director_on(server.interface)].concat();
    if server.forward == ForwardMethod::Masquerade {
        let end = Rewritten::Destination;
        // Without one of its own, the packet's.
        let port = server.port.unwrap_or_else(|| rewritten(frame, end).1);
        assert_eq!(rewritten(&fate.frame, end).0, address, "{line}");
        judge_masquerade::masquerade(frame, &fate.frame, &addresses, end, (address, port));
        return;
    }
    if let ForwardMethod::Tunnel(tunnel) = server.forward {
        assert_eq!(fate.frame[..12], addresses, "{line}");
        let around = common::judge::tunnel(frame, &fate.frame);
        let Around { source, destination, kind, bytes } = around;
        assert_eq!((source, destination), (tunnels_from(address), address), "{line}");
        let (expected, tunnel_bytes) = match tunnel {
            Tunnel::Ipip => (AroundKind::Ipip, 0),
            Tunnel::Gue { port, checksum } => (AroundKind::Gue(port, checksum), 12),
            Tunnel::Gre { checksum } => (AroundKind::Gre(checksum), if checksum { 8 } else { 4 }),
        };
        assert_eq!(kind, expected, "{line}");
        assert_eq!(bytes, tunnel_bytes + if address.is_ipv4() { 20 } else { 40 }, "{line}");
        return;
    }
    let expected = common::judge::direct_routing(frame, &addresses);
    assert!(fate.frame == expected, "{line}: became\n{:02x?}, not\n{expected:02x?}", fate.frame);
}

/// `too-big 1480`, `time-exceeded`, `port-unreachable`.
fn told(words: &str) -> Told {
    match words.split_once(' ').unwrap_or((words, "")) {
        ("too-big", mtu) => Told::TooBig(mtu.parse().unwrap_or_else(|_| panic!("what size is {mtu:?}?"))),
        ("time-exceeded", "") => Told::TimeExceeded,
        ("port-unreachable", "") => Told::PortUnreachable,
        _ => panic!("{words:?} is no answer"),
    }
}

/// The last number of the Ethernet address of the real server that a frame was sent to, or X.
fn sent_to(config: &Config, fate: &Fate) -> String {
    let is_sent = ["tx", "redirect"].contains(&fate.action);
    let sent = servers(config)
        .find(|server| is_sent && server.ethernet.is_some_and(|address| fate.frame[..6] == address));
    sent.map_or_else(|| String::from("X"), |_| fate.frame[5].to_string())
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
        let is_ours = destination.service == endpoint.key() && destination.address == address;
        head.record != 0 && is_ours && destination.forward != FORWARD_REPLY
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
        let (endpoint, scheduling) = common::describe::service(&service.service);
        let Scheduling { scheduler, flags, ring_size, one_packet, persistence, new_flows, sources } =
            scheduling;
        let servers = service.real_servers.iter().map(|line| common::describe::real_server(line));
        let destinations = servers.map(|server| server.wanted(&endpoint)).collect();
        let service = WantedService::new(endpoint.key(), scheduler, destinations);
        WantedService { flags, ring_size, one_packet, persistence, new_flows, sources, ..service }
    });
    Wanted {
        services: services.collect(),
        rules: rules(&config.classes.iter().map(|line| common::describe::class(line)).collect::<Vec<_>>()),
        peers: config.peers.iter().map(|peer| common::describe::ethernet(peer)).collect(),
        interfaces: servers(config).map(|server| server.interface).collect(),
        timeouts: timeouts(),
        options: options(&config.options),
    }
}

fn options(options: &ConnectionOptions) -> Options {
    let defaults = Connections::default();
    Connections {
        conn_reuse_mode: options.conn_reuse_mode.unwrap_or(defaults.conn_reuse_mode),
        expire_nodest_conn: options.expire_nodest_conn.unwrap_or(defaults.expire_nodest_conn),
        sloppy_tcp: options.sloppy_tcp.unwrap_or(defaults.sloppy_tcp),
        sloppy_sctp: options.sloppy_sctp.unwrap_or(defaults.sloppy_sctp),
        expire_quiescent_template: options
            .expire_quiescent_template
            .unwrap_or(defaults.expire_quiescent_template),
    }
    .options()
}

/// The line of a packet, from a source port that is higher by `plus`.
fn with_port_plus(line: &str, plus: usize) -> String {
    with_source(line, |source| source.set_port(source.port() + plus as u16))
}

/// The line of a packet, from a source address that is higher by `plus`.
fn with_address_plus(line: &str, plus: usize) -> String {
    with_source(line, |source| {
        source.set_ip(match source.ip() {
            IpAddr::V4(address) => IpAddr::from((address.to_bits() + plus as u32).to_be_bytes()),
            IpAddr::V6(address) => IpAddr::from((address.to_bits() + plus as u128).to_be_bytes()),
        });
    })
}

fn with_source(line: &str, change: impl FnOnce(&mut SocketAddr)) -> String {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    let [transport, source, rest] = words.as_slice() else { panic!("what packet is {line:?}?") };
    let mut source: SocketAddr = source.parse().unwrap();
    change(&mut source);
    format!("{transport} {source} {rest}")
}

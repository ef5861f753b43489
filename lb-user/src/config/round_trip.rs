//! Any model that is allowed, written as a file, is read as the same model.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use lb_common::wire::DESTINATION_MAX;
use proptest::{collection::vec, option, prelude::*};

use super::parse;
use crate::model::{
    AddressOwner, Check, CheckKind, Class, Connections, Director, Family, ForwardMethod, Model, Netmask,
    Peer, Persistence, Ports, Prefix, Protocol, RealServer, RingSize, Scheduler, SchedulerFlags, ServiceId,
    TableSizes, Timeouts, Tunnel, VirtualService, WEIGHT_MAX, XdpMode,
};

proptest! {
    #[test]
    fn a_model_survives_its_file(model in model()) {
        let text = written(&model);
        match parse("lb.toml", &text) {
            Ok(read) => prop_assert_eq!(read, model),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }

    /// No input panics, and no error loses its line.
    #[test]
    fn any_text_is_a_model_or_errors_with_lines(lines in vec("[\\[\\]{}=.,'\"a-z_0-9 é\n]{0,20}", 0..8)) {
        if let Err(errors) = parse("lb.toml", &lines.join("\n")) {
            for line in errors.to_string().lines() {
                prop_assert!(line.starts_with("lb.toml:") || line.starts_with("and "), "{}", line);
            }
            prop_assert!(errors.iter().all(|error| error.place.is_some()));
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    (director(), vec(class(), 0..4), vec(service(), 0..6), vec(class(), 6)).prop_map(
        |(director, mut classes, services, more)| {
            let services = distinct(services, |service| service.id);
            // Each mark that a service has, a class has.
            for (service, class) in services.iter().zip(more) {
                if let ServiceId::Mark { mark, .. } = service.id {
                    let both = [CLASS_ADDRESS_V4.into(), CLASS_ADDRESS_V6.into()];
                    let is_masqueraded = |server: &RealServer| server.forward == ForwardMethod::Masquerade;
                    let tcp = service.real_servers.iter().any(is_masqueraded).then_some(Protocol::Tcp);
                    let (sources, protocol) = (Vec::new(), tcp.or(class.protocol));
                    classes.push(Class { mark, addresses: both.to_vec(), protocol, sources, ..class });
                }
            }
            Model { director, classes, services }
        },
    )
}

/// No real server has one like these.
const CLASS_ADDRESS_V4: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
const CLASS_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0);

fn class() -> impl Strategy<Value = Class> {
    let protocol = option::of(prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)]);
    let ports = (1..=u16::MAX, 0..100_u16)
        .prop_map(|(first, more)| Ports { first, last: first.saturating_add(more) });
    let ends = any::<bool>().prop_flat_map(|v6| {
        let host = any::<u16>().prop_map(move |host| {
            if v6 {
                IpAddr::from((CLASS_ADDRESS_V6.to_bits() | u128::from(host)).to_be_bytes())
            } else {
                IpAddr::from((CLASS_ADDRESS_V4.to_bits() | u32::from(host)).to_be_bytes())
            }
        });
        let prefix = (address(v6), 0..=if v6 { 128_u8 } else { 32 });
        let sources = vec(prefix.prop_map(|(address, length)| Prefix::of(address, length)), 0..4);
        (vec(host, 1..4), sources)
    });
    let macs = vec(any::<[u8; 5]>().prop_map(|[b, c, d, e, f]| [2, b, c, d, e, f]), 0..3);
    (1..=u32::MAX, ends, protocol, vec(ports, 0..4), option::of(interface()), macs).prop_map(
        |(mark, (addresses, sources), protocol, ports, interface, macs)| Class {
            mark,
            addresses: distinct(addresses, |&address| address),
            protocol,
            ports: distinct(ports, |&ports| ports),
            interface,
            sources: distinct(sources, |&source| source),
            not_source_macs: distinct(macs, |&mac| mac),
        },
    )
}

fn director() -> impl Strategy<Value = Director> {
    let metrics = option::of((any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from));
    let xdp_mode = prop_oneof![Just(XdpMode::Auto), Just(XdpMode::Native), Just(XdpMode::Generic)];
    let owner = prop_oneof![Just(AddressOwner::Director), Just(AddressOwner::Operator)];
    let idle = (timeouts(), connections());
    (vec(interface(), 0..4), xdp_mode, metrics, vec(peer(), 0..4), owner, idle, table_sizes()).prop_map(
        |(interfaces, xdp_mode, metrics, peers, service_addresses, (timeouts, connections), tables)| {
            Director {
                interfaces: distinct(interfaces, Clone::clone),
                xdp_mode,
                metrics,
                peers: distinct(peers, |&peer| peer),
                service_addresses,
                timeouts,
                connections,
                tables,
            }
        },
    )
}

fn connections() -> impl Strategy<Value = Connections> {
    (0..=3_u32, any::<[bool; 4]>()).prop_map(|(conn_reuse_mode, [nodest, tcp, sctp, quiescent])| {
        Connections {
            conn_reuse_mode,
            expire_nodest_conn: nodest,
            sloppy_tcp: tcp,
            sloppy_sctp: sctp,
            expire_quiescent_template: quiescent,
        }
    })
}

fn peer() -> impl Strategy<Value = Peer> {
    let mac = any::<[u8; 6]>().prop_map(|mut mac| {
        // Local, not a group's: IEEE 802.
        mac[0] = mac[0] & !1 | 2;
        Peer::Mac(mac)
    });
    prop_oneof![mac, v4_addresses().prop_map(Peer::Address), v6_addresses().prop_map(Peer::Address)]
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    let seconds = || (1..=31 * 86_400_u64).prop_map(Duration::from_secs);
    (seconds(), seconds(), seconds()).prop_map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp })
}

/// Sizes with room for every model here.
fn table_sizes() -> impl Strategy<Value = TableSizes> {
    (1_024..=15_000_000_u32, 6..=1_u32 << 16, 100..=DESTINATION_MAX, 1_u32 << 20..=1_u32 << 26).prop_map(
        |(flows, services, destinations, ring_slots)| TableSizes {
            flows,
            services,
            destinations,
            ring_slots,
            templates: flows / 2 + 512,
            class_addresses: services.clamp(64, 1 << 16),
            class_rules: (services * 16).clamp(1_024, 1 << 20),
        },
    )
}

fn service() -> impl Strategy<Value = VirtualService> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let real_servers = |v6| vec(real_server(v6), 0..8);
    let ends = any::<bool>().prop_flat_map(move |v6| (address(v6), real_servers(v6)));
    // Some are for all ports, some for a mark.
    let port = prop_oneof![1 => Just(0), 4 => any::<u16>()];
    let mark = prop_oneof![2 => Just(0), 1 => 1..=u32::MAX];
    let kept = (persistence(), option::of(check()));
    (protocol, ends, (port, mark), scheduling(), kept).prop_map(
        |(protocol, (address, real_servers), (port, mark), scheduling, (persistence, check))| {
            let (scheduler, scheduler_flags, ring_size) = scheduling;
            let mut real_servers = distinct(real_servers, |real_server| real_server.address);
            let mut names = HashSet::new();
            // The weights of wrr have to fit a ring.
            let heaviest = if scheduler == Scheduler::Wrr { 10_000 } else { WEIGHT_MAX };
            for real_server in &mut real_servers {
                real_server.port = port;
                if protocol == Protocol::Sctp && real_server.forward == ForwardMethod::Masquerade {
                    real_server.forward = ForwardMethod::DirectRouting;
                }
                real_server.weight = real_server.weight.min(heaviest);
                real_server.name.take_if(|name| !names.insert(name.clone()));
                if real_server.address == address {
                    real_server.forward = ForwardMethod::Local;
                    real_server.interface = None;
                }
            }
            let is_masqueraded = |server: &RealServer| server.forward == ForwardMethod::Masquerade;
            let has_none = !real_servers.iter().any(is_masqueraded);
            let id = match mark {
                0 => ServiceId::Address { protocol, address, port },
                mark => ServiceId::of_mark(mark, address),
            };
            let one_packet = (protocol == Protocol::Udp || mark != 0) && port % 3 == 0 && has_none;
            let check = check.map(|check| match check.kind {
                // Nothing answers TCP on an SCTP port.
                CheckKind::Tcp { port: None } if port == 0 || protocol == Protocol::Sctp => {
                    Check { kind: CheckKind::Tcp { port: Some(80) }, ..check }
                }
                CheckKind::Tcp { .. } => check,
            });
            let persistence = persistence.filter(|_| !one_packet).map(|(timeout, v4, v6)| Persistence {
                timeout,
                netmask: if address.is_ipv4() { v4 } else { v6 },
            });
            VirtualService {
                id,
                scheduler,
                scheduler_flags,
                ring_size,
                one_packet,
                persistence,
                check,
                real_servers,
            }
        },
    )
}

fn scheduling() -> impl Strategy<Value = (Scheduler, SchedulerFlags, RingSize)> {
    let supported =
        |scheduler: &Scheduler| !matches!(scheduler, Scheduler::Twos | Scheduler::Lblc | Scheduler::Lblcr);
    let schedulers: Vec<_> = Scheduler::ALL.into_iter().filter(supported).collect();
    let sizes = prop::sample::select(&RingSize::PRIMES[..]);
    (prop::sample::select(schedulers), any::<[bool; 2]>(), sizes).prop_map(
        |(scheduler, [port, fallback], size)| {
            let flags = SchedulerFlags { port, fallback };
            let has_flags = matches!(scheduler, Scheduler::Sh | Scheduler::Mh);
            let has_size = matches!(scheduler, Scheduler::Mh | Scheduler::Maglev);
            let size = RingSize::new(size).filter(|_| has_size);
            (scheduler, if has_flags { flags } else { SchedulerFlags::default() }, size.unwrap_or_default())
        },
    )
}

/// A timeout, and a netmask of each family.
fn persistence() -> impl Strategy<Value = Option<(Duration, Netmask, Netmask)>> {
    let v4 = (1..=u32::MAX).prop_map(|mask| Netmask::V4(Ipv4Addr::from_bits(mask)));
    let timeout = (1..=31 * 86_400_u64).prop_map(Duration::from_secs);
    option::of((timeout, v4, (1..=128_u8).prop_map(Netmask::V6)))
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    prop_oneof![
        Just(Tunnel::Ipip),
        (1..=u16::MAX, any::<bool>()).prop_map(|(port, checksum)| Tunnel::Gue { port, checksum }),
        any::<bool>().prop_map(|checksum| Tunnel::Gre { checksum }),
    ]
}

/// A forward method and an address; a tunnel's end may be of the other family.
fn end(v6: bool) -> impl Strategy<Value = (ForwardMethod, IpAddr)> {
    prop_oneof![
        address(v6).prop_map(|address| (ForwardMethod::DirectRouting, address)),
        address(v6).prop_map(|address| (ForwardMethod::Local, address)),
        address(v6).prop_map(|address| (ForwardMethod::Masquerade, address)),
        (tunnel(), address(v6)).prop_map(|(tunnel, address)| (ForwardMethod::Tunnel(tunnel), address)),
        (tunnel(), address(!v6)).prop_map(|(tunnel, address)| (ForwardMethod::Tunnel(tunnel), address)),
    ]
}

fn real_server(v6: bool) -> impl Strategy<Value = RealServer> {
    let name = option::of(any::<String>().prop_map(|name| {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        if name.is_empty() { "web".to_owned() } else { name }
    }));
    (name, end(v6), 0..=WEIGHT_MAX, option::of(interface())).prop_map(
        |(name, (forward, address), weight, interface)| RealServer {
            name,
            address,
            port: 0,
            weight,
            forward,
            interface: interface.filter(|_| forward != ForwardMethod::Local),
        },
    )
}

fn check() -> impl Strategy<Value = Check> {
    (option::of(1..=u16::MAX), 100..=86_400_000_u64, 10..=86_400_000_u64, 1..=1_000_u32, 1..=1_000_u32)
        .prop_map(|(port, interval, timeout, rise, fall)| Check {
            kind: CheckKind::Tcp { port },
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout.min(interval)),
            rise,
            fall,
        })
}

fn interface() -> impl Strategy<Value = String> {
    "[a-zé][a-z0-9.@_-]{0,13}"
}

fn address(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 { v6_addresses().boxed() } else { v4_addresses().boxed() }
}

fn v4_addresses() -> impl Strategy<Value = IpAddr> {
    any::<u32>().prop_map(|bits| {
        let [_, b, c, d] = bits.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, b, c, d))
    })
}

fn v6_addresses() -> impl Strategy<Value = IpAddr> {
    any::<[u16; 7]>().prop_map(|[b, c, d, e, f, g, h]| IpAddr::V6(Ipv6Addr::new(0xfd00, b, c, d, e, f, g, h)))
}

fn distinct<T, K: Eq + Hash>(list: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    list.into_iter().filter(|item| seen.insert(key(item))).collect()
}

/// The model as a file.
fn written(model: &Model) -> String {
    let mut text = String::new();
    write_director(&mut text, &model.director);
    for class in &model.classes {
        write_class(&mut text, class);
    }
    for service in &model.services {
        write_service(&mut text, service);
    }
    text
}

fn write_director(text: &mut String, director: &Director) {
    let Director { interfaces, xdp_mode, metrics, peers, service_addresses, timeouts, connections, tables } =
        director;
    let xdp_mode = match xdp_mode {
        XdpMode::Auto => "auto",
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
    };
    let owner = match service_addresses {
        AddressOwner::Director => "director",
        AddressOwner::Operator => "operator",
    };
    let peers: Vec<_> = peers
        .iter()
        .map(|peer| match peer {
            Peer::Address(address) => address.to_string(),
            Peer::Mac(mac) => mac.map(|byte| format!("{byte:02x}")).join(":"),
        })
        .collect();
    // JSON's strings and arrays of strings are TOML's too.
    let json = |strings: &[String]| serde_json::to_string(strings).unwrap();
    writeln!(text, "[director]\ninterfaces = {}\nxdp_mode = '{xdp_mode}'", json(interfaces)).unwrap();
    writeln!(text, "peers = {}\nservice_addresses = '{owner}'", json(&peers)).unwrap();
    if let Some(metrics) = metrics {
        writeln!(text, "metrics = '{metrics}'").unwrap();
    }
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    writeln!(text, "[director.timeouts]\ntcp = {}\ntcp_fin = '{}s'", tcp.as_secs(), tcp_fin.as_secs())
        .unwrap();
    writeln!(text, "udp = '{}'", humantime::format_duration(*udp)).unwrap();
    let Connections {
        conn_reuse_mode,
        expire_nodest_conn,
        sloppy_tcp,
        sloppy_sctp,
        expire_quiescent_template,
    } = connections;
    writeln!(text, "[director.connections]\nconn_reuse_mode = {conn_reuse_mode}").unwrap();
    writeln!(text, "expire_nodest_conn = {expire_nodest_conn}\nsloppy_tcp = {sloppy_tcp}").unwrap();
    writeln!(text, "sloppy_sctp = {sloppy_sctp}").unwrap();
    writeln!(text, "expire_quiescent_template = {expire_quiescent_template}").unwrap();
    let TableSizes { flows, services, destinations, ring_slots, templates, class_addresses, class_rules } =
        tables;
    writeln!(text, "[tables]\nflows = {flows}\nservices = {services}").unwrap();
    writeln!(text, "destinations = {destinations}\nring_slots = {ring_slots}\ntemplates = {templates}")
        .unwrap();
    writeln!(text, "class_addresses = {class_addresses}\nclass_rules = {class_rules}").unwrap();
}

fn write_class(text: &mut String, class: &Class) {
    let Class { mark, addresses, protocol, ports, interface, sources, not_source_macs } = class;
    let list = |values: &[String]| serde_json::to_string(values).unwrap();
    let told =
        |values: Vec<String>| if values.len() == 1 { format!("'{}'", values[0]) } else { list(&values) };
    let addresses = told(addresses.iter().map(ToString::to_string).collect());
    writeln!(text, "[[class]]\nmark = {mark}\naddress = {addresses}").unwrap();
    if let Some(protocol) = protocol {
        writeln!(text, "protocol = '{}'", protocol_word(*protocol)).unwrap();
    }
    if let Some(name) = interface {
        writeln!(text, "interface = {}", serde_json::to_string(name).unwrap()).unwrap();
    }
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
    let macs: Vec<_> =
        not_source_macs.iter().map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")).collect();
    for (key, values) in [("ports", ports), ("source", sources), ("not_source_mac", macs)] {
        writeln!(text, "{key} = {}", list(&values)).unwrap();
    }
}

const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

fn write_service(text: &mut String, service: &VirtualService) {
    let VirtualService {
        id,
        scheduler,
        scheduler_flags,
        ring_size,
        one_packet,
        persistence,
        check,
        real_servers,
    } = service;
    writeln!(text, "[[virtual_service]]").unwrap();
    match *id {
        ServiceId::Address { protocol, address, port } => {
            writeln!(text, "protocol = '{}'", protocol_word(protocol)).unwrap();
            writeln!(text, "address = '{}'", SocketAddr::new(address, port)).unwrap();
        }
        ServiceId::Mark { mark, family } => {
            writeln!(text, "mark = {mark}").unwrap();
            if family == Family::V6 {
                writeln!(text, "family = 'ipv6'").unwrap();
            }
        }
    }
    let scheduler = scheduler.label();
    writeln!(text, "scheduler = '{scheduler}'").unwrap();
    let SchedulerFlags { port, fallback } = scheduler_flags;
    let flags = [(port, "port"), (fallback, "fallback")].into_iter().filter(|(is_set, _)| **is_set);
    let flags: Vec<_> = flags.map(|(_, flag)| format!("'{scheduler}-{flag}'")).collect();
    writeln!(text, "scheduler_flags = [{}]", flags.join(", ")).unwrap();
    if *one_packet {
        writeln!(text, "one_packet = true").unwrap();
    }
    if let Some(Persistence { timeout, netmask }) = persistence {
        writeln!(text, "persistent = '{}'", humantime::format_duration(*timeout)).unwrap();
        match netmask {
            Netmask::V4(mask) => writeln!(text, "netmask = '{mask}'").unwrap(),
            Netmask::V6(bits) => writeln!(text, "netmask = {bits}").unwrap(),
        }
    }
    if *ring_size != RingSize::default() {
        writeln!(text, "ring_size = {}", ring_size.slots()).unwrap();
    }
    if let Some(Check { kind: CheckKind::Tcp { port }, interval, timeout, rise, fall }) = check {
        writeln!(text, "[virtual_service.check]\ntype = 'tcp'\nrise = {rise}\nfall = {fall}").unwrap();
        writeln!(text, "interval = '{}ms'\ntimeout = '{}ms'", interval.as_millis(), timeout.as_millis())
            .unwrap();
        if let Some(port) = port {
            writeln!(text, "port = {port}").unwrap();
        }
    }
    for RealServer { name, address, port, weight, forward, interface } in real_servers {
        let (forward, tunnel) = match forward {
            ForwardMethod::DirectRouting => ("direct-routing", None),
            ForwardMethod::Local => ("local", None),
            ForwardMethod::Masquerade => ("masquerade", None),
            ForwardMethod::Tunnel(tunnel) => ("tunnel", Some(tunnel)),
        };
        let address = match port {
            0 => address.to_string(),
            port => SocketAddr::new(*address, *port).to_string(),
        };
        writeln!(text, "[[virtual_service.real_server]]\naddress = '{address}'\nweight = {weight}").unwrap();
        writeln!(text, "forward = '{forward}'").unwrap();
        match tunnel {
            None => {}
            Some(Tunnel::Ipip) => writeln!(text, "tunnel = {{ type = 'ipip' }}").unwrap(),
            Some(Tunnel::Gue { port, checksum }) => {
                writeln!(text, "tunnel = {{ type = 'gue', port = {port}, checksum = {checksum} }}").unwrap();
            }
            Some(Tunnel::Gre { checksum }) => {
                writeln!(text, "tunnel = {{ type = 'gre', checksum = {checksum} }}").unwrap();
            }
        }
        for (key, value) in [("name", name), ("interface", interface)] {
            if let Some(value) = value {
                writeln!(text, "{key} = {}", serde_json::to_string(value).unwrap()).unwrap();
            }
        }
    }
}

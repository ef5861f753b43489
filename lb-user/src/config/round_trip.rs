//! Any model that is allowed, written as a file, is read as the same model.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashSet,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use lb_common::wire::DESTINATION_MAX;
use proptest::{collection::vec, option, prelude::*};

use super::parse;
use crate::model::{
    AddressOwner, Check, CheckKind, Class, Connections, Director, ForwardMethod, Guard, Model, NEW_FLOWS_MAX,
    Netmask, Peer, Persistence, Ports, Prefix, Protocol, RealServer, RingSize, Scheduler, SchedulerFlags,
    ServiceId, THRESHOLD_MAX, TableSizes, Thresholds, Timeouts, Tunnel, VirtualService, WEIGHT_MAX, XdpMode,
};
use written::written;

mod written;

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
    let slots = 1_u32 << 20..=1_u32 << 26;
    let guards = (100..=1_u32 << 20, 1..=1_u32 << 20);
    (1_024..=15_000_000_u32, 6..=1_u32 << 16, 100..=DESTINATION_MAX, slots, guards).prop_map(
        |(flows, services, destinations, ring_slots, (sources, localities))| TableSizes {
            flows,
            services,
            destinations,
            ring_slots,
            templates: flows / 2 + 512,
            class_addresses: services.clamp(64, 1 << 16),
            class_rules: (services * 16).clamp(1_024, 1 << 20),
            sources,
            localities,
        },
    )
}

fn service() -> impl Strategy<Value = VirtualService> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let real_servers = |v6| vec(real_server(v6), 0..8);
    let ends = any::<bool>().prop_flat_map(move |v6| (address(v6), real_servers(v6), guard(v6)));
    // Some are for all ports, some for a mark.
    let port = prop_oneof![1 => Just(0), 4 => any::<u16>()];
    let mark = prop_oneof![2 => Just(0), 1 => 1..=u32::MAX];
    let kept = (persistence(), option::of(check()));
    (protocol, ends, (port, mark), scheduling(), kept).prop_map(
        |(protocol, (address, real_servers, guard), (port, mark), scheduling, (persistence, check))| {
            let (scheduler, scheduler_flags, ring_size) = scheduling;
            let mut real_servers = distinct(real_servers, |real_server| real_server.address);
            let mut names = HashSet::new();
            // The weights of wrr have to fit a ring.
            let has_thresholds = real_servers.iter().any(|real_server| real_server.thresholds.upper > 0);
            let heaviest = match scheduler {
                Scheduler::Wrr if has_thresholds => 500,
                Scheduler::Wrr => 10_000,
                _ => WEIGHT_MAX,
            };
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
                guard,
                check,
                real_servers,
            }
        },
    )
}

fn scheduling() -> impl Strategy<Value = (Scheduler, SchedulerFlags, RingSize)> {
    let supported = |scheduler: &Scheduler| !matches!(scheduler, Scheduler::Lblcr);
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

fn guard(v6: bool) -> impl Strategy<Value = Guard> {
    let most = if v6 { 128 } else { 32_u8 };
    let prefix = (address(v6), 0..=most).prop_map(move |(address, bits): (IpAddr, u8)| {
        let behind = u32::from(most - bits);
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
                IpAddr::from((v4.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
                IpAddr::from((v6.to_bits() & mask).to_be_bytes())
            }
        };
        Prefix { address, length: bits }
    });
    let new_flows_max = prop_oneof![Just(0), 1..=NEW_FLOWS_MAX];
    (new_flows_max, vec((prefix, any::<bool>()), 0..12)).prop_map(|(new_flows_max, prefixes)| {
        let (allow, deny): (Vec<_>, Vec<_>) =
            distinct(prefixes, |&(prefix, _)| prefix).into_iter().partition(|&(_, is_allowed)| is_allowed);
        let prefixes = |list: Vec<(Prefix, bool)>| list.into_iter().map(|(prefix, _)| prefix).collect();
        Guard { new_flows_max, allow: prefixes(allow), deny: prefixes(deny) }
    })
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
    let upper = prop_oneof![Just(0), 0..=THRESHOLD_MAX];
    let thresholds = upper
        .prop_flat_map(|upper| (Just(upper), 0..=upper))
        .prop_map(|(upper, lower)| Thresholds { upper, lower });
    (name, end(v6), 0..=WEIGHT_MAX, thresholds, option::of(interface())).prop_map(
        |(name, (forward, address), weight, thresholds, interface)| RealServer {
            name,
            address,
            port: 0,
            weight,
            thresholds,
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

//! A model as a file that means it. It refuses to know how a file is read.

use std::{fmt::Write as _, net::SocketAddr};

use crate::model::{
    AddressOwner, Check, CheckKind, Class, Connections, Director, Family, ForwardMethod, Guard, Model,
    Netmask, Peer, Persistence, Protocol, RealServer, RingSize, SchedulerFlags, ServiceId, TableSizes,
    Thresholds, Timeouts, Tunnel, VirtualService, XdpMode,
};

/// The model as a file.
pub(super) fn written(model: &Model) -> String {
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
    let TableSizes { flows, services, destinations, ring_slots, templates, .. } = tables;
    let TableSizes { class_addresses, class_rules, sources, localities, .. } = tables;
    writeln!(text, "[tables]\nflows = {flows}\nservices = {services}").unwrap();
    writeln!(text, "destinations = {destinations}\nring_slots = {ring_slots}\ntemplates = {templates}")
        .unwrap();
    writeln!(text, "class_addresses = {class_addresses}\nclass_rules = {class_rules}").unwrap();
    writeln!(text, "sources = {sources}\nlocalities = {localities}").unwrap();
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
        guard,
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
    let Guard { new_flows_max, allow, deny } = guard;
    if *new_flows_max > 0 {
        writeln!(text, "new_flows_max = {new_flows_max}").unwrap();
    }
    for (key, list) in [("allow", allow), ("deny", deny)] {
        let list: Vec<_> = list.iter().map(|prefix| format!("'{prefix}'")).collect();
        writeln!(text, "{key} = [{}]", list.join(", ")).unwrap();
    }
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
    for RealServer { name, address, port, weight, thresholds, forward, interface } in real_servers {
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
        let Thresholds { upper, lower } = thresholds;
        writeln!(text, "upper_threshold = {upper}\nlower_threshold = {lower}").unwrap();
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

//! Names, units and labels: from a snapshot to the text that Prometheus reads. Pure.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: prefix, base units, `_total` for counters.
//! It refuses to know HTTP.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use lb_common::Verdict;
use lb_common::wire::{Counters, Protocol, State};

use super::family::{Family, Kind, Labels, text};
use super::{RealServerSnapshot, ServiceSnapshot, Snapshot};
use crate::model::ServiceId;
use crate::plan::Health;

use Kind::{Counter, Gauge};

/// The metrics in Prometheus's text format, version 0.0.4.
pub fn encode(snapshot: &Snapshot) -> String {
    let mut families = real_servers(snapshot);
    families.extend(services(snapshot));
    families.extend(packets(snapshot));
    families.extend(flow_table(snapshot));
    families.extend(templates(snapshot));
    families.extend(tables(snapshot));
    families.extend(daemon(snapshot));
    text(families)
}

/// A metric of each real server, or of each service: kind, the name after `lb_real_server_` or
/// `lb_service_`, help, value.
type Column<T> = (Kind, &'static str, &'static str, fn(&T) -> f64);

const REAL_SERVER: [Column<RealServerSnapshot>; 10] = [
    (Counter, "packets_total", "Packets sent to the real server.", |it| it.counters.packets as f64),
    (
        Counter,
        "bytes_total",
        "Bytes sent to the real server, from the IP header on, as IPVS counts them.",
        |it| it.counters.bytes as f64,
    ),
    (Counter, "connections_total", "Connections scheduled to the real server.", |it| {
        it.counters.connections as f64
    }),
    (Counter, "dropped_packets_total", "Packets for the real server that were dropped.", |it| {
        it.counters.dropped as f64
    }),
    (
        Gauge,
        "active_connections",
        "Connections in SYN_RECV or ESTABLISHED that the real server holds: ipvsadm's ActiveConn.",
        |it| it.load.active().max(0).into(),
    ),
    (
        Gauge,
        "inactive_connections",
        "Connections in other states, UDP's among them, that the real server holds: ipvsadm's InActConn.",
        |it| it.load.inactive().max(0).into(),
    ),
    (
        Gauge,
        "persistent_connections",
        "Clients that are remembered for the real server, as the last sweep found them: ipvsadm's PersistConn.",
        |it| it.templates as f64,
    ),
    (Gauge, "up", "1: its check passes, or it has none. 0: its check fails, or has not decided yet.", |it| {
        f64::from(it.health == Health::Up)
    }),
    (Gauge, "weight", "Weight of the real server; 0 drains it.", |it| it.weight.into()),
    (
        Gauge,
        "resolved",
        "1: the Ethernet address of the real server is known, or it is this host. 0: packets for it are dropped.",
        |it| f64::from(it.resolved),
    ),
];

const SERVICE: [Column<ServiceSnapshot>; 7] = [
    (Counter, "packets_total", "Packets sent to the service's real servers.", |it| {
        sum_counters(it, |counters| counters.packets)
    }),
    (
        Counter,
        "bytes_total",
        "Bytes sent to the service's real servers, from the IP header on, as IPVS counts them.",
        |it| sum_counters(it, |counters| counters.bytes),
    ),
    (Counter, "connections_total", "Connections scheduled to the service's real servers.", |it| {
        sum_counters(it, |counters| counters.connections)
    }),
    (Counter, "dropped_packets_total", "Packets for the service's real servers that were dropped.", |it| {
        sum_counters(it, |counters| counters.dropped)
    }),
    (Gauge, "active_connections", "Connections in SYN_RECV or ESTABLISHED that the service holds.", |it| {
        sum(it, |server| server.load.active().max(0).into())
    }),
    (Gauge, "inactive_connections", "Connections in other states that the service holds.", |it| {
        sum(it, |server| server.load.inactive().max(0).into())
    }),
    (Gauge, "weight", "Sum of the weights of the service's real servers, up or down.", |it| {
        sum(it, |server| server.weight.into())
    }),
];

fn real_servers(snapshot: &Snapshot) -> Vec<Family> {
    let servers =
        || snapshot.services.iter().flat_map(|it| it.real_servers.iter().map(|server| (it.id, server)));
    let mut families: Vec<_> = REAL_SERVER
        .iter()
        .map(|(kind, name, help, value)| {
            Family::new(*kind, &format!("lb_real_server_{name}"), help).with_all(
                servers().map(|(service, server)| (real_server_labels(service, server), value(server))),
            )
        })
        .collect();
    let info =
        Family::new(Gauge, "lb_real_server_info", "Always 1; forward is the method as ipvsadm -L names it.");
    families.push(info.with_all(servers().map(|(service, server)| {
        let mut labels = real_server_labels(service, server);
        labels.push(("forward", server.forward.to_string()));
        (labels, 1.0)
    })));
    families
}

fn services(snapshot: &Snapshot) -> Vec<Family> {
    let mut families: Vec<_> = SERVICE
        .iter()
        .map(|(kind, name, help, value)| {
            Family::new(*kind, &format!("lb_service_{name}"), help)
                .with_all(snapshot.services.iter().map(|it| (service_labels(it.id), value(it))))
        })
        .collect();
    let by_health = Family::new(Gauge, "lb_service_real_servers", "Real servers of the service by health.");
    families.push(by_health.with_all(snapshot.services.iter().flat_map(|it| {
        let healths = [(Health::Up, "up"), (Health::Down, "down"), (Health::Unknown, "unknown")];
        healths.map(|(health, label)| {
            let mut labels = service_labels(it.id);
            labels.push(("health", label.to_owned()));
            (labels, it.real_servers.iter().filter(|server| server.health == health).count() as f64)
        })
    })));
    let info =
        Family::new(Gauge, "lb_service_info", "Always 1; scheduler is how the service picks real servers.");
    families.push(info.with_all(snapshot.services.iter().map(|it| {
        let mut labels = service_labels(it.id);
        labels.push(("scheduler", it.scheduler.label().to_owned()));
        (labels, 1.0)
    })));
    families
}

fn packets(snapshot: &Snapshot) -> Vec<Family> {
    let help = "Packets by what became of them and why, since the tables were made.";
    let samples = Verdict::ALL.iter().map(|verdict| {
        let labels =
            vec![("action", verdict.action().label().to_owned()), ("reason", verdict.label().to_owned())];
        (labels, snapshot.verdicts.get(verdict.index()).copied().unwrap_or(0) as f64)
    });
    vec![Family::new(Counter, "lb_packets_total", help).with_all(samples)]
}

fn flow_table(snapshot: &Snapshot) -> Vec<Family> {
    let flows = &snapshot.flows;
    let mut families = vec![
        Family::new(Gauge, "lb_flow_table_slots", "Entries that the flow table has room for.")
            .with(vec![], flows.slots as f64),
        Family::new(
            Counter,
            "lb_flow_table_evictions_total",
            "Entries of the flow table that gave way to another flow, by their state.",
        )
        .with_all(by_state(&snapshot.evictions)),
        Family::new(
            Counter,
            "lb_flow_table_expirations_total",
            "Entries of the flow table that were ended because they were idle for longer than their timeout.",
        )
        .with(vec![], flows.expired as f64),
    ];
    if let Some(sweep) = &flows.sweep {
        families.extend([
            Family::new(
                Gauge,
                "lb_flow_table_entries",
                "Live entries of the flow table by state, as the last sweep found them.",
            )
            .with_all(by_state(&sweep.states)),
            Family::new(
                Gauge,
                "lb_flow_table_last_sweep_timestamp_seconds",
                "When the last sweep of the flow table ended, in seconds since 1970.",
            )
            .with(vec![], since_1970(sweep.ended)),
            Family::new(
                Gauge,
                "lb_flow_table_last_sweep_duration_seconds",
                "How long the last sweep of the flow table took.",
            )
            .with(vec![], sweep.duration.as_secs_f64()),
        ]);
    }
    families
}

/// Templates of persistence: entries of the flow table, too, but no connections.
const TEMPLATES: [(State, &str); 2] = [(State::Template, "false"), (State::TemplateHeld, "true")];

fn templates(snapshot: &Snapshot) -> Vec<Family> {
    let evicted: u64 = TEMPLATES.iter().map(|(state, _)| snapshot.evictions[*state as usize]).sum();
    let mut families = vec![
        Family::new(
            Counter,
            "lb_template_evictions_total",
            "Clients of persistent services that were forgotten to make room for others.",
        )
        .with(vec![], evicted as f64),
        Family::new(
            Counter,
            "lb_connections_without_template_total",
            "Connections to persistent services whose client is not remembered: there was no room.",
        )
        .with(vec![], snapshot.without_template as f64),
    ];
    if let Some(sweep) = &snapshot.flows.sweep {
        let help = "Clients that persistent services remember, as the last sweep found them; held: one of the \
                    client's connections was established, and no other client displaces it.";
        families.push(
            Family::new(Gauge, "lb_templates", help).with_all(
                TEMPLATES.map(|(state, held)| {
                    (vec![("held", held.to_owned())], sweep.states[state as usize] as f64)
                }),
            ),
        );
    }
    families
}

fn tables(snapshot: &Snapshot) -> Vec<Family> {
    let tables = &snapshot.tables;
    let fills = [
        ("services", tables.services),
        ("destinations", tables.destinations),
        ("ring_slots", tables.ring_slots),
        ("templates", tables.templates),
        ("class_addresses", tables.class_addresses),
        ("class_rules", tables.class_rules),
        ("sources", tables.sources),
        ("localities", tables.localities),
    ];
    let labels = |table: &str| vec![("table", table.to_owned())];
    vec![
        Family::new(
            Gauge,
            "lb_table_entries",
            "Entries in use of the table that [tables] in the config names.",
        )
        .with_all(fills.map(|(table, fill)| (labels(table), fill.used as f64))),
        Family::new(
            Gauge,
            "lb_table_capacity_entries",
            "Entries that the table has room for; [tables] in the config sets it.",
        )
        .with_all(fills.map(|(table, fill)| (labels(table), fill.size as f64))),
    ]
}

fn daemon(snapshot: &Snapshot) -> Vec<Family> {
    let daemon = &snapshot.daemon;
    let result = |label: &str| vec![("result", label.to_owned())];
    vec![
        Family::new(Gauge, "lb_checks", "Checks of real servers that run.")
            .with(vec![], snapshot.checks as f64),
        Family::new(
            Gauge,
            "lb_interface_attached",
            "1: the XDP program is attached to the interface in this mode. 0: it is not attached.",
        )
        .with_all(snapshot.interfaces.iter().map(|it| {
            let mode = it.xdp_mode.unwrap_or("none").to_owned();
            let labels = vec![("interface", it.name.clone()), ("mode", mode)];
            (labels, f64::from(it.xdp_mode.is_some()))
        })),
        Family::new(Counter, "lb_config_reloads_total", "Reloads of the config, taken up or refused.")
            .with(result("ok"), daemon.reloads_ok as f64)
            .with(result("failed"), daemon.reloads_failed as f64),
        Family::new(
            Gauge,
            "lb_config_last_reload_success_timestamp_seconds",
            "When a config was taken up last, at the start or by a reload, in seconds since 1970.",
        )
        .with(vec![], since_1970(daemon.loaded)),
        Family::new(Gauge, "lb_build_info", "Always 1; version is this program's.")
            .with(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0),
        // The name that every client library gives it.
        Family::new(Gauge, "process_start_time_seconds", "When the daemon started, in seconds since 1970.")
            .with(vec![], since_1970(daemon.started)),
    ]
}

fn service_labels(id: ServiceId) -> Labels {
    let (service, protocol) = match id {
        ServiceId::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
                Protocol::Sctp => "sctp",
            };
            (SocketAddr::new(address, port).to_string(), protocol)
        }
        ServiceId::Mark { .. } => (id.to_string(), "fwm"),
    };
    vec![("service", service), ("protocol", protocol.to_owned())]
}

fn real_server_labels(service: ServiceId, server: &RealServerSnapshot) -> Labels {
    let mut labels = service_labels(service);
    labels.push(("real_server", SocketAddr::new(server.address, server.port).to_string()));
    // To Prometheus an empty label is none.
    labels.extend(server.name.clone().map(|name| ("name", name)));
    labels
}

fn by_state(counts: &[u64; State::NUMBERS]) -> impl Iterator<Item = (Labels, f64)> {
    let states = State::ALL.iter().filter(|state| TEMPLATES.iter().all(|(template, _)| template != *state));
    states.map(|&state| (vec![("state", state.label().to_owned())], counts[state as usize] as f64))
}

fn sum(service: &ServiceSnapshot, of: impl Fn(&RealServerSnapshot) -> f64) -> f64 {
    service.real_servers.iter().map(of).sum()
}

fn sum_counters(service: &ServiceSnapshot, of: impl Fn(&Counters) -> u64) -> f64 {
    let present: u64 = service.real_servers.iter().map(|server| of(&server.counters)).sum();
    (present + of(&service.departed)) as f64
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

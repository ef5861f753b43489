//! `[director]` and `[tables]`.

use std::{collections::HashMap, fmt::Display, hash::Hash, time::Duration};

use lb_common::wire::{DESTINATION_MAX, Options, PEERS_MAX};
use toml::Spanned;

use super::{Report, within};
use crate::{
    config::{
        address,
        duration::Limits,
        error::Problem,
        raw::{RawConnections, RawDirector, RawTables, RawTimeouts},
        words::{SERVICE_ADDRESSES, XDP_MODE},
    },
    model::{Connections, Director, TableSizes, Timeouts},
};

/// ipvsadm(8), `--set`: seconds, and the kernel refuses more than 31 days.
const TIMEOUT: Limits =
    Limits { range: Duration::from_secs(1)..=Duration::from_secs(31 * 86_400), told: "1 s to 31 days" };

pub(super) fn director(raw: &RawDirector, tables: &RawTables, report: &mut Report<'_>) -> Director {
    let defaults = Director::default();
    if let Some(one_more) = raw.peers.get(PEERS_MAX as usize) {
        report.refuse(one_more, Problem::TooManyPeers);
    }
    Director {
        interfaces: distinct(&raw.interfaces, "the interface", address::interface, report),
        xdp_mode: report.accept_or(raw.xdp_mode.as_ref(), defaults.xdp_mode, |word| XDP_MODE.read(word)),
        metrics: report
            .accept_or(raw.metrics.as_ref(), defaults.metrics, |text| address::listener(text).map(Some)),
        peers: distinct(&raw.peers, "the peer", address::peer, report),
        service_addresses: report.accept_or(
            raw.service_addresses.as_ref(),
            defaults.service_addresses,
            |word| SERVICE_ADDRESSES.read(word),
        ),
        timeouts: timeouts(&raw.timeouts, report),
        connections: connections(&raw.connections, report),
        tables: table_sizes(tables, report),
    }
}

/// A list that names nothing twice.
pub(super) fn distinct<T: Clone + Eq + Hash>(
    list: &[Spanned<String>],
    what: impl Display,
    read: impl Fn(&str) -> Result<T, Problem>,
    report: &mut Report<'_>,
) -> Vec<T> {
    let mut firsts = HashMap::new();
    let mut values = Vec::new();
    for at in list {
        let Some(value) = report.accept(at, |text| read(text)) else { continue };
        if let Some(first) = firsts.insert(value.clone(), at) {
            let what = format!("{what} {}", at.get_ref());
            report.refuse(at, Problem::Duplicate { what, line: report.line(first) });
        }
        values.push(value);
    }
    values
}

fn timeouts(raw: &RawTimeouts, report: &mut Report<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    Timeouts {
        tcp: report.accept_or(raw.tcp.as_ref(), defaults.tcp, |raw| raw.whole_seconds_within(&TIMEOUT)),
        tcp_fin: report
            .accept_or(raw.tcp_fin.as_ref(), defaults.tcp_fin, |raw| raw.whole_seconds_within(&TIMEOUT)),
        udp: report.accept_or(raw.udp.as_ref(), defaults.udp, |raw| raw.whole_seconds_within(&TIMEOUT)),
    }
}

fn connections(raw: &RawConnections, report: &mut Report<'_>) -> Connections {
    let defaults = Connections::default();
    let is_set = |at: &Option<Spanned<bool>>, default| at.as_ref().map_or(default, |at| *at.get_ref());
    Connections {
        conn_reuse_mode: report.accept_or(raw.conn_reuse_mode.as_ref(), defaults.conn_reuse_mode, |&mode| {
            within(mode, &(0..=Options::REUSE_MAX))
        }),
        expire_nodest_conn: is_set(&raw.expire_nodest_conn, defaults.expire_nodest_conn),
        sloppy_tcp: is_set(&raw.sloppy_tcp, defaults.sloppy_tcp),
        sloppy_sctp: is_set(&raw.sloppy_sctp, defaults.sloppy_sctp),
        expire_quiescent_template: is_set(&raw.expire_quiescent_template, defaults.expire_quiescent_template),
    }
}

fn table_sizes(raw: &RawTables, report: &mut Report<'_>) -> TableSizes {
    let defaults = TableSizes::default();
    let mut size =
        |at: Option<&Spanned<i64>>, default, range| report.accept_or(at, default, |&n| within(n, &range));
    TableSizes {
        flows: size(raw.flows.as_ref(), defaults.flows, 1 << 10..=15_000_000),
        services: size(raw.services.as_ref(), defaults.services, 1..=1 << 16),
        destinations: size(raw.destinations.as_ref(), defaults.destinations, 1..=DESTINATION_MAX),
        class_addresses: size(raw.class_addresses.as_ref(), defaults.class_addresses, 1..=1 << 16),
        class_rules: size(raw.class_rules.as_ref(), defaults.class_rules, 1..=1 << 20),
        ring_slots: size(raw.ring_slots.as_ref(), defaults.ring_slots, 1..=1 << 26),
        templates: size(raw.templates.as_ref(), defaults.templates, 1 << 10..=15_000_000),
        sources: size(raw.sources.as_ref(), defaults.sources, 1..=1 << 20),
        localities: size(raw.localities.as_ref(), defaults.localities, 1..=1 << 20),
    }
}

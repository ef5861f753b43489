//! Rules of classes, and the addresses that are services' by them.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::director::Tables as _;
use lb_common::wire::{Family, Rule, RuleSpan, ServiceKey, admission_bit_v4};
use lb_user::dataplane::{Change, Dataplane as _, MemoryDataplane};
use lb_user::model::Scheduler;
use lb_user::plan::{Health, Wanted, WantedDestination, WantedService, plan};
use proptest::prelude::*;

use super::{bring, key, server, tables, wanted};

/// The service of a mark, with one real server.
pub(super) fn marked(mark: u32) -> WantedService {
    let key = ServiceKey::of_mark(mark, Family::V4);
    let mut server = server(1, 11, 1, Health::Up, true);
    (server.destination.service, server.destination.port) = (key, [0; 2]);
    WantedService::new(key, Scheduler::Rr, vec![WantedDestination { ..server }])
}

/// A rule that is told from others by its port.
fn rule(mark: u32, port: u16) -> Rule {
    Rule { mark, ports: [port, port], ..Rule::ANY }
}

/// Rules by the last byte of the address.
pub(super) fn with_rules(wanted: Wanted, rules: &[(u8, &[(u32, u16)])]) -> Wanted {
    let of = |rules: &[(u32, u16)]| rules.iter().map(|&(mark, port)| rule(mark, port)).collect();
    let rules = rules.iter().map(|&(address, rules)| (key(address).address_only(), of(rules)));
    Wanted { rules: rules.collect(), ..wanted }
}

pub(super) fn any_rules() -> impl Strategy<Value = Vec<(u8, Vec<(u32, u16)>)>> {
    let rules = proptest::collection::vec((1..5_u32, 0..3_u16), 0..3);
    proptest::collection::btree_map(1..6_u8, rules, 0..4).prop_map(|map| map.into_iter().collect())
}

/// What a packet relies on: who is admitted is known, and finds the old rules of its address or the new ones.
pub(super) fn every_address_has_its_old_rules_or_its_new_ones(
    dataplane: &MemoryDataplane,
    before: &BTreeMap<ServiceKey, Vec<Rule>>,
    wanted: &Wanted,
) {
    for (key, address) in &dataplane.held().unwrap().addresses {
        let none = Vec::new();
        let [before, after] = [before, &wanted.rules].map(|rules| rules.get(key).unwrap_or(&none));
        assert!(
            [before, after].contains(&&address.rules),
            "{:?}, not {before:?} or {after:?}",
            address.rules
        );
        let is_looked_for = dataplane.tables.settings.has_rules != 0;
        assert!(is_looked_for || address.rules.is_empty(), "rules that nobody looks for");
    }
}

fn is_admitted(dataplane: &MemoryDataplane, address: u8) -> bool {
    let tables = &&dataplane.tables;
    let key = key(address).address_only();
    let is_admitted = tables.admits(admission_bit_v4(u32::from_ne_bytes([10, 0, 0, address])));
    assert_eq!(is_admitted, tables.is_service_address(&key));
    is_admitted
}

#[test]
fn an_address_is_a_services_by_a_mark_that_has_one() {
    let mut dataplane = tables();
    let rules: &[(u8, &[(u32, u16)])] = &[(50, &[(7, 80)]), (51, &[(8, 80), (7, 81)]), (52, &[(8, 80)])];
    bring(&mut dataplane, &with_rules(wanted(vec![marked(7)]), rules));
    assert_eq!([50, 51, 52].map(|address| is_admitted(&dataplane, address)), [true, true, false]);
    // The service of the mark goes, and one of an address comes.
    let own = WantedService::new(key(52), Scheduler::Rr, Vec::new());
    bring(&mut dataplane, &with_rules(wanted(vec![own]), rules));
    assert_eq!([50, 51, 52].map(|address| is_admitted(&dataplane, address)), [false, false, true]);
    let held = dataplane.held().unwrap();
    assert_eq!(held.addresses[&key(52).address_only()].rules, [rule(8, 80)]);
    bring(&mut dataplane, &wanted(Vec::new()));
    assert_eq!(dataplane.held().unwrap().addresses.len(), 0);
    assert_eq!(dataplane.tables.settings.has_rules, 0);
}

#[test]
fn keys_come_before_rules_and_rules_before_addresses_and_away_the_other_way_round() {
    let mut dataplane = tables();
    let to = |mark| with_rules(wanted(vec![marked(mark)]), &[(50, &[(mark, 80)])]);
    let places = |changes: &[Change]| {
        let place = |is: fn(&Change) -> bool| changes.iter().position(is);
        [
            place(|change| matches!(change, Change::AddKey(..))),
            place(|change| matches!(change, Change::WriteRules { .. })),
            place(|change| matches!(change, Change::PublishRules { .. })),
            place(|change| matches!(change, Change::RemoveKey(_))),
            place(|change| matches!(change, Change::SetAddresses(_))),
            place(|change| matches!(change, Change::SetAdmission(_))),
        ]
    };
    let new = places(&bring(&mut dataplane, &to(7)));
    assert!(new[3].is_none() && new.iter().flatten().is_sorted(), "{new:?}");
    let other = places(&bring(&mut dataplane, &to(8)));
    assert!(other[..4].iter().all(Option::is_some) && other.iter().flatten().is_sorted(), "{other:?}");
    assert_eq!(other[4..], [None, None], "the address stays");
}

#[test]
fn what_is_replaced_is_not_overwritten() {
    let mut dataplane = tables();
    let to = |port| with_rules(wanted(vec![marked(7)]), &[(50, &[(7, port), (7, 9)])]);
    bring(&mut dataplane, &to(80));
    let mut before = dataplane.held().unwrap().addresses[&key(50).address_only()].span;
    for port in 81..90 {
        let changes = bring(&mut dataplane, &to(port));
        let [Change::WriteRules { first, .. }, Change::PublishRules { rules, .. }] = changes.as_slice()
        else {
            panic!("{changes:?}");
        };
        assert!(*first >= before.first + before.rules || *first + 2 <= before.first, "{first} in {before:?}");
        before = *rules;
    }
}

#[test]
fn addresses_with_the_same_rules_share_them() {
    let mut dataplane = tables();
    let rules: &[(u32, u16)] = &[(7, 80), (7, 81), (7, 82), (7, 83), (7, 84)];
    let all: Vec<_> = (50..56).map(|address| (address, rules)).collect();
    let changes = bring(&mut dataplane, &with_rules(wanted(vec![marked(7)]), &all));
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::WriteRules { .. })).count(), 1);
    // One more finds them there.
    let all: Vec<_> = (50..57).map(|address| (address, rules)).collect();
    let changes = bring(&mut dataplane, &with_rules(wanted(vec![marked(7)]), &all));
    assert!(!changes.iter().any(|change| matches!(change, Change::WriteRules { .. })), "{changes:?}");
    let spans: BTreeSet<RuleSpan> =
        dataplane.held().unwrap().addresses.values().map(|address| address.span).collect();
    assert_eq!(spans.len(), 1);
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_planned() {
    let dataplane = tables();
    let held = dataplane.held().unwrap();
    let full = |rules: &[(u8, &[(u32, u16)])]| {
        let full = plan(&held, &with_rules(wanted(vec![marked(7)]), rules), |_| 0).unwrap_err();
        (full.table, full.room)
    };
    let many: Vec<_> = (0..17).map(|port| (7, port)).collect();
    assert_eq!(full(&[(50, &many)]), ("class_rules", 16));
    // Eight of services and eight of classes.
    let addresses: Vec<(u8, &[(u32, u16)])> = (0..17).map(|address| (address, &[(7, 1)][..])).collect();
    assert_eq!(full(&addresses), ("class_addresses", 8));
}

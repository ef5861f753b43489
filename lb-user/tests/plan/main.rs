//! The plan, carried out on tables in memory: whatever is wanted is held afterwards, and no step shows a half state.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod choices;
mod classes;
mod rings;

use std::collections::{BTreeMap, BTreeSet};

use lb_common::sched::Shape;
use lb_common::wire::{
    Clock, DESTINATION_DOWN, DESTINATION_REMOVED, Destination, FORWARD_DIRECT, Family, Options, Prefix,
    Protocol, Seed, ServiceKey, Timeouts,
};
use lb_user::dataplane::{Change, Dataplane as _, Held, MemoryDataplane, Sizes};
use lb_user::model::{RingSize, Scheduler, SchedulerFlags, TableSizes};
use lb_user::plan::{Health, Wanted, WantedDestination, WantedService, free, plan};
use proptest::prelude::*;

fn key(service: u8) -> ServiceKey {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[10, 0, 0, service]);
    ServiceKey {
        address,
        port: 80_u16.to_be_bytes(),
        protocol: Protocol::Tcp as u8,
        family: Family::V4 as u8,
        reserved: [0; 4],
    }
}

fn server(service: u8, host: u8, weight: u32, health: Health, is_resolved: bool) -> WantedDestination {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[10, 0, 1, host]);
    let ethernet = if is_resolved { [2, 0, 0, 0, 0, host, 2, 0, 0, 0, 0, 1] } else { [0; 12] };
    let destination = Destination {
        ethernet,
        interface: 3,
        address,
        service: key(service),
        weight,
        port: 80_u16.to_be_bytes(),
        forward: FORWARD_DIRECT,
        mtu: 1_500,
        ..bytemuck::Zeroable::zeroed()
    };
    WantedDestination { destination, health }
}

fn wanted(services: Vec<WantedService>) -> Wanted {
    Wanted {
        services,
        rules: BTreeMap::new(),
        peers: BTreeSet::new(),
        interfaces: BTreeSet::from([3]),
        timeouts: Timeouts::new(900, 120, 300, Clock::new(250)),
        options: Options::DEFAULT,
    }
}

fn rr(service: u8, destinations: Vec<WantedDestination>) -> WantedService {
    WantedService::new(key(service), Scheduler::Rr, destinations)
}

/// A key of the flow hash: odd numbers without pattern.
const SEED: Seed = [
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
];

fn tables() -> MemoryDataplane {
    let sizes = TableSizes {
        flows: 1024,
        services: 8,
        class_addresses: 8,
        class_rules: 16,
        destinations: 64,
        ring_slots: 4096,
        templates: 1_024,
        sources: 64,
        localities: 8,
    };
    MemoryDataplane::new(
        Sizes::of(&sizes, 1, SEED, Timeouts::new(900, 120, 300, Clock::new(250)), Clock::new(250)).settings(),
    )
}

/// Plans and carries out, checking each step; returns the changes.
fn bring(dataplane: &mut MemoryDataplane, wanted: &Wanted) -> Vec<Change> {
    let held = dataplane.held().unwrap();
    let changes = plan(&held, wanted, |service| dataplane.picks(service)).unwrap();
    let rules = held.addresses.iter().map(|(key, address)| (*key, address.rules.clone())).collect();
    let mut followed = held;
    let mut lists = vec![lists_of(&followed)];
    for change in &changes {
        dataplane.apply(change).unwrap();
        every_key_leads_to_destinations(&dataplane.held().unwrap());
        classes::every_address_has_its_old_rules_or_its_new_ones(dataplane, &rules, wanted);
        lists.push(lists_of(&dataplane.held().unwrap()));
    }
    every_list_is_the_old_or_the_new_one(&lists);
    followed.follow(&changes);
    let held = dataplane.held().unwrap();
    assert_eq!(followed.services, held.services);
    assert_eq!(followed.destinations, held.destinations);
    assert_eq!(followed.addresses, held.addresses);
    assert_eq!(followed.settings, held.settings);
    assert_eq!(followed.lists, held.lists);
    changes
}

/// What each service's list says, if it has one.
fn lists_of(held: &Held) -> BTreeMap<ServiceKey, Option<BTreeMap<Prefix, bool>>> {
    held.services.values().map(|service| (service.key, held.lists.get(&service.list).cloned())).collect()
}

/// No packet meets a list that is half written, or half taken away.
fn every_list_is_the_old_or_the_new_one(steps: &[BTreeMap<ServiceKey, Option<BTreeMap<Prefix, bool>>>]) {
    let (first, last) = (&steps[0], &steps[steps.len() - 1]);
    for (key, list) in steps.iter().flatten() {
        let allowed = [first.get(key), last.get(key)];
        assert!(allowed.contains(&Some(list)), "{key:?} {list:?}, before and after {allowed:?}");
    }
}

/// What a packet relies on: a known service has a ring of destinations that have records.
fn every_key_leads_to_destinations(held: &Held) {
    for service in held.services.values() {
        assert_ne!(service.key.family, 0, "a key to a service that is not written");
        let scheduler = Scheduler::from_number(service.scheduler).expect("a scheduler that there is");
        let holes = scheduler.shape() == Shape::HashRing;
        for number in service.ring.iter().filter(|&&number| number != 0 || !holes) {
            let destination =
                held.destinations.get(number).expect("a ring names a destination that is not there");
            assert_eq!(
                destination.destination.service, service.key,
                "a ring names another service's destination"
            );
        }
    }
}

/// The last byte of the address of whoever has a slot; 0: nobody.
fn ring_hosts(dataplane: &MemoryDataplane, service: u8) -> Vec<u8> {
    let held = dataplane.held().unwrap();
    let service = held.services.values().find(|held| held.key == key(service)).unwrap();
    let host = |number: &u32| match number {
        0 => 0,
        number => held.destinations[number].destination.address[3],
    };
    service.ring.iter().map(host).collect()
}

#[test]
fn the_last_real_server_of_the_file_comes_first() {
    let mut dataplane = tables();
    let up = |host| server(1, host, 1, Health::Up, true);
    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(11), up(12), up(13)])]));
    assert_eq!(ring_hosts(&dataplane, 1), [13, 12, 11]);
}

#[test]
fn who_is_down_unknown_drained_or_unresolved_gets_nothing_new() {
    let mut dataplane = tables();
    bring(
        &mut dataplane,
        &wanted(vec![rr(
            1,
            vec![
                server(1, 11, 1, Health::Down, true),
                server(1, 12, 1, Health::Unknown, true),
                server(1, 13, 0, Health::Up, true),
                server(1, 14, 1, Health::Up, false),
                server(1, 15, 1, Health::Up, true),
            ],
        )]),
    );
    assert_eq!(ring_hosts(&dataplane, 1), [15]);
    let held = dataplane.held().unwrap();
    let down: Vec<_> =
        held.destinations.values().filter(|held| held.head.flags & DESTINATION_DOWN != 0).collect();
    assert_eq!(down.len(), 1);
}

#[test]
fn nothing_wanted_anew_is_nothing_changed() {
    let mut dataplane = tables();
    let all = wanted(vec![rr(1, vec![server(1, 11, 1, Health::Up, true)])]);
    assert!(!bring(&mut dataplane, &all).is_empty());
    assert_eq!(bring(&mut dataplane, &all), []);
}

#[test]
fn options_of_connections_change_alone_and_by_one_word() {
    let mut dataplane = tables();
    let before = wanted(vec![rr(1, vec![server(1, 11, 1, Health::Up, true)])]);
    bring(&mut dataplane, &before);
    let options = Options::new(0, false, true, true);
    let after = Wanted { options, ..before };
    assert_eq!(bring(&mut dataplane, &after), [Change::SetOptions(options)]);
    assert_eq!(bring(&mut dataplane, &after), []);
}

#[test]
fn one_more_real_server_changes_its_service_only() {
    let mut dataplane = tables();
    let up = |service, host| server(service, host, 1, Health::Up, true);
    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(1, 11)]), rr(2, vec![up(2, 11)])]));
    let changes =
        bring(&mut dataplane, &wanted(vec![rr(1, vec![up(1, 11), up(1, 12)]), rr(2, vec![up(2, 11)])]));
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(matches!(changes[0], Change::PutDestination { is_new: true, .. }));
    assert!(matches!(changes[1], Change::WriteRing { .. }));
    assert!(matches!(changes[2], Change::PublishRing { .. }));
}

#[test]
fn a_destination_keeps_its_number_until_nothing_names_it() {
    let mut dataplane = tables();
    let up = |host| server(1, host, 1, Health::Up, true);
    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(11), up(12)])]));
    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(12)])]));
    let held = dataplane.held().unwrap();
    let (&gone, removed) =
        held.destinations.iter().find(|(_, held)| held.destination.address[3] == 11).unwrap();
    assert_eq!(removed.head.flags & DESTINATION_REMOVED, DESTINATION_REMOVED);
    assert_eq!(free(&held, |_| true), [], "a connection names it");

    // Adding it back revives it, under the number that its connections carry.
    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(12), up(11)])]));
    assert_eq!(dataplane.held().unwrap().destinations[&gone].head.flags, 0);

    bring(&mut dataplane, &wanted(vec![rr(1, vec![up(12)])]));
    assert_eq!(free(&dataplane.held().unwrap(), |_| false), [Change::FreeDestination(gone)]);
}

#[test]
fn a_new_record_never_overwrites_the_one_in_use() {
    let mut dataplane = tables();
    let mut one = server(1, 11, 1, Health::Up, true);
    bring(&mut dataplane, &wanted(vec![rr(1, vec![one])]));
    for host in 20..30 {
        one.destination.ethernet[5] = host;
        let before = *dataplane.held().unwrap().destinations.values().next().unwrap();
        let changes = bring(&mut dataplane, &wanted(vec![rr(1, vec![one])]));
        let [Change::PutDestination { head, .. }] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_ne!(head.record, before.head.record);
    }
}

#[test]
fn a_table_that_is_too_small_is_named_and_nothing_is_planned() {
    let dataplane = tables();
    let many = (1..=9).map(|service| rr(service, vec![server(service, 11, 1, Health::Up, true)])).collect();
    let full = plan(&dataplane.held().unwrap(), &wanted(many), |_| 0).unwrap_err();
    assert_eq!((full.table, full.room), ("services", 8));
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Up), Just(Health::Up), Just(Health::Down), Just(Health::Unknown)]
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let servers = proptest::collection::btree_map(11..19_u8, (0..5_u32, health(), any::<bool>()), 0..6);
    let how = (prop::sample::select(&Scheduler::ALL[..]), any::<[bool; 2]>());
    let prefix = (1..4_u8, 1..=4_u8).prop_map(|(network, bits)| {
        let mut address = [0; 16];
        address[0] = network << 4 & (0xff << (8 - bits));
        Prefix { is_v6: false, bits, address }
    });
    let guard = (0..3_u32, proptest::collection::btree_map(prefix, any::<bool>(), 0..4));
    let services = proptest::collection::btree_map(1..6_u8, (how, servers, guard), 0..5);
    let marks = proptest::collection::btree_set(1..4_u32, 0..3);
    (services, marks, classes::any_rules()).prop_map(|(services, marks, rules)| {
        let services = services.into_iter().map(
            |(service, ((scheduler, [port, fallback]), servers, (new_flows, sources)))| {
                let servers = servers.into_iter().map(|(host, (weight, health, is_resolved))| {
                    server(service, host, weight, health, is_resolved)
                });
                WantedService {
                    flags: SchedulerFlags { port, fallback },
                    ring_size: RingSize::new(251).unwrap(),
                    new_flows,
                    sources,
                    ..WantedService::new(key(service), scheduler, servers.collect())
                }
            },
        );
        let marked = marks.into_iter().map(classes::marked);
        let rules: Vec<_> = rules.iter().map(|(address, rules)| (*address, rules.as_slice())).collect();
        classes::with_rules(wanted(services.chain(marked).collect()), &rules)
    })
}

proptest! {
    #[test]
    fn whatever_is_wanted_is_held_in_the_end(steps in proptest::collection::vec(any_wanted(), 1..12)) {
        let mut dataplane = tables();
        for wanted in &steps {
            bring(&mut dataplane, wanted);
            prop_assert_eq!(bring(&mut dataplane, wanted), vec![]);
            let held = dataplane.held().unwrap();
            prop_assert_eq!(held.services.len(), wanted.services.len());
            // Not always: what is no longer named may still be there when it is needed again.
            if wanted.services.len() % 2 == 0 {
                for change in free(&held, |_| false) {
                    dataplane.apply(&change).unwrap();
                }
                let held = dataplane.held().unwrap();
                let named: BTreeSet<_> = held.services.values().map(|service| service.list).collect();
                prop_assert!(held.lists.keys().all(|list| named.contains(list)));
            }
            for service in held.services.values() {
                let of = wanted.services.iter().find(|wanted| wanted.key == service.key).unwrap();
                prop_assert_eq!(service.new_flows, of.new_flows);
                let list = held.lists.get(&service.list).cloned().unwrap_or_default();
                let nobody = Prefix { is_v6: false, bits: 0, address: [0; 16] };
                let others = of.sources.values().any(|&is_allowed| is_allowed).then_some((nobody, false));
                prop_assert_eq!(list, of.sources.clone().into_iter().chain(others).collect::<BTreeMap<_, _>>());
            }
        }
    }
}

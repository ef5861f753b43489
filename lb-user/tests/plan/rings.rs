//! The ring that each scheduler gets, and what of it stays when real servers come to drain or fail.

use lb_common::sched::{Member, maglev, mh};
use lb_common::wire::{FORWARD_TUNNEL, Family, OuterHeader, SERVICE_FALLBACK, SERVICE_PORT, Service};
use lb_user::dataplane::{Change, Dataplane as _, MemoryDataplane};
use lb_user::model::{RingSize, Scheduler, SchedulerFlags};
use lb_user::plan::{Health, MAGLEV_SEED, WantedDestination, WantedService};

use super::{bring, key, ring_hosts, server, tables, wanted};

fn size() -> RingSize {
    RingSize::new(251).unwrap()
}

/// Real servers 11, 12 and so on with these weights, all up.
fn up(weights: &[u32]) -> Vec<WantedDestination> {
    (11..).zip(weights).map(|(host, &weight)| server(1, host, weight, Health::Up, true)).collect()
}

fn service(scheduler: Scheduler, destinations: Vec<WantedDestination>) -> WantedService {
    WantedService { ring_size: size(), ..WantedService::new(key(1), scheduler, destinations) }
}

/// Brings the tables to one service; the hosts in its ring, 0 for nobody.
fn ring(dataplane: &mut MemoryDataplane, service: &WantedService) -> Vec<u8> {
    let all = wanted(vec![service.clone()]);
    bring(dataplane, &all);
    assert_eq!(bring(dataplane, &all), [], "wanted and not held");
    ring_hosts(dataplane, 1)
}

fn ring_of(scheduler: Scheduler, destinations: Vec<WantedDestination>) -> Vec<u8> {
    ring(&mut tables(), &service(scheduler, destinations))
}

/// How often a host stands in a ring.
fn slots(ring: &[u8], host: u8) -> usize {
    ring.iter().map(|&slot| usize::from(slot == host)).sum()
}

/// Hosts 11, 12 and so on as mh and maglev see them.
fn members(weights: &[u32]) -> Vec<Member> {
    let member = |(host, &weight): (u32, &u32)| Member {
        number: host,
        weight,
        last_weight: weight,
        address: [u64::from(u32::from_le_bytes([10, 0, 1, host as u8])), 0],
        port: 80_u16.to_be(),
    };
    (11..).zip(weights).map(member).collect()
}

fn hosts(ring: &[u32]) -> Vec<u8> {
    ring.iter().map(|&number| number as u8).collect()
}

fn mh_of(weights: &[u32]) -> Vec<u8> {
    hosts(&mh(&members(weights), Family::V4, size()))
}

#[test]
fn who_compares_walks_over_all_that_may_be_chosen() {
    for scheduler in [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Ovf] {
        let mut servers = up(&[1, 0, 5, 2]);
        servers.push(server(1, 15, 9, Health::Down, true));
        servers.push(server(1, 16, 9, Health::Up, false));
        servers.push(server(1, 17, 9, Health::Unknown, true));
        assert_eq!(ring_of(scheduler, servers), [14, 13, 11], "{scheduler:?}");
    }
}

#[test]
fn failover_takes_the_highest_weight_that_is_up() {
    let mut servers = up(&[1, 3, 3, 2]);
    assert_eq!(ring_of(Scheduler::Fo, servers.clone()), [13]);
    servers[2].health = Health::Down;
    assert_eq!(ring_of(Scheduler::Fo, servers), [12]);
    assert_eq!(ring_of(Scheduler::Fo, up(&[0])), [] as [u8; 0]);
}

#[test]
fn a_weighted_ring_is_wrrs() {
    assert_eq!(ring_of(Scheduler::Wrr, up(&[1, 2, 3])), [13, 12, 11, 13, 13, 12]);
}

#[test]
fn source_hashing_deals_slots_by_weight_and_who_drains_keeps_one() {
    let ring = ring_of(Scheduler::Sh, up(&[2, 0, 1]));
    assert_eq!(ring.len(), 256);
    assert_eq!(ring[..8], [13, 12, 11, 11, 13, 12, 11, 11]);
    let ring = ring_of(Scheduler::Dh, up(&[2, 0, 1]));
    assert_eq!(ring.len(), 256);
    assert_eq!(ring[..6], [13, 12, 11, 13, 12, 11]);
}

#[test]
fn mh_is_laid_out_by_address_and_weight() {
    assert_eq!(ring_of(Scheduler::Mh, up(&[1, 2, 3])), mh_of(&[1, 2, 3]));
    let large = WantedService {
        ring_size: RingSize::new(1_021).unwrap(),
        ..WantedService::new(key(1), Scheduler::Mh, up(&[1, 2]))
    };
    assert_eq!(ring(&mut tables(), &large).len(), 1_021);
}

#[test]
fn who_is_down_keeps_its_slots_where_the_program_refuses_it() {
    for scheduler in [Scheduler::Sh, Scheduler::Dh, Scheduler::Mh] {
        let mut dataplane = tables();
        let mut servers = up(&[1, 2, 3]);
        let before = ring(&mut dataplane, &service(scheduler, servers.clone()));
        servers[1].health = Health::Down;
        let changes = bring(&mut dataplane, &wanted(vec![service(scheduler, servers)]));
        assert!(matches!(changes.as_slice(), [Change::FlagDestination { .. }]), "{changes:?}");
        assert_eq!(ring_hosts(&dataplane, 1), before, "{scheduler:?}");
    }
}

#[test]
fn who_is_unknown_or_unresolved_leaves_its_slots_to_nobody() {
    for scheduler in [Scheduler::Sh, Scheduler::Dh, Scheduler::Mh] {
        let mut dataplane = tables();
        let all_up = ring(&mut dataplane, &service(scheduler, up(&[1, 2, 3, 2])));
        let mut servers = up(&[1, 2, 3, 2]);
        servers[1].health = Health::Unknown;
        servers[2].destination.ethernet = [0; 12];
        let nobody = |host: u8| if host == 12 || host == 13 { 0 } else { host };
        let holes: Vec<_> = all_up.iter().map(|&host| nobody(host)).collect();
        assert_eq!(ring(&mut dataplane, &service(scheduler, servers)), holes, "{scheduler:?}");
        // Back again: nothing else moved.
        assert_eq!(ring(&mut dataplane, &service(scheduler, up(&[1, 2, 3, 2]))), all_up);
    }
}

#[test]
fn maglev_spreads_the_clients_of_who_takes_nothing_new() {
    let expected = |weights: &[u32]| hosts(&maglev(&members(weights), MAGLEV_SEED, size()));
    assert_eq!(ring_of(Scheduler::Maglev, up(&[1, 2, 3])), expected(&[1, 2, 3]));
    for (health, is_resolved) in [(Health::Down, true), (Health::Unknown, true), (Health::Up, false)] {
        let mut servers = up(&[1, 2, 3]);
        servers[1] = server(1, 12, 2, health, is_resolved);
        assert_eq!(ring_of(Scheduler::Maglev, servers), expected(&[1, 0, 3]), "{health:?}");
    }
    let mut other_seed = service(Scheduler::Maglev, up(&[1, 2, 3]));
    other_seed.seed = [1, 2];
    assert_ne!(ring(&mut tables(), &other_seed), expected(&[1, 2, 3]));
}

#[test]
fn mh_remembers_the_weight_of_who_drains() {
    let mut dataplane = tables();
    let mut bring = |weights: &[u32]| ring(&mut dataplane, &service(Scheduler::Mh, up(weights)));
    assert_eq!(bring(&[5, 2, 3]), mh_of(&[5, 2, 3]));
    assert_eq!(bring(&[5, 0, 3]), mh_of(&[5, 2, 3]));
    // Also when it drained long ago, and others change.
    assert_eq!(bring(&[4, 0, 3]), mh_of(&[4, 2, 3]));
    assert_eq!(bring(&[4, 0, 3, 1]), mh_of(&[4, 2, 3, 1]));
    assert_eq!(bring(&[0, 0, 3, 1]), mh_of(&[4, 2, 3, 1]));
    assert_eq!(bring(&[0, 0, 0, 0]), mh_of(&[4, 2, 3, 1]));
    assert_eq!(bring(&[0, 0, 0, 7]).len(), 251);
    assert_eq!(bring(&[5, 2, 3, 7]), mh_of(&[5, 2, 3, 7]));
}

#[test]
fn who_is_added_to_mh_with_weight_0_has_no_slots() {
    let mut dataplane = tables();
    let mut bring = |weights: &[u32]| ring(&mut dataplane, &service(Scheduler::Mh, up(weights)));
    assert_eq!(slots(&bring(&[5, 0]), 12), 0);
    assert!(slots(&bring(&[5, 5]), 12) > 100);
    assert!(slots(&bring(&[5, 0]), 12) > 100);
    // Removed, and added again as one that never weighed anything.
    assert_eq!(bring(&[5]), mh_of(&[5]));
    assert_eq!(slots(&bring(&[5, 0]), 12), 0);
    bring(&[5, 5]);
    bring(&[5]);
    assert_eq!(slots(&bring(&[5, 0]), 12), 0);
}

#[test]
fn a_tunnel_needs_its_header() {
    let mut servers = up(&[1, 1]);
    let header = OuterHeader::ipip([10, 0, 1, 1].into(), [10, 0, 1, 11].into(), Family::V4).unwrap();
    servers[0].destination.forward = FORWARD_TUNNEL;
    servers[1].destination.forward = FORWARD_TUNNEL;
    servers[0].destination.outer = header;
    assert_eq!(ring_of(Scheduler::Rr, servers), [11]);
}

fn held_service(dataplane: &MemoryDataplane) -> Service {
    dataplane.tables.services[0]
}

#[test]
fn another_scheduler_or_another_flag_is_published() {
    let mut dataplane = tables();
    let mut one = service(Scheduler::Sh, up(&[1, 1]));
    for (port, fallback, bits) in [
        (false, false, 0),
        (true, false, SERVICE_PORT),
        (true, true, SERVICE_PORT | SERVICE_FALLBACK),
        (false, true, SERVICE_FALLBACK),
    ] {
        one.flags = SchedulerFlags { port, fallback };
        let before = ring(&mut dataplane, &one);
        assert_eq!(held_service(&dataplane).flags, bits);
        assert_eq!(before.len(), 256);
    }
    for scheduler in Scheduler::ALL {
        one.scheduler = scheduler;
        ring(&mut dataplane, &one);
        assert_eq!(held_service(&dataplane).scheduler, scheduler.number());
        assert_eq!(dataplane.picks(0), 0);
    }
    assert_eq!(dataplane.held().unwrap().services.len(), 1);
}

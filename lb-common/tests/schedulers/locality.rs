//! lblc and lblcr over the lives of services: who serves an address, and who joins and leaves.

use std::collections::BTreeMap;

use lb_common::sched::{LBLC_EXPIRATION, Lblc, Lblcr};
use proptest::prelude::*;

use crate::model::{Event, RealServer, Service, cases, life};

/// So many addresses are asked for.
const ADDRESSES: u8 = 3;

/// A life, and between its events connections to addresses, after some seconds each.
fn visits() -> impl Strategy<Value = Vec<(Event, Vec<(u8, u32)>)>> {
    let pause = prop_oneof![4 => Just(1), 1 => Just(LBLC_EXPIRATION), 1 => Just(LBLC_EXPIRATION + 1)];
    let visits = proptest::collection::vec((0..ADDRESSES, pause), 0..4);
    life(0..5_u32).prop_flat_map(move |life| {
        let length = life.len();
        (Just(life), proptest::collection::vec(visits.clone(), length))
            .prop_map(|(life, visits)| life.into_iter().zip(visits).collect())
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn lblc_stays_until_it_has_too_much(life in visits()) {
        let mut service = Service::default();
        let mut kept = BTreeMap::new();
        for (event, visits) in life {
            service.happen(event);
            for (address, _) in visits {
                let before = kept.get(&address).copied().unwrap_or(0);
                let mut lblc = Lblc::new(before);
                service.list.iter().for_each(|server| lblc.consider(server.loaded()));
                let expected = lblc_rule(&service, before);
                prop_assert_eq!(lblc.choice(), expected, "{} of {:#?}", before, service.list);
                if expected != 0 {
                    kept.insert(address, expected);
                    open(&mut service, expected);
                }
            }
        }
    }

    #[test]
    fn lblcr_grows_under_load_and_shrinks_in_a_day(life in visits()) {
        let mut service = Service::default();
        let mut sets: BTreeMap<u8, Set> = BTreeMap::new();
        let mut now = 0;
        for (event, visits) in life {
            service.happen(event);
            for (address, pause) in visits {
                now += pause;
                let set = sets.entry(address).or_default();
                // Who was deleted is no longer anybody's.
                set.members.retain(|&number| find(&service, number).is_some());
                let mut lblcr = Lblcr::new();
                for &number in &set.members {
                    lblcr.consider_member(find(&service, number).expect("it was retained").loaded());
                }
                service.list.iter().for_each(|server| lblcr.consider(server.loaded()));
                let (members, changed) = (set.members.clone(), set.changed);
                let expected = set.lblcr_rule(&service, now);
                prop_assert_eq!(lblcr.choice(), expected, "{:?} of {:#?}", members, service.list);
                // The set as who uses it would keep it.
                let mut kept = members.clone();
                if members.len() > 1 && now > changed + LBLC_EXPIRATION {
                    kept.retain(|&number| number != lblcr.leaver());
                }
                if lblcr.joiner() != 0 && !kept.contains(&lblcr.joiner()) {
                    kept.insert(0, lblcr.joiner());
                }
                prop_assert_eq!(&kept, &set.members, "{:?} of {:#?}", members, service.list);
                if expected != 0 {
                    open(&mut service, expected);
                }
            }
        }
    }
}

/// The real servers of an address, the one that joined last first.
#[derive(Clone, Debug, Default)]
struct Set {
    members: Vec<u32>,
    changed: u32,
}

impl Set {
    fn lblcr_rule(&mut self, service: &Service, now: u32) -> u32 {
        let members: Vec<_> = self.members.iter().filter_map(|&number| find(service, number)).collect();
        let chosen = least(members.iter().copied().filter(|server| server.is_available()));
        if self.members.len() > 1 && now > self.changed + LBLC_EXPIRATION {
            let weighing = members.iter().copied().filter(|server| server.weight > 0);
            // Of equals the first, which `max_by` would not be.
            if let Some(most) = weighing.rev().max_by(|a, b| compare(a, b)) {
                self.members.retain(|&number| number != most.number);
                self.changed = now;
            }
        }
        if let Some(chosen) = chosen.filter(|chosen| !is_too_much(chosen, service)) {
            return chosen.number;
        }
        let Some(chosen) = least(service.available()) else { return 0 };
        if !self.members.contains(&chosen.number) {
            self.members.insert(0, chosen.number);
            self.changed = now;
        }
        chosen.number
    }
}

fn lblc_rule(service: &Service, kept: u32) -> u32 {
    let stays = find(service, kept).filter(|kept| kept.weight > 0 && !is_too_much(kept, service));
    stays.or_else(|| least(service.available())).map_or(0, |server| server.number)
}

fn is_too_much(server: &RealServer, service: &Service) -> bool {
    server.active > server.weight && service.list.iter().any(|other| 2 * other.active < other.weight)
}

fn least<'a>(servers: impl Iterator<Item = &'a RealServer>) -> Option<&'a RealServer> {
    servers.min_by(|a, b| compare(a, b))
}

/// By connections for the weight.
fn compare(a: &RealServer, b: &RealServer) -> std::cmp::Ordering {
    let overhead = |server: &RealServer| u128::from(server.active) * 256 + u128::from(server.inactive);
    (overhead(a) * u128::from(b.weight)).cmp(&(overhead(b) * u128::from(a.weight)))
}

fn find(service: &Service, number: u32) -> Option<&RealServer> {
    service.list.iter().find(|server| server.number == number)
}

fn open(service: &mut Service, number: u32) {
    if let Some(at) = service.list.iter().position(|server| server.number == number) {
        service.happen((at, crate::model::What::Open));
    }
}

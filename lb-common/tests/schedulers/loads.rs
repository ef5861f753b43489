//! lc, wlc, sed, nq, ovf, fo and twos, and who is overloaded, over the lives of services.

use std::cmp::Ordering;

use lb_common::sched::{Scheduler, Twos, Walk, fo, is_overloaded, last_weight};
use proptest::prelude::*;

use crate::model::{RealServer, Service, What, cases, life};

const WALKS: [Scheduler; 6] =
    [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Ovf, Scheduler::Fo];

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn everyone_picks_as_its_rule_says(life in life(prop_oneof![0..6_u32, 0..=u32::MAX])) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
            for scheduler in WALKS {
                let mut walk = Walk::new(scheduler);
                for server in &service.list {
                    walk.consider(server.loaded());
                }
                let expected = rule(scheduler, &service).map_or(0, |server| server.number);
                prop_assert_eq!(walk.choice(), expected, "{:?} of {:#?}", scheduler, service.list);
            }
        }
    }

    #[test]
    fn the_ring_of_fo_is_its_choice_while_nobody_is_overloaded(life in life(0..4_u32)) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
            service.list.iter_mut().for_each(|server| server.is_overloaded = false);
            let expected = rule(Scheduler::Fo, &service).map(|server| server.number);
            prop_assert_eq!(fo(&service.candidates()), Vec::from_iter(expected));
        }
    }

    #[test]
    fn twos_takes_the_less_loaded_of_two(life in life(0..6_u32), draws in any::<[(u64, u64); 8]>()) {
        let mut service = Service::default();
        for event in life {
            service.happen(event);
            for (first, second) in draws {
                let mut twos = Twos::default();
                service.list.iter().for_each(|server| twos.weigh(server.loaded()));
                twos.draw(first, second);
                service.list.iter().for_each(|server| twos.consider(server.loaded()));
                let expected = less_loaded_of_two(&service, first, second).map_or(0, |server| server.number);
                prop_assert_eq!(twos.choice(), expected, "{} {} {:#?}", first, second, service.list);
            }
        }
    }

    #[test]
    fn overload_and_last_weight_are_the_kernels(life in life(0..3_u32)) {
        let mut service = Service::default();
        for event in life {
            let before = service.clone();
            service.happen(event);
            for server in &service.list {
                let old = before.list.iter().find(|old| old.number == server.number);
                let was = old.is_some_and(|old| old.is_overloaded);
                let now = is_overloaded(was, server.connections(), server.upper, server.lower);
                prop_assert_eq!(now, server.is_overloaded, "{:?} made {:?} {:?}", event, old, server);
                let remembered = last_weight(old.map(|old| old.last_weight), server.weight);
                prop_assert_eq!(remembered, server.last_weight, "{:?} made {:?} {:?}", event, old, server);
            }
        }
    }
}

/// No count is so high that it looks like a low one.
#[test]
fn costs_do_not_wrap() {
    for scheduler in [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq] {
        for active in [1 << 24, u32::MAX] {
            let mut service = Service::default();
            for (weight, what) in [(1, What::Load(7, 7)), (1, What::Load(active, 5))] {
                service.happen((0, What::Add(weight)));
                service.happen((0, what));
            }
            let mut walk = Walk::new(scheduler);
            for server in &service.list {
                walk.consider(server.loaded());
            }
            assert_eq!(walk.choice(), 1, "{scheduler:?} {active}");
        }
    }
}

/// When weights fall between the two walks of twos, the draw may lead behind the last one.
#[test]
fn twos_chooses_somebody_even_if_weights_fall_meanwhile() {
    let mut service = Service::default();
    for weight in [9, 9] {
        service.happen((0, What::Add(weight)));
    }
    let mut twos = Twos::default();
    service.list.iter().for_each(|server| twos.weigh(server.loaded()));
    twos.draw(18, 18);
    service.happen((0, What::Weigh(1)));
    service.happen((1, What::Weigh(1)));
    service.list.iter().for_each(|server| twos.consider(server.loaded()));
    assert_eq!(twos.choice(), 1);
    assert_eq!(Twos::default().choice(), 0);
}

/// As often as its weight says where loads are equal: twice in a row drawn, or drawn with who is no better.
#[test]
fn twos_draws_by_weight() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut service = Service::default();
    for weight in [1, 2, 5] {
        service.happen((0, What::Add(weight)));
    }
    let mut picks = [0_u32; 3];
    let rounds = if cfg!(miri) { 100 } else { 80_000 };
    for _ in 0..rounds {
        let mut twos = Twos::default();
        service.list.iter().for_each(|server| twos.weigh(server.loaded()));
        twos.draw(random.u64(..), random.u64(..));
        service.list.iter().for_each(|server| twos.consider(server.loaded()));
        picks[twos.choice() as usize - 1] += 1;
    }
    // Draws go from 0 to 8, both included: one in nine is in favour of the head's weight of 5.
    for (picks, share) in picks.into_iter().zip([1.0, 2.0, 6.0]) {
        let expected = share / 9.0 * f64::from(rounds);
        assert!(cfg!(miri) || (f64::from(picks) - expected).abs() < expected * 0.05, "{picks} of {expected}");
    }
}

/// Who is to be chosen, as the manual says it and the kernel's comparisons refine it.
fn rule(scheduler: Scheduler, service: &Service) -> Option<&RealServer> {
    let available = service.available();
    let overhead = |server: &RealServer| u128::from(server.active) * 256 + u128::from(server.inactive);
    let delay = |server: &RealServer| u128::from(server.active) + 1;
    // Of equals, `min_by` returns the first.
    match scheduler {
        Scheduler::Lc => available.min_by_key(|server| overhead(server)),
        Scheduler::Wlc => available.min_by(|a, b| compare(overhead(a), a, overhead(b), b)),
        Scheduler::Sed => available.min_by(|a, b| compare(delay(a), a, delay(b), b)),
        Scheduler::Nq => available
            .clone()
            .find(|server| server.active == 0)
            .or_else(|| available.min_by(|a, b| compare(delay(a), a, delay(b), b))),
        Scheduler::Ovf => {
            available.filter(|server| server.active <= server.weight).min_by_key(|it| u32::MAX - it.weight)
        }
        Scheduler::Fo => available.min_by_key(|server| u32::MAX - server.weight),
        _ => unreachable!("not a walk of this file"),
    }
}

fn compare(cost: u128, server: &RealServer, other_cost: u128, other: &RealServer) -> Ordering {
    (cost * u128::from(other.weight)).cmp(&(other_cost * u128::from(server.weight)))
}

fn less_loaded_of_two(service: &Service, first: u64, second: u64) -> Option<&RealServer> {
    let total: u64 = service.available().map(|server| u64::from(server.weight)).sum();
    let drawn = |number: u64| {
        let mut reached = 0;
        service.available().find(|server| {
            reached += u64::from(server.weight);
            number % (total + 1) <= reached
        })
    };
    let (first, second) = (drawn(first)?, drawn(second)?);
    let overhead = |server: &RealServer| u128::from(server.active) * 256 + u128::from(server.inactive);
    let second_is_better = compare(overhead(second), second, overhead(first), first).is_lt();
    Some(if second_is_better { second } else { first })
}

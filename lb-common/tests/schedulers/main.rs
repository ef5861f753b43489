//! Schedulers against two judges: what Linux 6.12 picked, and models of LVS's rules that are written
//! another way.
#![cfg(feature = "host")]

mod hashes;
mod kernel;
mod loads;
mod locality;
mod maglev;
mod model;
mod turns;

use lb_common::sched::{Scheduler, Shape};

#[test]
fn names_and_numbers_lead_back_to_their_scheduler() {
    for (number, scheduler) in (1..).zip(Scheduler::ALL) {
        assert_eq!(scheduler.number(), number);
        assert_eq!(Scheduler::from_number(number), Some(scheduler));
        assert_eq!(Scheduler::from_label(scheduler.label()), Some(scheduler));
    }
    assert_eq!(Scheduler::from_number(0), None);
    assert_eq!(Scheduler::from_number(Scheduler::ALL.len() as u8 + 1), None);
    assert_eq!(Scheduler::from_label("WLC"), None);
    // Tables of older versions carry these two.
    assert_eq!((Scheduler::Rr.number(), Scheduler::Wrr.number()), (1, 2));
}

#[test]
fn every_shape_has_its_schedulers() {
    let of = |shape: Shape| -> Vec<_> {
        Scheduler::ALL.iter().filter(|it| it.shape() == shape).map(|it| it.label()).collect()
    };
    assert_eq!(of(Shape::Ring), ["rr", "wrr", "fo"]);
    assert_eq!(of(Shape::HashRing), ["sh", "dh", "mh", "maglev"]);
    assert_eq!(of(Shape::Walk), ["lc", "wlc", "sed", "nq", "ovf", "twos", "lblc", "lblcr"]);
}

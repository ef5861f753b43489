//! rr and wrr over the lives of services: picks between changes, and how a changed ring goes on.

use lb_common::sched::{Candidate, resume_rr, resume_wrr, rr, wrr};
use proptest::prelude::*;

use crate::model::{Event, Service, cases, life};

/// Lives with some picks after each event. Not none: how many were made doesn't tell a ring that was just
/// begun from one that was just left off there.
fn turns() -> impl Strategy<Value = Vec<(Event, usize)>> {
    let weights = prop_oneof![0..5_u32, (0..5_u32).prop_map(|weight| weight * 6)];
    life(weights).prop_flat_map(|life| {
        let length = life.len();
        (Just(life), proptest::collection::vec(1..12_usize, length))
            .prop_map(|(life, picks)| life.into_iter().zip(picks).collect())
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn rr_goes_on_behind_the_last_one(turns in turns()) {
        let (mut service, mut ours, mut last) = (Service::default(), Ours::new(rr, resume_rr), None);
        for (event, picks) in turns {
            let before = numbers(&service);
            service.happen(event);
            // When the last one goes, the one before it takes its place.
            while let Some(gone) = last.filter(|gone| !numbers(&service).contains(gone)) {
                last = before.iter().rev().skip_while(|&&number| number != gone).nth(1).copied();
            }
            ours.change(service.candidates());
            if ours.ring.is_empty() {
                // Nobody to choose: the ring begins anew.
                last = None;
            }
            for _ in 0..picks {
                let start = last.map_or(0, |last| place(&service, last) + 1);
                let chosen = (start..start + service.list.len())
                    .map(|at| &service.list[at % service.list.len()])
                    .find(|server| server.weight > 0)
                    .map(|server| server.number);
                prop_assert_eq!(ours.pick(), chosen, "{:#?}", service.list);
                last = chosen.or(last);
            }
        }
    }

    #[test]
    fn wrr_goes_on_with_the_current_weight(turns in turns()) {
        let (mut service, mut ours) = (Service::default(), Ours::new(wrr, resume_wrr));
        let (mut current, mut at) = (0, 0);
        for (event, picks) in turns {
            service.happen(event);
            let weights: Vec<_> = service.list.iter().map(|server| server.weight).collect();
            let heaviest = weights.iter().copied().max().unwrap_or(0);
            let step = (1..=heaviest).rev().find(|step| weights.iter().all(|weight| weight % step == 0));
            let (step, top) = step.map_or((1, 0), |step| (step, heaviest - (step - 1)));
            if ours.change(service.candidates()) {
                at = 0;
                if current > top || current == 0 {
                    current = top;
                } else if step > 1 {
                    current = current / step * step + 1;
                }
            }
            for _ in 0..picks {
                let chosen = (top > 0).then(|| loop {
                    if at == service.list.len() {
                        at = 0;
                        current = if current > step { current - step } else { top };
                    }
                    at += 1;
                    if service.list[at - 1].weight >= current {
                        break service.list[at - 1].number;
                    }
                });
                prop_assert_eq!(ours.pick(), chosen, "{:#?}", service.list);
            }
        }
    }
}

type Builder = fn(&[Candidate]) -> Vec<u32>;
type Resume = fn(&[Candidate], u64, &[Candidate]) -> u64;

/// A ring as the daemon would keep it.
struct Ours {
    build: Builder,
    resume: Resume,
    added: Vec<Candidate>,
    ring: Vec<u32>,
    picks: u64,
}

impl Ours {
    fn new(build: Builder, resume: Resume) -> Self {
        Self { build, resume, added: Vec::new(), ring: Vec::new(), picks: 0 }
    }

    /// Whether there was one.
    fn change(&mut self, added: Vec<Candidate>) -> bool {
        if added == self.added {
            return false;
        }
        self.picks = (self.resume)(&self.added, self.picks, &added);
        self.ring = (self.build)(&added);
        self.added = added;
        true
    }

    fn pick(&mut self) -> Option<u32> {
        let slots = self.ring.len() as u64;
        let number = *self.ring.get(self.picks.checked_rem(slots)? as usize)?;
        self.picks += 1;
        Some(number)
    }
}

fn numbers(service: &Service) -> Vec<u32> {
    service.list.iter().map(|server| server.number).collect()
}

fn place(service: &Service, number: u32) -> usize {
    numbers(service).iter().position(|&other| other == number).expect("it is in the list")
}

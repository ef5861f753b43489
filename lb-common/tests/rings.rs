//! Rings give everyone the share that the weight says, at every point of a cycle and not only at its end.
#![cfg(feature = "host")]

use std::collections::BTreeMap;

use fastrand::Rng;
use lb_common::sched::{Candidate, resume_rr, resume_wrr, rr, wrr, wrr_slots};

const ROUNDS: usize = if cfg!(miri) { 10 } else { 500 };

fn candidates(random: &mut Rng, most: usize, heaviest: u32) -> Vec<Candidate> {
    let count = random.u32(1..=most as u32);
    (1..=count).map(|number| Candidate { number, weight: random.u32(..=heaviest) }).collect()
}

fn picks(ring: &[u32]) -> BTreeMap<u32, u32> {
    let mut picks = BTreeMap::new();
    for &number in ring {
        *picks.entry(number).or_default() += 1;
    }
    picks
}

#[test]
fn rr_gives_one_slot_to_everyone_who_weighs_anything() {
    let mut random = Rng::with_seed(1);
    for _ in 0..ROUNDS {
        let added = candidates(&mut random, 50, 3);
        let expected: BTreeMap<_, _> = added.iter().filter(|c| c.weight > 0).map(|c| (c.number, 1)).collect();
        assert_eq!(picks(&rr(&added)), expected);
    }
}

#[test]
fn wrr_gives_slots_in_proportion_to_weights_and_mixes_them() {
    let mut random = Rng::with_seed(2);
    for _ in 0..ROUNDS {
        let added = candidates(&mut random, 12, 20);
        let ring = wrr(&added);
        assert_eq!(ring.len() as u64, wrr_slots(added.iter().map(|candidate| candidate.weight)));
        let picks = picks(&ring);
        let heaviest =
            added.iter().max_by_key(|candidate| candidate.weight).map_or(0, |candidate| candidate.weight);
        for candidate in added.iter().filter(|candidate| candidate.weight > 0) {
            let share = picks[&candidate.number];
            let others = added.iter().find(|other| other.weight == heaviest);
            let of_heaviest = others.map_or(0, |other| picks[&other.number]);
            assert_eq!(share * heaviest, of_heaviest * candidate.weight, "{added:?}");
        }
        // Those of the highest weight have a turn in every walk: none waits for longer than everyone has had two.
        for candidate in added.iter().filter(|candidate| candidate.weight == heaviest && heaviest > 0) {
            let twice: Vec<u32> = ring.iter().chain(&ring).copied().collect();
            let places: Vec<_> = (0..twice.len()).filter(|&place| twice[place] == candidate.number).collect();
            assert!(places.windows(2).all(|two| two[1] - two[0] <= 2 * added.len()), "{added:?}: {ring:?}");
        }
    }
}

#[test]
fn going_on_after_a_change_is_always_within_the_new_ring() {
    let mut random = Rng::with_seed(3);
    for _ in 0..ROUNDS {
        let (old, new) = (candidates(&mut random, 8, 6), candidates(&mut random, 8, 6));
        let picks = random.u64(..100);
        for (resumed, ring) in
            [(resume_rr(&old, picks, &new), rr(&new)), (resume_wrr(&old, picks, &new), wrr(&new))]
        {
            assert!(
                resumed == 0 || resumed < ring.len() as u64,
                "{old:?} {picks} {new:?}: {resumed} of {ring:?}"
            );
        }
    }
}

//! Weighted round robin (ipvsadm `-s wrr`).
//!
//! LVS walks the list over and over with a current weight that starts at the highest weight and
//! falls by the greatest common divisor at the end of each walk; whoever weighs as much is chosen.

use super::{Candidate, last_slot};

/// How many slots the ring of these weights has: their sum by their greatest common divisor.
pub fn wrr_slots(weights: impl IntoIterator<Item = u32> + Clone) -> u64 {
    let divisor = weights.clone().into_iter().fold(0, gcd);
    let sum: u64 = weights.into_iter().map(u64::from).sum();
    if divisor == 0 { 0 } else { sum / u64::from(divisor) }
}

/// The ring of wrr: one whole cycle, [`wrr_slots`] long.
///
/// It begins with the lowest current weight: there LVS stands after the first real server was added,
/// and stays when others follow.
pub fn wrr(added: &[Candidate]) -> Vec<u32> {
    let divisor = added.iter().map(|candidate| candidate.weight).fold(0, gcd);
    let highest = added.iter().map(|candidate| candidate.weight).max().unwrap_or(0);
    if divisor == 0 {
        return Vec::new();
    }
    let falling = (2..=highest / divisor).rev();
    core::iter::once(1)
        .chain(falling)
        .flat_map(|level| added.iter().rev().filter(move |candidate| candidate.weight >= level * divisor))
        .map(|candidate| candidate.number)
        .collect()
}

/// Where the ring of `new` goes on after `picks` picks from the ring of `old`, as a number of picks.
///
/// On a change LVS begins its walk at the head again, and keeps its current weight as far as the new
/// weights have it (Linux 6.12, `ip_vs_wrr_dest_changed`).
pub fn resume_wrr(old: &[Candidate], picks: u64, new: &[Candidate]) -> u64 {
    let old_divisor = old.iter().map(|candidate| candidate.weight).fold(0, gcd);
    let Some(slot) = last_slot(picks, wrr(old).len()) else {
        return 0;
    };
    let current = (level_of_slot(old, old_divisor, slot) - 1) * old_divisor + 1;
    let divisor = new.iter().map(|candidate| candidate.weight).fold(0, gcd);
    let highest = new.iter().map(|candidate| candidate.weight).max().unwrap_or(0);
    if divisor == 0 {
        return 0;
    }
    // A current weight is one above a multiple of the divisor. The kernel rounds one of another divisor
    // down to such a one, but a multiple itself up.
    let top = highest - (divisor - 1);
    let current =
        if current < top && divisor > 1 { current / divisor * divisor + 1 } else { current.min(top) };
    let level = (current - 1) / divisor + 1;
    if level == 1 {
        return 0;
    }
    let above = (level + 1..=highest / divisor).map(|level| width(new, divisor, level));
    (width(new, divisor, 1) + above.sum::<usize>()) as u64
}

/// The level of the current weight at a slot of the ring: 1 first, then from the highest down to 2.
fn level_of_slot(added: &[Candidate], divisor: u32, slot: usize) -> u32 {
    let highest = added.iter().map(|candidate| candidate.weight / divisor).max().unwrap_or(1);
    let mut end = 0;
    core::iter::once(1)
        .chain((2..=highest).rev())
        .find(|&level| {
            end += width(added, divisor, level);
            slot < end
        })
        .unwrap_or(1)
}

/// How many real servers are chosen in one walk at a level.
fn width(added: &[Candidate], divisor: u32, level: u32) -> usize {
    added.iter().filter(|candidate| candidate.weight >= level * divisor).count()
}

pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(weights: &[u32]) -> Vec<u32> {
        let added: Vec<_> =
            (1..).zip(weights).map(|(number, &weight)| Candidate { number, weight }).collect();
        wrr(&added)
    }

    // As Linux 6.12 picked.
    #[test]
    fn the_order_is_lvs_own() {
        assert_eq!(ring(&[1, 2, 3]), [3, 2, 1, 3, 3, 2]);
        assert_eq!(ring(&[4, 3, 2]), [3, 2, 1, 1, 2, 1, 3, 2, 1]);
        assert_eq!(ring(&[10, 20, 30]), [3, 2, 1, 3, 3, 2]);
        assert_eq!(ring(&[0, 5]), [2]);
        assert_eq!(ring(&[0]), []);
    }

    #[test]
    fn a_change_begins_a_walk_with_the_current_weight() {
        let of = |weights: &[u32]| -> Vec<_> {
            (1..).zip(weights).map(|(number, &weight)| Candidate { number, weight }).collect()
        };
        // 1,2,3 after "3 2 1 3": the current weight is 3.
        let (old, new) = (of(&[1, 2, 3]), of(&[1, 2, 3, 3]));
        let ring = wrr(&new);
        let start = resume_wrr(&old, 4, &new) as usize;
        assert_eq!(ring[start..start + 2], [4, 3]);
        // It can't be above the highest weight that is left.
        let new = of(&[1, 2]);
        assert_eq!(wrr(&new)[resume_wrr(&old, 4, &new) as usize], 2);
        assert_eq!(resume_wrr(&old, 0, &new), 0);
    }

    proptest! {
        #[test]
        fn each_gets_its_weight(weights in proptest::collection::vec(0..200u32, 0..40)) {
            let ring = ring(&weights);
            prop_assert_eq!(ring.len() as u64, wrr_slots(weights.iter().copied()));
            let divisor = weights.iter().copied().fold(0, gcd).max(1);
            for (number, &weight) in (1..).zip(&weights) {
                let picks = ring.iter().filter(|&&picked| picked == number).count();
                prop_assert_eq!(picks as u32, weight / divisor);
            }
        }
    }
}

//! Round robin (ipvsadm `-s rr`): each real server in turn, whatever its weight, unless that is 0.

use super::{Candidate, last_slot};

/// The ring of rr.
pub fn rr(added: &[Candidate]) -> Vec<u32> {
    added.iter().rev().filter(|candidate| candidate.weight > 0).map(|candidate| candidate.number).collect()
}

/// Where the ring of `new` goes on after `picks` picks from the ring of `old`, as a number of picks.
///
/// LVS remembers the real server that it chose last and goes on with the one behind it; when that
/// one is deleted it steps back to the one before.
pub fn resume_rr(old: &[Candidate], picks: u64, new: &[Candidate]) -> u64 {
    let walked = rr(old);
    let Some(slot) = last_slot(picks, walked.len()) else {
        return 0;
    };
    let ring = rr(new);
    // Back from the last one chosen to one that is still there, then on to the next in the new ring.
    let place = old.iter().rev().position(|candidate| candidate.number == walked[slot]);
    let before: Vec<u32> =
        old.iter().rev().take(place.map_or(0, |place| place + 1)).map(|c| c.number).collect();
    let kept = before.iter().rev().find_map(|number| new.iter().rev().position(|c| c.number == *number));
    let Some(kept) = kept else {
        return 0;
    };
    let next = new.iter().rev().skip(kept + 1).find(|candidate| candidate.weight > 0);
    next.and_then(|next| ring.iter().position(|&number| number == next.number)).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[u32]) -> Vec<u32> {
        let added: Vec<_> =
            (1..).zip(weights).map(|(number, &weight)| Candidate { number, weight }).collect();
        rr(&added)
    }

    // As Linux 6.12 picked.
    #[test]
    fn the_last_added_comes_first() {
        assert_eq!(ring(&[1, 1, 1]), [3, 2, 1]);
        assert_eq!(ring(&[1, 0, 1]), [3, 1]);
        assert_eq!(ring(&[0, 0]), []);
    }

    #[test]
    fn a_change_goes_on_behind_the_last_one_chosen() {
        let of = |weights: &[(u32, u32)]| -> Vec<Candidate> {
            weights.iter().map(|&(number, weight)| Candidate { number, weight }).collect()
        };
        let next = |old: &[Candidate], picks, new: &[Candidate]| rr(new)[resume_rr(old, picks, new) as usize];
        let three = of(&[(1, 1), (2, 1), (3, 1)]);
        // 3 was chosen; 4 comes to the head, 2 is next all the same.
        assert_eq!(next(&three, 1, &of(&[(1, 1), (2, 1), (3, 1), (4, 1)])), 2);
        // 2 was chosen and goes: on with 1.
        assert_eq!(next(&three, 2, &of(&[(1, 1), (3, 1)])), 1);
        // 2 was chosen and is quiesced: on with 1.
        assert_eq!(next(&three, 2, &of(&[(1, 1), (2, 0), (3, 1)])), 1);
        // 1 was chosen: round to the head.
        assert_eq!(next(&three, 3, &of(&[(1, 1), (2, 1), (3, 1), (4, 1)])), 4);
        // None was chosen yet.
        assert_eq!(next(&three, 0, &of(&[(1, 1), (2, 1), (3, 1), (4, 1)])), 4);
    }
}

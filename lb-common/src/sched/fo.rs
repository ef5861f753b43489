//! Weighted failover (ipvsadm `-s fo`) where no thresholds are set: a ring of one.

use super::Candidate;

/// The ring of fo: the highest weight, of several the one that comes first in the list.
pub fn fo(added: &[Candidate]) -> Vec<u32> {
    let mut chosen = Candidate { number: 0, weight: 0 };
    for candidate in added.iter().rev() {
        if candidate.weight > chosen.weight {
            chosen = *candidate;
        }
    }
    if chosen.weight > 0 { vec![chosen.number] } else { Vec::new() }
}

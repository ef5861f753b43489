//! Rings: the order in which a scheduler picks, laid out ahead so that a pick is one look-up.
//!
//! The order is LVS's own. `ip_vs_link` puts a new real server at the head of its service's list,
//! so schedulers walk from the last added to the first.

mod rr;
mod wrr;

pub use rr::{resume_rr, rr};
pub use wrr::{resume_wrr, wrr, wrr_slots};

/// A real server as a scheduler sees it, in the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its destination's number.
    pub number: u32,
    /// Its weight; 0 is never chosen.
    pub weight: u32,
}

/// The slot that was picked last, after so many picks from a ring; none before the first.
fn last_slot(picks: u64, slots: usize) -> Option<usize> {
    let slots = u64::try_from(slots).ok().filter(|&slots| slots > 0)?;
    Some((picks.checked_sub(1)? % slots) as usize)
}

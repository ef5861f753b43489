//! Schedulers: which real server a new connection is given. Pure, and LVS's own to the last pick.
//!
//! ```text
//! rings      rr, wrr, fo           laid out ahead on the host; a counter walks them
//! hash rings sh, dh, mh, maglev    laid out ahead on the host; a hash says the slot
//! walks      lc, wlc, sed, nq,     need live counts: a fold over the real servers, once for each
//!            ovf, fo, twos,        new connection
//!            lblc, lblcr
//! ```
//!
//! The order is LVS's own. `ip_vs_link` puts a new real server at the head of its service's list,
//! so schedulers walk from the last added to the first. Rules are those of Linux 6.12,
//! `net/netfilter/ipvs`.
//!
//! What lays out rings needs the feature `host`. All else runs in the kernel too. Nothing here knows
//! where rings, counts and flags are kept.

#[cfg(feature = "host")]
mod fo;
mod key;
mod lblc;
mod maglev;
mod mh;
mod overload;
#[cfg(feature = "host")]
mod preference;
#[cfg(feature = "host")]
mod rr;
mod scheduler;
mod sh;
mod siphash;
mod size;
mod twos;
mod walk;
#[cfg(feature = "host")]
mod wrr;

#[cfg(feature = "host")]
pub use fo::fo;
pub use key::hash_key;
pub use lblc::{LBLC_EXPIRATION, LBLC_EXPIRATION_IF_FULL, Lblc, Lblcr};
#[cfg(feature = "host")]
pub use maglev::maglev;
pub use maglev::maglev_slot;
#[cfg(feature = "host")]
pub use mh::mh;
pub use mh::{mh_fallback_slot, mh_slot};
pub use overload::{is_overloaded, last_weight};
#[cfg(feature = "host")]
pub use rr::{resume_rr, rr};
pub use scheduler::{Scheduler, Shape};
pub use sh::{SH_SLOTS, dh_slot, sh_fallback_slot, sh_slot};
#[cfg(feature = "host")]
pub use sh::{dh, sh};
pub use siphash::{hsiphash, siphash};
pub use size::RingSize;
pub use twos::{Twos, draws};
pub use walk::{Loaded, Walk};
#[cfg(feature = "host")]
pub use wrr::{resume_wrr, wrr, wrr_slots};

/// A real server as a scheduler sees it, in the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its destination's number.
    pub number: u32,
    /// Its weight; 0 is never chosen.
    pub weight: u32,
}

/// A real server as mh and maglev see it, whose slots depend on its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its destination's number, not 0.
    pub number: u32,
    /// Its weight; 0 is never chosen.
    pub weight: u32,
    /// See [`last_weight`]; only mh asks for it.
    pub last_weight: u32,
    /// As it lies in a header: an IPv6 address in two native words, an IPv4 address in the low half of
    /// the first, the rest 0.
    pub address: [u64; 2],
    /// As it lies in a header, in a native word.
    pub port: u16,
}

/// The slot that was picked last, after so many picks from a ring; none before the first.
#[cfg(feature = "host")]
fn last_slot(picks: u64, slots: usize) -> Option<usize> {
    let slots = u64::try_from(slots).ok().filter(|&slots| slots > 0)?;
    Some((picks.checked_sub(1)? % slots) as usize)
}

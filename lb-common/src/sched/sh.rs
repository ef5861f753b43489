//! Source and destination hashing (ipvsadm `-s sh`, `-s dh`): 256 slots, dealt out round the list.
//!
//! A real server of weight 0 keeps its slots: who falls on them is refused, which is what holds the
//! others in their places. So whoever reads a slot asks whether its real server may be chosen.

#[cfg(feature = "host")]
use super::Candidate;

/// How many slots the rings of sh and dh have (`IP_VS_SH_TAB_SIZE`).
pub const SH_SLOTS: u32 = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 8;

/// The kernel's multiplier for hashes of one word, 2^32 by the square of the golden ratio.
const GOLDEN_RATIO_32: u32 = 0x61c8_8647;

/// The ring of sh: as many slots in a row as the weight says, and one at weight 0. Empty without real servers.
#[cfg(feature = "host")]
pub fn sh(added: &[Candidate]) -> Vec<u32> {
    deal(added, |candidate| candidate.weight.clamp(1, SH_SLOTS))
}

/// The ring of dh: one slot after the other, whatever the weight. Empty without real servers.
#[cfg(feature = "host")]
pub fn dh(added: &[Candidate]) -> Vec<u32> {
    deal(added, |_| 1)
}

/// The slot of a client, by [`super::hash_key`].
#[inline(always)]
pub const fn sh_slot(key: u32) -> u32 {
    key.wrapping_mul(GOLDEN_RATIO_32) >> (u32::BITS - SLOT_BITS)
}

/// The slot of a service's address, by [`super::hash_key`].
#[inline(always)]
pub const fn dh_slot(key: u32) -> u32 {
    sh_slot(key)
}

/// With sh-fallback: where to look for another real server if that of slot `first` can't be chosen.
///
/// `attempt` counts from 0; after 255 all slots were seen.
#[inline(always)]
pub const fn sh_fallback_slot(first: u32, attempt: u32) -> u32 {
    // The kernel begins as many slots behind the first as the first is from the beginning.
    first.wrapping_add(first).wrapping_add(attempt) & (SH_SLOTS - 1)
}

#[cfg(feature = "host")]
fn deal(added: &[Candidate], in_a_row: impl Fn(&Candidate) -> u32) -> Vec<u32> {
    let turns = added
        .iter()
        .rev()
        .flat_map(|candidate| core::iter::repeat_n(candidate.number, in_a_row(candidate) as usize));
    turns.cycle().take(SH_SLOTS as usize).collect()
}

//! LVS's Maglev (ipvsadm `-s mh`): the kernel's table, slot by slot, and the kernel's hash.
//!
//! As with sh, a real server whose weight fell to 0 keeps its slots, and who falls on them is refused
//! or, with mh-fallback, looks further.

#[cfg(feature = "host")]
use super::preference::Preference;
use super::siphash::hsiphash;
#[cfg(feature = "host")]
use super::wrr::gcd;
#[cfg(feature = "host")]
use super::{Member, RingSize, hash_key};
#[cfg(feature = "host")]
use crate::wire::Family;

/// Of a client's slot, and of the slot that a real server likes best.
const FIRST_KEY: [u64; 2] = [2_654_435_761; 2];
/// Of the step from one slot that a real server likes to the next.
#[cfg(feature = "host")]
const STEP_KEY: [u64; 2] = [2_654_446_892; 2];

/// The ring of mh for a service of this family. Empty if no last weight is above 0.
///
/// Real servers take turns in the list's order. A turn is as many slots as the last weight by the greatest
/// common divisor of all of them; if the highest has more bits than half the table's index in
/// [`RingSize::PRIMES`] (8 to 17), all are shifted right until it hasn't.
#[cfg(feature = "host")]
pub fn mh(added: &[Member], family: Family, size: RingSize) -> Vec<u32> {
    let divisor = added.iter().map(|member| member.last_weight).fold(0, gcd);
    let highest = added.iter().map(|member| member.last_weight).max().unwrap_or(0);
    let Some(highest) = highest.checked_div(divisor) else {
        return Vec::new();
    };
    let shift = (u32::BITS - highest.leading_zeros()).saturating_sub(turn_bits(size));
    let turn = |member: &Member| ((member.last_weight / divisor) >> shift).max(member.last_weight.min(1));
    let mut preferences: Vec<_> = added.iter().map(|member| preference(member, family, size)).collect();
    let turns = added
        .iter()
        .enumerate()
        .rev()
        .flat_map(|(index, member)| core::iter::repeat_n((index, member.number), turn(member) as usize));
    let mut ring = vec![0; size.slots() as usize];
    for (index, number) in turns.cycle().take(size.slots() as usize) {
        preferences[index].take(&mut ring, number);
    }
    ring
}

/// The slot of a client in a ring of so many slots, by [`super::hash_key`]; 0 if there are none.
#[inline(always)]
pub const fn mh_slot(key: u32, slots: u32) -> u32 {
    modulo(hsiphash(key, FIRST_KEY), slots)
}

/// With mh-fallback: where to look for another real server if that of slot `first`, which is
/// [`mh_slot`]'s, can't be chosen.
///
/// `attempt` counts from 0; the kernel gives up after as many as there are slots. Every one is a hash
/// of its own, so slots come twice, and some perhaps never.
#[inline(always)]
pub const fn mh_fallback_slot(key: u32, first: u32, attempt: u32, slots: u32) -> u32 {
    mh_slot(key.wrapping_add(modulo(first.wrapping_add(attempt), slots)), slots)
}

#[inline(always)]
const fn modulo(value: u32, slots: u32) -> u32 {
    match value.checked_rem(slots) {
        Some(rest) => rest,
        None => 0,
    }
}

#[cfg(feature = "host")]
fn preference(member: &Member, family: Family, size: RingSize) -> Preference {
    let address = match family {
        // The kernel reads addresses as the service's family has them: of a real server of the other
        // one (behind a tunnel) it sees the first word.
        Family::V4 => [member.address[0] & 0xffff_ffff, 0],
        Family::V6 => member.address,
    };
    let key = hash_key(address, member.port);
    Preference::new(hsiphash(key, FIRST_KEY), hsiphash(key, STEP_KEY), size)
}

/// The kernel's `IP_VS_MH_TAB_BITS`.
#[cfg(feature = "host")]
fn turn_bits(size: RingSize) -> u32 {
    let place = RingSize::PRIMES.iter().position(|&slots| slots == size.slots()).unwrap_or(0);
    4 + place as u32 / 2
}

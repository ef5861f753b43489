//! Our Maglev (Eisenbud et al., NSDI 2016, section 3.4), with weights.
//!
//! The ring depends on the set of real servers and on the seed, not on the order in which they were
//! added: directors that share the seed have the same ring. Who has weight 0 has no slot.

#[cfg(feature = "host")]
use std::{cmp::Ordering, collections::BinaryHeap};

#[cfg(feature = "host")]
use super::{Member, RingSize, preference::Preference, siphash::siphash};

/// The ring of maglev. Empty if no weight is above 0.
///
/// Everyone has the nearest number of slots to its share of the weights, but at least one as long as
/// there are as many slots as real servers. When a real server comes, goes or changes its weight, the
/// slots that it gains or loses move, and a few per cent more.
#[cfg(feature = "host")]
pub fn maglev(added: &[Member], seed: [u64; 2], size: RingSize) -> Vec<u32> {
    let mut members: Vec<_> = added.iter().filter(|member| member.weight > 0).collect();
    members.sort_unstable_by_key(|member| (member.address.map(u64::from_be), u16::from_be(member.port)));
    let turn = |(place, member): (usize, &&Member)| Turn { taken: 0, weight: member.weight, place };
    let mut turns: BinaryHeap<_> = members.iter().enumerate().map(turn).collect();
    let mut preferences: Vec<_> = members.iter().map(|member| preference(member, seed, size)).collect();
    if members.is_empty() {
        return Vec::new();
    }
    let mut ring = vec![0; size.slots() as usize];
    for _ in 0..size.slots() {
        if let Some(mut next) = turns.peek_mut() {
            preferences[next.place].take(&mut ring, members[next.place].number);
            next.taken += 1;
        }
    }
    ring
}

/// The slot of a flow in a ring of so many slots (at most [`crate::wire::RING_SLOTS_MAX`]), by a keyed
/// hash; 0 if there are none.
#[inline(always)]
pub const fn maglev_slot(hash: u64, slots: u32) -> u32 {
    // The middle of the hash: its two ends say the lines of the flow table. Flows of one slot would
    // crowd in few of them.
    (((hash >> 16 & 0xffff_ffff) * slots as u64) >> 32) as u32
}

#[cfg(feature = "host")]
fn preference(member: &Member, seed: [u64; 2], size: RingSize) -> Preference {
    let [high, low] = member.address;
    let hash = siphash([high, low, u64::from(member.port)], seed);
    Preference::new(hash as u32, (hash >> 32) as u32, size)
}

/// A real server's next turn, which is due when its share of the slots is nearer to one more than to
/// what it has; the first one is due at once. The due time is in slots for a weight of 1, and doesn't depend
/// on who else there is, so that nobody's coming or going changes the order of the others' turns.
#[cfg(feature = "host")]
#[derive(Clone, Copy, Debug)]
struct Turn {
    taken: u32,
    weight: u32,
    /// In the set sorted by address: who goes first if two are due at once.
    place: usize,
}

#[cfg(feature = "host")]
impl Turn {
    /// Twice the due time, times the weight.
    fn due(&self) -> u64 {
        if self.taken == 0 { 0 } else { 2 * u64::from(self.taken) + 1 }
    }
}

#[cfg(feature = "host")]
impl Ord for Turn {
    /// The greatest of them is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.due() * u64::from(other.weight), other.due() * u64::from(self.weight));
        theirs.cmp(&ours).then(other.place.cmp(&self.place))
    }
}

#[cfg(feature = "host")]
impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(feature = "host")]
impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

#[cfg(feature = "host")]
impl Eq for Turn {}

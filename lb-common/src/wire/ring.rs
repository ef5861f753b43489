//! Where a service's ring lies in the map `RINGS`.
//!
//! A ring is the order in which a scheduler picks, one destination's number a slot.

/// The longest ring, in slots.
pub const RING_SLOTS_MAX: u32 = 1 << 17;

/// Slots in one value of the map `RINGS`: a cache line of them.
pub const RING_CHUNK: u32 = 16;

/// A part of the map `RINGS`; one word, so that a new ring is published by one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSpan {
    /// The first slot.
    pub first: u32,
    /// How many slots; 0: no real server can be chosen. At most [`RING_SLOTS_MAX`].
    pub slots: u32,
}

impl RingSpan {
    /// The span as it lies in its table.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.first as u64 | (self.slots as u64) << 32
    }

    /// The span from its table.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { first: word as u32, slots: (word >> 32) as u32 }
    }
}

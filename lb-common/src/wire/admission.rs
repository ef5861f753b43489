//! The filter that every packet meets first: may its destination be a service address?
//! Where real servers are masqueraded, a second one of its kind asks whether its source may be one of them.
//!
//! 65,536 bits, so that it stays in the first-level cache. It may say yes wrongly (the tables that
//! follow compare the whole address) and never no wrongly.

use bytemuck::{Pod, Zeroable};

/// Words of 64 bits in the filter.
pub const ADMISSION_WORDS: usize = 1024;

/// The filter: a set bit for every service address. In the map `TABLES`, see [`super::Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Admission {
    /// Bit `n` of word `w` stands for hash `64 * w + n`.
    pub words: [u64; ADMISSION_WORDS],
}

const _: () = assert!(size_of::<Admission>() == 8192);

/// An odd number without pattern (the golden ratio's fraction), as Fibonacci hashing takes it.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bit (0 to 65,535) of an IPv4 address, given as it lies in the header and read as a native word.
#[inline(always)]
pub const fn admission_bit_v4(address: u32) -> u32 {
    ((address as u64).wrapping_mul(MULTIPLIER) >> 48) as u32
}

/// The bit (0 to 65,535) of an IPv6 address, given as its two halves read as native words.
#[inline(always)]
pub const fn admission_bit_v6(high: u64, low: u64) -> u32 {
    // The rotation keeps ::1 and 0:0:0:1:: apart.
    ((high.rotate_left(29) ^ low).wrapping_mul(MULTIPLIER) >> 48) as u32
}

impl Admission {
    /// The filter that admits nothing.
    pub const EMPTY: Self = Self { words: [0; ADMISSION_WORDS] };

    /// Sets the bit of one address.
    pub fn admit(&mut self, bit: u32) {
        self.words[bit as usize / 64 % ADMISSION_WORDS] |= 1 << (bit % 64);
    }

    /// Whether a bit is set.
    pub const fn admits(&self, bit: u32) -> bool {
        self.words[bit as usize / 64 % ADMISSION_WORDS] >> (bit % 64) & 1 == 1
    }
}

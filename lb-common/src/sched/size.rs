//! How many slots the rings of mh and maglev have: a prime number, so that any step visits all slots.

/// A number of slots that mh and maglev can have; 4,093 unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingSize(u32);

impl RingSize {
    /// The numbers that there are: those of the kernel's build option `IP_VS_MH_TAB_INDEX`, 8 to 17.
    pub const PRIMES: [u32; 10] = [251, 509, 1_021, 2_039, 4_093, 8_191, 16_381, 32_749, 65_521, 131_071];

    /// The size of so many slots, if it is one of [`Self::PRIMES`].
    pub fn new(slots: u32) -> Option<Self> {
        Self::PRIMES.contains(&slots).then_some(Self(slots))
    }

    /// How many slots.
    pub const fn slots(self) -> u32 {
        self.0
    }
}

impl Default for RingSize {
    fn default() -> Self {
        Self(4_093)
    }
}

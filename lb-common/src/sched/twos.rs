//! Power of two choices (ipvsadm `-s twos`): two are drawn by weight, the less loaded one is taken.
//!
//! Two walks over the list: the first adds up the weights, the second finds the two that were drawn.

use bytemuck::{Pod, Zeroable};

use super::Loaded;
use super::walk::costs_more;

/// A choice under way: [`Self::weigh`] for each real server, [`Self::draw`], [`Self::consider`] for each
/// again, in the list's order both times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Twos {
    /// The sum of weights.
    total: u64,
    /// How much weight is still to pass until the drawn ones are reached.
    first_left: u64,
    second_left: u64,
    first: Drawn,
    second: Drawn,
    /// The last that could have been drawn, for when weights fall between the two walks.
    last: u32,
    reserved: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Drawn {
    /// 0: not reached yet.
    number: u32,
    weight: u32,
    overhead: u32,
    reserved: u32,
}

impl Twos {
    /// First walk.
    #[inline(always)]
    pub const fn weigh(&mut self, loaded: Loaded) {
        if loaded.is_available() {
            self.total = self.total.wrapping_add(loaded.weight as u64);
            self.last = loaded.number;
        }
    }

    /// Draws two, by two random numbers.
    #[inline(always)]
    pub const fn draw(&mut self, first: u64, second: u64) {
        // From 0 to the sum of weights, that included, as the kernel does: it favours the first by one.
        let range = self.total.wrapping_add(1);
        self.first_left = modulo(first, range);
        self.second_left = modulo(second, range);
    }

    /// Second walk.
    #[inline(always)]
    pub const fn consider(&mut self, loaded: Loaded) {
        if loaded.is_available() {
            pass(&mut self.first_left, &mut self.first, loaded);
            pass(&mut self.second_left, &mut self.second, loaded);
        }
    }

    /// The number of the chosen one; 0: none can be chosen.
    #[inline(always)]
    pub const fn choice(&self) -> u32 {
        let (first, second) = (self.first, self.second);
        if first.number == 0 {
            return if second.number == 0 { self.last } else { second.number };
        }
        if second.number != 0 && costs_more(first.overhead, first.weight, second.overhead, second.weight) {
            second.number
        } else {
            first.number
        }
    }
}

/// Two numbers to draw by, from a flow's keyed hash and how often its service has drawn before.
///
/// The kernel takes random ones. These a client can foresee as little, since the hash has a secret key, and a
/// service that draws for one flow again draws others; but host and kernel have the same.
#[inline(always)]
pub const fn draws(hash: u64, count: u64) -> (u64, u64) {
    let first = mix(hash.wrapping_add(count.wrapping_mul(GOLDEN_RATIO_64)));
    (first, mix(first.wrapping_add(GOLDEN_RATIO_64)))
}

/// 2^64 by the golden ratio, odd: SplitMix64's step (Steele, Lea, Flood 2014), and below what it makes of a step.
const GOLDEN_RATIO_64: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
const fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[inline(always)]
const fn pass(left: &mut u64, drawn: &mut Drawn, loaded: Loaded) {
    if drawn.number == 0 {
        let weight = loaded.weight as u64;
        if *left <= weight {
            drawn.number = loaded.number;
            drawn.weight = loaded.weight;
            drawn.overhead = loaded.overhead();
        } else {
            *left = left.wrapping_sub(weight);
        }
    }
}

#[inline(always)]
const fn modulo(value: u64, range: u64) -> u64 {
    match value.checked_rem(range) {
        Some(rest) => rest,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_of_one_flow_and_of_one_count_are_spread_evenly() {
        for of in [|index: u64| draws(0x1234_5678, index), |index: u64| draws(index << 32, 7)] {
            let mut seen = [[0_u32; 8]; 8];
            for index in 0..64_000 {
                let (first, second) = of(index);
                seen[(first % 8) as usize][(second % 8) as usize] += 1;
            }
            assert!(seen.iter().flatten().all(|&count| (850..1_150).contains(&count)), "{seen:?}");
        }
    }
}

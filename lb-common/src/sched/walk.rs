//! lc, wlc, sed, nq, ovf and fo: one look at every real server, and the best one so far is kept.
//!
//! All six are one comparison: the lowest cost for its weight. They differ in what the cost is.

use bytemuck::{Pod, Zeroable};

use super::Scheduler;

/// A real server and how loaded it is, at the moment of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its destination's number, not 0.
    pub number: u32,
    /// Its weight; 0 is never chosen.
    pub weight: u32,
    /// ActiveConn; not below 0, though counts of several CPUs may be for a moment.
    pub active: u32,
    /// InActConn, likewise.
    pub inactive: u32,
    /// Not 0: overloaded, never chosen. See [`super::is_overloaded`].
    pub overloaded: u32,
}

impl Loaded {
    /// Whether it may be given a new connection.
    #[inline(always)]
    pub const fn is_available(&self) -> bool {
        self.weight != 0 && self.overloaded == 0
    }

    /// What its connections cost: an active one as much as 256 inactive ones.
    ///
    /// No more than a word, so that a product with a weight doesn't overflow. That is 16 million
    /// active connections; the kernel's own word wraps at half of that.
    #[inline(always)]
    pub const fn overhead(&self) -> u32 {
        a_word(self.active as u64 * OF_ACTIVE as u64 + self.inactive as u64)
    }

    /// Whether it has more active connections than its weight says. (Not an overload: lblc's own notion.)
    #[inline(always)]
    pub(super) const fn is_crowded(&self) -> bool {
        self.active > self.weight
    }

    /// Whether it has room for what a crowded one has too much.
    #[inline(always)]
    pub(super) const fn is_idle(&self) -> bool {
        (self.active as u64) * 2 < self.weight as u64
    }
}

/// A choice under way. Real servers are considered in the list's order, the last added first.
///
/// The rule of the scheduler is kept as numbers to reckon with: to the verifier every branch is one more way through
/// each of thousands of real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Walk {
    /// The best so far, or 0.
    number: u32,
    cost: u32,
    weight: u32,
    /// What an active and an inactive connection cost, and what all pay.
    active: u32,
    inactive: u32,
    base: u32,
    /// 0: all weigh the same.
    weighs: u32,
    /// 1: nothing is paid without an active connection (nq).
    idle_is_free: u32,
    /// 1: who is crowded can't be chosen (ovf).
    crowded_is_out: u32,
    reserved: u32,
}

impl Walk {
    /// A choice by lc, wlc, sed, nq, ovf or fo; by wlc for all others.
    #[inline(always)]
    pub const fn new(scheduler: Scheduler) -> Self {
        let (active, inactive, base) = match scheduler {
            Scheduler::Sed | Scheduler::Nq => (1, 0, 1),
            Scheduler::Fo | Scheduler::Ovf => (0, 0, 1),
            _ => (OF_ACTIVE, 1, 0),
        };
        Self {
            number: 0,
            cost: 0,
            weight: 0,
            active,
            inactive,
            base,
            weighs: !matches!(scheduler, Scheduler::Lc) as u32,
            // Nothing is less than nothing: the first idle one stays.
            idle_is_free: matches!(scheduler, Scheduler::Nq) as u32,
            crowded_is_out: matches!(scheduler, Scheduler::Ovf) as u32,
            reserved: 0,
        }
    }

    /// Looks at the next real server; whether it is the best so far. Of equal ones the first is.
    #[inline(always)]
    pub const fn consider(&mut self, loaded: Loaded) -> bool {
        let is_out = self.crowded_is_out & is_more(loaded.active, loaded.weight) | loaded.overloaded;
        if is_out != 0 || loaded.weight == 0 {
            return false;
        }
        let is_free = self.idle_is_free & (is_more(loaded.active, 0) ^ 1);
        let cost = loaded.active as u64 * self.active as u64
            + loaded.inactive as u64 * self.inactive as u64
            + self.base as u64;
        let cost = a_word(cost) & is_free.wrapping_sub(1);
        // The weight, or 1.
        let weight = loaded.weight.wrapping_sub(1).wrapping_mul(self.weighs).wrapping_add(1);
        let better = self.number == 0 || costs_more(self.cost, self.weight, cost, weight);
        if better {
            self.number = loaded.number;
            self.cost = cost;
            self.weight = weight;
        }
        better
    }

    /// The number of the chosen one; 0: none can be chosen.
    #[inline(always)]
    pub const fn choice(&self) -> u32 {
        self.number
    }
}

/// What an active connection costs, in inactive ones.
const OF_ACTIVE: u32 = 256;

/// A number of less than 2^63, or the largest word if it is more than that.
#[inline(always)]
const fn a_word(number: u64) -> u32 {
    let is_more = (number >> 32).wrapping_neg() >> 63;
    number as u32 | (is_more as u32).wrapping_neg()
}

/// 1 if the first is more than the second, else 0.
#[inline(always)]
const fn is_more(number: u32, than: u32) -> u32 {
    ((than as u64).wrapping_sub(number as u64) >> 63) as u32
}

/// Whether a cost is more for its weight than another one is: a / b > c / d.
#[inline(always)]
pub(super) const fn costs_more(cost: u32, weight: u32, other_cost: u32, other_weight: u32) -> bool {
    cost as u64 * other_weight as u64 > other_cost as u64 * weight as u64
}

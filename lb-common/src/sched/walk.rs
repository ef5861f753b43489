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
        let overhead = (self.active as u64) * 256 + self.inactive as u64;
        if overhead > u32::MAX as u64 { u32::MAX } else { overhead as u32 }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Walk {
    /// The best so far, or 0.
    number: u32,
    cost: u32,
    weight: u32,
    /// The number of a [`Scheduler`].
    scheduler: u32,
}

impl Walk {
    /// A choice by lc, wlc, sed, nq, ovf or fo; by wlc for all others.
    #[inline(always)]
    pub const fn new(scheduler: Scheduler) -> Self {
        Self { number: 0, cost: 0, weight: 0, scheduler: scheduler as u32 }
    }

    /// Looks at the next real server; whether it is the best so far. Of equal ones the first is.
    #[inline(always)]
    pub const fn consider(&mut self, loaded: Loaded) -> bool {
        const LC: u32 = Scheduler::Lc as u32;
        const SED: u32 = Scheduler::Sed as u32;
        const NQ: u32 = Scheduler::Nq as u32;
        const FO: u32 = Scheduler::Fo as u32;
        const OVF: u32 = Scheduler::Ovf as u32;
        if !loaded.is_available() || self.scheduler == OVF && loaded.is_crowded() {
            return false;
        }
        let (cost, weight) = match self.scheduler {
            LC => (loaded.overhead(), 1),
            // Nothing is less than nothing: the first idle one stays.
            NQ if loaded.active == 0 => (0, loaded.weight),
            SED | NQ => (loaded.active.saturating_add(1), loaded.weight),
            FO | OVF => (1, loaded.weight),
            _ => (loaded.overhead(), loaded.weight),
        };
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

/// Whether a cost is more for its weight than another one is: a / b > c / d.
#[inline(always)]
pub(super) const fn costs_more(cost: u32, weight: u32, other_cost: u32, other_weight: u32) -> bool {
    cost as u64 * other_weight as u64 > other_cost as u64 * weight as u64
}

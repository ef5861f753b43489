//! Locality-based least connections, without and with replication (ipvsadm `-s lblc`, `-s lblcr`): which
//! real server serves a destination address, when that one has too much, and who takes its place.
//!
//! Where the real servers of an address are remembered, and since when, is not known here.

use bytemuck::{Pod, Zeroable};

use super::{Loaded, Scheduler, Walk};

/// After how many seconds without a connection an address is forgotten, and after how many seconds
/// without a change an address of several real servers gives one up (`lblc_expiration`, `lblcr_expiration`).
pub const LBLC_EXPIRATION: u32 = 24 * 60 * 60;

/// After how many seconds without a connection an address is forgotten where there is no room for others (the
/// kernel's `ENTRY_TIMEOUT`).
pub const LBLC_EXPIRATION_IF_FULL: u32 = 6 * 60;

/// lblc's choice under way. Real servers are considered in the list's order, the last added first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Lblc {
    /// Who served the address until now; 0: nobody.
    kept: u32,
    /// 1: it was seen and has a weight. LVS doesn't ask whether it is overloaded.
    stands: u32,
    relief: Relief,
    least: Walk,
}

impl Lblc {
    /// A choice for an address that `kept` (0: nobody) served until now.
    #[inline(always)]
    pub const fn new(kept: u32) -> Self {
        Self { kept, stands: 0, relief: Relief::NONE, least: Walk::new(Scheduler::Wlc) }
    }

    /// Looks at the next real server.
    #[inline(always)]
    pub const fn consider(&mut self, loaded: Loaded) {
        if loaded.number == self.kept && loaded.weight != 0 {
            self.stands = 1;
            self.relief.crowded = loaded.is_crowded() as u32;
        }
        self.relief.consider(loaded);
        self.least.consider(loaded);
    }

    /// The number of the chosen one, who serves the address from now on; 0: none can be chosen.
    #[inline(always)]
    pub const fn choice(&self) -> u32 {
        if self.kept != 0 && self.stands != 0 && !self.relief.is_due() {
            self.kept
        } else {
            self.least.choice()
        }
    }
}

/// lblcr's choice under way: [`Self::consider_member`] for each real server of the address, the one that joined
/// last first, then [`Self::consider`] for each of the service in the list's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lblcr {
    /// The least and the most loaded of the address.
    member: Walk,
    most: Most,
    relief: Relief,
    least: Walk,
}

impl Default for Lblcr {
    fn default() -> Self {
        Self::new()
    }
}

impl Lblcr {
    /// A choice before any real server was considered.
    #[inline(always)]
    pub const fn new() -> Self {
        let walk = Walk::new(Scheduler::Wlc);
        Self {
            member: walk,
            most: Most { number: 0, weight: 0, overhead: 0 },
            relief: Relief::NONE,
            least: walk,
        }
    }

    /// Looks at the next real server of the address; only at those that the service still has.
    #[inline(always)]
    pub const fn consider_member(&mut self, loaded: Loaded) {
        if self.member.consider(loaded) {
            self.relief.crowded = loaded.is_crowded() as u32;
        }
        self.most.consider(loaded);
    }

    /// Looks at the next real server of the service.
    #[inline(always)]
    pub const fn consider(&mut self, loaded: Loaded) {
        self.relief.consider(loaded);
        self.least.consider(loaded);
    }

    /// The number of the chosen one; 0: none can be chosen.
    #[inline(always)]
    pub const fn choice(&self) -> u32 {
        if self.stays() { self.member.choice() } else { self.least.choice() }
    }

    /// Who joins those of the address, if it isn't one of them (any more: who leaves is asked first); 0: nobody.
    #[inline(always)]
    pub const fn joiner(&self) -> u32 {
        if self.stays() { 0 } else { self.least.choice() }
    }

    /// The most loaded of the address; 0: none. It leaves once nobody has joined or left for
    /// [`LBLC_EXPIRATION`], if the address has more than one; even if it is the one that is chosen.
    #[inline(always)]
    pub const fn leaver(&self) -> u32 {
        self.most.number
    }

    /// Whether one of the address is chosen.
    #[inline(always)]
    const fn stays(&self) -> bool {
        self.member.choice() != 0 && !self.relief.is_due()
    }
}

/// Whether one has too much and another one has room. Only both together move an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Relief {
    /// 1: who would serve the address has more active connections than its weight.
    crowded: u32,
    /// 1: somebody has fewer than half as many as its own weight says. LVS doesn't ask whether that one can be
    /// chosen.
    idle: u32,
}

impl Relief {
    const NONE: Self = Self { crowded: 0, idle: 0 };

    #[inline(always)]
    const fn consider(&mut self, loaded: Loaded) {
        self.idle |= loaded.is_idle() as u32;
    }

    #[inline(always)]
    const fn is_due(self) -> bool {
        self.crowded & self.idle != 0
    }
}

/// The one with the highest cost for its weight; of equal ones the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most {
    number: u32,
    weight: u32,
    overhead: u32,
}

impl Most {
    #[inline(always)]
    const fn consider(&mut self, loaded: Loaded) {
        let overhead = loaded.overhead();
        if loaded.weight != 0
            && (self.number == 0
                || super::walk::costs_more(overhead, loaded.weight, self.overhead, self.weight))
        {
            self.number = loaded.number;
            self.weight = loaded.weight;
            self.overhead = overhead;
        }
    }
}

//! The ring of one service: from its real servers and what they are known to be to the slots. Pure.
//!
//! ```text
//! rr, wrr, fo        who may be given new connections
//! lc to lblc         the same, as the ring of rr: what the program walks over; fo's too, where real servers have
//!                    thresholds
//! maglev             the same: the clients of the others are spread over these
//! sh, dh, mh         everyone, by the configured weights: who drains or is down holds its slots, and
//!                    the program refuses who falls on them, or looks further
//! ```
//!
//! Nothing here knows where rings lie.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::sched::{
    Candidate, Member, dh, fo, last_weight, maglev, mh, resume_rr, resume_wrr, rr, sh, wrr,
};
use lb_common::wire::{DESTINATION_REMOVED, Destination, FORWARD_LOCAL, FORWARD_TUNNEL, OuterHeader};

use super::{Health, WantedDestination, WantedService};
use crate::dataplane::{Held, HeldService};
use crate::model::Scheduler;

/// A real server under its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    number: u32,
    destination: Destination,
    /// Whether it may be given new connections, if its weight lets it.
    is_ready: bool,
    /// Whether the program finds it down.
    is_down: bool,
}

impl Server {
    pub(super) fn new(number: u32, wanted: &WantedDestination) -> Self {
        let WantedDestination { destination, health } = *wanted;
        let has_header = destination.outer != <OuterHeader as bytemuck::Zeroable>::zeroed();
        let reachable = match destination.forward {
            FORWARD_LOCAL => true,
            FORWARD_TUNNEL => destination.is_resolved() && has_header,
            _ => destination.is_resolved(),
        };
        let is_ready = health == Health::Up && reachable;
        Self { number, destination, is_ready, is_down: health == Health::Down }
    }

    const fn eligible(&self) -> Candidate {
        let weight = if self.is_ready { self.destination.weight } else { 0 };
        Candidate { number: self.number, weight }
    }

    const fn configured(&self) -> Candidate {
        Candidate { number: self.number, weight: self.destination.weight }
    }

    fn member(&self, weight: u32, last_weight: u32) -> Member {
        let Destination { address, port, .. } = self.destination;
        let (address, port) = (bytemuck::cast(address), u16::from_ne_bytes(port));
        Member { number: self.number, weight, last_weight, address, port }
    }

    /// Whether its slots in a hash ring are nobody's: it may be given nothing, and its record and flags
    /// don't say so.
    const fn is_hidden(&self) -> bool {
        self.destination.weight > 0 && !self.is_ready && !self.is_down
    }
}

/// A service's ring, as it is held and as it is wanted.
#[derive(Debug)]
pub(super) struct Rings<'a> {
    tables: &'a Held,
    held: Option<&'a HeldService>,
    wanted: &'a WantedService,
    /// In the order in which they were added.
    servers: Vec<Server>,
}

impl<'a> Rings<'a> {
    /// `index`: where the service is held, if it is.
    pub(super) fn new(
        tables: &'a Held,
        index: Option<u32>,
        wanted: &'a WantedService,
        servers: Vec<Server>,
    ) -> Self {
        Self { tables, held: index.and_then(|index| tables.services.get(&index)), wanted, servers }
    }

    /// The wanted ring.
    pub(super) fn ring(&self) -> Vec<u32> {
        let eligible = || self.candidates(Server::eligible);
        let configured = || self.candidates(Server::configured);
        let WantedService { key, scheduler, ring_size, seed, .. } = self.wanted;
        match scheduler {
            Scheduler::Rr
            | Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Ovf
            | Scheduler::Twos
            | Scheduler::Lblc
            | Scheduler::Lblcr => rr(&eligible()),
            // A walk, which passes over who is overloaded.
            Scheduler::Fo if self.wanted.has_thresholds() => rr(&eligible()),
            Scheduler::Wrr => wrr(&eligible()),
            Scheduler::Fo => fo(&eligible()),
            Scheduler::Sh => self.shown(sh(&configured())),
            Scheduler::Dh => self.shown(dh(&configured())),
            Scheduler::Mh => {
                let weights = match self.last_weights() {
                    LastWeights::Known(weights) => weights,
                    LastWeights::Unchanged(ring) => return ring,
                };
                let members: Vec<_> = (self.servers.iter().zip(weights))
                    .map(|(server, last_weight)| server.member(server.destination.weight, last_weight))
                    .collect();
                self.shown(mh(&members, key.family(), *ring_size))
            }
            Scheduler::Maglev => {
                let members: Vec<_> =
                    self.servers.iter().map(|server| server.member(server.eligible().weight, 0)).collect();
                maglev(&members, *seed, *ring_size)
            }
        }
    }

    /// The pick that the wanted ring goes on with after so many from the held one.
    pub(super) fn resume(&self, picks: u64) -> u64 {
        let same = |held: &&HeldService| held.scheduler == self.wanted.scheduler.number();
        match (self.wanted.scheduler, self.held.filter(same)) {
            (Scheduler::Rr, Some(held)) => {
                let (old, new) = self.before_and_after(held);
                resume_rr(&old, picks, &new)
            }
            (Scheduler::Wrr, Some(held)) => {
                let (old, new) = self.before_and_after(held);
                resume_wrr(&old, picks, &new)
            }
            // Nobody counts their picks, or those that were counted mean nothing here.
            _ => 0,
        }
    }

    /// The candidates of a ring that is held, and of the wanted one.
    fn before_and_after(&self, held: &HeldService) -> (Vec<Candidate>, Vec<Candidate>) {
        // Who stands in the ring that is held had its weight, the others none.
        let new = self.candidates(Server::eligible);
        let weight_in = |number| {
            let stands = held.ring.contains(&number);
            self.tables.destinations.get(&number).filter(|_| stands).map_or(0, |held| held.destination.weight)
        };
        let numbers = new.iter().map(|candidate| candidate.number);
        let mut old: Vec<_> = numbers.map(|number| Candidate { number, weight: weight_in(number) }).collect();
        for &number in &held.ring {
            if !old.iter().any(|candidate| candidate.number == number) {
                old.push(Candidate { number, weight: weight_in(number) });
            }
        }
        (old, new)
    }

    fn candidates(&self, of: impl Fn(&Server) -> Candidate) -> Vec<Candidate> {
        self.servers.iter().map(of).collect()
    }

    /// A hash ring in which the slots of those that look-ups can't refuse are nobody's.
    fn shown(&self, mut ring: Vec<u32>) -> Vec<u32> {
        let hidden: BTreeSet<_> =
            self.servers.iter().filter(|server| server.is_hidden()).map(|server| server.number).collect();
        if !hidden.is_empty() {
            ring.iter_mut().filter(|number| hidden.contains(number)).for_each(|number| *number = 0);
        }
        ring
    }

    /// The last weight of every real server, see [`last_weight`].
    ///
    /// Tables keep no weight that a real server had before 0. While it holds slots in mh's ring, they tell it:
    /// the ring as a whole as long as nothing else changes, or else its share of them, which is exact for
    /// small weights.
    fn last_weights(&self) -> LastWeights {
        let is_removed = |flags: u32| flags & DESTINATION_REMOVED != 0;
        let before =
            |number| self.tables.destinations.get(&number).filter(|held| !is_removed(held.head.flags));
        let held = self.held.filter(|held| held.scheduler == Scheduler::Mh.number());
        let shares = Shares::of(held.map_or(&[], |held| &held.ring), |number| {
            before(number).map_or(0, |held| held.destination.weight)
        });
        let mut forgotten = false;
        let mut unchanged =
            held.is_some_and(|held| held.ring.len() == self.wanted.ring_size.slots() as usize);
        let mut shown = BTreeSet::new();
        let mut weights = Vec::with_capacity(self.servers.len());
        for server in &self.servers {
            let weight = server.destination.weight;
            let held = before(server.number).map(|held| held.destination.weight);
            let last = match held {
                Some(0) if weight == 0 && shares.slots(server.number) > 0 => {
                    forgotten = true;
                    shares.weight(server.number)
                }
                _ => last_weight(held, weight),
            };
            // Only a fall to 0 leaves the ring as it is.
            unchanged &= weight == 0 || held == Some(weight);
            if last > 0 && !server.is_hidden() {
                shown.insert(server.number);
            }
            weights.push(last);
        }
        match held {
            Some(held)
                if forgotten
                    && unchanged
                    && shares.stand_in_it(&shown)
                    && held.ring.contains(&0) == self.servers.iter().any(Server::is_hidden) =>
            {
                LastWeights::Unchanged(held.ring.clone())
            }
            _ => LastWeights::Known(weights),
        }
    }
}

/// The last weights of a service's real servers.
enum LastWeights {
    /// One for each.
    Known(Vec<u32>),
    /// Not all of them are known, but they are those that this ring was made with.
    Unchanged(Vec<u32>),
}

/// Who has how many slots of a ring.
struct Shares {
    slots: BTreeMap<u32, u64>,
    /// The slots of those whose weight is not 0, and their weights.
    weighed: (u64, u64),
}

impl Shares {
    fn of(ring: &[u32], weight: impl Fn(u32) -> u32) -> Self {
        let mut slots = BTreeMap::new();
        for &number in ring.iter().filter(|&&number| number != 0) {
            *slots.entry(number).or_insert(0) += 1;
        }
        let mut weighed = (0, 0);
        for (&number, &slots) in &slots {
            let weight = weight(number);
            if weight > 0 {
                weighed = (weighed.0 + slots, weighed.1 + u64::from(weight));
            }
        }
        Self { slots, weighed }
    }

    fn slots(&self, number: u32) -> u64 {
        self.slots.get(&number).copied().unwrap_or_default()
    }

    /// The weight, at least 1, that has so many slots beside those that are weighed; with nobody to compare
    /// with, the slots themselves.
    fn weight(&self, number: u32) -> u32 {
        let slots = self.slots(number);
        let (of_slots, weights) = self.weighed;
        let weight = (slots * weights + of_slots / 2).checked_div(of_slots).unwrap_or(slots);
        u32::try_from(weight).unwrap_or(u32::MAX).max(1)
    }

    /// Whether exactly these have slots.
    fn stand_in_it(&self, numbers: &BTreeSet<u32>) -> bool {
        self.slots.keys().eq(numbers)
    }
}

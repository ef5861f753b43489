//! The seam between a decision and what the daemon has loaded.
//!
//! Every method is one look-up or one counter. An implementation decides nothing.

use super::Task;
use crate::sched::Scheduler;
use crate::verdict::Verdict;
use crate::wire::{
    Connection, Destination, DestinationHead, Edit, Guard, Load, LocalityKey, Options, Persistence, Place,
    RingSpan, Rule, RuleSpan, ServiceKey, Tick,
};

/// A line of the flow table that other CPUs write to at the same time. Slots are 0 to 4.
pub trait FlowLine: Copy {
    /// The entry in a slot.
    fn entry(&self, slot: usize) -> u64;

    /// Replaces the entry in a slot by compare-and-exchange; whether it was `expected`.
    fn exchange_entry(&self, slot: usize, expected: u64, entry: u64) -> bool;

    /// The state word of a slot, see [`crate::wire::State::of`].
    fn state(&self, slot: usize) -> u32;

    /// Replaces the state word by compare-and-exchange; whether it was `expected`.
    fn exchange_state(&self, slot: usize, expected: u32, state: u32) -> bool;

    /// Writes the state word of a slot that was claimed.
    fn set_state(&self, slot: usize, state: u32);
}

/// What a slot of the flow table says of its connection beside the entry, see [`Connection`]: words that other
/// CPUs write to at the same time.
pub trait Record: Copy {
    /// A word, 0 to 7.
    fn word(&self, index: usize) -> u64;

    /// Writes a word.
    fn set_word(&self, index: usize, word: u64);
}

/// Who has entered a flow, and where: what [`super::insert`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The destination that the flow now has: another CPU's choice, if that was faster. 0: no room.
    pub number: u32,
    /// [`Place::word`] of the entry, if it is ours; 0: it is another CPU's, or there is none.
    pub place: u32,
}

impl Entered {
    /// Both in one word, as a function of the kernel's returns it.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.number as u64 | (self.place as u64) << 32
    }

    /// Back again.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { number: word as u32, place: (word >> 32) as u32 }
    }
}

/// The tables of one director. Numbers out of range find nothing.
pub trait Tables {
    /// A line of the flow table.
    type Line: FlowLine;

    /// What is kept of a connection.
    type Record: Record;

    /// Whether the admission filter has a bit (0 to 65,535) set.
    fn admits(&self, bit: u32) -> bool;

    /// Whether there are masqueraded real servers: without any, no source is asked.
    fn masquerades(&self) -> bool;

    /// Whether the filter of masqueraded real servers' addresses has a bit (0 to 65,535) set.
    fn admits_source(&self, bit: u32) -> bool;

    /// Bit [`crate::wire::peer_bit`] of every peer director's Ethernet address.
    fn peer_filter(&self) -> u64;

    /// Whether an Ethernet address (low six bytes, as it lies) is a peer director's.
    fn is_peer(&self, address: u64) -> bool;

    /// A number (0 to 5) of the secret key.
    fn seed(&self, index: usize) -> u64;

    /// How many lines of the flow table flows stand in.
    fn lines(&self) -> u32;

    /// How many lines behind them templates stand in.
    fn template_lines(&self) -> u32;

    /// A line of the flow table.
    fn line(&self, index: u32) -> Option<Self::Line>;

    /// The record of a slot of the flow table.
    fn record(&self, place: Place) -> Option<Self::Record>;

    /// Whether an address, by [`ServiceKey::address_only`], is some service's: exactly, not as the admission filter.
    fn is_service_address(&self, key: &ServiceKey) -> bool;

    /// Where the rules of classes of an address lie, by [`ServiceKey::address_only`].
    fn rules(&self, key: &ServiceKey) -> RuleSpan;

    /// A rule. It is not written as long as it may be in use.
    fn rule(&self, index: u32) -> Option<&Rule>;

    /// The index of a service.
    fn service(&self, key: &ServiceKey) -> Option<u32>;

    /// Where a service's ring lies.
    fn ring(&self, service: u32) -> RingSpan;

    /// How a service schedules, and its flags ([`crate::wire::SERVICE_PORT`]).
    fn scheduler(&self, service: u32) -> (Scheduler, u8);

    /// How a service remembers its clients.
    fn persistence(&self, service: u32) -> Persistence;

    /// Whether a destination is a real server of a service: numbers and indices are used again.
    fn serves(&self, number: u32, service: u32) -> bool;

    /// What stands before a service.
    fn guard(&self, service: u32) -> Guard;

    /// What a list of sources ([`Guard::list`]) says of an address: [`crate::wire::SOURCE_ALLOWED`],
    /// [`crate::wire::SOURCE_DENIED`], by the longest prefix that is it; 0: nothing. `is_v6` is 0 or 1.
    fn source(&self, list: u32, is_v6: u32, address: [u64; 2]) -> u32;

    /// How many flows of a service this CPU has opened in a tick, see [`Self::set_gate`].
    fn gate(&self, service: u32) -> u64;

    /// Keeps a word for [`Self::gate`].
    fn set_gate(&self, service: u32, word: u64);

    /// The destination that serves an address by lblc; 0: nobody is remembered.
    fn locality(&self, key: &LocalityKey) -> u32;

    /// Remembers who serves an address from now on, if there is room.
    fn set_locality(&self, key: &LocalityKey, number: u32);

    /// How many picks a service has made, which this one adds to.
    fn pick(&self, service: u32) -> u64;

    /// The destination in a slot of the map of rings; 0 is none.
    fn ring_slot(&self, slot: u32) -> u32;

    /// The weight of a destination for new connections: 0 if it is down, removed or not to be reached.
    fn weight(&self, number: u32) -> u32;

    /// How many connections a destination holds.
    fn load(&self, number: u32) -> Load;

    /// Enters a flow or a template: [`super::insert`]. `connection` is the task's ([`super::Task::connection`]).
    // A method, since it is a function of its own in the kernel: there it is verified once.
    fn insert(
        &self,
        hash: u64,
        destination: u32,
        first: u32,
        instead: u64,
        connection: &Connection,
    ) -> Entered;

    /// Enters the way back of a masqueraded connection: [`super::enter_reply`], a function likewise.
    // Whatever else it needs of the task it finds there.
    fn enter_reply(&self, task: &mut Task, place: u32) -> u32;

    /// Takes an entry away: [`super::take_out`], a function of its own in the kernel likewise.
    fn take_out(&self, place: Place, entry: u64);

    /// What this CPU has answered by ICMP in a tick, see [`Self::set_answers`].
    fn answers(&self) -> u64;

    /// Keeps a word for [`Self::answers`].
    fn set_answers(&self, word: u64);

    /// The head of a destination; zeros for a number that is free.
    fn head(&self, number: u32) -> DestinationHead;

    /// The record that the head of a destination names. It is not written as long as it may be in use.
    fn destination(&self, number: u32) -> Option<&Destination>;

    /// What an established connection's packet needs of a destination; nothing where its head has flags or
    /// names no record.
    fn edit(&self, number: u32) -> Option<Edit>;

    /// Whether a connection of this state word has expired.
    fn is_over(&self, state: u32, now: Tick) -> bool;

    /// What the operator chose about connections.
    fn options(&self) -> Options;

    /// Its argument, of which the verifier then knows nothing.
    ///
    /// It follows every path on its own as long as paths differ in a number that it knows. With this
    /// the ways through ten slots of a flow's two lines are ten and not millions.
    fn forget(&self, value: u32) -> u32;

    /// The time.
    fn now(&self) -> Tick;

    /// The time to the jiffy, for what is seldom asked.
    fn jiffies(&self) -> u64;

    /// Counts a verdict.
    fn count(&self, verdict: Verdict);

    /// Counts a packet of `bytes` (from the IP header on) to a destination: sent or dropped, by its verdict.
    fn account(&self, number: u32, bytes: u32, verdict: Verdict);

    /// Counts a connection scheduled to a destination.
    fn count_connection(&self, number: u32);

    /// Counts a live entry that had to make room, by its state word.
    fn count_eviction(&self, state: u32);

    /// Counts a connection to a persistent service that goes without a template, there being no room.
    fn count_no_template(&self);

    /// Adds to what a destination holds, see [`Load`], and asks whether it is overloaded; `activity` is 0 or 1.
    fn add_load(&self, number: u32, activity: usize, by: i32);

    /// Moves a connection of a destination from one activity to another: as many as before, so nothing is asked.
    fn move_load(&self, number: u32, before: usize, after: usize);
}

//! The decision about one packet: admit, find its flow, schedule, forward.
//!
//! The short way is for packets that are not ours or change nothing. What it leaves undecided goes the long
//! way, step by step: what it is, whether it opens a connection, where it goes, what its sender is told.
//!
//! It knows the tables by [`Tables`] and the frame by [`Packet`] only, and changes nothing but
//! them. A packet that is passed has not been written to.

mod answer;
mod choose;
mod class;
mod classify;
mod connection;
mod fault;
mod forward;
mod guard;
mod long;
mod masquerade;
mod open;
mod pair;
mod persist;
mod short;
mod state;
mod tables;

pub use answer::answer;
pub use choose::{COMPARED_MAX, LOOKS_MAX, begin_choice, end_choice, look};
pub use classify::classify;
pub use connection::{Found, find, insert, take_out};
pub use forward::forward;
pub use long::long_way;
pub use masquerade::masquerade;
pub use open::open;
pub use pair::enter_reply;
pub use short::short_way;
pub use state::{Direction, next_state};
pub use tables::{Entered, FlowLine, Record, Tables};

use bytemuck::{Pod, Zeroable};

use crate::flow::Flow;
use crate::net::Packet;
use crate::sched::{Lblc, Twos, Walk};
use crate::verdict::Verdict;
use crate::wire::{Connection, Template};

/// What is to be done with a packet. Its bytes are already as they should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its fate, and its counter.
    pub verdict: Verdict,
    /// Where a forwarded one leaves: an ifindex. Where one that was dropped goes back as its own answer: the
    /// interface that it came in by. 0 otherwise.
    pub interface: u32,
}

impl Decision {
    const fn of(verdict: Verdict) -> Self {
        Self { verdict, interface: 0 }
    }
}

/// How far a decision has come. Each of what is left is a program of its own in the kernel: together they
/// would need more stack than a program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To its end, and counted.
    Done(Decision),
    /// The packet has no connection, and may open one if it is for a service: [`classify`], also to go on with it.
    Classify,
    /// It is for a service that has to choose: [`begin_choice`], [`look`] while there is something to look at, at most
    /// [`LOOKS_MAX`] times, and [`end_choice`].
    Choose,
    /// Its destination was chosen, or is that of others that will follow it: [`open`].
    Open,
    /// Its destination is known: [`forward`].
    Forward,
    /// Its destination is known, and addresses are to be rewritten: [`masquerade`].
    Masquerade,
    /// It is dropped, and its sender may be told: [`answer`].
    Answer,
}

/// What one step leaves to the next, beside the packet itself, of which nothing was written yet. Whole words:
/// it lies in a table between two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Task {
    /// What is to be kept of a connection that it opens.
    pub connection: Connection,
    /// The packet's flow; of one that belongs to another's flow (a fragment, an ICMP error) its hash alone.
    pub flow: Flow,
    /// The hash of the datagram's fragments, if this is the first of several; 0 otherwise.
    pub fragments: u64,
    /// The entry of the flow that a new one replaces; [`crate::wire::EMPTY`]: none.
    pub instead: u64,
    /// The template that it enters, if it does: what is to be kept of it, under which hash, and which entry it
    /// replaces ([`crate::wire::EMPTY`]: none).
    pub template: Template,
    template_hash: u64,
    template_instead: u64,
    /// The rules of classes that are still to be looked at, and how those before went: known to [`classify`] alone.
    rules: u64,
    classes: u64,
    /// A choice that is under way; which of them, the scheduler says.
    walk: Walk,
    twos: Twos,
    lblc: Lblc,
    /// What is still to be looked at for it, known to who chooses alone, as the next ones.
    search: u32,
    next: u32,
    service: u32,
    key: u32,
    first: u32,
    is_sh: u32,
    has_thresholds: u32,
    /// Whether the number is a choice, and for what; 0: it isn't.
    is_new: u32,
    /// The number of its destination; 0: none yet.
    pub number: u32,
    /// Bytes from the IP header on.
    pub bytes: u32,
    /// Where the IP header lies in the frame.
    pub offset: u32,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u32,
    /// TTL or hop limit.
    pub hops: u32,
    /// The largest packet that would have been forwarded, in IP bytes, where the verdict is that it is too big.
    pub mtu: u32,
    /// The index of the verdict, where there is one.
    pub verdict: u32,
    /// [`Decision::interface`], where the verdict is the last word.
    pub interface: u32,
    /// Whether its destination may be a service's address, and if not, whether its source may be a masqueraded
    /// real server's: 1 or 0.
    is_for_service: u32,
    is_from_real_server: u32,
    /// [`crate::wire::Place::word`] of the entry that it was found by; 0: none.
    pub place: u32,
    /// Number of its [`crate::walk::Content`].
    pub content: u32,
    /// Where its transport header lies in the frame; of a later fragment, its data.
    pub transport: u32,
    /// Where the packet that an ICMP error quotes lies in the frame, and the transport header of that.
    pub quote: u32,
    /// See [`Self::quote`].
    pub quote_transport: u32,
    /// The state word that its template begins with, its time counted from then.
    template_first: u32,
    /// 1: a template is to be entered with its connection.
    enters_template: u32,
    reserved: u32,
}

impl Task {
    /// Forgets the last packet: all that is read before it was written for this one. `zero` is 0.
    // A zero that the compiler doesn't know, or it would call a function to fill so many words; a program that
    // leaves packets to others calls none.
    #[inline(always)]
    const fn begin(&mut self, zero: u32) {
        (self.fragments, self.instead) = (zero as u64, zero as u64);
        (self.number, self.bytes, self.mtu, self.offset) = (zero, zero, zero, zero);
        (self.search, self.next, self.is_new, self.enters_template) = (zero, zero, zero, zero);
        self.place = zero;
        (self.rules, self.classes) = (zero as u64, zero as u64);
    }
}

/// Decides about one packet, rewrites it if it is forwarded or answered, and counts.
pub fn direct<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Decision {
    let mut task = Task::zeroed();
    let mut step = match short_way(packet, tables) {
        Some(decision) => Step::Done(decision),
        None => long_way(packet, tables, &mut task),
    };
    loop {
        step = match step {
            Step::Done(decision) => return decision,
            Step::Classify => classify(tables, &mut task),
            Step::Choose => {
                begin_choice(tables, &mut task);
                let _is_over = (0..LOOKS_MAX).any(|_| !look(tables, &mut task));
                end_choice(tables, &mut task)
            }
            Step::Open => open(tables, &mut task),
            Step::Forward => forward(packet, tables, &mut task),
            Step::Masquerade => masquerade(packet, tables, &mut task),
            Step::Answer => Step::Done(answer(packet, tables, &task)),
        };
    }
}

//! The decision about one packet: admit, find its flow, schedule, forward.
//!
//! It knows the tables by [`Tables`] and the frame by [`Packet`] only, and changes nothing but
//! them. A packet that is passed has not been written to.

mod connection;
mod schedule;
mod tables;

pub use connection::{Found, find, insert};
pub use tables::{FlowLine, Tables};

use crate::flow::{Flow, parse};
use crate::forward::direct_routing;
use crate::net::Packet;
use crate::verdict::Verdict;
use crate::wire::{
    DESTINATION_DOWN, DESTINATION_REMOVED, Destination, DestinationHead, FORWARD_DIRECT, FORWARD_LOCAL,
    Protocol, State, entry_destination,
};
use connection::{refresh, remove};
use schedule::schedule;

/// What is to be done with a packet. Its bytes are already as they should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its fate, and its counter.
    pub verdict: Verdict,
    /// Where a forwarded one leaves: an ifindex. 0 otherwise.
    pub interface: u32,
}

impl Decision {
    const fn of(verdict: Verdict) -> Self {
        Self { verdict, interface: 0 }
    }
}

/// Decides about one packet, rewrites it if it is forwarded, and counts.
#[inline(always)]
pub fn direct<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Decision {
    let decision = steer(packet, tables).unwrap_or_else(Decision::of);
    tables.count(decision.verdict);
    decision
}

#[inline(always)]
fn steer<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Decision, Verdict> {
    let flow = parse(packet, tables)?;
    if tables.is_peer(flow.ethernet_source) {
        return Err(Verdict::PeerDirector);
    }
    let (number, head) = choose(tables, &flow)?;
    let destination = tables.destination(head).ok_or(Verdict::Internal)?;
    let decision = forward(packet, &destination).unwrap_or_else(Decision::of);
    tables.account(number, flow.bytes, decision.verdict);
    Ok(decision)
}

/// The destination that a flow has, or now gets.
#[inline(always)]
fn choose<T: Tables>(tables: &T, flow: &Flow) -> Result<(u32, DestinationHead), Verdict> {
    let found = find(tables, flow.hash);
    if let Some(found) = &found {
        let number = entry_destination(found.entry);
        let head = tables.head(number);
        match keep(flow, found, head.flags) {
            Keep::Yes => {
                refresh(tables, flow, found);
                return Ok((number, head));
            }
            Keep::Forget => {
                remove(tables, found);
                return Err(Verdict::NoConnection);
            }
            Keep::ChooseAnew => {}
        }
    }
    let number = schedule(tables, flow, found.as_ref())?;
    Ok((number, tables.head(number)))
}

/// Whether a connection stays with the destination that its entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Yes,
    ChooseAnew,
    Forget,
}

#[inline(always)]
fn keep<L>(flow: &Flow, found: &Found<L>, flags: u32) -> Keep {
    let opens = flow.tcp_flags.opens();
    // The common case first: a destination without flags.
    if flags == 0 {
        // Its old connection is over: a SYN begins a new one with the same ports.
        return if opens && is_ending(State::of(found.state)) { Keep::ChooseAnew } else { Keep::Yes };
    }
    let is_gone = flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0;
    match flow.protocol() {
        _ if !is_gone => Keep::Yes,
        Protocol::Udp => Keep::ChooseAnew,
        Protocol::Tcp if opens => Keep::ChooseAnew,
        // Down: what it has, it may still answer.
        Protocol::Tcp if flags & DESTINATION_REMOVED == 0 => Keep::Yes,
        Protocol::Tcp => Keep::Forget,
    }
}

const fn is_ending(state: State) -> bool {
    matches!(state, State::FinWait | State::TimeWait | State::Close)
}

#[inline(always)]
fn forward<P: Packet>(packet: &mut P, destination: &Destination) -> Result<Decision, Verdict> {
    match destination.forward {
        FORWARD_DIRECT => {
            direct_routing(packet, destination)?;
            Ok(Decision { verdict: Verdict::DirectRouting, interface: destination.interface })
        }
        FORWARD_LOCAL => Err(Verdict::Local),
        _ => Err(Verdict::Internal),
    }
}

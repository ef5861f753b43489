//! The decision about one packet: admit, find its flow, schedule, forward.
//!
//! It knows the tables by [`Tables`] and the frame by [`Packet`] only, and changes nothing but
//! them. A packet that is passed has not been written to.

mod connection;
mod schedule;
mod tables;

pub use connection::{Placed, find, insert, timeout};
pub use tables::{FlowLine, Tables};

use crate::flow::{Addresses, Flow, Frame, parse};
use crate::forward::Forward;
use crate::net::Packet;
use crate::verdict::Verdict;
use crate::wire::{
    DESTINATION_DOWN, DESTINATION_REMOVED, Destination, DestinationHead, FORWARD_DIRECT, FORWARD_LOCAL, Protocol, State,
    entry_destination,
};
use connection::{Found, refresh};
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
    let decision = match parse(packet, |bit| tables.admits(bit)) {
        Ok(Frame::V4(flow)) => steer(packet, tables, &flow),
        Ok(Frame::V6(flow)) => steer(packet, tables, &flow),
        Err(verdict) => Decision::of(verdict),
    };
    tables.count(decision.verdict);
    decision
}

#[inline(always)]
fn steer<P: Packet, T: Tables, A: Addresses>(packet: &mut P, tables: &T, flow: &Flow<A>) -> Decision
where
    Flow<A>: Forward,
{
    if tables.is_peer(flow.ethernet_source) {
        return Decision::of(Verdict::PeerDirector);
    }
    let hash = flow.hash(&|index| tables.seed(index));
    let number = match find(tables, hash) {
        Some(found) => match keep(tables, flow, &found) {
            Keep::Yes => Ok(entry_destination(found.entry)),
            Keep::ChooseAnew => schedule(tables, flow, hash, Some(&found)),
            Keep::Forget => {
                connection::remove(tables, &found);
                Err(Verdict::NoConnection)
            }
        },
        None => schedule(tables, flow, hash, None),
    };
    let number = match number {
        Ok(number) => number,
        Err(verdict) => return Decision::of(verdict),
    };
    let Some(destination) = tables.destination(number) else {
        return Decision::of(Verdict::Internal);
    };
    let decision = forward(packet, flow, &destination);
    tables.account(number, flow.bytes, decision.verdict);
    decision
}

/// Whether a connection stays with the destination that its entry names.
enum Keep {
    Yes,
    ChooseAnew,
    Forget,
}

#[inline(always)]
fn keep<T: Tables, A: Addresses>(tables: &T, flow: &Flow<A>, found: &Found<T::Line>) -> Keep {
    let DestinationHead { flags, .. } = tables.head(entry_destination(found.entry));
    let state = State::of(found.state);
    let opens = flow.tcp_flags.opens();
    // The common case first: an established connection to a destination without flags.
    if flags == 0 && !(opens && is_ending(state)) {
        refresh(tables, flow, found);
        return Keep::Yes;
    }
    match flow.protocol {
        // Its old connection is over: what comes now is a new one with the same ports.
        Protocol::Tcp if opens && is_ending(state) => Keep::ChooseAnew,
        Protocol::Tcp if opens && flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0 => Keep::ChooseAnew,
        Protocol::Tcp if flags & DESTINATION_REMOVED != 0 => Keep::Forget,
        Protocol::Udp if flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0 => Keep::ChooseAnew,
        Protocol::Tcp | Protocol::Udp => {
            refresh(tables, flow, found);
            Keep::Yes
        }
    }
}

const fn is_ending(state: State) -> bool {
    matches!(state, State::FinWait | State::TimeWait | State::Close)
}

#[inline(always)]
fn forward<P: Packet, A: Addresses>(packet: &mut P, flow: &Flow<A>, destination: &Destination) -> Decision
where
    Flow<A>: Forward,
{
    match destination.forward {
        FORWARD_DIRECT => match flow.direct_routing(packet, destination) {
            Ok(()) => Decision { verdict: Verdict::DirectRouting, interface: destination.interface },
            Err(verdict) => Decision::of(verdict),
        },
        FORWARD_LOCAL => Decision::of(Verdict::Local),
        _ => Decision::of(Verdict::Internal),
    }
}

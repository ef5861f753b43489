//! A packet that enters something into the flow table: it has no connection yet, or others will follow it.

use super::answer::or_answer;
use super::classify::{CONNECTION, ONE_PACKET, refuse};
use super::persist;
use super::state::first_state;
use super::{Record, Step, Tables, Task};
use crate::verdict::Verdict;
use crate::wire::{Connection, DESTINATION_KERNEL, DESTINATION_PAIRED, EMPTY, Place, State, Tick};

/// Enters a flow whose destination was chosen, and what follows from that.
#[inline(always)]
pub fn open<T: Tables>(tables: &T, task: &mut Task) -> Step {
    if task.is_new == CONNECTION {
        if task.enters_template == 1 {
            persist::enter(tables, task);
        }
        let first = first_state(&task.flow, |word| tables.forget(word));
        let entered = tables.insert(task.flow.hash, task.number, first, task.instead, &task.connection);
        task.number = entered.number;
        if entered.place != 0
            && tables.head(entered.number).flags & DESTINATION_PAIRED != 0
            && let Some(verdict) = failure(tables.enter_reply(task, entered.place))
        {
            return refuse(tables, task, verdict);
        }
    } else if task.is_new == ONE_PACKET {
        // As IPVS counts it, though nothing of it is kept.
        tables.count_connection(task.number);
    }
    if task.fragments != 0 && task.number != 0 {
        take_over(tables, task);
        lead_fragments(tables, task);
    }
    match task.number {
        0 => or_answer(tables, task, Verdict::FlowTableFull),
        DESTINATION_KERNEL => {
            task.number = 0;
            or_answer(tables, task, Verdict::Fragment)
        }
        _ => Step::Forward,
    }
}

/// What the way back of a masqueraded connection failed by ([`super::enter_reply`]).
#[inline(always)]
const fn failure(word: u32) -> Option<Verdict> {
    const COLLISION: u32 = Verdict::NatCollision as u32 + 1;
    const FULL: u32 = Verdict::FlowTableFull as u32 + 1;
    match word {
        0 => None,
        COLLISION => Some(Verdict::NatCollision),
        FULL => Some(Verdict::FlowTableFull),
        _ => Some(Verdict::Internal),
    }
}

/// What is kept of a connection is also kept of its packets' parts: by it they find the way back.
#[inline(always)]
fn take_over<T: Tables>(tables: &T, task: &mut Task) {
    if let Some(record) = Place::of(task.place).and_then(|place| tables.record(place)) {
        task.connection = Connection::from_words(|index| record.word(index));
    }
}

/// Remembers where a datagram's first fragment goes: the others, which have no ports, follow it. If there is no
/// room, they will be told so.
#[inline(always)]
fn lead_fragments<T: Tables>(tables: &T, task: &Task) {
    tables.insert(task.fragments, task.number, State::Fragment.at(Tick::ZERO), EMPTY, &task.connection);
}

//! A packet that enters something into the flow table: it has no connection yet, or others will follow it.

use super::answer::or_answer;
use super::classify::{CONNECTION, ONE_PACKET};
use super::connection::first_state;
use super::{Step, Tables, Task};
use crate::verdict::Verdict;
use crate::wire::{DESTINATION_KERNEL, EMPTY, State, Tick};

/// Enters a flow whose destination was chosen, and what follows from that.
#[inline(always)]
pub fn open<T: Tables>(tables: &T, task: &mut Task) -> Step {
    if task.is_new == CONNECTION {
        let first = first_state(task.flow.is_tcp);
        let entered = tables.insert(task.flow.hash, task.number, first, task.instead, &task.connection);
        task.number = entered.number;
    } else if task.is_new == ONE_PACKET {
        // As IPVS counts it, though nothing of it is kept.
        tables.count_connection(task.number);
    }
    if task.fragments != 0 && task.number != 0 {
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

/// Remembers where a datagram's first fragment goes: the others, which have no ports, follow it. If there is no
/// room, they will be told so.
#[inline(always)]
fn lead_fragments<T: Tables>(tables: &T, task: &Task) {
    tables.insert(task.fragments, task.number, State::Fragment.at(Tick::ZERO), EMPTY, &task.connection);
}

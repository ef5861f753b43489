//! The two entries of a masqueraded connection: what the client sends is found by the one, what the real server
//! answers by the other, whichever CPU either comes to.
//!
//! Each names the other's place in its record, and they are a pair only while both do: a place that was given to
//! another connection names somebody else, or nobody. So nothing has to be taken apart when an entry goes.

use super::connection::change_state;
use super::state::first_state;
use super::{FlowLine, Record, Tables, Task, find};
use crate::flow::FlowKey;
use crate::verdict::Verdict;
use crate::wire::{
    BUSY, Connection, DESTINATION_REPLY, EMPTY, Place, State, Tick, entry_destination, entry_tag, tag_of,
};

/// Enters the way back of a connection that was just entered at `place` ([`Place::word`]) for a masqueraded real
/// server, whose number the task has.
///
/// Returns 0, or what it failed by: a number of [`Verdict`] plus 1. Then the connection is no more.
#[inline(always)]
pub fn enter_reply<T: Tables>(tables: &T, task: &mut Task, place: u32) -> u32 {
    match enter(tables, task, place) {
        Ok(()) => 0,
        Err(verdict) => {
            withdraw(tables, task, place);
            verdict as u32 + 1
        }
    }
}

#[inline(always)]
fn enter<T: Tables>(tables: &T, task: &mut Task, place: u32) -> Result<(), Verdict> {
    let destination = tables.destination(task.number).ok_or(Verdict::Internal)?;
    let reply = destination.reply;
    let hash = FlowKey::of_reply(&task.connection, destination).hash(tables);
    let mut instead = EMPTY;
    if let Some(found) = find(tables, hash) {
        let record = tables.record(found.place).ok_or(Verdict::Internal)?;
        if !is_same(&record, &task.connection) && is_pair(tables, &record, found.place) {
            return Err(Verdict::NatCollision);
        }
        instead = found.entry;
    }
    task.connection.pair = place;
    let first = first_state(&task.flow, |word| tables.forget(word));
    let entered = tables.insert(hash, reply, first, instead, &task.connection);
    if entered.number == 0 {
        return Err(Verdict::FlowTableFull);
    }
    if entered.number != reply {
        return Err(Verdict::NatCollision);
    }
    let record = Place::of(place).and_then(|place| tables.record(place)).ok_or(Verdict::Internal)?;
    let links = record.word(Connection::LINKS);
    record.set_word(Connection::LINKS, links & !0xffff_ffff | u64::from(entered.place));
    Ok(())
}

/// Gives a connection's other entry the state that it has now; after a packet of the client's, also the way back
/// by which that came.
#[inline(always)]
pub(super) fn follow<T: Tables>(tables: &T, ours: Place, state: u32, flags: u32, connection: &Connection) {
    let Some(record) = tables.record(ours) else { return };
    let Some(theirs) = Place::of(record.word(Connection::LINKS) as u32) else { return };
    let Some(other) = tables.record(theirs) else { return };
    if other.word(Connection::LINKS) as u32 != ours.word() {
        return;
    }
    if flags & DESTINATION_REPLY == 0 {
        let words = connection.to_words();
        other.set_word(Connection::ETHERNET, words[Connection::ETHERNET]);
        other.set_word(Connection::ETHERNET + 1, words[Connection::ETHERNET + 1]);
    }
    let Some(line) = tables.line(theirs.line()) else { return };
    let entry = line.entry(theirs.slot());
    if entry != EMPTY && entry != BUSY {
        change_state(tables, line, theirs.slot(), entry, line.state(theirs.slot()), state);
    }
}

/// Whether a record is that of a connection between the same ends.
#[inline(always)]
fn is_same(record: &impl Record, connection: &Connection) -> bool {
    let words = connection.to_words();
    // Both addresses, ports and protocol.
    let mut difference = 0;
    for (index, word) in words.into_iter().enumerate().take(Connection::LINKS) {
        difference |= record.word(index) ^ word;
    }
    difference == 0
}

/// Whether the entry that a record names as its other one names it as well.
#[inline(always)]
fn is_pair<T: Tables>(tables: &T, record: &T::Record, place: Place) -> bool {
    let Some(theirs) = Place::of(record.word(Connection::LINKS) as u32) else { return false };
    let Some(other) = tables.record(theirs) else { return false };
    let Some(line) = tables.line(theirs.line()) else { return false };
    other.word(Connection::LINKS) as u32 == place.word() && line.entry(theirs.slot()) != EMPTY
}

/// Takes away a connection that has no way back.
#[inline(always)]
fn withdraw<T: Tables>(tables: &T, task: &Task, place: u32) {
    let Some(place) = Place::of(place) else { return };
    let Some(line) = tables.line(place.line()) else { return };
    let entry = line.entry(place.slot());
    let is_ours = entry_tag(entry) == tag_of(task.flow.hash) && entry_destination(entry) == task.number;
    if is_ours && line.exchange_entry(place.slot(), entry, BUSY) {
        let state = line.state(place.slot());
        tables.add_load(task.number, State::activity(state), -1);
        line.set_state(place.slot(), State::None.at(Tick::ZERO));
        line.exchange_entry(place.slot(), BUSY, EMPTY);
    }
}

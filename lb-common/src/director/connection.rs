//! Connections in the flow table: find, refresh, insert, remove.
//!
//! Any CPU may work on any line at any time. An entry is claimed by compare-and-exchange to
//! [`BUSY`], its state is written, and a second exchange publishes it. A state word is replaced by
//! compare-and-exchange, so that whoever changes a state is the one who counts it.

use super::state::{Direction, next_state};
use super::{Entered, FlowLine, Record, Tables, pair, persist};
use crate::flow::Flow;
use crate::wire::{
    BUSY, Connection, DESTINATION_PAIRED, DESTINATION_REPLY, EMPTY, LINE_SLOTS, Place, State, Tick, entry,
    entry_destination, entry_tag, tag_of,
};

/// An entry that was found, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Found<L> {
    /// When it was read: one call for the clock a packet.
    pub(super) now: Tick,
    pub(super) line: L,
    pub(super) place: Place,
    pub(super) entry: u64,
    pub(super) state: u32,
}

impl<L> Found<L> {
    /// Whether there is an entry.
    #[inline(always)]
    pub(super) const fn is_there(&self) -> bool {
        self.entry != EMPTY
    }
}

/// The lines of the flow table that something may stand in: those of flows, or those of templates, so that neither
/// takes the other's place.
#[derive(Clone, Copy)]
pub(super) struct Region {
    first: u32,
    lines: u32,
}

impl Region {
    #[inline(always)]
    fn flows<T: Tables>(tables: &T) -> Self {
        Self { first: 0, lines: tables.lines() }
    }

    #[inline(always)]
    pub(super) fn templates<T: Tables>(tables: &T) -> Self {
        Self { first: tables.lines(), lines: tables.template_lines() }
    }

    /// That of a state word. Arithmetic: to the verifier a branch would be two tables.
    #[inline(always)]
    fn of<T: Tables>(tables: &T, word: u32) -> Self {
        let (is_template, lines) = (State::template(word), tables.lines());
        let difference = tables.template_lines().wrapping_sub(lines);
        Self { first: lines * is_template, lines: lines.wrapping_add(difference.wrapping_mul(is_template)) }
    }

    /// The numbers of the two lines that a hash may stand in.
    #[inline(always)]
    fn line_numbers(self, hash: u64) -> (u32, u32) {
        let lines = u64::from(self.lines);
        // Multiply and shift: any number of lines, and no division.
        let first = ((hash & 0xffff_ffff) * lines) >> 32;
        let second = ((hash >> 32) * lines) >> 32;
        (self.first + first as u32, self.first + second as u32)
    }
}

/// The entry of a flow, if it has one that has not expired.
#[inline(always)]
pub fn find<T: Tables>(tables: &T, hash: u64) -> Option<Found<T::Line>> {
    look_up(tables, hash).filter(Found::is_there)
}

/// Likewise, but what was found is there or isn't by a number ([`Found::is_there`]).
// Of an `Option` that is none the compiler leaves the rest undefined, and where ways meet it may put just that
// away, which the verifier refuses.
#[inline(always)]
pub(super) fn look_up<T: Tables>(tables: &T, hash: u64) -> Option<Found<T::Line>> {
    look_up_among(tables, Region::flows(tables), hash)
}

/// As [`find`], among the lines of a region.
#[inline(always)]
pub(super) fn find_among<T: Tables>(tables: &T, region: Region, hash: u64) -> Option<Found<T::Line>> {
    look_up_among(tables, region, hash).filter(Found::is_there)
}

/// As [`look_up`], likewise.
#[inline(always)]
pub(super) fn look_up_among<T: Tables>(tables: &T, region: Region, hash: u64) -> Option<Found<T::Line>> {
    let (first, second) = region.line_numbers(hash);
    let mut found = find_in(tables, first, hash)?;
    if found.entry == EMPTY {
        found = find_in(tables, second, hash)?;
    }
    if found.entry != EMPTY && State::seen(found.state) != found.now && tables.is_over(found.state, found.now)
    {
        remove(tables, &found);
        found.entry = EMPTY;
    }
    Some(found)
}

/// Writes what a packet changes about its connection: the state, and when it was last seen.
///
/// `flags` are its destination's; `connection` is what would be kept of the packet's own.
#[inline(always)]
pub(super) fn refresh<T: Tables>(
    tables: &T,
    flow: &Flow,
    found: &Found<T::Line>,
    flags: u32,
    connection: &Connection,
) {
    if found.state == State::Established.at(found.now) && flow.tcp_flags.is_plain_ack() {
        // The common case: nothing has changed since this connection's last packet.
        return;
    }
    let new = next_state(found.state, flow, direction(flags), |word| tables.forget(word));
    let word = tables.forget(new | State::None.at(found.now));
    if word == found.state {
        return;
    }
    // The slot may have been given to another flow meanwhile, whose word may be the same.
    if found.line.entry(found.place.slot()) != found.entry {
        return;
    }
    // If another CPU was faster, the word is as good as ours.
    change_state(tables, found.line, found.place.slot(), found.entry, found.state, word);
    if State::is_proven(word) && !State::is_proven(found.state) {
        persist::hold(tables, found.place, entry_destination(found.entry));
    }
    if flags & DESTINATION_PAIRED != 0 {
        pair::follow(tables, found.place, word, flags, connection);
    }
}

/// Which of a connection's packets its destination's flags say that are seen.
#[inline(always)]
const fn direction(flags: u32) -> Direction {
    if flags & DESTINATION_REPLY != 0 {
        Direction::Output
    } else if flags & DESTINATION_PAIRED != 0 {
        Direction::Input
    } else {
        Direction::InputOnly
    }
}

/// Replaces the state of an entry, and counts it for its destination.
#[inline(always)]
pub(super) fn change_state<T: Tables>(
    tables: &T,
    line: T::Line,
    slot: usize,
    entry: u64,
    old: u32,
    new: u32,
) {
    let (before, after) = (State::activity(old), State::activity(new));
    if line.exchange_state(slot, old, new) && before != after {
        tables.move_load(entry_destination(entry), before, after);
    }
}

/// Takes an entry away, if it is still the one that was found.
#[inline(always)]
pub(super) fn remove<T: Tables>(tables: &T, found: &Found<T::Line>) {
    if found.line.exchange_entry(found.place.slot(), found.entry, BUSY) {
        give_up(tables, found.entry, take_state(found.line, found.place.slot(), State::None.at(Tick::ZERO)));
        found.line.exchange_entry(found.place.slot(), BUSY, EMPTY);
    }
}

/// Takes an entry at a place away, if it is still this one.
#[inline(always)]
pub fn take_out<T: Tables>(tables: &T, place: Place, entry: u64) {
    if let Some(line) = tables.line(place.line()) {
        let state = line.state(place.slot());
        remove(tables, &Found { now: tables.now(), line, place, entry, state });
    }
}

/// Takes an entry that is no more out of what its destination holds. `state` is the last that it had.
#[inline(always)]
fn give_up<T: Tables>(tables: &T, entry: u64, state: u32) {
    tables.add_load(entry_destination(entry), State::activity(state), -State::weight(state));
}

/// Writes the state of a slot that was claimed; returns the last one of what stood in it.
///
/// By exchange: another CPU may still be changing that one, and counts it if it is faster.
#[inline(always)]
fn take_state<L: FlowLine>(line: L, slot: usize, state: u32) -> u32 {
    for _ in 0..3 {
        let before = line.state(slot);
        if line.exchange_state(slot, before, state) {
            return before;
        }
    }
    let before = line.state(slot);
    line.set_state(slot, state);
    before
}

/// Enters a flow, a datagram's fragments or a template.
///
/// `first` is the state word that the entry begins with, its time counted from now. `instead` is the entry of the same
/// flow that it replaces, or [`EMPTY`]. Without one it takes a free or expired slot of the emptier of its two
/// lines, or else the longest idle connection that has not proven itself. A proven one is never replaced:
/// then there is no room.
///
/// `connection` is kept in the record of the place.
#[inline(always)]
pub fn insert<T: Tables>(
    tables: &T,
    hash: u64,
    destination: u32,
    first: u32,
    instead: u64,
    connection: &Connection,
) -> Entered {
    enter(tables, hash, destination, first, instead, connection).unwrap_or(Entered { number: 0, place: 0 })
}

#[inline(always)]
fn enter<T: Tables>(
    tables: &T,
    hash: u64,
    destination: u32,
    first: u32,
    instead: u64,
    connection: &Connection,
) -> Option<Entered> {
    let now = tables.now();
    let state = State::later(first, now);
    let region = Region::of(tables, first);
    let ours = entry(tag_of(hash), destination);
    let Claim { line, place, before } = if instead == EMPTY {
        claim(tables, region, hash, now)?
    } else {
        let found = find_among(tables, region, hash)?;
        if found.entry != instead || !found.line.exchange_entry(found.place.slot(), found.entry, BUSY) {
            // Another CPU has replaced it for the same reason: its choice stands.
            return find_among(tables, region, hash)
                .map(|winner| Entered { number: entry_destination(winner.entry), place: 0 });
        }
        Claim { line: found.line, place: found.place, before: found.entry }
    };
    let slot = place.slot();
    let record = tables.record(place)?;
    for (index, word) in connection.to_words().into_iter().enumerate() {
        record.set_word(index, word);
    }
    let last = take_state(line, slot, state);
    if before != EMPTY {
        give_up(tables, before, last);
    }
    tables.add_load(destination, State::activity(state), State::weight(state));
    // By compare-and-exchange, though nobody else writes a claimed slot: it is also the barrier that a
    // store is not, between our entry and what `settle` reads.
    line.exchange_entry(slot, BUSY, ours);
    let settled = settle(tables, region, hash)?;
    if settled != ours && settled != EMPTY {
        return Some(Entered { number: entry_destination(settled), place: 0 });
    }
    if State::weight(state) != 0 {
        tables.count_connection(destination);
    }
    Some(Entered { number: destination, place: place.word() })
}

/// Leaves one entry of a flow that several CPUs have entered at once: the one in the first position.
///
/// Of any two CPUs at least one sees the other's entry here, whichever stands first, so each takes
/// away all others and not only its own. Returns the entry that stays, or [`EMPTY`].
#[inline(always)]
fn settle<T: Tables>(tables: &T, region: Region, hash: u64) -> Option<u64> {
    let (first, second) = region.line_numbers(hash);
    let mut stays = EMPTY;
    for number in [first, second] {
        let line = tables.line(number)?;
        for slot in 0..LINE_SLOTS {
            let entry = line.entry(slot);
            if entry_tag(entry) != tag_of(hash) || entry_destination(entry) == 0 || entry == BUSY {
                continue;
            }
            if stays == EMPTY {
                stays = entry;
            } else {
                tables.take_out(Place(tables.forget(Place::new(number, slot).0)), entry);
            }
        }
        if first == second {
            break;
        }
    }
    Some(stays)
}

/// The numbers of the two lines that a flow may stand in.
#[inline(always)]
pub(super) fn line_numbers<T: Tables>(tables: &T, hash: u64) -> (u32, u32) {
    Region::flows(tables).line_numbers(hash)
}

#[inline(always)]
fn find_in<T: Tables>(tables: &T, number: u32, hash: u64) -> Option<Found<T::Line>> {
    let mut found =
        Found { now: tables.now(), line: tables.line(number)?, place: Place(0), entry: EMPTY, state: 0 };
    for slot in 0..LINE_SLOTS {
        let entry = found.line.entry(slot);
        if entry_tag(entry) == tag_of(hash) && entry_destination(entry) != 0 && entry != BUSY {
            found.place = Place(tables.forget(Place::new(number, slot).0));
            (found.entry, found.state) = (entry, found.line.state(slot));
            return Some(found);
        }
    }
    Some(found)
}

/// A slot that was claimed.
struct Claim<L> {
    line: L,
    place: Place,
    /// What stood in it, or [`EMPTY`].
    before: u64,
}

/// Claims a slot for a new flow.
#[inline(always)]
fn claim<T: Tables>(tables: &T, region: Region, hash: u64, now: Tick) -> Option<Claim<T::Line>> {
    let (first, second) = region.line_numbers(hash);
    let (a, b) = (survey(tables, tables.line(first)?, now), survey(tables, tables.line(second)?, now));
    // The emptier line; of two alike, the one with the better slot.
    let is_first = if a.free == b.free { a.rank >= b.rank } else { a.free > b.free };
    let ((number, rank), other) =
        if is_first { ((first, a.rank), (second, b.rank)) } else { ((second, b.rank), (first, a.rank)) };
    // Another CPU may be faster in the one line, hardly in both.
    claim_slot(tables, number, rank, now).or_else(|| claim_slot(tables, other.0, other.1, now))
}

/// Claims the best slot of a line, unless what stands in it must stay.
#[inline(always)]
fn claim_slot<T: Tables>(tables: &T, number: u32, rank: u32, now: Tick) -> Option<Claim<T::Line>> {
    let line = tables.line(number)?;
    let slot = (rank & 7) as usize;
    let (entry, state) = (line.entry(slot), line.state(slot));
    // Judged as it is now: a connection may have come to life since.
    let score = score(tables, entry, state, now);
    if score == 0 || !line.exchange_entry(slot, entry, BUSY) {
        return None;
    }
    if score < SCORE_EXPIRED {
        tables.count_eviction(state);
    }
    Some(Claim { line, place: Place(number << 3 | rank & 7), before: entry })
}

/// Scores: 0 for an entry that must stay, 1 and more for one that may go, the more the longer it is idle.
const SCORE_EMPTY: u32 = SCORE_EXPIRED + 1;
const SCORE_EXPIRED: u32 = 1 << 28;

/// What a line offers to a new flow.
#[derive(Clone, Copy)]
struct Survey {
    /// Slots that are empty or expired.
    free: u32,
    /// The score of the best slot, and below it in three bits which that is.
    rank: u32,
}

#[inline(always)]
fn survey<T: Tables>(tables: &T, line: T::Line, now: Tick) -> Survey {
    let mut survey = Survey { free: 0, rank: 0 };
    for slot in 0..LINE_SLOTS {
        let score = score(tables, line.entry(slot), line.state(slot), now);
        survey.free = tables.forget(survey.free + u32::from(score >= SCORE_EXPIRED));
        survey.rank = tables.forget(survey.rank.max(score << 3 | slot as u32));
    }
    survey
}

#[inline(always)]
fn score<T: Tables>(tables: &T, entry: u64, word: u32, now: Tick) -> u32 {
    if entry == EMPTY {
        SCORE_EMPTY
    } else if entry == BUSY {
        0
    } else if tables.is_over(word, now) {
        SCORE_EXPIRED
    } else if State::is_proven(word) {
        0
    } else {
        // Not over: at most the longest timeout, 2^27. Of a template, whose word says when it ends, the one that
        // ends first has the highest.
        now.since(State::seen(word)) + 1
    }
}

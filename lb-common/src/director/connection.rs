//! Connections in the flow table: find, refresh, insert, remove.
//!
//! Any CPU may work on any line at any time. An entry is claimed by compare-and-exchange to
//! [`BUSY`], its state is written, and one store publishes it. A state word is replaced by
//! compare-and-exchange, so that whoever changes a state is the one who counts it.

use super::{FlowLine, Tables};
use crate::flow::{Addresses, Flow};
use crate::net::TcpFlags;
use crate::verdict::Verdict;
use crate::wire::{
    BUSY, EMPTY, LINE_SLOTS, Protocol, State, Tick, Timeouts, entry, entry_destination, entry_tag, tag_of,
};

/// An entry that was found, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Found<L> {
    pub(super) line: L,
    pub(super) slot: usize,
    pub(super) entry: u64,
    pub(super) state: u32,
}

/// Where an inserted flow ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The destination of its entry: another CPU's, if that was faster.
    pub destination: u32,
    /// Whether the entry is the one that was asked for.
    pub is_ours: bool,
}

/// How many times an insertion looks for a slot again when another CPU took the one it chose.
const CLAIMS: usize = 3;

/// How long a state may be idle, in ticks.
#[inline(always)]
pub const fn timeout(state: State, timeouts: &Timeouts) -> u32 {
    match state {
        State::Established => timeouts.tcp,
        State::FinWait | State::TimeWait => timeouts.tcp_fin,
        State::Udp | State::UdpNew => timeouts.udp,
        State::SynReceived => Tick::span(60),
        State::Close | State::None => Tick::span(10),
    }
}

/// The entry of a flow, if it has one that has not expired.
#[inline(always)]
pub fn find<T: Tables>(tables: &T, hash: u64) -> Option<Found<T::Line>> {
    let (first, second) = lines(tables, hash)?;
    let found = find_in(first, hash).or_else(|| find_in(second, hash))?;
    let now = tables.now();
    if State::seen(found.state) != now && is_expired(found.state, now, &tables.timeouts()) {
        // Whoever comes next replaces it; counting its end is theirs, or the sweep's.
        remove(tables, &found);
        return None;
    }
    Some(found)
}

/// Writes what a packet changes about its connection: the state, and when it was last seen.
#[inline(always)]
pub(super) fn refresh<T: Tables, A: Addresses>(tables: &T, flow: &Flow<A>, found: &Found<T::Line>) {
    let old = State::of(found.state);
    let new = next_state(old, flow.protocol, flow.tcp_flags);
    let word = new.at(tables.now());
    if word == found.state {
        return;
    }
    // If another CPU was faster, the word is as good as ours.
    if found.line.exchange_state(found.slot, found.state, word) && old.is_active() != new.is_active() {
        let to_active = if new.is_active() { 1 } else { -1 };
        tables.add_load(entry_destination(found.entry), to_active, -to_active);
    }
}

/// Takes an entry away, if it is still the one that was found.
#[inline(always)]
pub(super) fn remove<T: Tables>(tables: &T, found: &Found<T::Line>) {
    if found.line.exchange_entry(found.slot, found.entry, EMPTY) {
        unload(tables, entry_destination(found.entry), State::of(found.state));
    }
}

/// Enters a flow.
///
/// `instead` is an entry of the same flow that it replaces. Without one it takes a free or expired
/// slot of the emptier of its two lines, or else the longest idle connection that has not proven
/// itself. A proven one is never replaced: then there is no room.
#[inline(always)]
pub fn insert<T: Tables>(
    tables: &T,
    hash: u64,
    destination: u32,
    state: State,
    instead: Option<&Found<T::Line>>,
) -> Option<Placed> {
    let now = tables.now();
    let ours = entry(tag_of(hash), destination);
    let (line, slot) = match instead {
        Some(found) => {
            if !found.line.exchange_entry(found.slot, found.entry, BUSY) {
                // Another CPU has replaced it for the same reason: its choice stands.
                let winner = find(tables, hash)?;
                return Some(Placed { destination: entry_destination(winner.entry), is_ours: false });
            }
            unload(tables, entry_destination(found.entry), State::of(found.state));
            (found.line, found.slot)
        }
        None => claim(tables, hash, now)?,
    };
    line.set_state(slot, state.at(now));
    load(tables, destination, state, 1);
    line.publish(slot, ours);

    // Two CPUs may have entered the same flow at once. The entry in the first position wins.
    let (first, second) = lines(tables, hash)?;
    let winner = find_in(first, hash).or_else(|| find_in(second, hash));
    if let Some(winner) = winner
        && winner.entry != ours
    {
        remove(tables, &Found { line, slot, entry: ours, state: state.at(now) });
        return Some(Placed { destination: entry_destination(winner.entry), is_ours: false });
    }
    Some(Placed { destination, is_ours: true })
}

/// The two lines that a flow may stand in.
#[inline(always)]
fn lines<T: Tables>(tables: &T, hash: u64) -> Option<(T::Line, T::Line)> {
    let lines = u64::from(tables.lines());
    // Multiply and shift: any number of lines, and no division.
    let first = (hash & 0xffff_ffff) * lines >> 32;
    let second = (hash >> 32) * lines >> 32;
    Some((tables.line(first as u32)?, tables.line(second as u32)?))
}

#[inline(always)]
fn find_in<L: FlowLine>(line: L, hash: u64) -> Option<Found<L>> {
    for slot in 0..LINE_SLOTS {
        let entry = line.entry(slot);
        if entry_tag(entry) == tag_of(hash) && entry_destination(entry) != 0 && entry != BUSY {
            return Some(Found { line, slot, entry, state: line.state(slot) });
        }
    }
    None
}

/// Claims a slot for a new flow and clears away what stood in it.
#[inline(always)]
fn claim<T: Tables>(tables: &T, hash: u64, now: Tick) -> Option<(T::Line, usize)> {
    let timeouts = tables.timeouts();
    for _ in 0..CLAIMS {
        let (first, second) = lines(tables, hash)?;
        let (a, b) = (survey(first, now, &timeouts), survey(second, now, &timeouts));
        let (line, best) = match a.free.cmp(&b.free) {
            core::cmp::Ordering::Greater => (first, a),
            core::cmp::Ordering::Less => (second, b),
            core::cmp::Ordering::Equal if a.score >= b.score => (first, a),
            core::cmp::Ordering::Equal => (second, b),
        };
        if best.score == 0 {
            return None;
        }
        if !line.exchange_entry(best.slot, best.entry, BUSY) {
            continue;
        }
        if best.entry != EMPTY {
            let state = State::of(best.state);
            unload(tables, entry_destination(best.entry), state);
            if best.score < SCORE_EXPIRED {
                tables.count_eviction(state);
            }
        }
        return Some((line, best.slot));
    }
    None
}

const SCORE_EMPTY: u32 = u32::MAX;
const SCORE_EXPIRED: u32 = u32::MAX - 1;

/// What a line offers to a new flow.
#[derive(Clone, Copy)]
struct Survey {
    /// Slots that are empty or expired.
    free: u32,
    /// How well the best slot may be taken; 0: not at all.
    score: u32,
    slot: usize,
    entry: u64,
    state: u32,
}

#[inline(always)]
fn survey<L: FlowLine>(line: L, now: Tick, timeouts: &Timeouts) -> Survey {
    let mut best = Survey { free: 0, score: 0, slot: 0, entry: EMPTY, state: 0 };
    for slot in 0..LINE_SLOTS {
        let entry = line.entry(slot);
        let state = line.state(slot);
        let score = score(entry, state, now, timeouts);
        best.free += u32::from(score >= SCORE_EXPIRED);
        if score > best.score {
            best = Survey { free: best.free, score, slot, entry, state };
        }
    }
    best
}

#[inline(always)]
fn score(entry: u64, word: u32, now: Tick, timeouts: &Timeouts) -> u32 {
    if entry == EMPTY {
        return SCORE_EMPTY;
    }
    if entry == BUSY {
        return 0;
    }
    if is_expired(word, now, timeouts) {
        return SCORE_EXPIRED;
    }
    if State::of(word).is_proven() {
        return 0;
    }
    now.since(State::seen(word)) + 1
}

#[inline(always)]
fn is_expired(word: u32, now: Tick, timeouts: &Timeouts) -> bool {
    now.since(State::seen(word)) > timeout(State::of(word), timeouts)
}

#[inline(always)]
fn load<T: Tables>(tables: &T, destination: u32, state: State, by: i32) {
    if state.is_active() {
        tables.add_load(destination, by, 0);
    } else {
        tables.add_load(destination, 0, by);
    }
}

#[inline(always)]
fn unload<T: Tables>(tables: &T, destination: u32, state: State) {
    load(tables, destination, state, -1);
}

/// The state after a packet from the client, the servers' side being out of sight: LVS's input-only
/// rows (Linux 6.12, `ip_vs_proto_tcp.c`). RST counts before SYN, SYN before FIN, FIN before ACK.
#[inline(always)]
const fn next_state(state: State, protocol: Protocol, flags: TcpFlags) -> State {
    if matches!(protocol, Protocol::Udp) {
        return State::Udp;
    }
    if matches!(state, State::Established) && flags.0 & (TcpFlags::RST | TcpFlags::FIN | TcpFlags::ACK) == TcpFlags::ACK
    {
        // SYN stays too: an established connection keeps its server, and answers it itself.
        return State::Established;
    }
    if flags.has(TcpFlags::RST) {
        if matches!(state, State::SynReceived) { state } else { State::Close }
    } else if flags.has(TcpFlags::SYN) {
        if matches!(state, State::Established) { state } else { State::SynReceived }
    } else if flags.has(TcpFlags::FIN) {
        match state {
            State::Established | State::FinWait => State::FinWait,
            State::SynReceived => State::TimeWait,
            State::None => State::Close,
            other => other,
        }
    } else if flags.has(TcpFlags::ACK) {
        match state {
            State::SynReceived | State::None => State::Established,
            other => other,
        }
    } else {
        State::Close
    }
}

/// The state of a connection after the packet that opens it.
#[inline(always)]
pub(super) const fn first_state(protocol: Protocol) -> State {
    match protocol {
        Protocol::Tcp => State::SynReceived,
        Protocol::Udp => State::UdpNew,
    }
}

/// Why a flow found no place, as a verdict.
pub(super) const NO_ROOM: Verdict = Verdict::FlowTableFull;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(state: State, flags: u8) -> State {
        next_state(state, Protocol::Tcp, TcpFlags(flags))
    }

    #[test]
    fn a_connection_opens_lives_and_closes_as_lvs_sees_it_from_one_side() {
        let (syn, ack, fin, rst) = (TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN, TcpFlags::RST);
        assert_eq!(first_state(Protocol::Tcp), State::SynReceived);
        assert_eq!(tcp(State::SynReceived, syn), State::SynReceived, "a retransmitted SYN");
        assert_eq!(tcp(State::SynReceived, ack), State::Established);
        assert_eq!(tcp(State::Established, syn), State::Established);
        assert_eq!(tcp(State::Established, syn | ack), State::Established);
        assert_eq!(tcp(State::Established, fin | ack), State::FinWait);
        assert_eq!(tcp(State::FinWait, ack), State::FinWait);
        assert_eq!(tcp(State::FinWait, fin | ack), State::FinWait);
        assert_eq!(tcp(State::SynReceived, fin | ack), State::TimeWait);
        assert_eq!(tcp(State::SynReceived, rst), State::SynReceived, "an RST in the window's shadow proves nothing");
        assert_eq!(tcp(State::Established, rst | ack), State::Close);
        assert_eq!(tcp(State::FinWait, rst), State::Close);
        assert_eq!(tcp(State::Established, 0), State::Close, "no bit at all ends it, as in LVS");
    }

    #[test]
    fn a_second_datagram_proves_a_udp_flow() {
        assert_eq!(next_state(first_state(Protocol::Udp), Protocol::Udp, TcpFlags(0)), State::Udp);
    }
}

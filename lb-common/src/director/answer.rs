//! The answer to a packet that is dropped: an ICMP error to its sender, and how many of them there may be.

use super::{Decision, Step, Tables, Task};
use crate::forward::icmp_error;
use crate::net::{ETHERNET_BYTES, IcmpError, Packet};
use crate::verdict::Verdict;
use crate::wire::Tick;

/// Answers of one CPU in one tick, half a second to a second (Linux sends 1,000 a second of all kinds,
/// `icmp_msgs_per_sec`).
const ANSWERS_MAX: u32 = 500;

/// Ends with a verdict, unless that is one that a packet's sender is told.
#[inline(always)]
pub(super) fn or_answer<T: Tables>(tables: &T, task: &mut Task, verdict: Verdict) -> Step {
    if matches!(verdict, Verdict::TtlExceeded | Verdict::TooBig | Verdict::NoDestination) {
        task.verdict = verdict as u32;
        return Step::Answer;
    }
    count(tables, task, verdict);
    Step::Done(Decision::of(verdict))
}

/// Makes the frame the answer to its sender, if there were not too many; counts the packet as dropped.
#[inline(always)]
pub fn answer<P: Packet, T: Tables>(packet: &mut P, tables: &T, task: &Task) -> Decision {
    const TTL_EXCEEDED: u32 = Verdict::TtlExceeded as u32;
    const TOO_BIG: u32 = Verdict::TooBig as u32;
    let (verdict, error) = match task.verdict {
        TTL_EXCEEDED => (Verdict::TtlExceeded, IcmpError::TimeExceeded),
        TOO_BIG => (Verdict::TooBig, IcmpError::TooBig { mtu: task.mtu }),
        _ => (Verdict::NoDestination, IcmpError::PortUnreachable),
    };
    count(tables, task, verdict);
    let decision = Decision::of(verdict);
    // Behind a tag the answer would have to be built behind it, too.
    if task.offset != ETHERNET_BYTES as u32 || !is_within_limit(tables) {
        return decision;
    }
    match icmp_error(packet, error) {
        Some(()) => Decision { interface: packet.interface(), ..decision },
        None => decision,
    }
}

/// Counts a packet that is not sent; for its destination too, if it has one.
#[inline(always)]
fn count(tables: &impl Tables, task: &Task, verdict: Verdict) {
    if task.number != 0 {
        tables.account(task.number, task.bytes, verdict);
    }
    tables.count(verdict);
}

/// Counts an answer of this tick; whether it may be sent.
#[inline(always)]
fn is_within_limit(tables: &impl Tables) -> bool {
    let (word, now) = (tables.answers(), tables.now());
    let (sent, allowed) = one_more(word, now, ANSWERS_MAX);
    tables.set_answers(sent);
    allowed
}

/// The word of what a CPU counts within a tick (that in the high half, how many in the low) after one more, and
/// whether that is still allowed.
#[inline(always)]
pub(super) const fn one_more(word: u64, now: Tick, max: u32) -> (u64, bool) {
    let tick = now.number() as u64;
    let count = if word >> 32 == tick { word as u32 } else { 0 };
    let allowed = count < max;
    (tick << 32 | (count + allowed as u32) as u64, allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Clock;

    #[test]
    fn a_tick_has_so_many_answers_and_the_next_as_many_again() {
        let clock = Clock::new(250);
        let (mut word, mut sent) = (0, 0);
        for _ in 0..3 * ANSWERS_MAX {
            let (next, allowed) = one_more(word, clock.tick(1_000), ANSWERS_MAX);
            word = next;
            sent += u32::from(allowed);
        }
        assert_eq!(sent, ANSWERS_MAX);
        assert!(one_more(word, clock.tick(1_000 + 128), ANSWERS_MAX).1);
    }
}

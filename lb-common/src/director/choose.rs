//! To which real server a new connection goes.
//!
//! Where a ring was built ahead, it is read; where loads are compared, every real server is looked at, so many
//! at a time: a program can't loop over thousands, but it can go on in another run of itself.

use super::classify::refuse;
use super::{Step, Tables, Task};
use crate::sched::{
    Loaded, SH_SLOTS, Scheduler, Shape, Walk, dh_slot, hash_key, maglev_slot, mh_fallback_slot, mh_slot,
    sh_fallback_slot, sh_slot,
};
use crate::verdict::Verdict;
use crate::wire::{RingSpan, SERVICE_FALLBACK, SERVICE_PORT};

/// Slots that a hash with fallback looks at, at most: LVS's 256 for sh. LVS looks at as many as there are for
/// mh; that many in a row name nobody only if hardly anybody is left.
const ATTEMPTS: u32 = SH_SLOTS;

/// Slots that are looked at in one run. More are more to verify.
const SLOTS_A_RUN: u32 = 64;

/// The most real servers that schedulers can compare: a packet may pass 33 programs (Linux,
/// `MAX_TAIL_CALL_CNT`), and some of them it needs for the rest: two to find its service among them.
pub const COMPARED_MAX: u32 = 28 * SLOTS_A_RUN;

/// Attempts in one run: a hash each.
const ATTEMPTS_A_RUN: u32 = 16;

/// What is still to be looked at.
const NOTHING: u32 = 0;
const ATTEMPTS_LEFT: u32 = 1;
const SLOTS_LEFT: u32 = 2;

/// Chooses the destination of a new connection, or goes on with it.
#[inline(always)]
pub fn choose<T: Tables>(tables: &T, task: &mut Task) -> Step {
    let ring = tables.ring(task.service);
    if task.search == NOTHING {
        begin(tables, ring, task);
    }
    // Forgotten: what has just begun goes on as what had begun before, and not as a packet of its own.
    let is_done = match tables.forget(task.search) {
        ATTEMPTS_LEFT => attempt(tables, ring, task),
        SLOTS_LEFT => compare(tables, ring, task),
        _ => true,
    };
    if !is_done {
        return Step::Choose;
    }
    if task.number == 0 { refuse(tables, task, Verdict::NoDestination) } else { Step::Open }
}

/// Finds the destination, if that is to be had at once; else `task` says what is to be looked at.
#[inline(always)]
fn begin<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) {
    let flow = &task.flow;
    let (scheduler, flags) = tables.scheduler(task.service);
    match scheduler.shape() {
        // Was read at once.
        Shape::Ring => {}
        Shape::HashRing => {
            let [high, low, _]: [u64; 3] = bytemuck::cast(flow.service);
            let port = if flags & SERVICE_PORT == 0 { 0 } else { flow.ports as u16 };
            let key = match scheduler {
                Scheduler::Dh => hash_key([high, low], 0),
                _ => hash_key(flow.client, port),
            };
            let first = match scheduler {
                Scheduler::Sh => sh_slot(key),
                Scheduler::Dh => dh_slot(key),
                Scheduler::Mh => mh_slot(key, ring.slots),
                _ => maglev_slot(flow.hash, ring.slots),
            };
            task.number = available(tables, ring, first);
            if task.number == 0 && flags & SERVICE_FALLBACK != 0 {
                task.search = ATTEMPTS_LEFT;
                (task.key, task.first, task.is_sh) = (key, first, u32::from(scheduler == Scheduler::Sh));
            }
        }
        Shape::Walk => {
            task.search = SLOTS_LEFT;
            task.walk = Walk::new(scheduler);
        }
    }
}

/// The real server in the next slot of a ring that is gone through in order.
#[inline(always)]
pub(super) fn next_in_ring<T: Tables>(tables: &T, service: u32, ring: RingSpan) -> u32 {
    let slot = (tables.pick(service) % u64::from(ring.slots.max(1))) as u32;
    tables.ring_slot(ring.first.wrapping_add(slot))
}

/// Looks for another slot of a hash ring, whose real server takes something new; whether that is over.
#[inline(always)]
fn attempt<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) -> bool {
    for _ in 0..ATTEMPTS_A_RUN {
        if task.next >= ATTEMPTS {
            return true;
        }
        let slot = if task.is_sh == 1 {
            sh_fallback_slot(task.first, task.next)
        } else {
            mh_fallback_slot(task.key, task.first, task.next, ring.slots)
        };
        task.number = available(tables, ring, slot);
        if task.number != 0 {
            return true;
        }
        task.next = task.next.wrapping_add(1);
    }
    false
}

/// The real server in a slot, if it may be given a new connection.
#[inline(always)]
fn available<T: Tables>(tables: &T, ring: RingSpan, slot: u32) -> u32 {
    if slot >= ring.slots {
        return 0;
    }
    let number = tables.ring_slot(ring.first.wrapping_add(slot));
    if tables.weight(number) == 0 { 0 } else { number }
}

/// Arithmetic: a branch would be two paths.
#[inline(always)]
const fn at_least_zero(count: i32) -> u32 {
    (count & !(count >> 31)).cast_unsigned()
}

/// Compares the loads of more real servers; whether all were seen.
#[inline(always)]
fn compare<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) -> bool {
    for _ in 0..SLOTS_A_RUN {
        if task.next >= ring.slots {
            task.number = task.walk.choice();
            return true;
        }
        // Forgotten: that something was not there would be a path of its own through all that follow.
        let number = tables.forget(tables.ring_slot(ring.first.wrapping_add(task.next)));
        let weight = tables.forget(tables.weight(number));
        let [inactive, active] = tables.load(number).connections;
        // Below zero for the blink of an event's race.
        let (active, inactive) = (at_least_zero(active), at_least_zero(inactive));
        let active = tables.forget(active);
        let inactive = tables.forget(inactive);
        task.walk.consider(Loaded { number, weight, active, inactive, overloaded: 0 });
        task.next = task.next.wrapping_add(1);
    }
    false
}

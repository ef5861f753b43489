//! To which real server a new connection goes.
//!
//! Where a ring was built ahead, it is read; where loads are compared, every real server is looked at. A program
//! can't loop over thousands of them: so many are looked at by one call of a function ([`look`]), which is verified
//! once, however often it is called.

use super::classify::refuse;
use super::{Step, Tables, Task};
use crate::sched::{
    Lblc, Loaded, SH_SLOTS, Scheduler, Shape, Twos, Walk, dh_slot, draws, hash_key, maglev_slot,
    mh_fallback_slot, mh_slot, sh_fallback_slot, sh_slot,
};
use crate::verdict::Verdict;
use crate::wire::{LocalityKey, RingSpan, SERVICE_FALLBACK, SERVICE_PORT, SERVICE_THRESHOLDS};

/// Slots that a hash with fallback looks at, at most: LVS's 256 for sh. LVS looks at as many as there are for
/// mh; that many in a row name nobody only if hardly anybody is left.
const ATTEMPTS: u32 = SH_SLOTS;

/// Attempts in one look: a hash each.
const ATTEMPTS_A_LOOK: u32 = 2;

/// Slots that are seen in one look. More are more to verify.
const SLOTS_A_LOOK: u32 = 4;

/// The most slots that a choice may have to see: as many as a service has real servers.
pub const COMPARED_MAX: u32 = 4_096;

/// The most looks that a choice takes: twos sees every slot twice.
pub const LOOKS_MAX: u32 = 2 * (COMPARED_MAX / SLOTS_A_LOOK + 1);

/// What is still to be looked at, in [`Task`].
const NOTHING: u32 = 0;
const ATTEMPTS_LEFT: u32 = 1;
const TURNS_LEFT: u32 = 2;
const TO_COMPARE: u32 = 3;
const TO_WEIGH: u32 = 4;
const TO_DRAW: u32 = 5;
const TO_LOCATE: u32 = 6;

/// Finds the destination of a new connection, if that is to be had at once; else `task` says what is to be
/// looked at.
#[inline(always)]
pub fn begin_choice<T: Tables>(tables: &T, task: &mut Task) {
    let (scheduler, flags) = tables.scheduler(task.service);
    task.has_thresholds = u32::from(flags & SERVICE_THRESHOLDS != 0);
    task.search = match shape(scheduler, flags) {
        // Was read at once.
        Shape::Ring => NOTHING,
        Shape::RingWithGaps => TURNS_LEFT,
        Shape::HashRing => begin_hash(tables, scheduler, flags, task),
        Shape::Walk if scheduler == Scheduler::Twos => {
            task.twos = Twos::default();
            TO_WEIGH
        }
        Shape::Walk if scheduler == Scheduler::Lblc => {
            task.lblc = Lblc::new(tables.locality(&locality(task)));
            TO_LOCATE
        }
        Shape::Walk => {
            task.walk = Walk::new(scheduler);
            TO_COMPARE
        }
    };
}

/// Looks at more of what is to be looked at; whether there is still more.
#[inline(always)]
pub fn look<T: Tables>(tables: &T, task: &mut Task) -> bool {
    let ring = tables.ring(task.service);
    match task.search {
        NOTHING => false,
        ATTEMPTS_LEFT => attempt(tables, ring, task),
        TURNS_LEFT => turn(tables, ring, task),
        _ => walk(tables, ring, task),
    }
}

/// What follows from the choice.
#[inline(always)]
pub fn end_choice<T: Tables>(tables: &T, task: &mut Task) -> Step {
    if task.number == 0 {
        return refuse(tables, task, Verdict::NoDestination);
    }
    if task.search == TO_LOCATE {
        tables.set_locality(&locality(task), task.number);
    }
    Step::Open
}

/// How a service comes to its choice.
#[inline(always)]
pub(super) const fn shape(scheduler: Scheduler, flags: u8) -> Shape {
    if flags & SERVICE_THRESHOLDS == 0 { scheduler.shape() } else { scheduler.shape_with_thresholds() }
}

#[inline(always)]
fn begin_hash<T: Tables>(tables: &T, scheduler: Scheduler, flags: u8, task: &mut Task) -> u32 {
    let ring = tables.ring(task.service);
    let flow = &task.flow;
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
    task.number = available(tables, ring, first, task.has_thresholds);
    // Who is down or drains has no slots in the ring of maglev, and its clients are spread: so are those of who is
    // overloaded.
    let spreads = scheduler == Scheduler::Maglev && task.has_thresholds != 0;
    if task.number != 0 || flags & SERVICE_FALLBACK == 0 && !spreads {
        return NOTHING;
    }
    (task.key, task.first, task.is_sh) = (key, first, u32::from(scheduler == Scheduler::Sh));
    ATTEMPTS_LEFT
}

/// The real server in the next slot of a ring that is gone through in order.
#[inline(always)]
pub(super) fn next_in_ring<T: Tables>(tables: &T, service: u32, ring: RingSpan) -> u32 {
    let slot = (tables.pick(service) % u64::from(ring.slots.max(1))) as u32;
    tables.ring_slot(ring.first.wrapping_add(slot))
}

/// Goes on in a ring until one is not overloaded; whether there are more.
///
/// Each slot that is passed over is a pick, so that the next choice goes on behind the one that was chosen, as in
/// LVS. If all are overloaded, a whole round leads back to where it began.
#[inline(always)]
fn turn<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) -> bool {
    for _ in 0..SLOTS_A_LOOK {
        if task.next >= ring.slots {
            return false;
        }
        task.next = task.next.wrapping_add(1);
        let number = next_in_ring(tables, task.service, ring);
        if number != 0 && tables.load(number).overloaded == 0 {
            task.number = number;
            return false;
        }
    }
    true
}

/// Looks for another slot of a hash ring, whose real server takes something new; whether there are more.
#[inline(always)]
fn attempt<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) -> bool {
    for _ in 0..ATTEMPTS_A_LOOK {
        if task.next >= ATTEMPTS {
            return false;
        }
        let slot = if task.is_sh == 1 {
            sh_fallback_slot(task.first, task.next)
        } else {
            mh_fallback_slot(task.key, task.first, task.next, ring.slots)
        };
        let slot = tables.forget(slot);
        task.number = available(tables, ring, slot, task.has_thresholds);
        if task.number != 0 {
            return false;
        }
        task.next = task.next.wrapping_add(1);
    }
    true
}

/// The real server in a slot, if it may be given a new connection.
#[inline(always)]
fn available<T: Tables>(tables: &T, ring: RingSpan, slot: u32, has_thresholds: u32) -> u32 {
    if slot >= ring.slots {
        return 0;
    }
    let number = tables.forget(tables.ring_slot(ring.first.wrapping_add(slot)));
    let weight = tables.forget(tables.weight(number));
    if weight == 0 || has_thresholds != 0 && tables.load(number).overloaded != 0 { 0 } else { number }
}

/// Arithmetic: a branch would be two paths.
#[inline(always)]
const fn at_least_zero(count: i32) -> u32 {
    (count & !(count >> 31)).cast_unsigned()
}

/// Looks at the loads of more real servers; whether there are more.
#[inline(always)]
fn walk<T: Tables>(tables: &T, ring: RingSpan, task: &mut Task) -> bool {
    for _ in 0..SLOTS_A_LOOK {
        if task.next >= ring.slots {
            return end_walk(tables, task);
        }
        let loaded = loaded(tables, ring.first.wrapping_add(task.next));
        match task.search {
            TO_WEIGH => task.twos.weigh(loaded),
            TO_DRAW => task.twos.consider(loaded),
            TO_LOCATE => task.lblc.consider(loaded),
            _ => {
                task.walk.consider(loaded);
            }
        }
        task.next = task.next.wrapping_add(1);
    }
    true
}

/// The end of a walk over all; whether there is another one.
#[inline(always)]
fn end_walk<T: Tables>(tables: &T, task: &mut Task) -> bool {
    match task.search {
        TO_WEIGH => {
            let (first, second) = draws(task.flow.hash, tables.pick(task.service));
            task.twos.draw(first, second);
            (task.search, task.next) = (TO_DRAW, 0);
            return true;
        }
        TO_DRAW => task.number = task.twos.choice(),
        TO_LOCATE => task.number = task.lblc.choice(),
        _ => task.number = task.walk.choice(),
    }
    false
}

/// What lblc remembers the address by that a packet is for.
#[inline(always)]
fn locality(task: &Task) -> LocalityKey {
    let [high, low, _]: [u64; 3] = bytemuck::cast(task.flow.service);
    LocalityKey { address: [high, low], service: task.service, is_v6: task.is_v6 }
}

/// The real server in a slot of the map of rings, and how loaded it is.
#[inline(always)]
fn loaded<T: Tables>(tables: &T, slot: u32) -> Loaded {
    // Forgotten: that something was not there would be a path of its own through all that follow.
    let number = tables.forget(tables.ring_slot(slot));
    let weight = tables.forget(tables.weight(number));
    let load = tables.load(number);
    let [inactive, active] = load.connections;
    // Below zero for the blink of an event's race.
    let active = tables.forget(at_least_zero(active));
    let inactive = tables.forget(at_least_zero(inactive));
    Loaded { number, weight, active, inactive, overloaded: tables.forget(load.overloaded) }
}

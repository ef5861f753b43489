//! A packet without a connection: is it for a service, and does it open one?
//!
//! Which real server it goes to is the scheduler's ([`super::choose`]), but where a ring was built ahead and is
//! gone through in order: that is read here, since it costs less than to leave the packet to the next.

use super::answer::or_answer;
use super::choose::{next_in_ring, shape};
use super::class;
use super::fault::{fault, no_connection};
use super::guard::guard;
use super::persist;
use super::{Step, Tables, Task};
use crate::sched::Shape;
use crate::verdict::{Action, Verdict};
use crate::wire::{DESTINATION_KERNEL, Protocol, SERVICE_GUARDED, SERVICE_ONE_PACKET, SERVICE_PERSISTENT};

/// What a choice is for, in [`Task`]: a connection that is to be entered, or this packet alone.
pub(super) const CONNECTION: u32 = 1;
pub(super) const ONE_PACKET: u32 = 2;

/// Finds the service of a packet that has no connection, or goes on with it.
#[inline(always)]
pub fn classify<T: Tables>(tables: &T, task: &mut Task) -> Step {
    match begin(tables, task) {
        Ok(step) => step,
        Err(verdict) => refuse(tables, task, verdict),
    }
}

#[inline(always)]
fn begin<T: Tables>(tables: &T, task: &mut Task) -> Result<Step, Verdict> {
    let Some(service) = class::service(tables, task)? else { return Ok(Step::Classify) };
    let flow = &task.flow;
    if let Some(verdict) = fault(flow) {
        return Err(verdict);
    }
    if !flow.may_open(tables.options()) {
        return Err(no_connection(flow));
    }
    task.service = service;
    let (scheduler, flags) = tables.scheduler(service);
    if flags & SERVICE_GUARDED != 0 {
        guard(tables, service, task)?;
    }
    // A service by mark may have TCP beside UDP, and of that one-packet scheduling has connections, as in IPVS.
    let is_one_packet = flags & SERVICE_ONE_PACKET != 0 && task.flow.transport == Protocol::Udp as u32;
    task.is_new = if is_one_packet { ONE_PACKET } else { CONNECTION };
    // Before the ring: who is known goes to a real server of weight 0, too, which stands in none.
    if flags & SERVICE_PERSISTENT != 0 && persist::follow(tables, task) {
        return Ok(Step::Open);
    }
    let ring = tables.ring(service);
    if ring.slots == 0 {
        return Err(Verdict::NoDestination);
    }
    if shape(scheduler, flags) != Shape::Ring {
        return Ok(Step::Choose);
    }
    task.number = next_in_ring(tables, service, ring);
    if task.number == 0 { Err(Verdict::NoDestination) } else { Ok(Step::Open) }
}

/// The end of a packet that opens nothing.
#[inline(always)]
pub(super) fn refuse<T: Tables>(tables: &T, task: &mut Task, verdict: Verdict) -> Step {
    task.is_new = 0;
    if task.fragments != 0 && verdict.action() as u8 == Action::Pass as u8 {
        // Its other parts follow it to the kernel.
        task.number = DESTINATION_KERNEL;
        return Step::Open;
    }
    or_answer(tables, task, verdict)
}

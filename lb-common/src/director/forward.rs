//! A packet whose destination is known: on its way by the destination's forward method.

use super::answer::or_answer;
use super::{Decision, Step, Tables, Task};
use crate::forward::{direct_routing, tunnel};
use crate::net::{ETHERNET_BYTES, Packet};
use crate::verdict::Verdict;
use crate::wire::{
    Destination, FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_MASQUERADE, FORWARD_REPLY, FORWARD_TUNNEL,
};

/// Sends a packet to its destination, and counts.
#[inline(always)]
pub fn forward<P: Packet, T: Tables>(packet: &mut P, tables: &T, task: &mut Task) -> Step {
    let Some(destination) = tables.destination(task.number) else {
        return or_answer(tables, task, Verdict::Internal);
    };
    if destination.forward == FORWARD_MASQUERADE || destination.forward == FORWARD_REPLY {
        return Step::Masquerade;
    }
    match send(packet, destination, task) {
        Ok(verdict) => {
            tables.account(task.number, task.bytes, verdict);
            tables.count(verdict);
            Step::Done(Decision { verdict, interface: destination.interface })
        }
        Err(verdict) => {
            task.mtu = destination.outer.inner_mtu(destination.mtu);
            or_answer(tables, task, verdict)
        }
    }
}

#[inline(always)]
fn send<P: Packet>(packet: &mut P, destination: &Destination, task: &Task) -> Result<Verdict, Verdict> {
    if destination.forward == FORWARD_LOCAL {
        return Err(Verdict::Local);
    }
    if !destination.is_resolved() {
        return Err(Verdict::NoNeighbour);
    }
    match destination.forward {
        FORWARD_DIRECT => {
            direct_routing(packet, task, destination)?;
            Ok(Verdict::DirectRouting)
        }
        FORWARD_TUNNEL if task.offset != ETHERNET_BYTES as u32 => Err(Verdict::Tagged),
        FORWARD_TUNNEL => {
            tunnel(packet, destination.ethernet, &destination.outer, destination.mtu, task.flow.hash)?;
            Ok(Verdict::Tunnel)
        }
        _ => Err(Verdict::Internal),
    }
}

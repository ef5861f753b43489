//! A packet without a connection: does it open one, and to which real server?
//!
//! Which real server comes next was decided when the ring was built; here it is read.

use super::Tables;
use super::connection::{Found, insert};
use crate::flow::Flow;
use crate::verdict::Verdict;
use crate::wire::Protocol;

/// The destination of a new connection, which is then in the flow table.
///
/// `instead` is the entry of the same flow that the new one replaces.
#[inline(always)]
pub(super) fn schedule<T: Tables>(
    tables: &T,
    flow: &Flow,
    instead: Option<&Found<T::Line>>,
) -> Result<u32, Verdict> {
    let service = tables.service(&flow.service).ok_or(Verdict::NoService)?;
    if flow.protocol() == Protocol::Tcp && !flow.tcp_flags.opens() {
        return Err(Verdict::NoConnection);
    }
    let ring = tables.ring(service);
    if ring.slots == 0 {
        return Err(Verdict::NoDestination);
    }
    let slot = ring.first.wrapping_add((tables.pick(service) % u64::from(ring.slots)) as u32);
    let number = tables.forget(tables.ring_slot(slot));
    if number == 0 {
        return Err(Verdict::Internal);
    }
    let placed = insert(tables, flow.hash, number, flow.is_tcp, instead).ok_or(Verdict::FlowTableFull)?;
    Ok(placed.get())
}

//! A packet without a connection: does it open one, and to which real server?
//!
//! Which real server comes next was decided when the ring was built; here it is read.

use super::connection::{Found, NO_ROOM, first_state, insert};
use super::Tables;
use crate::flow::{Addresses, Flow};
use crate::verdict::Verdict;
use crate::wire::Protocol;

/// The destination of a new connection, which is then in the flow table.
///
/// `instead` is the entry of the same flow that the new one replaces.
#[inline(always)]
pub(super) fn schedule<T: Tables, A: Addresses>(
    tables: &T,
    flow: &Flow<A>,
    hash: u64,
    instead: Option<&Found<T::Line>>,
) -> Result<u32, Verdict> {
    let service = tables.service(&flow.service_key()).ok_or(Verdict::NoService)?;
    if flow.protocol == Protocol::Tcp && !flow.tcp_flags.opens() {
        return Err(Verdict::NoConnection);
    }
    let ring = tables.ring(service);
    if ring.slots == 0 {
        return Err(Verdict::NoDestination);
    }
    let number = tables.ring_slot(ring.first.wrapping_add((tables.pick(service) % u64::from(ring.slots)) as u32));
    if number == 0 {
        return Err(Verdict::Internal);
    }
    let placed = insert(tables, hash, number, first_state(flow.protocol), instead).ok_or(NO_ROOM)?;
    if placed.is_ours {
        tables.count_connection(number);
    }
    Ok(placed.destination)
}

//! Whether a new flow is let in: where it comes from, and how many came in this tick.
//!
//! Only services that have a guard are asked for one, and only for packets that would open something: what is
//! established goes on.

use super::answer::one_more;
use super::{Tables, Task};
use crate::verdict::Verdict;
use crate::wire::SOURCE_DENIED;

/// Asks the guard of a service.
#[inline(always)]
pub(super) fn guard<T: Tables>(tables: &T, service: u32, task: &Task) -> Result<(), Verdict> {
    let guard = tables.guard(service);
    // First: who is denied doesn't count.
    if guard.list != 0 && tables.source(guard.list, task.is_v6, task.flow.client) == SOURCE_DENIED {
        return Err(Verdict::Denied);
    }
    if guard.new_flows == 0 {
        return Ok(());
    }
    let (word, is_allowed) = one_more(tables.gate(service), tables.now(), guard.new_flows);
    tables.set_gate(service, word);
    if is_allowed { Ok(()) } else { Err(Verdict::Gated) }
}

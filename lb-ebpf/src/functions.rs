//! What the verifier looks at once, whoever calls it: steps that stand in more than one place, or that would cost
//! the program around them more than there is.
//!
//! Each is a function that other objects could call, and finds the tables and the task by itself. It decides nothing.

use lb_common::director::{enter_reply, insert};
use lb_common::verdict::Verdict;

use crate::tables::KernelTables;

/// [`lb_common::director::insert`], as a function that the verifier looks at once, whatever it is called with.
///
/// That takes a function that other objects could call: it finds the tables by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn director_insert(hash: u64, destination: u32, first: u32, instead: u64) -> u64 {
    match KernelTables::new() {
        Some(tables) => {
            insert(&tables, hash, destination, first, instead, &tables.task().connection).to_word()
        }
        None => 0,
    }
}

/// [`lb_common::director::enter_reply`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn director_enter_reply(place: u32) -> u32 {
    match KernelTables::new() {
        Some(tables) => enter_reply(&tables, tables.task(), place),
        None => Verdict::Internal as u32 + 1,
    }
}

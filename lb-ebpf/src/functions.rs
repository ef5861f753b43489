//! What the verifier looks at once, whoever calls it: steps that stand in more than one place, or that would cost
//! the program around them more than there is.
//!
//! Each is a function that other objects could call, and finds the tables and the task by itself. It decides nothing.

use lb_common::director::{enter_reply, insert, look, take_out};
use lb_common::verdict::Verdict;
use lb_common::wire::Place;

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

/// [`take_out`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn director_take_out(place: u32, entry: u64) -> u32 {
    if let Some(tables) = KernelTables::new() {
        take_out(&tables, Place(place), entry);
    }
    0
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

/// So many calls of [`look`]: 1 while there is more to look at.
///
/// A loop in a loop: the verifier follows every round of both, but of the inner one only once.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn director_looks() -> u32 {
    for _ in 0..LOOKS {
        if director_look() == 0 {
            return 0;
        }
    }
    1
}

/// See [`director_looks`].
pub(crate) const LOOKS: u32 = 32;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn director_look() -> u32 {
    match KernelTables::new() {
        Some(tables) => u32::from(look(&tables, tables.task())),
        None => 0,
    }
}

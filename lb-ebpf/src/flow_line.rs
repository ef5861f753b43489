//! A line of the flow table, and what is kept of a connection, in the kernel's memory, as `lb-common` reaches
//! them: every access to them is here.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};
use core::ptr::addr_of_mut;

use lb_common::director::{FlowLine, Record};
use lb_common::wire::{Connection, Line};

/// A line of the flow table, which other CPUs and the daemon write to at the same time.
#[derive(Clone, Copy)]
pub(crate) struct KernelLine(*mut Line);

impl KernelLine {
    /// The line at a place within the value of `TABLES`.
    #[inline(always)]
    pub(crate) const fn at(line: *mut Line) -> Self {
        Self(line)
    }

    #[inline(always)]
    fn entry_at(self, slot: usize) -> *mut u64 {
        // SAFETY: slots are 0 to 4 by `FlowLine`'s contract; the mask tells the verifier as much as it needs.
        unsafe { addr_of_mut!((*self.0).entries).cast::<u64>().add(slot & 7) }
    }

    #[inline(always)]
    fn state_at(self, slot: usize) -> *mut u32 {
        // SAFETY: likewise. Slots 6 and 7 would lie in the line behind, which is there, see `Layout`.
        unsafe { addr_of_mut!((*self.0).states).cast::<u32>().add(slot & 7) }
    }
}

impl FlowLine for KernelLine {
    #[inline(always)]
    fn entry(&self, slot: usize) -> u64 {
        // SAFETY: the map outlives the program; an aligned word is read whole.
        unsafe { self.entry_at(slot).read_volatile() }
    }

    #[inline(always)]
    fn exchange_entry(&self, slot: usize, expected: u64, entry: u64) -> bool {
        exchange(self.entry_at(slot), expected, entry)
    }

    #[inline(always)]
    fn state(&self, slot: usize) -> u32 {
        // SAFETY: as in `entry`.
        unsafe { self.state_at(slot).read_volatile() }
    }

    #[inline(always)]
    fn exchange_state(&self, slot: usize, expected: u32, state: u32) -> bool {
        exchange(self.state_at(slot), expected, state)
    }

    #[inline(always)]
    fn set_state(&self, slot: usize, state: u32) {
        // SAFETY: an aligned word is written whole, in a slot that this CPU has claimed.
        unsafe { self.state_at(slot).write_volatile(state) };
    }
}

/// What is kept of a connection, which other CPUs and the daemon read at the same time.
#[derive(Clone, Copy)]
pub(crate) struct KernelRecord(*mut u64);

impl KernelRecord {
    /// The record at the start of a value of `CONNECTIONS`.
    #[inline(always)]
    pub(crate) const fn at(record: *mut u64) -> Self {
        Self(record)
    }
}

impl Record for KernelRecord {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: words are 0 to 7 by `Record`'s contract; the mask tells the verifier. A word is read whole.
        unsafe { self.0.add(index & (Connection::WORDS - 1)).read_volatile() }
    }

    #[inline(always)]
    fn set_word(&self, index: usize, word: u64) {
        // SAFETY: likewise.
        unsafe { self.0.add(index & (Connection::WORDS - 1)).write_volatile(word) };
    }
}

#[inline(always)]
fn exchange<T: Copy>(word: *mut T, expected: T, new: T) -> bool {
    // SAFETY: an aligned word of a map that outlives the program.
    let (_, done) = unsafe {
        atomic_cxchg::<T, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, expected, new)
    };
    done
}

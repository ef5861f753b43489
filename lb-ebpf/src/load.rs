//! What destinations hold, in the kernel's memory: counts that all CPUs move, and whether one is overloaded.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::addr_of_mut;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use lb_common::wire::Load;

#[map]
static LOADS: Array<Load> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What a destination holds; nothing if there is none of this number.
#[inline(always)]
pub(crate) fn read(number: u32) -> Load {
    // SAFETY: the value lives as long as the map, and its halves are written whole.
    LOADS.get_ptr(number).map_or_else(Load::default, |load| unsafe { load.read_volatile() })
}

/// Adds to one of its counts, and asks whether it is overloaded.
#[inline(always)]
pub(crate) fn add(number: u32, activity: usize, by: i32) {
    let Some(load) = LOADS.get_ptr_mut(number) else {
        return;
    };
    count(load, activity, by);
    // Asked of who has no thresholds too: it costs no more than to ask whether it has.
    // SAFETY: as in `read`.
    let overloaded = unsafe { load.read_volatile() }.overloaded_now();
    // SAFETY: the value lives as long as the map, and the word is written whole.
    unsafe { addr_of_mut!((*load).overloaded).write_volatile(overloaded) };
}

/// Moves one from one of its counts to another.
#[inline(always)]
pub(crate) fn shift(number: u32, before: usize, after: usize) {
    if let Some(load) = LOADS.get_ptr_mut(number) {
        count(load, before, -1);
        count(load, after, 1);
    }
}

#[inline(always)]
fn count(load: *mut Load, activity: usize, by: i32) {
    // SAFETY: the value lives as long as the map, and holds two counts.
    let word = unsafe { addr_of_mut!((*load).connections).cast::<i32>().add(activity & 1) };
    // SAFETY: an aligned word of a map that outlives the program.
    unsafe { atomic_xadd::<_, _, { AtomicOrdering::Relaxed }>(word, by) };
}

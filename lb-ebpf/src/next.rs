//! The programs that a packet passes through one after the other.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::XdpContext;
use lb_common::director::Tables as _;
use lb_common::verdict::Verdict;

use crate::tables::KernelTables;

/// By the numbers of [`Next`].
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(16, 0);

/// The programs that one packet may pass through, by their places in `PROGRAMS`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Next {
    LongWay = 0,
    Open = 1,
    Forward = 2,
    Answer = 3,
    Tell = 4,
    Choose = 5,
    Classify = 6,
    Masquerade = 7,
}

/// Leaves the packet to another program. Returns only if that is not there.
#[inline(always)]
pub(crate) fn leave_to(next: Next, context: &XdpContext, tables: &KernelTables) -> u32 {
    // SAFETY: the array holds programs for XDP only.
    unsafe { PROGRAMS.tail_call(context, next as u32) };
    tables.count(Verdict::Internal);
    xdp_action::XDP_ABORTED
}

//! Where a packet goes from a program: to another one, out of an interface, into the log. Its maps are touched
//! nowhere else.

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{DevMapHash, ProgramArray};
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::info;
use lb_common::director::Tables as _;
use lb_common::verdict::Verdict;

use crate::tables::KernelTables;

#[map]
static INTERFACES: DevMapHash = DevMapHash::with_max_entries(64, 0);
/// By the numbers of [`Next`].
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(16, 0);

#[unsafe(no_mangle)]
static DEBUG: Global<u32> = Global::new(0);

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

/// Sends a frame out of another interface. One that the daemon has not entered aborts, which traces.
#[inline(always)]
pub(crate) fn redirect(interface: u32) -> u32 {
    match INTERFACES.redirect(interface, u64::from(xdp_action::XDP_ABORTED)) {
        Ok(action) | Err(action) => action,
    }
}

/// Whether the log is told about every packet. Without it the verifier removes what depends on it.
#[inline(always)]
pub(crate) fn is_debugged() -> bool {
    DEBUG.load() != 0
}

/// Tells the log about a decision, under the debug switch.
#[inline(always)]
pub(crate) fn tell(context: &XdpContext, verdict: u32, interface: u32) {
    if is_debugged() {
        info!(context, "verdict {} interface {}", verdict, interface);
    }
}

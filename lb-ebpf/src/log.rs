//! What the log is told, and whether it is told anything. Nothing here knows why.

use aya_ebpf::Global;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::info;

#[unsafe(no_mangle)]
static DEBUG: Global<u32> = Global::new(0);

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

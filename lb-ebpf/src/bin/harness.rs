//! Programs of the benchmark, in an object of their own: what `lb` ships has none of it.
//!
//! `restore` makes the same packet again and again out of the one that the program under test has
//! rewritten, optionally of another flow each time, and tail-calls that program. The floors are
//! programs that do next to nothing. Nothing here knows what is measured.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the target has no atomic addition but the intrinsic")
)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]

#[cfg(target_arch = "bpf")]
mod programs {
    //! The programs.

    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    use core::ptr::addr_of_mut;

    use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action};
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, ProgramArray};
    use aya_ebpf::programs::XdpContext;
    use lb_common::wire::Restore;

    #[map]
    static RESTORE: Array<Restore> = Array::with_max_entries(1, BPF_F_MMAPABLE);
    #[map]
    static UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);

    #[xdp]
    fn restore(context: XdpContext) -> u32 {
        let Some(plan) = RESTORE.get_ptr_mut(0) else {
            return xdp_action::XDP_ABORTED;
        };
        let start = context.data();
        if start + 64 > context.data_end() {
            return xdp_action::XDP_ABORTED;
        }
        for word in 0..8 {
            // SAFETY: 64 bytes of the map's value; the packet is as long, see above.
            unsafe { (start as *mut u64).add(word).write_unaligned((*plan).bytes[word]) };
        }
        // SAFETY: the value lives as long as the map, and one test runs at a time.
        let plan = unsafe { &mut *plan };
        if plan.mask != 0 {
            // An odd factor visits every flow once before it comes back, and never in a row.
            let flow = plan.next.wrapping_mul(0x9e37_79b1) & plan.mask;
            plan.next = plan.next.wrapping_add(1);
            let (address, port) = if plan.is_v6 == 0 { (26, 34) } else { (34, 54) };
            // SAFETY: both lie within the 64 bytes.
            unsafe {
                ((start + address) as *mut u32).write_unaligned((plan.first_address + (flow >> 10)).to_be())
            };
            // SAFETY: likewise.
            unsafe { ((start + port) as *mut u16).write_unaligned((1024 + (flow & 1023) as u16).to_be()) };
        }
        // A barrier: what was written stands before the program under test reads it, in all rounds alike.
        // SAFETY: an aligned word of the map's value.
        unsafe { atomic_xadd::<_, _, { AtomicOrdering::SeqCst }>(addr_of_mut!(plan.fence), 1_u64) };
        // SAFETY: the program array holds XDP programs only.
        unsafe { UNDER_TEST.tail_call(&context, 0) };
        xdp_action::XDP_ABORTED
    }

    #[xdp]
    fn floor_tx(_: XdpContext) -> u32 {
        xdp_action::XDP_TX
    }

    #[xdp]
    fn floor_pass(_: XdpContext) -> u32 {
        xdp_action::XDP_PASS
    }

    #[xdp]
    fn floor_swap(context: XdpContext) -> u32 {
        let start = context.data();
        if start + 12 > context.data_end() {
            return xdp_action::XDP_ABORTED;
        }
        // Two words and a half: what is written byte by byte costs more than a floor may.
        // SAFETY: twelve bytes of the packet, see above.
        let (first, second) =
            unsafe { ((start as *mut u64).read_unaligned(), ((start + 8) as *mut u32).read_unaligned()) };
        let both = u128::from(second) << 64 | u128::from(first);
        let swapped = both >> 48 | (both & 0xffff_ffff_ffff) << 48;
        // SAFETY: likewise.
        unsafe { (start as *mut u64).write_unaligned(swapped as u64) };
        // SAFETY: likewise.
        unsafe { ((start + 8) as *mut u32).write_unaligned((swapped >> 64) as u32) };
        xdp_action::XDP_TX
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

/// On the host there is nothing to run.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

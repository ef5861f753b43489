//! Programs of the benchmark, in an object of their own: what `lb` ships has none of it.
//!
//! `restore` makes the same packet again and again out of the one that the program under test has
//! rewritten, optionally of another flow each time, and tail-calls that program. The floors are
//! programs that do next to nothing. `generate` and `sink` are the two ends of a wire: one sends frames
//! of many flows, the other one counts and drops. Nothing here knows what is measured.
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
    use core::ptr::{addr_of, addr_of_mut};

    use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action};
    use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, ProgramArray};
    use aya_ebpf::programs::XdpContext;
    use lb_common::wire::{RESTORE_HEAD, RESTORE_TAIL, Restore};

    /// Bytes of a packet that are made anew.
    const RESTORED: usize = 64;
    /// What the floor that grows the head writes: Ethernet and IPv4 headers.
    const OUTER: usize = 20;

    #[map]
    static RESTORE: Array<Restore> = Array::with_max_entries(1, BPF_F_MMAPABLE);
    #[map]
    static UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);
    /// Frames that came to the sink.
    #[map]
    static SUNK: Array<u64> = Array::with_max_entries(1, 0);

    #[xdp]
    fn restore(context: XdpContext) -> u32 {
        let Some(plan) = RESTORE.get_ptr_mut(0) else {
            return xdp_action::XDP_ABORTED;
        };
        // SAFETY: the value lives as long as the map, and one test runs at a time.
        let plan = unsafe { &mut *plan };
        if plan.moves & RESTORE_HEAD != 0 && !restore_head(&context, plan) {
            return xdp_action::XDP_ABORTED;
        }
        if plan.moves & RESTORE_TAIL != 0 && !restore_tail(&context, plan.length) {
            return xdp_action::XDP_ABORTED;
        }
        let start = context.data();
        if start + RESTORED > context.data_end() {
            return xdp_action::XDP_ABORTED;
        }
        write_first_bytes(start, plan);
        if plan.mask != 0 {
            write_next_flow(start, plan);
        }
        // A barrier: what was written stands before the program under test reads it, in all rounds alike.
        // SAFETY: an aligned word of the map's value.
        unsafe { atomic_xadd::<_, _, { AtomicOrdering::SeqCst }>(addr_of_mut!(plan.fence), 1_u64) };
        // SAFETY: the program array holds XDP programs only.
        unsafe { UNDER_TEST.tail_call(&context, 0) };
        xdp_action::XDP_ABORTED
    }

    /// Moves the packet's beginning to where it was in the first run. Calls the kernel in any case, so that
    /// it costs the same whatever the program under test has done.
    #[inline(always)]
    fn restore_head(context: &XdpContext, plan: &mut Restore) -> bool {
        plan.now = context.data() as u64;
        // Read as numbers: the verifier subtracts no pointer from a number.
        // SAFETY: words of the map's value, as the next one.
        let now = unsafe { addr_of!(plan.now).read_volatile() };
        // SAFETY: likewise.
        let mut begin = unsafe { addr_of!(plan.begin).read_volatile() };
        if begin == 0 {
            plan.begin = now;
            begin = now;
        }
        // SAFETY: the program's own context; who comes after reads the bounds anew.
        unsafe { bpf_xdp_adjust_head(context.ctx, begin.wrapping_sub(now) as i32) == 0 }
    }

    /// Moves the packet's end to where its length says. What is given back is zeros.
    #[inline(always)]
    fn restore_tail(context: &XdpContext, length: u32) -> bool {
        let current = context.data_end() - context.data();
        // SAFETY: a value of our own. Read so, or the compiler would subtract pointers in 32 bits.
        let current = unsafe { addr_of!(current).read_volatile() };
        // SAFETY: the program's own context; who comes after reads the bounds anew.
        unsafe { bpf_xdp_adjust_tail(context.ctx, length.wrapping_sub(current as u32).cast_signed()) == 0 }
    }

    #[inline(always)]
    fn write_first_bytes(start: usize, plan: &Restore) {
        for word in 0..RESTORED / 8 {
            // SAFETY: 64 bytes of the map's value; the caller has seen that the packet is as long.
            unsafe { (start as *mut u64).add(word).write_unaligned(plan.bytes[word]) };
        }
    }

    /// Writes the next flow's client and its port; answers the client's address.
    #[inline(always)]
    fn write_next_flow(start: usize, plan: &mut Restore) -> u32 {
        // An odd factor visits every flow once before it comes back, and never in a row.
        let flow = plan.next.wrapping_mul(0x9e37_79b1) & plan.mask;
        plan.next = plan.next.wrapping_add(1);
        let (at_address, at_port) = match (plan.is_v6, plan.is_reply) {
            (0, 0) => (26, 34),
            (0, _) => (30, 36),
            (_, 0) => (34, 54),
            (_, _) => (50, 56),
        };
        let address = (plan.first_address + (flow >> 10)).to_be();
        // SAFETY: both lie within the 64 bytes.
        unsafe { ((start + at_address) as *mut u32).write_unaligned(address) };
        // SAFETY: likewise.
        unsafe { ((start + at_port) as *mut u16).write_unaligned((1024 + (flow & 1023) as u16).to_be()) };
        address
    }

    /// Sends the packet back by the interface that it came in by, of another flow each time, with an IPv4
    /// checksum that a kernel accepts.
    #[xdp]
    fn generate(context: XdpContext) -> u32 {
        let Some(plan) = RESTORE.get_ptr_mut(0) else {
            return xdp_action::XDP_ABORTED;
        };
        // SAFETY: the value lives as long as the map, and one test runs at a time.
        let plan = unsafe { &mut *plan };
        let start = context.data();
        if start + RESTORED > context.data_end() {
            return xdp_action::XDP_ABORTED;
        }
        write_first_bytes(start, plan);
        let address = write_next_flow(start, plan);
        let mut sum = plan.sum + (address & 0xffff) + (address >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        // SAFETY: within the 64 bytes.
        unsafe { ((start + 24) as *mut u16).write_unaligned(!sum as u16) };
        xdp_action::XDP_TX
    }

    #[xdp]
    fn sink(_: XdpContext) -> u32 {
        if let Some(sunk) = SUNK.get_ptr_mut(0) {
            // SAFETY: an aligned word of the map's value.
            unsafe { atomic_xadd::<_, _, { AtomicOrdering::Relaxed }>(sunk, 1_u64) };
        }
        xdp_action::XDP_DROP
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
    fn floor_drop(_: XdpContext) -> u32 {
        xdp_action::XDP_DROP
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

    /// Puts an outer header in front that is the same for every packet.
    #[xdp]
    fn floor_grow(context: XdpContext) -> u32 {
        // SAFETY: the program's own context; the bounds are read after it.
        if unsafe { bpf_xdp_adjust_head(context.ctx, -(OUTER as i32)) } != 0 {
            return xdp_action::XDP_ABORTED;
        }
        let start = context.data();
        if start + 14 + OUTER > context.data_end() {
            return xdp_action::XDP_ABORTED;
        }
        // Ethernet, EtherType, IPv4 in IPv4; the sum is nobody's to check.
        let words =
            [0x0002_0b01_0000_0002_u64, 0x0045_0008_0100_0000, 0x0440_0040_0000_5400, 0x000a_0100_000a_0000];
        for (index, word) in words.into_iter().enumerate() {
            // SAFETY: 32 of the 34 bytes that were compared above.
            unsafe { (start as *mut u64).add(index).write_unaligned(word) };
        }
        // SAFETY: the last two.
        unsafe { ((start + 32) as *mut u16).write_unaligned(0x0b00) };
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

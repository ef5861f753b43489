//! A frame in the kernel's memory, as `lb-common` reaches it. All arithmetic on packet pointers is here.

use core::arch::asm;
use core::intrinsics::is_val_statically_known;
use core::ptr::addr_of;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use lb_common::net::Packet;

/// The linear part of the frame that the program was called for.
pub(crate) struct XdpPacket {
    data: usize,
    end: usize,
    interface: u32,
    /// Asked only when the frame changes its bounds: unused, it costs nothing.
    context: *mut xdp_md,
}

impl XdpPacket {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            data: context.data(),
            end: context.data_end(),
            interface: context.ingress_ifindex() as u32,
            context: context.ctx,
        }
    }

    /// Reads the bounds anew and tells whether a change of them was done. Whether it was or not, the verifier
    /// no longer knows the old ones.
    #[inline(always)]
    fn moved(&mut self, answer: i64) -> Option<()> {
        let context = XdpContext::new(self.context);
        self.data = context.data();
        self.end = context.data_end();
        if answer == 0 { Some(()) } else { None }
    }

    /// Where `T` lies at `offset`, if the frame reaches that far.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let start = if is_val_statically_known(offset) {
            self.data + offset
        } else {
            // What is compared must be what is accessed: the verifier takes a second sum of the same two
            // for another pointer, and the compiler makes one next to an access that is far from its
            // comparison. This one it can't make again. The mask is for Linux 6.1, which forgets how large
            // an offset can be when it is put away; none is nearly as large.
            let mut start = self.data;
            // SAFETY: one mask and one addition.
            unsafe {
                asm!(
                    "{1} &= 0x3fff",
                    "{0} += {1}",
                    inout(reg) start,
                    inout(reg) offset => _,
                    options(pure, nomem, nostack)
                );
            }
            start
        };
        if start + size_of::<T>() > self.end { None } else { Some(start as *mut T) }
    }
}

impl Packet for XdpPacket {
    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.data
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.interface
    }

    #[inline(always)]
    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let pointer: *const T = self.at(offset)?;
        // SAFETY: `at` has compared the end of T with the end of the frame, and any bytes are a T.
        Some(unsafe { pointer.read_unaligned() })
    }

    #[inline(always)]
    fn write<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let pointer: *mut T = self.at(offset)?;
        // SAFETY: `at` has compared the end of T with the end of the frame, which is ours until we return.
        unsafe { pointer.write_unaligned(value) };
        Some(())
    }

    #[inline(always)]
    fn move_head(&mut self, by: i32) -> Option<()> {
        // SAFETY: the program's own context. Pointers into the frame are made anew from what `moved` reads.
        let answer = unsafe { bpf_xdp_adjust_head(self.context, by.wrapping_neg()) };
        self.moved(answer)
    }

    #[inline(always)]
    fn set_length(&mut self, length: usize) -> Option<()> {
        let current = self.length();
        // SAFETY: a value of our own. Read so, or the compiler would subtract the pointers in 32 bits, as
        // the helper wants the result, and the verifier knows no halves of pointers.
        let current = unsafe { addr_of!(current).read_volatile() };
        let by = length.cast_signed().wrapping_sub(current.cast_signed()) as i32;
        // SAFETY: as in `move_head`.
        let answer = unsafe { bpf_xdp_adjust_tail(self.context, by) };
        self.moved(answer)
    }
}

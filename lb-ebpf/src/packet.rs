//! A frame in the kernel's memory, as `lb-common` reaches it. All arithmetic on packet pointers is here.

use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use lb_common::net::Packet;

/// The linear part of the frame that the program was called for.
pub(crate) struct XdpPacket {
    data: usize,
    end: usize,
    interface: u32,
}

impl XdpPacket {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { data: context.data(), end: context.data_end(), interface: context.ingress_ifindex() as u32 }
    }

    /// Where `T` lies at `offset`, if the frame reaches that far.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.data + offset;
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
}

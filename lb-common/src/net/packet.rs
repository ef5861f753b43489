//! The seam between a decision and the bytes of one frame.
//!
//! Headers are copied in and out whole: a view of the bytes (a slice, a reference) is not accepted
//! by the kernel's verifier, and would be stale after the head has grown.

use bytemuck::Pod;

/// One frame, from its Ethernet header on.
pub trait Packet {
    /// The frame's length in bytes.
    fn length(&self) -> usize;

    /// The interface (ifindex) that it came in by.
    fn interface(&self) -> u32;

    /// The value that lies at `offset` bytes, or nothing where the frame ends before it does.
    fn read<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Writes a value at `offset` bytes. Nothing is written where the frame ends before it does.
    fn write<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;
}

/// A frame in memory, as [`Packet`].
#[cfg(feature = "host")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketBuffer {
    /// The frame.
    pub bytes: Vec<u8>,
    /// The interface that it came in by.
    pub interface: u32,
}

#[cfg(feature = "host")]
impl Packet for PacketBuffer {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn interface(&self) -> u32 {
        self.interface
    }

    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        Some(bytemuck::pod_read_unaligned(bytes))
    }

    fn write<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let bytes = self.bytes.get_mut(offset..offset.checked_add(size_of::<T>())?)?;
        bytes.copy_from_slice(bytemuck::bytes_of(&value));
        Some(())
    }
}

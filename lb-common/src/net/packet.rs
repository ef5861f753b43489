//! The seam between a decision and the bytes of one frame.
//!
//! Headers are copied in and out whole: a view of the bytes (a slice, a reference) is not accepted
//! by the kernel's verifier, and would be stale after the head has grown.

use bytemuck::Pod;

#[cfg(feature = "host")]
use super::ETHERNET_BYTES;

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

    /// Puts `by` bytes in front of the frame, of which nothing is known, or takes `-by` bytes away there.
    /// All offsets shift by as much: what was to be kept of the old front has been read before.
    ///
    /// Where there is no room, or where less than an Ethernet header would be left, nothing changes.
    fn move_head(&mut self, by: i32) -> Option<()>;

    /// Cuts the frame's end off, or adds zeros there, so that it is `length` bytes long. No offset shifts.
    ///
    /// Where there is no room, or where less than an Ethernet header would be left, nothing changes.
    fn set_length(&mut self, length: usize) -> Option<()>;
}

/// The room in front of a frame that every driver with XDP leaves: 256 bytes (Linux, `XDP_PACKET_HEADROOM`),
/// less what the kernel keeps there itself.
#[cfg(feature = "host")]
pub const HEADROOM: usize = 192;

/// The room behind a frame, likewise: what a page has left when a frame of an MTU of 1500 is in it.
#[cfg(feature = "host")]
pub const TAILROOM: usize = 1024;

/// A frame in memory, as [`Packet`].
///
/// How often it has grown is not counted: [`HEADROOM`] and [`TAILROOM`] bound one step.
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

    fn move_head(&mut self, by: i32) -> Option<()> {
        let amount = by.unsigned_abs() as usize;
        if by >= 0 {
            if amount > HEADROOM {
                return None;
            }
            // Not zeros: whoever relies on what lies there is found out.
            self.bytes.splice(..0, std::iter::repeat_n(0xa5, amount));
        } else {
            if self.bytes.len() < amount + ETHERNET_BYTES {
                return None;
            }
            self.bytes.drain(..amount);
        }
        Some(())
    }

    fn set_length(&mut self, length: usize) -> Option<()> {
        if length < ETHERNET_BYTES || length > self.bytes.len() + TAILROOM {
            return None;
        }
        self.bytes.resize(length, 0);
        Some(())
    }
}

//! What the benchmark's harness is told. No director has it.

use bytemuck::{Pod, Zeroable};

/// The packet that the harness makes anew for each run. The one value of the map `RESTORE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Restore {
    /// The first 64 bytes of the packet.
    pub bytes: [u64; 8],
    /// Counts the runs; nobody reads it.
    pub fence: u64,
    /// The number of flows less one, a power of two less one; 0: the packet's own flow only.
    pub mask: u32,
    /// Which flow comes next.
    pub next: u32,
    /// The first source address, in its last four bytes, as a number.
    pub first_address: u32,
    /// Whether the packet is IPv6.
    pub is_v6: u32,
}

const _: () = assert!(size_of::<Restore>() == 88);

//! What the benchmark's harness is told. No director has it.

use bytemuck::{Pod, Zeroable};

/// The program under test may move the packet's beginning: the harness moves it back. See [`Restore::moves`].
pub const RESTORE_HEAD: u32 = 1;
/// The program under test may move the packet's end: the harness moves it back.
pub const RESTORE_TAIL: u32 = 2;

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
    /// The first client's address, in its last four bytes, as a number.
    pub first_address: u32,
    /// Whether the packet is IPv6.
    pub is_v6: u32,
    /// [`RESTORE_HEAD`] and [`RESTORE_TAIL`]; 0: neither call is made, which costs more than a small program.
    pub moves: u32,
    /// The packet's length in bytes.
    pub length: u32,
    /// Where the first of the runs found the packet; 0 before it. The harness's own, as the next one.
    pub begin: u64,
    /// Where this run found it.
    pub now: u64,
    /// The one's complement sum of the IPv4 header without checksum and source address, folded, for frames that
    /// a kernel is to accept.
    pub sum: u32,
    /// Whether the client, of whom there are many, is the one that the packet is for.
    pub is_reply: u32,
}

const _: () = assert!(size_of::<Restore>() == 120);

//! TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260), as far as a director reads and rewrites them.

use bytemuck::{Pod, Zeroable};

/// Where the source port lies, in TCP as in UDP.
pub const SOURCE_PORT_OFFSET: usize = 0;
/// Where the destination port lies.
pub const DESTINATION_PORT_OFFSET: usize = 2;

/// Where the checksum lies in ICMP (RFC 792, RFC 4443).
pub const ICMP_CHECKSUM_OFFSET: usize = 2;

/// Where the checksum lies: in TCP (`is_tcp` 1) at 16, in UDP (0) at 6.
///
/// An arithmetic choice: to the verifier a branch would be two packets. The mask tells it what comes out
/// without telling the compiler what went in, which would make a branch of it.
#[inline(always)]
pub const fn transport_checksum_offset(is_tcp: u32) -> usize {
    (is_tcp.wrapping_mul(10).wrapping_add(6) & 0x1f) as usize
}

/// The TCP header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tcp {
    ports: [u8; 4],
    sequence: [u8; 4],
    acknowledgment: [u8; 4],
    data_offset: u8,
    flags: u8,
    window: [u8; 2],
    checksum: [u8; 2],
    urgent: [u8; 2],
}

const _: () = assert!(size_of::<Tcp>() == 20);

impl Tcp {
    /// Source and destination port as they lie, in a native word.
    #[inline(always)]
    pub const fn ports_word(&self) -> u32 {
        u32::from_ne_bytes(self.ports)
    }

    /// Its control bits.
    #[inline(always)]
    pub const fn flags(&self) -> TcpFlags {
        TcpFlags(self.flags as u32)
    }

    /// Length with options, in bytes; less than 20 in a malformed header.
    #[inline(always)]
    pub const fn header_length(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }
}

/// The control bits of a TCP segment, in the low byte of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct TcpFlags(pub u32);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u32 = 1;
    /// Opens a connection.
    pub const SYN: u32 = 2;
    /// Ends it at once.
    pub const RST: u32 = 4;
    /// The acknowledgment field counts.
    pub const ACK: u32 = 16;

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// Whether it acknowledges and does nothing to the connection's state.
    #[inline(always)]
    pub const fn is_plain_ack(self) -> bool {
        self.0 & (Self::SYN | Self::FIN | Self::RST | Self::ACK) == Self::ACK
    }

    /// Whether a stack sends them together: SYN, SYN and ACK, RST, RST and ACK, FIN and ACK, or ACK. What
    /// netfilter calls invalid (Linux, `tcp_valid_flags`) is not; PSH, URG, ECE and CWR are not asked.
    #[inline(always)]
    pub const fn are_valid(self) -> bool {
        /// A bit for each set of FIN, SYN, RST and ACK, which are brought together in four bits.
        const VALID: u32 = 1 << 2 | 1 << (2 | 8) | 1 << 4 | 1 << (4 | 8) | 1 << (1 | 8) | 1 << 8;
        VALID >> (self.0 & (Self::FIN | Self::SYN | Self::RST) | (self.0 & Self::ACK) >> 1) & 1 == 1
    }

    /// Whether the segment opens a connection: SYN, not RST. As LVS, SYN with ACK counts.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::RST) == Self::SYN
    }
}

/// The UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Udp {
    ports: [u8; 4],
    length: [u8; 2],
    checksum: [u8; 2],
}

const _: () = assert!(size_of::<Udp>() == 8);

impl Udp {
    /// Source and destination port as they lie, in a native word.
    #[inline(always)]
    pub const fn ports_word(&self) -> u32 {
        u32::from_ne_bytes(self.ports)
    }
}

/// The SCTP header and that of the first chunk, without which there is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Sctp {
    ports: [u8; 4],
    verification_tag: [u8; 4],
    checksum: [u8; 4],
    chunk: u8,
    chunk_flags: u8,
    chunk_length: [u8; 2],
}

const _: () = assert!(size_of::<Sctp>() == 16);

impl Sctp {
    /// Type of a chunk: opens a connection.
    pub const INIT: u32 = 1;
    /// Type of a chunk: the answer to it.
    pub const INIT_ACK: u32 = 2;
    /// Type of a chunk: ends it at once.
    pub const ABORT: u32 = 6;
    /// Type of a chunk: no more data from the sender.
    pub const SHUTDOWN: u32 = 7;
    /// Type of a chunk: nor to it.
    pub const SHUTDOWN_ACK: u32 = 8;
    /// Type of a chunk: something was wrong.
    pub const ERROR: u32 = 9;
    /// Type of a chunk: the client has shown that it is there.
    pub const COOKIE_ECHO: u32 = 10;
    /// Type of a chunk: the end.
    pub const SHUTDOWN_COMPLETE: u32 = 14;

    /// Source and destination port as they lie, in a native word.
    #[inline(always)]
    pub const fn ports_word(&self) -> u32 {
        u32::from_ne_bytes(self.ports)
    }

    /// The type of the first chunk.
    #[inline(always)]
    pub const fn chunk(&self) -> u32 {
        self.chunk as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_of_the_sixteen_sets_of_control_bits_are_valid_whatever_else_is_set() {
        let (fin, syn, rst, ack) = (TcpFlags::FIN, TcpFlags::SYN, TcpFlags::RST, TcpFlags::ACK);
        let valid = [syn, syn | ack, rst, rst | ack, fin | ack, ack];
        for bits in 0..256 {
            let set = bits & (fin | syn | rst | ack);
            assert_eq!(TcpFlags(bits).are_valid(), valid.contains(&set), "{bits:#010b}");
        }
    }
}

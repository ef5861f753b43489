//! The Internet checksum, computed from what it covers (RFC 1071).
//!
//! It knows no header; what is covered is for others to say.

use super::Packet;

/// Words that are read at once.
const PIECE: usize = 16;

/// A one's complement sum that is not folded yet.
///
/// Words are given as they lie in the packet, read as native words: the sum doesn't depend on byte
/// order (RFC 1071, section 2 (B)). Each begins at an even offset from where the checksum's cover
/// begins. Up to 2^30 words fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of `bytes` bytes from `offset` on: at most 4 * `WORDS` of them, a multiple of 4, that the
    /// packet has. Nothing if it hasn't.
    #[inline(always)]
    pub fn of<const WORDS: usize>(packet: &impl Packet, offset: usize, bytes: usize) -> Option<Self> {
        let mut sum = 0;
        for word in 0..WORDS {
            if word * 4 >= bytes {
                break;
            }
            sum += u64::from(packet.read::<u32>(offset + word * 4)?);
        }
        Some(Self(sum))
    }

    /// The sum of any number of bytes from `offset` (4 or more) on, up to [`Self::PACKET_MAX`]. Nothing if
    /// there are more, or the packet hasn't them.
    ///
    /// Read backwards, the odd end first: what is left then is whole pieces, and the kernel's verifier
    /// follows each end of the loop over them for a few instructions only.
    #[inline(always)]
    pub fn of_packet(packet: &impl Packet, offset: usize, bytes: usize) -> Option<Self> {
        // One comparison: what bounds it from two sides, the verifier forgets.
        if bytes > Self::PACKET_MAX {
            return None;
        }
        let last: u32 = packet.read(offset + bytes - 4)?;
        // What is left of whole words: 0 to 3 bytes, the high ones of the last word, as if zeros followed.
        let mut sum = Self::ZERO.plus((u64::from(last) >> (32 - 8 * (bytes & 3))) as u32);
        let pieces_end = offset + (bytes & !(PIECE * 4 - 1));
        sum = sum.and(Self::of::<PIECE>(packet, pieces_end, bytes & (PIECE * 4 - 4))?);
        for piece in 0..Self::PACKET_MAX / (PIECE * 4) {
            let start = offset + piece * PIECE * 4;
            if start >= pieces_end {
                break;
            }
            let words: [u32; PIECE] = packet.read(start)?;
            let mut total = 0;
            for word in words {
                total += u64::from(word);
            }
            sum = Self(sum.0 + total);
        }
        Some(sum)
    }

    /// The most bytes that [`Self::of_packet`] reads: a frame that XDP sees in one piece is no larger
    /// where pages have 4,096 bytes.
    pub const PACKET_MAX: usize = 4096;

    /// And a word, of 32 bits or fewer.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// And a 16-bit number, which lies in network byte order. Of a larger one, its low 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn plus_number(self, number: u32) -> Self {
        self.plus((number as u16).to_be() as u32)
    }

    /// Without what another is the sum of.
    #[inline(always)]
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        self.plus(!other.folded() as u32)
    }

    /// With what another is the sum of.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        self.plus(other.folded() as u32)
    }

    /// Folded to 16 bits, as it lies, in a native word.
    #[inline(always)]
    pub const fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        // Below 2^33. What is left is at most 0x2_fffe, then 0x1_0001, then 0xffff.
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum over it, as it lies, in a native word.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The checksum over it as UDP has it, where zero is none (RFC 768).
    #[inline(always)]
    pub const fn udp_checksum(self) -> u16 {
        let checksum = self.checksum();
        if checksum == 0 { 0xffff } else { checksum }
    }
}

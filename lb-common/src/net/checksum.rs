//! The Internet checksum, updated for the words that changed (RFC 1624, equation 3).
//!
//! It never sees what a checksum covers, only what changed in it: a checksum that was wrong stays
//! wrong by as much. It knows no header.

/// What changed in the bytes that a checksum covers: a one's complement sum that is not folded yet.
///
/// Words are given as they lie in the packet, read as native words: the sum doesn't depend on byte
/// order (RFC 1071, section 2 (B)). Each begins at an even offset from where the checksum's cover
/// begins. Up to 2^14 words fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumDelta(u64);

impl ChecksumDelta {
    /// Nothing changed.
    pub const NONE: Self = Self(0);

    /// And one 16-bit word.
    #[inline(always)]
    #[must_use]
    pub const fn word16(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// And 32 bits: an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn word32(self, old: u32, new: u32) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// And 128 bits: an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn word128(self, [old, old_low]: [u64; 2], [new, new_low]: [u64; 2]) -> Self {
        self.word32(old as u32, new as u32)
            .word32((old >> 32) as u32, (new >> 32) as u32)
            .word32(old_low as u32, new_low as u32)
            .word32((old_low >> 32) as u32, (new_low >> 32) as u32)
    }

    /// And all that another one has.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum after the change, of IPv4's header, TCP or ICMP.
    ///
    /// 0xffff comes out only where nothing but zeros is covered, or where it went in: never by the
    /// update itself, which is what equation 3 is for.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        let sum = self.0 + !checksum as u64;
        // Below 2^48 three times suffice: at most 0x1_0000_fffe is left, then 0x1_fffe, then 0xffff.
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }

    /// The checksum after the change, of TCP (`is_tcp` 1) or UDP (0).
    ///
    /// UDP's zero says that none was computed (RFC 768), and one that comes out as zero is sent as
    /// 0xffff. A zero stays in IPv6 too, where tunnels may send it (RFC 6936): whoever wants it
    /// refused does so at the real server, as without us.
    #[inline(always)]
    #[must_use]
    pub const fn apply_transport(self, checksum: u16, is_tcp: u32) -> u16 {
        let updated = self.apply(checksum);
        if is_tcp != 0 {
            return updated;
        }
        if checksum == 0 {
            return 0;
        }
        if updated == 0 { 0xffff } else { updated }
    }
}

/// The checksum after one 16-bit word that it covers changed from `old` to `new`.
///
/// All are bytes as they lie in the packet.
#[inline(always)]
pub const fn update_checksum(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let sum = !u16::from_ne_bytes(checksum) as u32
        + !u16::from_ne_bytes(old) as u32
        + u16::from_ne_bytes(new) as u32;
    // Three 16-bit words leave a carry of at most 2; folding it once can carry once more.
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sum of the words, and its complement: what a sender computes.
    fn full(words: &[u16]) -> u16 {
        let mut sum: u64 = words.iter().map(|word| u64::from(*word)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn words_of(words: &mut [u16], at: usize, new: [u16; 8]) -> ([u64; 2], [u64; 2]) {
        let mut old = [0; 8];
        old.copy_from_slice(&words[at..at + 8]);
        words[at..at + 8].copy_from_slice(&new);
        (bytemuck::cast(old), bytemuck::cast(new))
    }

    proptest! {
        #[test]
        fn an_updated_checksum_is_the_full_one(mut words in proptest::collection::vec(any::<u16>(), 10),
                                               index in 0..9usize, new: u16) {
            // The sum of a header is never zero, since its version isn't.
            words[9] = 0x45;
            let before = full(&words);
            let old = words[index];
            words[index] = new;
            let updated = update_checksum(before.to_ne_bytes(), old.to_ne_bytes(), new.to_ne_bytes());
            prop_assert_eq!(u16::from_ne_bytes(updated), full(&words));
        }

        #[test]
        fn so_it_is_after_words_of_every_width(mut words in proptest::collection::vec(any::<u16>(), 24),
                                               new16: u16, new32: [u16; 2], new128: [u16; 8]) {
            words[23] = 6;
            let before = full(&words);
            let delta = ChecksumDelta::NONE.word16(words[0], new16);
            words[0] = new16;
            let delta = delta.word32(bytemuck::cast([words[1], words[2]]), bytemuck::cast(new32));
            words[1..3].copy_from_slice(&new32);
            let (old, new) = words_of(&mut words, 3, new128);
            let delta = delta.word128(old, new);
            prop_assert_eq!(delta.apply(before), full(&words));
            prop_assert_eq!(delta.apply_transport(before, 1), full(&words));
            let datagram = |checksum| if checksum == 0 { 0xffff } else { checksum };
            prop_assert_eq!(delta.apply_transport(datagram(before), 0), datagram(full(&words)));
        }
    }

    /// RFC 1624, section 4: equation 2 (RFC 1141) makes 0xffff of this.
    #[test]
    fn the_corner_case_of_rfc_1624_is_zero() {
        let delta = ChecksumDelta::NONE.word16(0x5555, 0x3285);
        assert_eq!(delta.apply(0xdd2f), 0);
        assert_eq!(delta.apply_transport(0xdd2f, 1), 0, "TCP has no rule of its own");
        assert_eq!(delta.apply_transport(0xdd2f, 0), 0xffff, "in UDP zero would be none");
    }

    #[test]
    fn udp_without_a_checksum_stays_without() {
        // Interpreted, a few of each.
        for new in (0..=u16::MAX).step_by(if cfg!(miri) { 4_099 } else { 1 }) {
            let delta = ChecksumDelta::NONE.word16(0x1234, new);
            assert_eq!(delta.apply_transport(0, 0), 0);
            assert_eq!(delta.apply_transport(0, 1), delta.apply(0));
        }
    }

    #[test]
    fn the_largest_sum_folds() {
        let mut delta = ChecksumDelta::NONE;
        for _ in 0..1 << 14 {
            // Not old and new are all ones both: as large as a change gets, and one's complement zero.
            delta = delta.word32(0, u32::MAX);
        }
        assert_eq!(delta.apply(0x1234), 0x1234);
        assert_eq!(ChecksumDelta((1 << 48) - 1).apply(0xffff), 0);
        assert_eq!(ChecksumDelta(0xffff_ffff_0000).apply(0xffff), 0);
    }
}

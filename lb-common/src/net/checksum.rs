//! The Internet checksum, updated for a changed word (RFC 1624, equation 3).

/// The checksum after one 16-bit word that it covers changed from `old` to `new`.
///
/// All are bytes as they lie in the packet: the one's complement sum doesn't depend on byte order
/// (RFC 1071, section 2 (B)).
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

    fn full(words: &[[u8; 2]]) -> [u8; 2] {
        let mut sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn an_updated_checksum_is_the_full_one(mut words in proptest::collection::vec(any::<[u8; 2]>(), 10),
                                               index in 0..9usize, new: [u8; 2]) {
            // The sum of a header is never zero, since its version isn't.
            words[9] = [0x45, 0];
            let before = full(&words);
            let old = words[index];
            words[index] = new;
            prop_assert_eq!(update_checksum(before, old, new), full(&words));
        }
    }
}

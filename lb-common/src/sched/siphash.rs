//! SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): one round for each word of
//! the message, three at the end.

/// The hash of a message of whole little-endian words under a key.
#[inline(always)]
pub fn siphash<const WORDS: usize>(message: [u64; WORDS], key: [u64; 2]) -> u64 {
    let mut state = State::new(key);
    for word in message {
        state.absorb(word);
    }
    state.absorb(length(8 * WORDS as u64));
    state.finish()
}

/// The kernel's `hsiphash` of one word, as it is where pointers have 64 bits: the low half of the
/// SipHash-1-3 of four bytes.
#[inline(always)]
pub const fn hsiphash(message: u32, key: [u64; 2]) -> u32 {
    let mut state = State::new(key);
    state.absorb(length(4) | message as u64);
    state.finish() as u32
}

/// The last word: the message's length in bytes, and room for what is left of the message.
#[inline(always)]
const fn length(bytes: u64) -> u64 {
    bytes << 56
}

struct State(u64, u64, u64, u64);

impl State {
    #[inline(always)]
    const fn new([first, second]: [u64; 2]) -> Self {
        // "somepseudorandomlygeneratedbytes"
        Self(
            first ^ 0x736f_6d65_7073_6575,
            second ^ 0x646f_7261_6e64_6f6d,
            first ^ 0x6c79_6765_6e65_7261,
            second ^ 0x7465_6462_7974_6573,
        )
    }

    #[inline(always)]
    const fn absorb(&mut self, word: u64) {
        self.3 ^= word;
        self.round();
        self.0 ^= word;
    }

    #[inline(always)]
    const fn finish(mut self) -> u64 {
        self.2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.0 ^ self.1 ^ self.2 ^ self.3
    }

    #[inline(always)]
    const fn round(&mut self) {
        let Self(a, b, c, d) = *self;
        let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
        let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
        let a = a.rotate_left(32);
        let (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
        let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
        *self = Self(a, b, c.rotate_left(32), d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the authors' vectors: the bytes 0 to 15. So is the message, of any length.
    const KEY: [u64; 2] = [bytes_from(0), bytes_from(8)];

    const fn bytes_from(first: u64) -> u64 {
        0x0706_0504_0302_0100 + 0x0101_0101_0101_0101 * first
    }

    // From the reference implementation, https://github.com/veorq/SipHash, built with one and three rounds.
    #[test]
    fn it_is_the_authors() {
        assert_eq!(siphash([], KEY).to_le_bytes(), [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab]);
        let eight = [0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36];
        assert_eq!(siphash([bytes_from(0)], KEY).to_le_bytes(), eight);
        let words: [u64; 7] = std::array::from_fn(|word| bytes_from(8 * word as u64));
        let [a, b, c, d, e, f, g] = words;
        // Low halves of longer ones, from Linux' lib/siphash_kunit.c.
        assert_eq!(siphash([a, b], KEY) as u32, 0x7d90_8b66);
        assert_eq!(siphash([a, b, c], KEY) as u32, 0x6734_9c8c);
        assert_eq!(siphash([a, b, c, d], KEY) as u32, 0x16a7_b60d);
        assert_eq!(siphash([a, b, c, d, e], KEY) as u32, 0x99e4_1531);
        assert_eq!(siphash([a, b, c, d, e, f], KEY) as u32, 0xdf07_4c46);
        assert_eq!(siphash([a, b, c, d, e, f, g], KEY) as u32, 0x243c_6d75);
    }

    // From the same two: the first four bytes of 28 83 d3 88 60 57 75 cf, and the kernel's word.
    #[test]
    fn four_bytes_hash_as_in_the_kernel() {
        assert_eq!(hsiphash(0x0302_0100, KEY), 0x88d3_8328);
    }
}

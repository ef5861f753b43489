//! What the flow table's entry doesn't say about its connection: who talks to whom, and the way back.
//!
//! One record a slot of the flow table, in a map of its own, so that the table itself stays small: a record is
//! written when its slot is taken, and read when a connection is listed, answered or looked after.

use bytemuck::{Pod, Zeroable};

use super::LINE_SLOTS;

/// A connection as its first packet had it. Value of the map `CONNECTIONS` at [`Place::index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Connection {
    /// The client's address as it lies, in native words; the second is 0 for IPv4.
    pub client: [u64; 2],
    /// The service's address, likewise.
    pub service: [u64; 2],
    /// Source and destination port as they lie, in a native word.
    pub ports: u32,
    /// [`super::Protocol`], and above its eight bits 1 for IPv6.
    pub kind: u32,
    /// [`Place::word`] of the entry of the other direction, where there is one; 0: there is none.
    pub pair: u32,
    /// [`Place::word`] of the persistence template that it goes by; 0: none.
    pub template: u32,
    /// The first 12 bytes of a frame to the client: the Ethernet addresses of its last packet, exchanged.
    pub ethernet: [u32; 3],
    /// The interface (ifindex) that its last packet came in by.
    pub interface: u32,
}

const _: () = assert!(size_of::<Connection>() == 64);

/// A record in words, which other CPUs may read while it is written.
impl Connection {
    /// Words of a record.
    pub const WORDS: usize = size_of::<Self>() / 8;
    /// The word of [`Self::pair`] (its low half) and [`Self::template`].
    pub const LINKS: usize = 5;
    /// The word of the first eight bytes of [`Self::ethernet`]; the next one has the rest and the interface.
    pub const ETHERNET: usize = 6;

    /// The record of words.
    #[inline(always)]
    pub fn from_words(word: impl Fn(usize) -> u64) -> Self {
        let [a, b, c, d, e, f, g, h] =
            [word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)];
        bytemuck::cast([a, b, c, d, e, f, g, h])
    }

    /// The record in words.
    #[inline(always)]
    pub fn to_words(self) -> [u64; Self::WORDS] {
        bytemuck::cast(self)
    }
}

/// A slot of the flow table: a line's number, and in the lowest three bits the slot's.
// One number, that the verifier has to follow one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

impl Place {
    /// The place in a line, of which there are fewer than 2^28.
    #[inline(always)]
    pub const fn new(line: u32, slot: usize) -> Self {
        Self(line << 3 | slot as u32 & 7)
    }

    /// The place of a word; `None` for 0.
    #[inline(always)]
    pub const fn of(word: u32) -> Option<Self> {
        match word.checked_sub(1) {
            Some(place) => Some(Self(place)),
            None => None,
        }
    }

    /// The place in a word that is never 0, which stands for none.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0 + 1
    }

    /// The number of its line.
    #[inline(always)]
    pub const fn line(self) -> u32 {
        self.0 >> 3
    }

    /// Its slot, 0 to 4.
    #[inline(always)]
    pub const fn slot(self) -> usize {
        (self.0 & 7) as usize
    }

    /// The index of its record.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self.line() * LINE_SLOTS as u32 + self.slot() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_word() {
        for (line, slot) in [(0, 0), (0, 4), (7, 3), (8_388_607, 4)] {
            let place = Place::new(line, slot);
            assert_ne!(place.word(), 0);
            assert_eq!(Place::of(place.word()), Some(place));
            assert_eq!((place.line(), place.slot()), (line, slot));
        }
        assert_eq!(Place::of(0), None);
        assert_eq!(Place::new(3, 2).index(), 17);
    }

    #[test]
    fn words_are_where_they_are_said_to_be() {
        let connection =
            Connection { pair: 1, template: 2, ethernet: [3, 4, 5], interface: 6, ..Connection::default() };
        let words = connection.to_words();
        assert_eq!(words[Connection::LINKS], 1 | 2 << 32);
        assert_eq!(words[Connection::ETHERNET..], [3 | 4 << 32, 5 | 6 << 32]);
    }
}

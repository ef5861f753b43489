//! What stands before a service: from where flows may be opened, and how many a second.

use bytemuck::{Pod, Zeroable};

/// The guard of a service; a part of [`super::Service`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How many flows each CPU may open in one tick; 0: any number.
    pub new_flows: u32,
    /// The number of its list of sources; 0: it has none.
    pub list: u32,
}

impl Guard {
    /// The two numbers that the list of the service at an index takes in turns: a new list is written under the one
    /// while packets still ask the other.
    pub const fn lists(index: u32) -> [u32; 2] {
        [2 * index + 1, 2 * index + 2]
    }
}

/// A value of `SOURCES`: flows from there may be opened.
pub const SOURCE_ALLOWED: u32 = 1;
/// A value of `SOURCES`: they may not.
pub const SOURCE_DENIED: u32 = 2;

/// Bits of a [`SourceKey`] in front of the address.
pub const SOURCE_KEY_BITS: u32 = 32;

/// What a key of the map `SOURCES` is behind the length of its prefix in bits, [`SOURCE_KEY_BITS`] included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SourceKey {
    /// Twice the number of the list, and 1 more for IPv6.
    pub list: u32,
    /// The address as it lies, in native words: IPv4 in the first one, the others 0.
    pub address: [u32; 4],
}

const _: () = assert!(size_of::<SourceKey>() == 20);

impl SourceKey {
    /// The key of an address, as in [`crate::flow::Flow::client`]; `is_v6` is 0 or 1.
    #[inline(always)]
    pub const fn new(list: u32, is_v6: u32, address: [u64; 2]) -> Self {
        let [high, low] = address;
        let address = [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32];
        Self { list: list << 1 | is_v6, address }
    }
}

/// A part of all addresses: those whose first bits are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Whether they are IPv6 addresses.
    pub is_v6: bool,
    /// How many bits, 0 to 32 or 128.
    pub bits: u8,
    /// As in [`super::ServiceKey::address`]; the other bits are 0.
    pub address: [u8; 16],
}

/// The key of a service's address in lblc's memory. Key of the map `LOCALITIES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct LocalityKey {
    /// The address that clients asked for, as it lies, in native words; the second is 0 for IPv4.
    pub address: [u64; 2],
    /// The service's index.
    pub service: u32,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u32,
}

const _: () = assert!(size_of::<LocalityKey>() == 24);

/// Who serves an address. A value of the map `LOCALITIES`; one word, so that it is read and written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality {
    /// The number of a destination.
    pub number: u32,
    /// The tick of its last new connection.
    pub tick: u32,
}

impl Locality {
    /// As it lies in its table.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.number as u64 | (self.tick as u64) << 32
    }

    /// From its table.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { number: word as u32, tick: (word >> 32) as u32 }
    }
}

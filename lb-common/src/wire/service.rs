//! A virtual service: its key, and what scheduling a new connection needs.

use bytemuck::{Pod, Zeroable};

/// An address family.
// A word: what is narrower is copied in pieces that straddle words, which a program's stack doesn't take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Family {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// A transport protocol that can be scheduled, by its IANA number.
// A word, as `Family` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

/// The key of a service: what a packet is compared with. Key of the map `SERVICE_INDEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct ServiceKey {
    /// IPv6 in network byte order; IPv4 in the first four bytes, the others zero.
    pub address: [u8; 16],
    /// In network byte order.
    pub port: [u8; 2],
    /// [`Protocol`].
    pub protocol: u8,
    /// [`Family`].
    pub family: u8,
    /// 0. Whole words: the stack of a program takes no others.
    pub reserved: [u8; 4],
}

const _: () = assert!(size_of::<ServiceKey>() == 24);

impl ServiceKey {
    /// Its family; what is not 6 is IPv4.
    pub const fn family(&self) -> Family {
        if self.family == Family::V6 as u8 { Family::V6 } else { Family::V4 }
    }
}

/// A service. A value of the map `SERVICES`, at the index that `SERVICE_INDEX` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Service {
    /// [`super::RingSpan`], as its word.
    pub ring: u64,
    /// How many picks were made; the next one takes slot `picks % slots`. Moved by the program.
    pub picks: u64,
    /// Who it is.
    pub key: ServiceKey,
    /// 1 = rr, 2 = wrr: for whoever reads the table; the program needs only the ring.
    pub scheduler: u8,
    /// Reserved, 0.
    pub reserved: [u8; 23],
}

const _: () = assert!(size_of::<Service>() == 64);

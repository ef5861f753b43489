//! A virtual service: its key, and what scheduling a new connection needs.

use bytemuck::{Pod, Zeroable};

use super::Persistence;

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
    /// RFC 9260.
    Sctp = 132,
}

/// The key of a service: what a packet is compared with. Key of the map `SERVICE_INDEX`.
///
/// Port 0 is for all ports of the address and protocol that no other service has. A service by mark has its key
/// from [`Self::of_mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct ServiceKey {
    /// IPv6 in network byte order; IPv4 in the first four bytes, the others zero.
    pub address: [u8; 16],
    /// In network byte order; 0: any.
    pub port: [u8; 2],
    /// [`Protocol`]; 0 of a service by mark.
    pub protocol: u8,
    /// [`Family`].
    pub family: u8,
    /// 0. Whole words: the stack of a program takes no others.
    pub reserved: [u8; 4],
}

const _: () = assert!(size_of::<ServiceKey>() == 24);

impl ServiceKey {
    /// The key of its address alone: port and protocol 0. Key of the map `ADDRESSES`.
    #[must_use]
    pub const fn address_only(mut self) -> Self {
        (self.port, self.protocol) = ([0; 2], 0);
        self
    }

    /// The key of the service of a mark: its address is the mark in network byte order, as in IPVS's templates.
    #[must_use]
    pub const fn of_mark(mark: u32, family: Family) -> Self {
        let [a, b, c, d] = mark.to_be_bytes();
        Self {
            address: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            port: [0; 2],
            protocol: 0,
            family: family as u8,
            reserved: [0; 4],
        }
    }

    /// The mark, if it is the key of the service of one.
    pub const fn mark(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.address;
        if self.protocol == 0 { Some(u32::from_be_bytes([a, b, c, d])) } else { None }
    }

    /// Its family; what is not 6 is IPv4.
    pub const fn family(&self) -> Family {
        if self.family == Family::V6 as u8 { Family::V6 } else { Family::V4 }
    }
}

/// Flag of a service: its hash counts the client's port too (ipvsadm's `sh-port`, `mh-port`).
pub const SERVICE_PORT: u8 = 1;
/// Flag of a service: where the hash names a real server that takes nothing new, another is chosen
/// (`sh-fallback`, `mh-fallback`).
pub const SERVICE_FALLBACK: u8 = 2;
/// Flag of a service: every datagram is scheduled for itself, and no connection is kept (`ipvsadm -o`).
pub const SERVICE_ONE_PACKET: u8 = 4;
/// Flag of a service: it has a [`super::Guard`], which is asked before it opens something.
pub const SERVICE_GUARDED: u8 = 0x20;
/// Flag of a service: a client's connections go to one real server, see [`Persistence`] (`ipvsadm -p`).
pub const SERVICE_PERSISTENT: u8 = 0x40;
/// Flag of a service: some of its real servers have thresholds, so they can be overloaded.
pub const SERVICE_THRESHOLDS: u8 = 0x80;

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
    /// The number of a [`crate::sched::Scheduler`].
    pub scheduler: u8,
    /// [`SERVICE_PORT`], [`SERVICE_FALLBACK`] and the others.
    pub flags: u8,
    /// Reserved, 0.
    pub reserved: [u8; 2],
    /// [`super::Guard::new_flows`]; in one word with the flags, which are published with it.
    pub new_flows: u32,
    /// [`super::Guard::list`].
    pub list: u32,
    /// Reserved, 0.
    pub reserved_list: [u8; 12],
    /// How it remembers clients.
    pub persistence: Persistence,
    /// Reserved, 0.
    pub reserved_end: [u8; 40],
}

const _: () = assert!(size_of::<Service>() == 128);

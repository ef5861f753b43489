//! A packet's flow: which service it is for, and under which hash it is known.
//!
//! This file knows no table but the secret key, and judges nothing.

use bytemuck::{Pod, Zeroable};

use crate::director::Tables;
use crate::net::{Sctp, TcpFlags};
use crate::walk::{Datagram, Walked};
use crate::wire::{Connection, Destination, Options, Protocol, ServiceKey};

/// A packet that may be for a service.
///
/// Both families end in the same few words, so that what follows exists once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Flow {
    /// The keyed hash of family, protocol, addresses and ports.
    pub hash: u64,
    /// The service that it is for.
    pub service: ServiceKey,
    /// The client's address as it lies, in native words; the second is 0 for IPv4.
    pub client: [u64; 2],
    /// Source and destination port as they lie, in a native word.
    pub ports: u32,
    /// The number of its [`Protocol`]. One that the verifier doesn't know, or it would follow each to the end.
    pub transport: u32,
    /// Control bits; none for UDP and SCTP.
    pub tcp_flags: TcpFlags,
    /// The type of the first chunk of SCTP; 0 for TCP and UDP.
    pub chunk: u32,
}

impl Flow {
    /// The flow of a packet with ports, and under which hash it is known.
    #[inline(always)]
    pub fn of(walked: &Walked, hash: u64, tables: &impl Tables) -> Self {
        let Datagram { is_v6, source, destination: [high, low], protocol, ports, .. } = walked.datagram;
        let family = 4 + 2 * u64::from(is_v6);
        let port = u64::from(ports >> 16);
        Self {
            hash,
            // Assembled in registers and stored as whole words: written byte by byte, a key costs as much as
            // the look-up, and words that straddle are not accepted on a program's stack.
            service: bytemuck::cast([high, low, port | u64::from(protocol & 0xff) << 16 | family << 24]),
            client: source,
            ports,
            transport: tables.forget(protocol),
            tcp_flags: walked.tcp_flags,
            chunk: walked.chunk,
        }
    }

    /// The transport protocol.
    #[inline(always)]
    pub const fn protocol(&self) -> Protocol {
        const TCP: u32 = Protocol::Tcp as u32;
        const SCTP: u32 = Protocol::Sctp as u32;
        match self.transport {
            TCP => Protocol::Tcp,
            SCTP => Protocol::Sctp,
            _ => Protocol::Udp,
        }
    }

    /// Whether the packet says that it begins a connection: a SYN, or an INIT. A datagram never does.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        match self.protocol() {
            Protocol::Tcp => self.tcp_flags.opens(),
            Protocol::Sctp => self.chunk == Sctp::INIT,
            Protocol::Udp => false,
        }
    }

    /// Whether the packet may open a connection, if it has none.
    #[inline(always)]
    pub fn may_open(&self, options: Options) -> bool {
        match self.protocol() {
            Protocol::Tcp => {
                self.tcp_flags.opens() || options.is_sloppy_tcp() && !self.tcp_flags.has(TcpFlags::RST)
            }
            Protocol::Sctp => self.chunk == Sctp::INIT || options.is_sloppy_sctp(),
            Protocol::Udp => true,
        }
    }
}

/// What makes a flow: all that its hash is made of. Words as they lie, as in [`Datagram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    is_v6: u32,
    protocol: u32,
    ports: u32,
    source: [u64; 2],
    destination: [u64; 2],
}

impl FlowKey {
    /// The flow that a packet with ports belongs to.
    #[inline(always)]
    pub const fn of(datagram: &Datagram) -> Self {
        let Datagram { is_v6, protocol, ports, source, destination, .. } = *datagram;
        Self { is_v6, protocol, ports, source, destination }
    }

    /// The flow of what a masqueraded real server answers on a connection.
    #[inline(always)]
    pub fn of_reply(connection: &Connection, real_server: &Destination) -> Self {
        let Connection { client, ports, kind, .. } = *connection;
        let port = u32::from(u16::from_ne_bytes(real_server.port));
        // Without a port of its own it has that of the service.
        let port = if port == 0 { ports >> 16 } else { port };
        Self {
            is_v6: kind >> 8,
            protocol: kind & 0xff,
            ports: port | ports << 16,
            source: bytemuck::cast(real_server.address),
            destination: client,
        }
    }

    /// The flow of the other direction.
    #[inline(always)]
    #[must_use]
    pub const fn reverse(self) -> Self {
        let Self { source, destination, ports, .. } = self;
        Self { source: destination, destination: source, ports: ports.rotate_left(16), ..self }
    }

    /// Its hash.
    #[inline(always)]
    pub fn hash(&self, tables: &impl Tables) -> u64 {
        let seed = |index| tables.seed(index);
        if self.is_v6 == 0 {
            hash_v4_words(self.source[0] as u32, self.destination[0] as u32, self.ports, self.protocol, seed)
        } else {
            hash_v6_words(self.source, self.destination, self.ports, self.protocol, seed)
        }
    }
}

/// The key of the address that a packet is for, whatever its port and protocol.
#[inline(always)]
pub fn address_key(datagram: &Datagram) -> ServiceKey {
    let [high, low] = datagram.destination;
    bytemuck::cast([high, low, (4 + 2 * u64::from(datagram.is_v6)) << 24])
}

/// The hash under which the fragments of a datagram find each other. No flow has it.
#[inline(always)]
pub fn hash_of_fragments(datagram: &Datagram, tables: &impl Tables) -> u64 {
    let [a, b, c, d, last] = datagram.identity();
    // The identification to where a flow has its ports, and a bit that no flow has.
    hash_words([a, b, c, d, last.rotate_left(32) | 1 << 30], |index| tables.seed(index))
}

/// The hash of a template: what counts of a client's address, and the index of its service. No flow has it, and no
/// fragment.
#[inline(always)]
pub fn hash_of_template(client: [u64; 2], is_v6: u32, service: u32, tables: &impl Tables) -> u64 {
    let last = u64::from(service) << 32 | 1 << 29 | u64::from(is_v6);
    hash_words([client[0], client[1], 0, 0, last], |index| tables.seed(index))
}

/// The hash of an IPv4 flow; addresses and ports as they lie in their headers, read as native words.
///
/// Each word is multiplied by a secret odd number, which spreads a difference upwards only: one in the
/// highest byte of two words (the last octets of two addresses) could cancel out. So the sum is folded
/// before the next product is added: then the one difference reaches bits that the other can't.
/// No two folds are alike, that of `mix` included: a second one alike undoes the first.
/// For one service address the hash is one-to-one: no two of its flows share it.
#[inline(always)]
pub fn hash_v4(
    source: u32,
    destination: u32,
    ports: u32,
    protocol: Protocol,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    hash_v4_words(source, destination, ports, protocol as u32, seed)
}

#[inline(always)]
fn hash_v4_words(
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u32,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    let client = u64::from(source) << 32 | u64::from(ports);
    let service = u64::from(destination) << 32 | u64::from(protocol);
    let sum = fold::<29>(client.wrapping_mul(seed(0))).wrapping_add(service.wrapping_mul(seed(1)));
    mix(sum, seed(5))
}

/// The hash of an IPv6 flow, likewise.
#[inline(always)]
pub fn hash_v6(
    source: [u64; 2],
    destination: [u64; 2],
    ports: u32,
    protocol: Protocol,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    hash_v6_words(source, destination, ports, protocol as u32, seed)
}

#[inline(always)]
fn hash_v6_words(
    source: [u64; 2],
    destination: [u64; 2],
    ports: u32,
    protocol: u32,
    seed: impl Fn(usize) -> u64,
) -> u64 {
    // The bit keeps the families apart.
    let transport = u64::from(ports) << 32 | u64::from(protocol) | 1 << 31;
    hash_words([source[0], source[1], destination[0], destination[1], transport], seed)
}

#[inline(always)]
fn hash_words([a, b, c, d, e]: [u64; 5], seed: impl Fn(usize) -> u64) -> u64 {
    let sum = fold::<25>(a.wrapping_mul(seed(0))).wrapping_add(b.wrapping_mul(seed(1)));
    let sum = fold::<29>(sum).wrapping_add(c.wrapping_mul(seed(2)));
    let sum = fold::<31>(sum).wrapping_add(d.wrapping_mul(seed(3)));
    let sum = fold::<27>(sum).wrapping_add(e.wrapping_mul(seed(4)));
    mix(sum, seed(5))
}

#[inline(always)]
const fn fold<const BITS: u32>(word: u64) -> u64 {
    word ^ word >> BITS
}

#[inline(always)]
const fn mix(sum: u64, odd: u64) -> u64 {
    fold::<32>(fold::<32>(sum).wrapping_mul(odd))
}

//! A destination: one real server of one service, under a number that flow entries carry.
//!
//! Its number stays with (service, address, port, forward method) while anything names it.
//! The head is one word, so that a new record is published by one store.

use bytemuck::{Pod, Zeroable};

use super::{OuterHeader, ServiceKey};

/// The highest number of a destination. 0 is none; all ones are [`super::BUSY`].
pub const DESTINATION_MAX: u32 = 0xf_fffd;
/// In an entry for fragments: the kernel has got the first of them.
pub const DESTINATION_KERNEL: u32 = DESTINATION_MAX + 1;

/// Flag of a head: its check failed. Connections stay, a SYN or a datagram chooses anew.
pub const DESTINATION_DOWN: u32 = 1;
/// Flag of a head: no longer in the config. Nothing stays.
pub const DESTINATION_REMOVED: u32 = 2;
/// Flag of a head: its connections have two entries, one for each direction. Of it and of its reply.
pub const DESTINATION_PAIRED: u32 = 4;
/// Flag of a head: its entries are for packets from the real server to the client.
pub const DESTINATION_REPLY: u32 = 8;

/// Forward method direct routing: `ipvsadm -g`.
pub const FORWARD_DIRECT: u8 = 1;
/// Forward method local: the real server is this host.
pub const FORWARD_LOCAL: u8 = 2;
/// Forward method tunnel: `ipvsadm -i`.
pub const FORWARD_TUNNEL: u8 = 3;
/// Forward method masquerading: `ipvsadm -m`.
pub const FORWARD_MASQUERADE: u8 = 4;
/// No forward method: the way back from a masqueraded real server, to the client in the service's name.
pub const FORWARD_REPLY: u8 = 5;

/// The one word that publishes a destination. Its place in [`super::Part::Heads`] is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct DestinationHead {
    /// Index of its record in [`super::Part::Destinations`]. 0: the number is free.
    pub record: u32,
    /// [`DESTINATION_DOWN`], [`DESTINATION_REMOVED`], [`DESTINATION_PAIRED`].
    pub flags: u32,
}

const _: () = assert!(size_of::<DestinationHead>() == 8);

impl DestinationHead {
    /// The head as it lies in its table.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        self.record as u64 | (self.flags as u64) << 32
    }

    /// The head from its table.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { record: word as u32, flags: (word >> 32) as u32 }
    }
}

/// What forwarding to a destination needs, and who it is. A record of [`super::Part::Destinations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Destination {
    /// The first 12 bytes of an outgoing frame: destination, then source Ethernet address.
    /// Zeros: the neighbour is not resolved.
    pub ethernet: [u8; 12],
    /// The interface (ifindex) that it leaves by.
    pub interface: u32,
    /// The real server's address, as in [`ServiceKey::address`].
    pub address: [u8; 16],
    /// Its weight. Rings have it built in; schedulers that compare read it.
    pub weight: u32,
    /// What the path to it takes: IP bytes, a tunnel's outer header included.
    pub mtu: u32,
    /// The number of the destination for its replies, with [`FORWARD_MASQUERADE`]; 0 otherwise.
    pub reply: u32,
    /// Its port, in network byte order.
    pub port: [u8; 2],
    /// [`FORWARD_DIRECT`] and what follows it.
    pub forward: u8,
    /// Reserved, 0.
    pub reserved: [u8; 17],
    /// The tunnel's outer header. All that direct routing reads is in front of it, in one cache line.
    pub outer: OuterHeader,
    /// The service that it belongs to.
    pub service: ServiceKey,
    /// Its upper threshold: at so many connections it is overloaded; 0: never. Read beside its [`Load`].
    pub upper: u32,
    /// Its lower threshold: below so many it is no longer; 0: three quarters of the upper one.
    pub lower: u32,
    /// Reserved, 0.
    pub reserved_end: [u8; 96],
}

// A power of two: where a record lies is a shift then, and not a multiplication that the packet waits for.
const _: () = assert!(size_of::<Destination>() == 256);

impl Destination {
    /// Its weight for new connections: 0 while no frame can be addressed to it.
    #[inline(always)]
    pub fn weight_for_new(&self) -> u32 {
        if self.forward == FORWARD_LOCAL || self.is_resolved() { self.weight } else { 0 }
    }

    /// What the short way reads of it.
    #[inline(always)]
    pub fn edit(&self) -> Edit {
        let [first, second, ..]: [u64; 32] = bytemuck::cast(*self);
        Edit::from_words([first, second], self.forward)
    }

    /// The key of its address alone, as [`ServiceKey::address_only`].
    #[must_use]
    pub fn address_key(&self) -> ServiceKey {
        let key = ServiceKey { address: self.address, ..self.service };
        key.address_only()
    }

    /// Whether a frame can be addressed.
    #[inline(always)]
    pub fn is_resolved(&self) -> bool {
        let [a, b, c, d, ..] = self.ethernet;
        // A unicast address whose first four bytes are zero belongs to Xerox's first machines.
        u32::from_ne_bytes([a, b, c, d]) != 0 || self.ethernet[4] | self.ethernet[5] != 0
    }
}

/// What a packet of an established connection needs of its destination, in words: copied byte by byte,
/// two Ethernet addresses cost as much as all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The first eight bytes of [`Destination::ethernet`].
    pub addresses: u64,
    /// The other four.
    pub addresses_end: u32,
    /// [`Destination::interface`].
    pub interface: u32,
    /// [`Destination::forward`].
    pub forward: u32,
}

impl Edit {
    /// From a record's first two words, and its forward method.
    #[inline(always)]
    pub const fn from_words(words: [u64; 2], forward: u8) -> Self {
        let [addresses, second] = words;
        Self {
            addresses,
            addresses_end: second as u32,
            interface: (second >> 32) as u32,
            forward: forward as u32,
        }
    }

    /// As [`Destination::is_resolved`].
    #[inline(always)]
    pub const fn is_resolved(&self) -> bool {
        self.addresses << 16 != 0
    }
}

/// What one CPU sent to one destination. One of [`super::Part::Counters`], index CPU * destinations + number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Counters {
    /// Packets sent.
    pub packets: u64,
    /// Their bytes, from the IP header on, as IPVS counts them.
    pub bytes: u64,
    /// Connections scheduled to it.
    pub connections: u64,
    /// Packets for it that were dropped.
    pub dropped: u64,
}

const _: () = assert!(size_of::<Counters>() == 32);

impl Counters {
    /// The sum of two, which wraps as counters do.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
            connections: self.connections.wrapping_add(other.connections),
            dropped: self.dropped.wrapping_add(other.dropped),
        }
    }
}

/// How many connections a destination holds, moved on events by all CPUs, and how many it may. A value of the map
/// `LOADS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Load {
    /// By [`super::State::activity`]: how many are inactive, how many active.
    pub connections: [i32; 2],
    /// As in [`Destination::upper`].
    pub upper: u32,
    /// As in [`Destination::lower`], but with the number that 0 stands for there.
    pub lower: u32,
    /// 1: it is overloaded, else 0. Asked when connections or thresholds changed last.
    pub overloaded: u32,
    /// Reserved, 0.
    pub reserved: [u32; 3],
}

const _: () = assert!(size_of::<Load>() == 32);

impl Load {
    /// ipvsadm's ActiveConn.
    pub const fn active(&self) -> i32 {
        self.connections[1]
    }

    /// ipvsadm's InActConn.
    pub const fn inactive(&self) -> i32 {
        self.connections[0]
    }

    /// What [`Self::overloaded`] is to be after connections have changed: [`crate::sched::is_overloaded`].
    // Arithmetic: a branch would be two paths.
    #[inline(always)]
    pub const fn overloaded_now(&self) -> u32 {
        let connections = self.connections[0].wrapping_add(self.connections[1]);
        // Below zero for the blink of an event's race.
        let connections = (connections & !(connections >> 31)).cast_unsigned();
        let is_full = is_more(connections, self.upper.wrapping_sub(1));
        is_full | self.overloaded & (is_more(self.lower, connections) ^ 1)
    }

    /// The same with other thresholds, as in [`Destination`].
    #[must_use]
    pub const fn with_thresholds(mut self, upper: u32, lower: u32) -> Self {
        self.upper = upper;
        self.lower = if lower == 0 { upper - upper / 4 } else { lower };
        self.overloaded = if upper == 0 { 0 } else { self.overloaded_now() };
        self
    }
}

/// 1 if the first is more than the second, else 0.
#[inline(always)]
const fn is_more(number: u32, than: u32) -> u32 {
    ((than as u64).wrapping_sub(number as u64) >> 63) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::is_overloaded;

    #[test]
    fn who_is_overloaded_is_as_the_rule_says() {
        let near = |number: u32| [number.wrapping_sub(1), number, number.wrapping_add(1)];
        for upper in [0, 1, 2, 3, 10, 1 << 30, i32::MAX.cast_unsigned()] {
            for lower in [0, 1, upper / 2, upper].into_iter().filter(|&lower| lower <= upper) {
                let stays = if lower == 0 { upper - upper / 4 } else { lower };
                for count in near(0).into_iter().chain(near(stays)).chain(near(upper)) {
                    for was in [false, true] {
                        let connections =
                            [count.cast_signed() / 2, count.cast_signed() - count.cast_signed() / 2];
                        let before = Load { connections, overloaded: u32::from(was), ..Load::default() };
                        let now = before.with_thresholds(upper, lower);
                        let counted = u64::from(count.cast_signed().max(0).cast_unsigned());
                        let expected = is_overloaded(was, counted, upper, lower);
                        assert_eq!(now.overloaded, u32::from(expected), "{was} {count} of {upper}, {lower}");
                        // Asked once more, it is the same.
                        assert_eq!(now.overloaded_now(), now.overloaded, "{was} {count} of {upper}, {lower}");
                    }
                }
            }
        }
    }
}

//! What sh, dh and mh hash: an address and perhaps a port, in one word.

/// The word that LVS hashes for an address and a port, both as they lie in their headers.
///
/// The four words of an IPv6 address are folded by XOR into one, so an IPv4 address may stand in the low
/// half of the first word here, the rest 0. The port is added, both as numbers; 0: it doesn't count.
/// sh and mh take the client's, dh takes the service's address and no port.
#[inline(always)]
pub const fn hash_key(address: [u64; 2], port: u16) -> u32 {
    let [high, low] = address;
    let word = high ^ low;
    let folded = (word ^ word >> 32) as u32;
    u32::from_be(folded).wrapping_add(u16::from_be(port) as u32)
}

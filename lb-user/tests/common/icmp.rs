//! ICMP messages as datagrams.

use std::net::IpAddr;

use crate::common::datagram::{Datagram, ICMP, ICMPV6};

/// ICMP, or ICMPv6, as the addresses have it: type, code, the word behind the checksum, and what follows.
pub(crate) fn icmp(
    source: IpAddr,
    destination: IpAddr,
    kind: u8,
    code: u8,
    word: u32,
    data: &[u8],
) -> Datagram {
    let mut payload = vec![kind, code, 0, 0];
    payload.extend(word.to_be_bytes());
    payload.extend(data);
    let protocol = if source.is_ipv4() { ICMP } else { ICMPV6 };
    Datagram { payload, ..Datagram::new(protocol, (source, 0), (destination, 0)) }
}

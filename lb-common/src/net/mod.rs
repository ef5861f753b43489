//! Headers as they lie on the wire, and the one way to reach a packet's bytes.
//!
//! Offsets inside a header appear in its own file only. Nothing here decides anything.

mod checksum;
mod ethernet;
mod gre;
mod gue;
mod icmp;
mod icmp_error;
mod ipv4;
mod ipv6;
mod packet;
mod sum;
mod transport;
mod vlan;
mod words;

pub use checksum::{ChecksumDelta, update_checksum};
pub use ethernet::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Ethernet,
};
pub use gre::{Gre, PROTOCOL_GRE};
pub use gue::{Gue, gue_source_port};
pub use icmp::IcmpMessage;
pub use icmp_error::IcmpError;
pub use ipv4::Ipv4;
pub use ipv6::{Extension, Ipv6, is_extension};
pub use packet::Packet;
#[cfg(feature = "host")]
pub use packet::{HEADROOM, PacketBuffer, TAILROOM};
pub use sum::Sum;
pub use transport::{
    DESTINATION_PORT_OFFSET, ICMP_CHECKSUM_OFFSET, SOURCE_PORT_OFFSET, Sctp, Tcp, TcpFlags, Udp,
    transport_checksum_offset,
};
pub use vlan::{Tag, Vlan, is_tag};
pub use words::{
    EthernetWords, IPV4_DONT_FRAGMENT, PROTOCOL_IPV4, PROTOCOL_IPV6, ipv4_first_word, ipv6_first_word,
    ipv6_second_word, swap_ethernet,
};

//! Headers as they lie on the wire, and the one way to reach a packet's bytes.
//!
//! Offsets inside a header appear in its own file only. Nothing here decides anything.

mod checksum;
mod ethernet;
mod ipv4;
mod ipv6;
mod packet;
mod transport;

pub use checksum::update_checksum;
pub use ethernet::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Ethernet,
};
pub use ipv4::Ipv4;
pub use ipv6::{Ipv6, is_extension};
pub use packet::Packet;
#[cfg(feature = "host")]
pub use packet::PacketBuffer;
pub use transport::{Tcp, TcpFlags, Udp};

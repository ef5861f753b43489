//! What a virtual service is known by: an address, protocol and port, or a mark.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Family, Protocol};

/// What names a virtual service: no two have the same.
///
/// Displayed as `ipvsadm -L -n` does: `TCP 10.0.0.50:80`, `UDP [fd00::50]:53`, `FWM 7`, `FWM 7 IPv6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceId {
    /// `ipvsadm -t`, `-u`, `--sctp-service`.
    Address {
        /// TCP, UDP or SCTP.
        protocol: Protocol,
        /// Unicast, and not IPv4 in IPv6's clothes (`::ffff:0:0/96`).
        address: IpAddr,
        /// 0: all ports that no other service of the address and protocol has.
        port: u16,
    },
    /// `ipvsadm -f`: what a [`Class`] marks.
    Mark {
        /// 1 to 4,294,967,295.
        mark: u32,
        /// IPv6 is `ipvsadm -6`.
        family: Family,
    },
}

impl ServiceId {
    /// The service that packets for an address find by their mark.
    pub const fn of_mark(mark: u32, address: IpAddr) -> Self {
        Self::Mark { mark, family: family_of(address) }
    }

    /// Its packets' family.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => family_of(*address),
            Self::Mark { family, .. } => *family,
        }
    }

    /// Its address, if it has one of its own.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Mark { .. } => None,
        }
    }

    /// Its port; 0: packets have any.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { port, .. } => *port,
            Self::Mark { .. } => 0,
        }
    }
}

/// The family of an address.
pub const fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol: Protocol::Tcp, address, port } => {
                write!(f, "TCP {}", SocketAddr::new(address, port))
            }
            Self::Address { protocol: Protocol::Udp, address, port } => {
                write!(f, "UDP {}", SocketAddr::new(address, port))
            }
            Self::Address { protocol: Protocol::Sctp, address, port } => {
                write!(f, "SCTP {}", SocketAddr::new(address, port))
            }
            Self::Mark { mark, family: Family::V4 } => write!(f, "FWM {mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

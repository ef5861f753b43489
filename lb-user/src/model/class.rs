//! Classes: which packets belong together and get a mark, as `iptables -j MARK` gives them one for LVS.
//!
//! XDP sees packets before iptables does, so that its marks come too late. This module knows no file format and no
//! tables.

use std::fmt;
use std::net::IpAddr;

use super::Protocol;

/// Packets that a service is to have by their mark (`ipvsadm -f`). All that is named has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// 1 to 4,294,967,295. Several classes may have the same.
    pub mark: u32,
    /// Destinations; one at least, none twice, unicast.
    pub addresses: Vec<IpAddr>,
    /// `None`: any that is scheduled.
    pub protocol: Option<Protocol>,
    /// Destination ports; none: any.
    pub ports: Vec<Ports>,
    /// The name of the interface that packets come in by, one that the program is attached to; `None`: any.
    pub interface: Option<String>,
    /// Where clients are; none: anywhere. For each family that [`Self::addresses`] has, there is one or there is none
    /// at all.
    pub sources: Vec<Prefix>,
    /// Ethernet addresses, in the order of the wire: what comes from these doesn't belong to the class.
    pub not_source_macs: Vec<[u8; 6]>,
}

/// A range of ports, its ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// 1 to 65535.
    pub first: u16,
    /// Not less than [`Self::first`].
    pub last: u16,
}

/// Displayed as it is written: `80`, `8000-8100`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

/// A network's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// With zeros behind the prefix.
    pub address: IpAddr,
    /// In bits, at most 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// The prefix of an address, whose other bits become zeros. A length that is too large is the largest.
    pub fn of(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: IpAddr::from((v4.to_bits() & mask).to_be_bytes()), length }
            }
            IpAddr::V6(v6) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { address: IpAddr::from((v6.to_bits() & mask).to_be_bytes()), length }
            }
        }
    }
}

/// Displayed as it is written: `192.0.2.0/24`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_zeros_behind_it() {
        for (address, length, prefix) in [
            ("192.0.2.77", 24, "192.0.2.0/24"),
            ("192.0.2.77", 32, "192.0.2.77/32"),
            ("192.0.2.77", 0, "0.0.0.0/0"),
            ("2001:db8::1", 33, "2001:db8::/33"),
            ("2001:db8::1", 128, "2001:db8::1/128"),
            ("2001:db8::1", 0, "::/0"),
        ] {
            let address = address.parse().unwrap_or(IpAddr::from([0; 4]));
            assert_eq!(Prefix::of(address, length).to_string(), prefix);
        }
        assert_eq!(Ports { first: 80, last: 80 }.to_string(), "80");
        assert_eq!(Ports { first: 80, last: 81 }.to_string(), "80-81");
    }
}

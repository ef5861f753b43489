//! How a virtual service remembers its clients. It knows no file and no tables.

use std::{net::Ipv4Addr, time::Duration};

use super::Family;

/// For how long a client is remembered, and who counts as one; ipvsadm(8), `--persistent` and `--netmask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// From a client's last new connection on, and at any rate while it has connections. Whole seconds, 1 s to
    /// 31 days.
    pub timeout: Duration,
    /// Which bits of an address make a client.
    pub netmask: Netmask,
}

impl Persistence {
    /// What ipvsadm takes where it is told no other one. (Its manual page says 300 s; it is the program that counts,
    /// ipvsadm 1.31.)
    pub const TIMEOUT: Duration = Duration::from_secs(360);
}

/// The bits of a client's address that count, not none of them, of the family of the service's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netmask {
    /// Those that are set; they need not be in a row.
    V4(Ipv4Addr),
    /// So many from the first on, 1 to 128.
    V6(u8),
}

impl Netmask {
    /// All bits: every address is a client of its own.
    pub const fn whole(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Self::V6(128),
        }
    }

    /// The mask in the order of the wire, IPv4's in the first four bytes, the others zero.
    pub fn bytes(self) -> [u8; 16] {
        match self {
            Self::V4(mask) => {
                let [a, b, c, d] = mask.octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            Self::V6(bits) => u128::MAX.unbounded_shl(128 - u32::from(bits.min(128))).to_be_bytes(),
        }
    }
}

//! Addresses and names as they are written. Nothing is looked up.

use std::net::{IpAddr, SocketAddr};

use super::error::Problem;
use crate::model::{Peer, Ports, Prefix};

/// The longest name of an interface, in bytes: `IFNAMSIZ` of `linux/if.h` without the NUL.
const INTERFACE_NAME_MAX: usize = 15;

/// `10.0.0.50:80`, `[fd00::50]:80`: a virtual service's address. Port 0 is for all ports.
pub(super) fn service(text: &str) -> Result<(IpAddr, u16), Problem> {
    let not_one = || Problem::NotASocketAddress(text.to_owned());
    match split(text).ok_or_else(not_one)? {
        (_, None) => Err(Problem::NoPort(text.to_owned())),
        (address, Some(port)) => Ok((unicast(address)?, port)),
    }
}

/// `10.0.0.50`, `fd00::50`: an address of a class.
pub(super) fn class(text: &str) -> Result<IpAddr, Problem> {
    match split(text) {
        Some((address, None)) => unicast(address),
        Some((_, Some(_))) => Err(Problem::PortOfClass(text.to_owned())),
        None => Err(Problem::NotAnAddressAlone(text.to_owned())),
    }
}

/// `80`, `8000-8100`: ports of a class.
pub(super) fn ports(text: &str) -> Result<Ports, Problem> {
    // Rust would take a sign.
    let port = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first != 0 && first <= last => Ok(Ports { first, last }),
        _ => Err(Problem::NotPorts(text.to_owned())),
    }
}

/// `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`: where clients are.
pub(super) fn prefix(text: &str) -> Result<Prefix, Problem> {
    let not_one = || Problem::NotAPrefix(text.to_owned());
    let (address, length) = text.split_once('/').map_or((text, None), |(a, length)| (a, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| not_one())?;
    if let IpAddr::V6(v6) = address
        && let Some(ipv4) = v6.to_ipv4_mapped()
    {
        return Err(Problem::V4Mapped { address, ipv4: ipv4.into() });
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|&length| length <= most).ok_or_else(not_one)?
        }
        Some(_) => return Err(not_one()),
    };
    let prefix = Prefix::of(address, length);
    if prefix.address == address { Ok(prefix) } else { Err(Problem::BitsBehindPrefix { prefix }) }
}

/// `02:00:00:00:00:12`: where a frame may come from.
pub(super) fn source_mac(text: &str) -> Result<[u8; 6], Problem> {
    match mac(text) {
        Some(mac) => ones_own(mac, text),
        None => Err(Problem::NotAMac(text.to_owned())),
    }
}

/// `10.0.0.11`, `10.0.0.11:80`, `fd00::11`, `[fd00::11]:80`: a real server's address.
///
/// Loopback is unicast enough for a real server that is this host; `validate` knows which is.
pub(super) fn real_server(text: &str) -> Result<(IpAddr, Option<u16>), Problem> {
    if text.contains('%') {
        return Err(Problem::Scope(text.to_owned()));
    }
    match split(text) {
        None => Err(Problem::NotAnAddress(text.to_owned())),
        Some((_, Some(0))) => Err(Problem::RealServerPortZero),
        Some((address, port)) => Ok((address, port)),
    }
}

/// `127.0.0.1:9105`: where something listens.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| Problem::NotASocketAddress(text.to_owned()))
}

/// `02:00:00:00:00:12`, `10.0.0.12`: another director.
pub(super) fn peer(text: &str) -> Result<Peer, Problem> {
    if let Some(mac) = mac(text) {
        return ones_own(mac, text).map(Peer::Mac);
    }
    let address = text.parse().map_err(|_| Problem::NotAPeer(text.to_owned()))?;
    unicast(address).map(Peer::Address)
}

/// An address that one host can have on the wire, as it is.
pub(super) fn unicast(address: IpAddr) -> Result<IpAddr, Problem> {
    if let IpAddr::V6(v6) = address
        && let Some(ipv4) = v6.to_ipv4_mapped()
    {
        return Err(Problem::V4Mapped { address, ipv4: ipv4.into() });
    }
    let kind = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        _ => return Ok(address),
    };
    Err(Problem::NotUnicast { address: address.to_string(), kind })
}

/// A name that the kernel would take: `dev_valid_name()` of `net/core/dev.c`, Linux 6.18.
pub(super) fn interface(name: &str) -> Result<String, Problem> {
    let valid = (1..=INTERFACE_NAME_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        // The kernel's isspace() counts U+000B, which Rust's is_ascii_whitespace() does not.
        && !name.bytes().any(|byte| matches!(byte, b'/' | b':' | b' ' | b'\t'..=b'\r' | 0 | 0xa0));
    if valid { Ok(name.to_owned()) } else { Err(Problem::InterfaceName(name.to_owned())) }
}

/// An address with or without port.
fn split(text: &str) -> Option<(IpAddr, Option<u16>)> {
    match text.parse::<SocketAddr>() {
        // An interface's number, or a flow label, after the address.
        Ok(SocketAddr::V6(v6)) if v6.scope_id() != 0 => None,
        Ok(address) => Some((address.ip(), Some(address.port()))),
        Err(_) => {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            match bare {
                Some(v6) => v6.parse().ok().map(|v6| (IpAddr::V6(v6), None)),
                None => text.parse().ok().map(|address| (address, None)),
            }
        }
    }
}

/// An Ethernet address that one interface can have.
fn ones_own(mac: [u8; 6], text: &str) -> Result<[u8; 6], Problem> {
    let kind = match mac {
        [0, 0, 0, 0, 0, 0] => "nobody's",
        // The group bit: IEEE 802, sent first.
        [first, ..] if first & 1 == 1 => "a group's",
        _ => return Ok(mac),
    };
    Err(Problem::NotUnicast { address: text.to_owned(), kind })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut bytes = text.split(':');
    for byte in &mut mac {
        let digits = bytes
            .next()
            .filter(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    bytes.next().is_none().then_some(mac)
}

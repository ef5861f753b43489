//! Services and real servers as a plan wants them, from addresses and numbers.

use std::net::IpAddr;

use bytemuck::Zeroable as _;
use lb_common::wire::{
    Destination, FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_MASQUERADE, FORWARD_TUNNEL, Family, OuterHeader,
    ServiceKey,
};
use lb_user::model::{ForwardMethod, Thresholds, Tunnel};
use lb_user::plan::{Health, WantedDestination};

/// The path that a real server has unless it is told another one: IP bytes.
pub(crate) const MTU: u32 = 1_500;

/// What a service is known by. One by mark has it for an address, as in the tables, and protocol and port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) protocol: u8,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

impl Endpoint {
    pub(crate) fn key(&self) -> ServiceKey {
        ServiceKey {
            address: address_bytes(self.address),
            port: self.port.to_be_bytes(),
            protocol: self.protocol,
            family: if self.address.is_ipv4() { 4 } else { 6 },
            reserved: [0; 4],
        }
    }
}

/// A real server of a service, as a test describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RealServer {
    pub(crate) address: IpAddr,
    /// Nothing: its neighbour is not resolved.
    pub(crate) ethernet: Option<[u8; 6]>,
    /// An ifindex; of the director's addresses there, the last byte is the same.
    pub(crate) interface: u32,
    pub(crate) weight: u32,
    pub(crate) thresholds: Thresholds,
    pub(crate) forward: ForwardMethod,
    /// Its own port, if it is masqueraded; else the service's.
    pub(crate) port: Option<u16>,
    /// IP bytes, a tunnel's header included.
    pub(crate) mtu: u32,
    pub(crate) health: Health,
}

impl RealServer {
    pub(crate) fn wanted(&self, service: &Endpoint) -> WantedDestination {
        let mut ethernet = [0; 12];
        if let Some(address) = self.ethernet {
            ethernet[..6].copy_from_slice(&address);
            ethernet[6..].copy_from_slice(&director_on(self.interface));
        }
        let destination = Destination {
            ethernet,
            interface: self.interface,
            address: address_bytes(self.address),
            service: service.key(),
            weight: self.weight,
            upper: self.thresholds.upper,
            lower: self.thresholds.lower,
            port: self.port.unwrap_or(service.port).to_be_bytes(),
            forward: match self.forward {
                ForwardMethod::DirectRouting => FORWARD_DIRECT,
                ForwardMethod::Local => FORWARD_LOCAL,
                ForwardMethod::Tunnel(_) => FORWARD_TUNNEL,
                ForwardMethod::Masquerade => FORWARD_MASQUERADE,
            },
            outer: match self.forward {
                ForwardMethod::Tunnel(tunnel) => self.outer_header(tunnel, service),
                _ => OuterHeader::zeroed(),
            },
            mtu: self.mtu,
            ..Destination::zeroed()
        };
        WantedDestination { destination, health: self.health }
    }

    fn outer_header(&self, tunnel: Tunnel, service: &Endpoint) -> OuterHeader {
        let (from, to) = (tunnels_from(self.address), self.address);
        let inner = if service.address.is_ipv4() { Family::V4 } else { Family::V6 };
        let header = match tunnel {
            Tunnel::Ipip => OuterHeader::ipip(from, to, inner),
            Tunnel::Gue { port, checksum } => OuterHeader::gue(from, to, inner, port, checksum),
            Tunnel::Gre { checksum } => OuterHeader::gre(from, to, inner, checksum),
        };
        header.unwrap()
    }
}

/// The director's IP address that tunnels to an address come from.
pub(crate) fn tunnels_from(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => IpAddr::from([10, 0, 1, 254]),
        IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, 0xfe]),
    }
}

/// The director's Ethernet address on an interface.
pub(crate) fn director_on(interface: u32) -> [u8; 6] {
    [2, 0, 0, 0, 0, interface as u8]
}

/// An address as tables have it.
pub(crate) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

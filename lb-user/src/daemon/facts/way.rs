//! From how an address is reached to what the tables say of the way to a real server. Pure.
//!
//! It refuses to know health and weights, and where the facts come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::Zeroable as _;
use lb_common::wire::{
    Destination, FORWARD_DIRECT, FORWARD_LOCAL, FORWARD_MASQUERADE, FORWARD_TUNNEL, Family, OuterHeader,
    ServiceKey,
};

use crate::model::{ForwardMethod, RealServer, Tunnel};
use crate::neighbour::{Mac, Reach};

/// What every IPv6 path takes, in bytes; RFC 8200, 5.
const IPV6_MTU_MIN: u32 = 1_280;

/// What a [`Destination`] says of the way to it, in its fields' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    forward: u8,
    ethernet: [u8; 12],
    interface: u32,
    mtu: u32,
    outer: OuterHeader,
}

/// Where the kernel sends a packet next: to the address itself, or to a router.
struct NextHop<'a> {
    interface: u32,
    source: &'a Mac,
    /// `None` while nobody answers.
    destination: Option<&'a Mac>,
    mtu: u32,
    from: Option<IpAddr>,
    is_router: bool,
}

impl Way {
    /// The way to a real server of a service of the family `inner`, as netlink tells it.
    pub(super) fn new(server: &RealServer, inner: Family, reach: &Reach) -> Self {
        let nowhere = Self::nowhere(server.forward);
        // As LVS does: who is this host needs no frame, whatever the forward method.
        if *reach == Reach::Local {
            return Self { forward: FORWARD_LOCAL, ..nowhere };
        }
        let Some(hop) = next_hop(reach) else {
            return nowhere;
        };
        let outer = match server.forward {
            ForwardMethod::Local => return nowhere,
            ForwardMethod::DirectRouting if hop.is_router => return nowhere,
            ForwardMethod::DirectRouting | ForwardMethod::Masquerade => OuterHeader::zeroed(),
            ForwardMethod::Tunnel(tunnel) => {
                let outer = hop.from.and_then(|from| outer_header(tunnel, from, server.address, inner));
                let Some(outer) = outer else {
                    return nowhere;
                };
                outer
            }
        };
        let mut ethernet = [0; 12];
        if let Some(destination) = hop.destination {
            ethernet[..6].copy_from_slice(destination);
            ethernet[6..].copy_from_slice(hop.source);
        }
        Self { ethernet, interface: hop.interface, mtu: hop.mtu, outer, ..nowhere }
    }

    /// The way as a record has it that was found. What the config has changed meanwhile is not believed.
    pub(super) fn believed(server: &RealServer, inner: Family, found: &Destination) -> Self {
        let nowhere = Self::nowhere(server.forward);
        if found.forward == FORWARD_LOCAL {
            return Self { forward: FORWARD_LOCAL, ..nowhere };
        }
        let outer = match server.forward {
            ForwardMethod::DirectRouting | ForwardMethod::Masquerade => Some(OuterHeader::zeroed()),
            ForwardMethod::Local => None,
            // Made anew: the kind of tunnel, or its port, may be another one.
            ForwardMethod::Tunnel(tunnel) => {
                source(&found.outer).and_then(|from| outer_header(tunnel, from, server.address, inner))
            }
        };
        match outer {
            Some(outer) if found.forward == nowhere.forward => {
                let Destination { ethernet, interface, mtu, .. } = *found;
                Self { ethernet, interface, mtu, outer, ..nowhere }
            }
            _ => nowhere,
        }
    }

    /// Of nobody knows where; this host is always found.
    pub(super) fn nowhere(forward: ForwardMethod) -> Self {
        let forward = match forward {
            ForwardMethod::DirectRouting => FORWARD_DIRECT,
            ForwardMethod::Local => FORWARD_LOCAL,
            ForwardMethod::Tunnel(_) => FORWARD_TUNNEL,
            ForwardMethod::Masquerade => FORWARD_MASQUERADE,
        };
        Self { forward, ethernet: [0; 12], interface: 0, mtu: 0, outer: OuterHeader::zeroed() }
    }

    /// The record of a real server, without its weight.
    pub(super) fn destination(self, service: ServiceKey, address: [u8; 16], port: [u8; 2]) -> Destination {
        let Self { forward, ethernet, interface, mtu, outer } = self;
        Destination {
            forward,
            ethernet,
            interface,
            mtu,
            outer,
            service,
            address,
            port,
            ..Destination::zeroed()
        }
    }
}

/// Why its forward method can't get to a real server, in words; `None`: it can, or could if somebody answered.
pub(super) fn obstacle(server: &RealServer, reach: &Reach) -> Option<String> {
    let hop = match reach {
        Reach::Unreachable { why } if server.forward != ForwardMethod::Local => return Some(why.to_string()),
        _ => next_hop(reach)?,
    };
    match (server.forward, reach) {
        (ForwardMethod::DirectRouting, Reach::Routed { gateway, .. }) => Some(format!(
            "it is reached through the router {gateway}, and direct routing only gets to servers on the link"
        )),
        (ForwardMethod::Tunnel(_), _) => match hop.from {
            None => Some(
                "a tunnel has to come from an address of this host, and it has none to send from there; give it one, or name one in the route (\"src\")"
                    .to_owned(),
            ),
            Some(from) if from.is_ipv4() != server.address.is_ipv4() => {
                Some(format!("this host would send to it from {from}, and a tunnel has two ends of one IP version"))
            }
            Some(_) => None,
        },
        (ForwardMethod::DirectRouting | ForwardMethod::Local | ForwardMethod::Masquerade, _) => None,
    }
}

/// What is wrong with a path that leaves less than IPv6 needs to the packets of a tunnel, in words.
pub(super) fn narrowness(server: &RealServer, inner: Family, reach: &Reach) -> Option<String> {
    let Way { outer, mtu, .. } = Way::new(server, inner, reach);
    let left = outer.inner_mtu(mtu);
    // A length of 0: there is no tunnel.
    (inner == Family::V6 && outer.length > 0 && left < IPV6_MTU_MIN).then(|| {
        format!(
            "its path takes packets of {mtu} bytes, which leaves {left} inside the tunnel; hosts send {IPV6_MTU_MIN} by IPv6 whatever they are told, and those packets are dropped: raise the MTU to {} or more",
            IPV6_MTU_MIN + u32::from(outer.length)
        )
    })
}

fn next_hop(reach: &Reach) -> Option<NextHop<'_>> {
    Some(match reach {
        Reach::OnLink { interface, source, destination, mtu, from } => NextHop {
            interface: *interface,
            source,
            destination: Some(destination),
            mtu: *mtu,
            from: *from,
            is_router: false,
        },
        Reach::Unresolved { interface, source, mtu, from } => NextHop {
            interface: *interface,
            source,
            destination: None,
            mtu: *mtu,
            from: *from,
            is_router: false,
        },
        Reach::Routed { interface, source, destination, mtu, from, .. } => NextHop {
            interface: *interface,
            source,
            destination: destination.as_ref(),
            mtu: *mtu,
            from: *from,
            is_router: true,
        },
        Reach::Local | Reach::Unreachable { .. } => return None,
    })
}

fn outer_header(tunnel: Tunnel, from: IpAddr, to: IpAddr, inner: Family) -> Option<OuterHeader> {
    match tunnel {
        Tunnel::Ipip => OuterHeader::ipip(from, to, inner),
        Tunnel::Gue { port, checksum } => OuterHeader::gue(from, to, inner, port, checksum),
        Tunnel::Gre { checksum } => OuterHeader::gre(from, to, inner, checksum),
    }
}

/// The address that an outer header is sent from, `None` where there is no tunnel.
fn source(outer: &OuterHeader) -> Option<IpAddr> {
    let at = |place: std::ops::Range<usize>| outer.bytes().get(place);
    if outer.family == Family::V4 as u8 {
        at(12..16).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(|v4| Ipv4Addr::from(v4).into())
    } else {
        at(8..24).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(|v6| Ipv6Addr::from(v6).into())
    }
}

#[cfg(test)]
mod tests;

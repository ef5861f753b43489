//! What the kernel answered when asked for the route to an address.
//! It refuses to know whether the next hop is resolved.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

use super::Unreachable;

/// Where the kernel sends packets for an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Path {
    /// Out of an interface.
    Out {
        /// Index of the egress interface.
        interface: u32,
        /// The router, `None` on the link.
        gateway: Option<IpAddr>,
        /// The route's own MTU in bytes, where it has one.
        mtu: Option<u32>,
        /// The source address that the kernel would choose, where it has one to choose.
        from: Option<IpAddr>,
    },
    /// To this host.
    Local,
    /// Nowhere.
    Nowhere(Unreachable),
}

impl Path {
    /// Reads the one route that answers a look-up.
    pub(super) fn read(route: &RouteMessage) -> Self {
        match route.header.kind {
            RouteType::Unicast => Self::unicast(route),
            RouteType::Local => Self::Local,
            RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => {
                Self::Nowhere(Unreachable::NotOneHost)
            }
            RouteType::BlackHole => Self::Nowhere(Unreachable::RefusedByRoute("blackhole")),
            RouteType::Prohibit => Self::Nowhere(Unreachable::RefusedByRoute("prohibit")),
            RouteType::Unreachable => Self::Nowhere(Unreachable::RefusedByRoute("unreachable")),
            RouteType::Throw => Self::Nowhere(Unreachable::RefusedByRoute("throw")),
            other => Self::Nowhere(Unreachable::Kernel(format!("a route of type {other:?}"))),
        }
    }

    /// Reads the error that answers a look-up. The numbers are those of the kernel's `fib_props` (ip-route(8)).
    pub(super) fn refused(error: &io::Error) -> Self {
        Self::Nowhere(match error.raw_os_error() {
            Some(libc::ENETUNREACH) => Unreachable::NoRoute,
            Some(libc::EHOSTUNREACH) => Unreachable::RefusedByRoute("unreachable"),
            Some(libc::EACCES) => Unreachable::RefusedByRoute("prohibit"),
            Some(libc::EINVAL) => Unreachable::RefusedByRoute("blackhole"),
            _ => Unreachable::Kernel(error.to_string()),
        })
    }

    fn unicast(route: &RouteMessage) -> Self {
        let (mut interface, mut gateway, mut mtu, mut from) = (None, None, None, None);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => interface = Some(*index),
                RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
                    gateway = Some(IpAddr::V4(*v4));
                }
                RouteAttribute::Gateway(RouteAddress::Inet6(v6))
                | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
                    gateway = Some(IpAddr::V6(*v6));
                }
                RouteAttribute::PrefSource(RouteAddress::Inet(v4)) => from = Some(IpAddr::V4(*v4)),
                RouteAttribute::PrefSource(RouteAddress::Inet6(v6)) => from = Some(IpAddr::V6(*v6)),
                RouteAttribute::EncapType(_) => return Self::Nowhere(Unreachable::Encapsulated),
                RouteAttribute::Metrics(metrics) => {
                    mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(bytes) => Some(*bytes),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        match interface {
            Some(interface) => Self::Out { interface, gateway, mtu, from },
            None => Self::Nowhere(Unreachable::Kernel("a route without an interface".to_owned())),
        }
    }
}

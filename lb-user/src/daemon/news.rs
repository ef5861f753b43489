//! What the log is told about how an address is reached.

use std::net::IpAddr;

use crate::neighbour::{Mac, Reach};

/// Says how an address is reached from now on.
pub(super) fn say(address: IpAddr, reach: &Reach) {
    match reach {
        Reach::OnLink { interface, destination, .. } => {
            tracing::info!(%address, interface, "is at {}", mac(*destination));
        }
        Reach::Unresolved { .. } => {
            tracing::warn!(%address, "nobody answers for this address on the link");
        }
        Reach::Local => tracing::info!(%address, "is this host"),
        Reach::Routed { gateway, interface, destination: Some(destination), .. } => {
            tracing::info!(%address, %gateway, interface, "is behind a router at {}", mac(*destination));
        }
        Reach::Routed { gateway, destination: None, .. } => {
            tracing::warn!(%address, %gateway, "is behind a router that doesn't answer");
        }
        Reach::Unreachable { why } => tracing::error!(%address, "can't be reached: {why}"),
    }
}

fn mac([a, b, c, d, e, f]: Mac) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

//! A switch: a Linux bridge in a namespace of its own.
//! Refuses to know IP: it has no address and sends nothing itself.

use super::{Host, LabError, link::MacAddress};

/// A switch of a [`super::Lab`]; it goes when the lab goes.
#[derive(Debug)]
pub struct Switch {
    host: Host,
}

impl Switch {
    /// The bridge's name in the switch's namespace.
    pub const BRIDGE: &str = "br0";

    pub(super) fn new(host: Host, mac: MacAddress) -> Result<Self, LabError> {
        // Set before any interface is made. Neither router solicitations nor multicast reports are wanted.
        host.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        host.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        let mac = mac.to_string();
        let bridge = ["link", "add", Self::BRIDGE, "address", &mac, "type", "bridge"];
        let silent = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
        host.run("ip", bridge.into_iter().chain(silent))?;
        host.run("ip", ["link", "set", Self::BRIDGE, "up"])?;
        Ok(Self { host })
    }

    /// The namespace that the bridge is in: to capture, or to take a port down. Ports are called
    /// `<host>.<interface>`.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

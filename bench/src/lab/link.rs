//! The wire between a host and a switch: a veth pair, its addresses and its offloads.
//! Refuses to know IP.

use std::{fmt, fs, io, str::FromStr, thread, time::Duration, time::Instant};

use super::{Host, LabError, Switch, interrupt, pass};

/// How long the kernel may take to notice that both ends are up; milliseconds, unless the machine is busy.
const CARRIER_DEADLINE: Duration = Duration::from_secs(10);

/// IFNAMSIZ of linux/if.h, without the final zero.
const INTERFACE_NAME_LENGTH: usize = 15;

/// A fixed, locally administered unicast address: captures of two runs can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MacAddress([u8; 6]);

impl MacAddress {
    /// `02:00:00:00:<host>:<interface>`.
    pub(super) fn of_interface(host: u8, interface: u8) -> Self {
        Self([2, 0, 0, 0, host, interface])
    }

    /// `02:00:00:01:<host>:<interface>`: the switch's end of the same wire.
    fn of_port(self) -> Self {
        let Self([.., host, interface]) = self;
        Self([2, 0, 0, 1, host, interface])
    }

    /// `02:00:00:02:00:<switch>`.
    pub(super) fn of_bridge(switch: u8) -> Self {
        Self([2, 0, 0, 2, 0, switch])
    }

    pub(super) fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.0.map(|octet| format!("{octet:02x}"));
        f.write_str(&octets.join(":"))
    }
}

impl FromStr for MacAddress {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let octets: Vec<u8> = text
            .split(':')
            .map(|octet| u8::from_str_radix(octet, 16))
            .collect::<Result<_, _>>()
            .map_err(io::Error::other)?;
        octets.try_into().map(Self).map_err(|_octets| io::ErrorKind::InvalidData.into())
    }
}

/// Connects `interface` of the host to a port of the switch that is called `<host>.<interface>`, and
/// returns once frames pass.
pub(super) fn connect(
    host: &Host,
    switch: &Switch,
    interface: &str,
    mac: MacAddress,
) -> Result<(), LabError> {
    let port = format!("{}.{interface}", host.short_name());
    if port.len() > INTERFACE_NAME_LENGTH {
        let rule = "an interface's name has at most 15 bytes; shorten the host's name";
        return Err(LabError::Name { name: port, what: "a port of a switch", rule });
    }
    let switch = switch.host();
    let _building = interrupt::building();
    let (namespace, near, far) = (host.name(), mac.to_string(), mac.of_port().to_string());
    let pair = ["link", "add", &port, "address", &far, "type", "veth", "peer", "name", interface];
    switch.run("ip", pair.into_iter().chain(["address", &near, "netns", &namespace]))?;

    // veth leaves checksums to hardware that isn't there, and XDP forwards them unfinished. Segmentation
    // goes with them, so no frame is longer than the MTU.
    host.run("ethtool", ["-K", interface, "tx", "off"])?;
    // What GRO joined, the next port must cut again and sum anew: that is "tx off" here.
    switch.run("ethtool", ["-K", &port, "tx", "off"])?;

    switch.run("ip", ["link", "set", &port, "master", Switch::BRIDGE, "up"])?;
    let polls = switch.within(|| {
        let index = fs::read_to_string(format!("/sys/class/net/{port}/ifindex"))?;
        pass::attach(index.trim_end().parse().map_err(io::Error::other)?)
    })?;
    let polls = polls.map_err(|source| LabError::system(format!("attach XDP to port {port}"), source))?;
    switch.keep(polls);
    host.run("ip", ["link", "set", interface, "up"])?;
    await_content(host, &format!("/sys/class/net/{interface}/operstate"), "up")?;
    // BR_STATE_FORWARDING of linux/if_bridge.h.
    await_content(switch, &format!("/sys/class/net/{port}/brport/state"), "3")
}

/// The carrier is noticed by a worker of the kernel, some time after both ends are up.
fn await_content(host: &Host, file: &str, content: &str) -> Result<(), LabError> {
    let until = Instant::now() + CARRIER_DEADLINE;
    let seen = host.within(|| {
        loop {
            let now = fs::read_to_string(file)?;
            if now.trim_end() == content || Instant::now() >= until {
                return Ok(now.trim_end() == content);
            }
            thread::sleep(Duration::from_millis(1));
        }
    })?;
    match seen {
        Ok(true) => Ok(()),
        Ok(false) => Err(LabError::NotSeen {
            subject: host.name(),
            awaited: format!("`{content}` in {file}"),
            deadline: CARRIER_DEADLINE,
            log: String::new(),
        }),
        Err(source) => {
            let source: io::Error = source;
            Err(LabError::system(format!("read {file} in {}", host.name()), source))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_mac_address_reads_back() {
        let mac = MacAddress::of_interface(17, 255);
        assert_eq!(mac.to_string(), "02:00:00:00:11:ff");
        assert_eq!(mac.to_string().parse::<MacAddress>().unwrap(), mac);
        for wrong in ["", "02:00:00:00:11", "02:00:00:00:11:fg", "02:00:00:00:11:ff:00"] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong}");
        }
    }
}

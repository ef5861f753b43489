//! Ready-made labs, with the addresses that all tests use.
//! Refuses to know the director's configuration: the service address on a director is the daemon's to add.
//!
//! ```text
//!                       10.0.0.0/24, fd00:10::/64
//!       client ----------------+------ switch "lan" ------+----------------- rs1 .11, rs2 .12, ...
//!   .100, ::100                |                                       lo: .50, ::50 (no ARP)
//!                        director .1, ::1
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Host, Lab, LabError, Process, Switch};

/// The service address of every topology, IPv4.
pub(super) const SERVICE_V4: Ipv4Addr = v4(50);
/// The service address of every topology, IPv6.
pub(super) const SERVICE_V6: Ipv6Addr = v6(0x50);
/// The last byte of the first real server's address.
const FIRST_REAL_SERVER: u8 = 11;
/// Real servers' addresses end before the service's.
pub(super) const MOST_REAL_SERVERS: u8 = 50 - FIRST_REAL_SERVER;

/// One switch that all are on: a client, a director and real servers.
///
/// Direct routing in its commonest shape: requests pass through the director, answers go straight to the client.
#[derive(Debug)]
pub struct OneArm {
    /// 10.0.0.100 and `fd00:10::100`.
    pub client: Host,
    /// 10.0.0.1 and `fd00:10::1`; the service addresses are not on it.
    pub director: Host,
    /// `rs1`, `rs2`, ...: 10.0.0.11 and `fd00:10::11`, 10.0.0.12 and `fd00:10::12`, ...; the service
    /// addresses are on `lo`.
    pub real_servers: Vec<Host>,
    /// The switch, `lan`.
    pub lan: Switch,
    /// For more hosts and switches.
    pub lab: Lab,
}

impl OneArm {
    /// The service address, IPv4.
    pub const SERVICE_V4: Ipv4Addr = SERVICE_V4;
    /// The service address, IPv6.
    pub const SERVICE_V6: Ipv6Addr = SERVICE_V6;
    /// The director's address, IPv4.
    pub const DIRECTOR_V4: Ipv4Addr = v4(1);
    /// The director's address, IPv6.
    pub const DIRECTOR_V6: Ipv6Addr = v6(0x1);

    /// Builds the lab with up to 39 real servers.
    pub fn new(name: &str, real_servers: usize) -> Result<Self, LabError> {
        let most = usize::from(MOST_REAL_SERVERS);
        if real_servers > most {
            return Err(LabError::TooManyRealServers { asked: real_servers, most });
        }
        let lab = Lab::new(name)?;
        let lan = lab.switch("lan")?;
        let client = host(&lab, &lan, "client", v4(100), v6(0x100))?;
        let director = host(&lab, &lan, "director", Self::DIRECTOR_V4, Self::DIRECTOR_V6)?;
        let real_servers =
            (0..real_servers).map(|index| real_server(&lab, &lan, "rs", index)).collect::<Result<_, _>>()?;
        Ok(Self { client, director, real_servers, lan, lab })
    }

    /// The address of `real_servers[index]`, IPv4.
    pub fn real_server_v4(index: usize) -> Ipv4Addr {
        real_server_addresses(index).0
    }

    /// The address of `real_servers[index]`, IPv6.
    pub fn real_server_v6(index: usize) -> Ipv6Addr {
        real_server_addresses(index).1
    }

    /// A web server on every real server that answers the host's short name: `rs1`, `rs2`, ...
    pub fn http_servers(&self, port: u16) -> Result<Vec<Process>, LabError> {
        self.real_servers.iter().map(|host| host.http_server(port, host.short_name())).collect()
    }
}

/// One switch that all are on: a client, two directors that are real servers too, and a third real server.
///
/// The service addresses are on `lo` of all three. Whichever director is active adds them to `eth0` as
/// well, and answers ARP from then on.
#[derive(Debug)]
pub struct TwoDirectors {
    /// 10.0.0.100 and `fd00:10::100`.
    pub client: Host,
    /// `ds1`, `ds2` and `rs3`: 10.0.0.11, 10.0.0.12 and 10.0.0.13, `fd00:10::11` to `fd00:10::13`.
    pub real_servers: [Host; 3],
    /// The switch, `lan`.
    pub lan: Switch,
    /// For more hosts and switches.
    pub lab: Lab,
}

impl TwoDirectors {
    /// The service address, IPv4.
    pub const SERVICE_V4: Ipv4Addr = SERVICE_V4;
    /// The service address, IPv6.
    pub const SERVICE_V6: Ipv6Addr = SERVICE_V6;

    /// Builds the lab.
    pub fn new(name: &str) -> Result<Self, LabError> {
        let lab = Lab::new(name)?;
        let lan = lab.switch("lan")?;
        let client = host(&lab, &lan, "client", v4(100), v6(0x100))?;
        let real_servers = [
            real_server(&lab, &lan, "ds", 0)?,
            real_server(&lab, &lan, "ds", 1)?,
            real_server(&lab, &lan, "rs", 2)?,
        ];
        Ok(Self { client, real_servers, lan, lab })
    }

    /// The first director, `ds1`.
    pub fn ds1(&self) -> &Host {
        &self.real_servers[0]
    }

    /// The second director, `ds2`.
    pub fn ds2(&self) -> &Host {
        &self.real_servers[1]
    }

    /// The real server that is no director, `rs3`.
    pub fn rs3(&self) -> &Host {
        &self.real_servers[2]
    }

    /// The address of `real_servers[index]`, IPv4.
    pub fn real_server_v4(index: usize) -> Ipv4Addr {
        real_server_addresses(index).0
    }

    /// The address of `real_servers[index]`, IPv6.
    pub fn real_server_v6(index: usize) -> Ipv6Addr {
        real_server_addresses(index).1
    }

    /// A web server on all three that answers the host's short name: `ds1`, `ds2`, `rs3`.
    pub fn http_servers(&self, port: u16) -> Result<Vec<Process>, LabError> {
        self.real_servers.iter().map(|host| host.http_server(port, host.short_name())).collect()
    }
}

/// A host on the switch.
pub(super) fn host(
    lab: &Lab,
    lan: &Switch,
    name: &str,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
) -> Result<Host, LabError> {
    let host = lab.host(name)?;
    host.connect(lan, "eth0", &[&format!("{v4}/24"), &format!("{v6}/64")])?;
    Ok(host)
}

/// `prefix` and the index counted from 1, with the service addresses on `lo`.
fn real_server(lab: &Lab, lan: &Switch, prefix: &str, index: usize) -> Result<Host, LabError> {
    let (v4, v6) = real_server_addresses(index);
    let host = host(lab, lan, &format!("{prefix}{}", index + 1), v4, v6)?;
    host.carry_service_address(IpAddr::V4(SERVICE_V4))?;
    host.carry_service_address(IpAddr::V6(SERVICE_V6))?;
    Ok(host)
}

/// # Panics
/// From index 39 on, which no topology has.
pub(super) fn real_server_addresses(index: usize) -> (Ipv4Addr, Ipv6Addr) {
    let last = u8::try_from(index)
        .ok()
        .filter(|index| *index < MOST_REAL_SERVERS)
        .map(|index| FIRST_REAL_SERVER + index);
    let last = last.unwrap_or_else(|| panic!("no topology has a real server with the index {index}"));
    // So that 10.0.0.20 is fd00:10::20 to the eye.
    (v4(last), v6(u16::from(last / 10 * 16 + last % 10)))
}

pub(super) const fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

pub(super) const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_a_real_server_read_alike() {
        for index in 0..usize::from(MOST_REAL_SERVERS) {
            let (v4, v6) = real_server_addresses(index);
            let last = index + 11;
            assert_eq!(
                (v4.to_string(), v6.to_string()),
                (format!("10.0.0.{last}"), format!("fd00:10::{last}"))
            );
        }
    }
}

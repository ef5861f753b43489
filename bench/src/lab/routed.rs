//! A ready-made lab whose real servers are behind a router: tunnels get there, direct routing doesn't.
//! Refuses to know the director's configuration, as the other topologies do.
//!
//! ```text
//!     10.0.0.0/24, fd00:10::/64                              10.0.1.0/24, fd00:11::/64
//!   client ------+---- switch "lan" ----+--- router ---+---- switch "far" ----+-------- rs1, rs2, ...
//!  .100, ::100   |                         .254, ::254       .254, ::254            .11, ::11, ...
//!           director .1, ::1                                                     lo: 10.0.0.50, fd00:10::50
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Host, Lab, LabError, Process, Switch,
    topology::{MOST_REAL_SERVERS, SERVICE_V4, SERVICE_V6, host, real_server_addresses, v4, v6},
};

/// The real servers' networks.
const FAR_V4: &str = "10.0.1.0/24";
const FAR_V6: &str = "fd00:11::/64";

/// A client and a director on one switch, real servers on another one, and a router between them.
///
/// The real servers end tunnels, and answer the client by the router.
#[derive(Debug)]
pub struct Routed {
    /// 10.0.0.100 and `fd00:10::100`.
    pub client: Host,
    /// 10.0.0.1 and `fd00:10::1`, with routes to the real servers; the service addresses are not on it.
    pub director: Host,
    /// `eth0` is 10.0.0.254 and `fd00:10::254`, `eth1` 10.0.1.254 and `fd00:11::254`.
    pub router: Host,
    /// `rs1`, `rs2`, ...: 10.0.1.11 and `fd00:11::11`, 10.0.1.12 and `fd00:11::12`, ...; the service
    /// addresses are on `lo`, and `eth0` is the end of tunnels.
    pub real_servers: Vec<Host>,
    /// The switch of client and director, `lan`.
    pub lan: Switch,
    /// The switch of the real servers, `far`.
    pub far: Switch,
    /// For more hosts and switches.
    pub lab: Lab,
}

impl Routed {
    /// The service address, IPv4.
    pub const SERVICE_V4: Ipv4Addr = SERVICE_V4;
    /// The service address, IPv6.
    pub const SERVICE_V6: Ipv6Addr = SERVICE_V6;
    /// The director's address, IPv4.
    pub const DIRECTOR_V4: Ipv4Addr = v4(1);
    /// The director's address, IPv6.
    pub const DIRECTOR_V6: Ipv6Addr = v6(0x1);
    /// The UDP port at which the real servers end GUE.
    pub const GUE_PORT: u16 = 6080;

    /// Builds the lab with up to 39 real servers.
    pub fn new(name: &str, real_servers: usize) -> Result<Self, LabError> {
        let most = usize::from(MOST_REAL_SERVERS);
        if real_servers > most {
            return Err(LabError::TooManyRealServers { asked: real_servers, most });
        }
        let lab = Lab::new(name)?;
        let (lan, far) = (lab.switch("lan")?, lab.switch("far")?);
        let client = host(&lab, &lan, "client", v4(100), v6(0x100))?;
        let director = host(&lab, &lan, "director", Self::DIRECTOR_V4, Self::DIRECTOR_V6)?;
        director.add_route(FAR_V4, v4(254).into())?;
        director.add_route(FAR_V6, v6(0x254).into())?;
        let router = host(&lab, &lan, "router", v4(254), v6(0x254))?;
        let (far_end_v4, far_end_v6) = (far_v4(v4(254)), far_v6(v6(0x254)));
        router.connect(&far, "eth1", &[&format!("{far_end_v4}/24"), &format!("{far_end_v6}/64")])?;
        router.sysctl("net.ipv4.ip_forward", "1")?;
        router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        let real_servers =
            (0..real_servers).map(|index| real_server(&lab, &far, index)).collect::<Result<_, _>>()?;
        Ok(Self { client, director, router, real_servers, lan, far, lab })
    }

    /// The address of `real_servers[index]`, IPv4.
    pub fn real_server_v4(index: usize) -> Ipv4Addr {
        far_v4(real_server_addresses(index).0)
    }

    /// The address of `real_servers[index]`, IPv6.
    pub fn real_server_v6(index: usize) -> Ipv6Addr {
        far_v6(real_server_addresses(index).1)
    }

    /// Narrows the way from the router to the real servers to IP packets of `mtu` bytes, which the router
    /// enforces and the director's routes say. The way back stays as wide as the client's link.
    pub fn narrow(&self, mtu: u16) -> Result<(), LabError> {
        let mtu = ["mtu".to_owned(), "lock".to_owned(), mtu.to_string()];
        let replace = |host: &Host, route: &[&str]| {
            let words = ["route", "replace"].iter().chain(route).map(|word| (*word).to_owned());
            host.run("ip", words.chain(mtu.clone())).map(drop)
        };
        replace(&self.router, &[FAR_V4, "dev", "eth1"])?;
        // In front of the kernel's own, whose metric is 256.
        replace(&self.router, &[FAR_V6, "dev", "eth1", "metric", "100"])?;
        replace(&self.director, &[FAR_V4, "via", &v4(254).to_string()])?;
        replace(&self.director, &[FAR_V6, "via", &v6(0x254).to_string()])
    }

    /// A web server on every real server that answers the host's short name: `rs1`, `rs2`, ...
    pub fn http_servers(&self, port: u16) -> Result<Vec<Process>, LabError> {
        self.real_servers.iter().map(|host| host.http_server(port, host.short_name())).collect()
    }
}

fn real_server(lab: &Lab, far: &Switch, index: usize) -> Result<Host, LabError> {
    let (own_v4, own_v6) = (Routed::real_server_v4(index), Routed::real_server_v6(index));
    let host = host(lab, far, &format!("rs{}", index + 1), own_v4, own_v6)?;
    host.carry_service_address(IpAddr::V4(SERVICE_V4))?;
    host.carry_service_address(IpAddr::V6(SERVICE_V6))?;
    host.end_tunnels("eth0", &[(own_v4.into(), Routed::GUE_PORT), (own_v6.into(), Routed::GUE_PORT)])?;
    host.add_route("0.0.0.0/0", far_v4(v4(254)).into())?;
    host.add_route("::/0", far_v6(v6(0x254)).into())?;
    Ok(host)
}

/// The same on the far network: 10.0.1.11 of 10.0.0.11.
fn far_v4(near: Ipv4Addr) -> Ipv4Addr {
    let [a, b, _, last] = near.octets();
    Ipv4Addr::from([a, b, 1, last])
}

/// The same on the far network: `fd00:11::11` of `fd00:10::11`.
fn far_v6(near: Ipv6Addr) -> Ipv6Addr {
    let mut segments = near.segments();
    segments[1] = 0x11;
    segments.into()
}

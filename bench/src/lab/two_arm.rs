//! A ready-made lab whose real servers answer through the director: masquerading.
//! Refuses to know the director's configuration, as the other topologies do.
//!
//! ```text
//!     10.0.0.0/24, fd00:10::/64                         10.0.1.0/24, fd00:11::/64
//!   client1 ---- switch "lan" ----+              +---- switch "far" ----+-- rs1, rs2, ...
//!   .100, ::100              director .1, ::1 ---+ .1, ::1                  .11, ::11, ...
//!   client2 ---- switch "lan2" ---+
//!   .100, ::100   10.0.2.0/24, fd00:12::/64
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Host, Lab, LabError, Process, Switch,
    topology::{MOST_REAL_SERVERS, SERVICE_V4, SERVICE_V6, host, real_server_addresses, v4, v6},
};

/// Two clients, each on a line of its own, and real servers whose only way out is the director.
#[derive(Debug)]
pub struct TwoArm {
    /// `client1`: 10.0.0.100 and `fd00:10::100`; `client2`: 10.0.2.100 and `fd00:12::100`.
    pub clients: [Host; 2],
    /// `eth0` is 10.0.0.1 and `fd00:10::1`, `eth1` 10.0.1.1 and `fd00:11::1`, `eth2` 10.0.2.1 and `fd00:12::1`;
    /// the service addresses are not on it.
    pub director: Host,
    /// `rs1`, `rs2`, ...: 10.0.1.11 and `fd00:11::11`, 10.0.1.12 and `fd00:11::12`, ...; they know no service address.
    pub real_servers: Vec<Host>,
    /// The switches of the clients, `lan` and `lan2`.
    pub lines: [Switch; 2],
    /// The switch of the real servers, `far`.
    pub far: Switch,
    /// For more hosts and switches.
    pub lab: Lab,
}

impl TwoArm {
    /// The service address, IPv4.
    pub const SERVICE_V4: Ipv4Addr = SERVICE_V4;
    /// The service address, IPv6.
    pub const SERVICE_V6: Ipv6Addr = SERVICE_V6;

    /// Builds the lab with up to 39 real servers.
    pub fn new(name: &str, real_servers: usize) -> Result<Self, LabError> {
        let most = usize::from(MOST_REAL_SERVERS);
        if real_servers > most {
            return Err(LabError::TooManyRealServers { asked: real_servers, most });
        }
        let lab = Lab::new(name)?;
        let (lan, far, second) = (lab.switch("lan")?, lab.switch("far")?, lab.switch("lan2")?);
        let client = host(&lab, &lan, "client1", v4(100), v6(0x100))?;
        let director = lab.host("director")?;
        // For what real servers send for themselves.
        director.sysctl("net.ipv4.ip_forward", "1")?;
        director.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        director.connect(&lan, "eth0", &[&format!("{}/24", v4(1)), &format!("{}/64", v6(0x1))])?;
        director.connect(&far, "eth1", &["10.0.1.1/24", "fd00:11::1/64"])?;
        director.connect(&second, "eth2", &["10.0.2.1/24", "fd00:12::1/64"])?;
        let other = lab.host("client2")?;
        other.connect(&second, "eth0", &["10.0.2.100/24", "fd00:12::100/64"])?;
        other.add_route("0.0.0.0/0", Ipv4Addr::new(10, 0, 2, 1).into())?;
        other.add_route("::/0", Ipv6Addr::new(0xfd00, 0x12, 0, 0, 0, 0, 0, 1).into())?;
        // The other line, and the real servers themselves, are behind the director.
        client.add_route("0.0.0.0/0", v4(1).into())?;
        client.add_route("::/0", v6(0x1).into())?;
        let real_servers =
            (0..real_servers).map(|index| real_server(&lab, &far, index)).collect::<Result<_, _>>()?;
        Ok(Self { clients: [client, other], director, real_servers, lines: [lan, second], far, lab })
    }

    /// The address of `real_servers[index]`, IPv4.
    pub fn real_server_v4(index: usize) -> Ipv4Addr {
        let [_, _, _, last] = real_server_addresses(index).0.octets();
        Ipv4Addr::new(10, 0, 1, last)
    }

    /// The address of `real_servers[index]`, IPv6.
    pub fn real_server_v6(index: usize) -> Ipv6Addr {
        let [.., last] = real_server_addresses(index).1.segments();
        Ipv6Addr::new(0xfd00, 0x11, 0, 0, 0, 0, 0, last)
    }

    /// A web server on every real server that answers the host's short name: `rs1`, `rs2`, ...
    pub fn http_servers(&self, port: u16) -> Result<Vec<Process>, LabError> {
        self.real_servers.iter().map(|host| host.http_server(port, host.short_name())).collect()
    }
}

fn real_server(lab: &Lab, far: &Switch, index: usize) -> Result<Host, LabError> {
    let (own_v4, own_v6) = (TwoArm::real_server_v4(index), TwoArm::real_server_v6(index));
    let host = host(lab, far, &format!("rs{}", index + 1), own_v4, own_v6)?;
    host.add_route("0.0.0.0/0", Ipv4Addr::new(10, 0, 1, 1).into())?;
    host.add_route("::/0", Ipv6Addr::new(0xfd00, 0x11, 0, 0, 0, 0, 0, 1).into())?;
    Ok(host)
}

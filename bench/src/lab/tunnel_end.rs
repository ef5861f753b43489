//! The end of a tunnel at a real server: an XDP program takes the outer header away.
//! Refuses to know what a tunnel is; the program does.

use std::{fs, io, net::IpAddr};

use aya::{
    Ebpf,
    maps::HashMap,
    programs::{ProgramFd, Xdp},
};

use super::{Host, LabError, pass};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LB_REAL_SERVER_OBJECT"));

/// Attaches the program to an interface of the host, for as long as the host lives.
pub(super) fn attach(host: &Host, interface: &str, addresses: &[(IpAddr, u16)]) -> Result<(), LabError> {
    let failed = |source: io::Error| {
        LabError::system(format!("end tunnels at {interface} of {}", host.name()), source)
    };
    let program = load(addresses).map_err(failed)?;
    let link = host.within(|| {
        let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
        pass::attach_program(&program, index.trim_end().parse().map_err(io::Error::other)?)
    })?;
    // The link holds the program, and the program its map.
    host.keep(link.map_err(failed)?);
    Ok(())
}

fn load(addresses: &[(IpAddr, u16)]) -> io::Result<ProgramFd> {
    let missing = |what: &str| io::Error::other(format!("the object has no {what}"));
    let mut object = Ebpf::load(OBJECT).map_err(io::Error::other)?;
    let map = object.map_mut("LOCAL_ADDRESSES").ok_or_else(|| missing("LOCAL_ADDRESSES"))?;
    let mut ends: HashMap<_, [u64; 2], u32> = map.try_into().map_err(io::Error::other)?;
    for (address, gue_port) in addresses {
        ends.insert(key(*address), u32::from(*gue_port), 0).map_err(io::Error::other)?;
    }
    let program = object.program_mut("real_server").ok_or_else(|| missing("real_server"))?;
    let program: &mut Xdp = program.try_into().map_err(io::Error::other)?;
    program.load().map_err(io::Error::other)?;
    program.fd().map_err(io::Error::other)?.try_clone()
}

/// IPv6 as it lies; IPv4 in the first four bytes, the others zero.
fn key(address: IpAddr) -> [u64; 2] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes = v6.octets(),
    }
    bytemuck::cast(bytes)
}

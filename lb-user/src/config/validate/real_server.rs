//! `[[virtual_service.real_server]]`: the real servers of one service.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use toml::Spanned;

use super::{Report, within};
use crate::{
    config::{
        address,
        error::Problem,
        raw::{RawRealServer, RawTunnel},
        words::{FORWARD_METHOD, TUNNEL_TYPE, TunnelType},
    },
    model::{
        ForwardMethod, Protocol, RealServer, ServiceId, THRESHOLD_MAX, Thresholds, Tunnel, WEIGHT_MAX,
        family_of,
    },
};

const NAME_MAX: usize = 64;

/// The real servers of `service`, which is for these addresses.
pub(super) fn real_servers(
    raw: &[Spanned<RawRealServer>],
    service: ServiceId,
    own_addresses: &BTreeSet<IpAddr>,
    report: &mut Report<'_>,
) -> Vec<RealServer> {
    let mut addresses = HashMap::new();
    let mut names = HashMap::new();
    let mut real_servers = Vec::new();
    for at in raw {
        let raw = at.get_ref();
        let Some(real_server) = real_server(raw, service, own_addresses, report) else { continue };
        let key = (real_server.address, real_server.port);
        if let Some(first) = addresses.insert(key, &raw.address) {
            let what = format!("real server {} of {service}", SocketAddr::from(key));
            report.refuse(&raw.address, Problem::Duplicate { what, line: report.line(first) });
        }
        if let Some(name) = &raw.name
            && let Some(first) = names.insert(name.get_ref(), name)
        {
            let what = format!("a real server of {service} with this name");
            report.refuse(name, Problem::Duplicate { what, line: report.line(first) });
        }
        real_servers.push(real_server);
    }
    real_servers
}

fn real_server(
    raw: &RawRealServer,
    service: ServiceId,
    own_addresses: &BTreeSet<IpAddr>,
    report: &mut Report<'_>,
) -> Option<RealServer> {
    let name = report.accept_or(raw.name.as_ref(), None, |text| name(text).map(Some));
    let weight = report.accept_or(raw.weight.as_ref(), 1, |&value| weight(value));
    let thresholds = thresholds(raw, report);
    let forward = match &raw.forward {
        None => Some(ForwardMethod::default()),
        Some(at) => report.accept(at, |word| FORWARD_METHOD.read(word)),
    };
    let tunnel = raw.tunnel.as_ref().map(|at| (at, tunnel(at, report)));
    let interface = report.accept_or(raw.interface.as_ref(), None, |text| address::interface(text).map(Some));
    let forward = match (forward?, tunnel) {
        (ForwardMethod::Tunnel(_), Some((_, tunnel))) => ForwardMethod::Tunnel(tunnel?),
        (forward, tunnel) => {
            if let (false, Some((at, _))) = (matches!(forward, ForwardMethod::Tunnel(_)), tunnel) {
                report.refuse(at, Problem::NoTunnel);
            }
            forward
        }
    };
    let (address, port) = report.accept(&raw.address, |text| {
        let (address, port) = address::real_server(text)?;
        Ok((suitable(address, forward, service, own_addresses)?, own_port(port, forward, service)?))
    })?;
    if let (Some(at), ForwardMethod::Masquerade, ServiceId::Address { protocol: Protocol::Sctp, .. }) =
        (&raw.forward, forward, service)
    {
        report.refuse(at, Problem::MasqueradedSctp);
    }
    match (&raw.interface, forward) {
        (Some(at), ForwardMethod::Local) => report.refuse(at, Problem::LocalInterface),
        (None, ForwardMethod::DirectRouting | ForwardMethod::Tunnel(_) | ForwardMethod::Masquerade)
            if is_link_local(address) =>
        {
            report.refuse(&raw.address, Problem::LinkLocal(address));
        }
        _ => {}
    }
    Some(RealServer { name, address, port, weight, thresholds, forward, interface })
}

fn thresholds(raw: &RawRealServer, report: &mut Report<'_>) -> Thresholds {
    let mut threshold =
        |at: Option<&Spanned<i64>>| report.accept_or(at, 0, |&number| within(number, &(0..=THRESHOLD_MAX)));
    let (upper, lower) = (threshold(raw.upper_threshold.as_ref()), threshold(raw.lower_threshold.as_ref()));
    if let Some(at) = raw.lower_threshold.as_ref().filter(|_| lower > upper) {
        report.refuse(at, Problem::LowerAboveUpper { upper, lower });
    }
    Thresholds { upper, lower }
}

/// What the outer header is; `None` where it was refused.
fn tunnel(at: &Spanned<RawTunnel>, report: &mut Report<'_>) -> Option<Tunnel> {
    let raw = at.get_ref();
    let kind = match &raw.kind {
        None => TunnelType::Ipip,
        Some(at) => report.accept(at, |word| TUNNEL_TYPE.read(word))?,
    };
    let checksum = raw.checksum.as_ref().is_some_and(|at| *at.get_ref());
    match kind {
        TunnelType::Ipip => {
            not_in("ipip", "port", raw.port.as_ref(), report);
            not_in("ipip", "checksum", raw.checksum.as_ref(), report);
            Some(Tunnel::Ipip)
        }
        TunnelType::Gre => {
            not_in("gre", "port", raw.port.as_ref(), report);
            Some(Tunnel::Gre { checksum })
        }
        TunnelType::Gue => {
            let Some(port) = &raw.port else {
                report.refuse(at, Problem::NoTunnelPort);
                return None;
            };
            let port = report.accept(port, |&port| within(port, &(1..=65_535)))?;
            Some(Tunnel::Gue { port: port as u16, checksum })
        }
    }
}

fn not_in<T>(kind: &'static str, what: &'static str, at: Option<&Spanned<T>>, report: &mut Report<'_>) {
    if let Some(at) = at {
        report.refuse(at, Problem::NotInTunnel { kind, what });
    }
}

fn name(text: &str) -> Result<String, Problem> {
    let valid = (1..=NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if valid { Ok(text.to_owned()) } else { Err(Problem::Name) }
}

fn weight(value: i64) -> Result<u32, Problem> {
    within(value, &(0..=WEIGHT_MAX)).map_err(|_| Problem::Weight { value, max: WEIGHT_MAX })
}

/// An address that can serve `service` by this method.
fn suitable(
    address: IpAddr,
    forward: ForwardMethod,
    service: ServiceId,
    own_addresses: &BTreeSet<IpAddr>,
) -> Result<IpAddr, Problem> {
    let loopback_here = forward == ForwardMethod::Local && address.is_loopback();
    if !loopback_here {
        address::unicast(address)?;
    }
    let by_tunnel = matches!(forward, ForwardMethod::Tunnel(_));
    if family_of(address) != service.family() && !by_tunnel {
        return Err(Problem::Family { address, service });
    }
    if own_addresses.contains(&address) && forward != ForwardMethod::Local {
        return Err(Problem::OwnAddress { address, forward: told(forward) });
    }
    Ok(address)
}

/// The real server's port, which only masquerading can make differ from the service's. With a service by mark it also
/// says what checks ask, whatever the method.
fn own_port(port: Option<u16>, forward: ForwardMethod, service: ServiceId) -> Result<u16, Problem> {
    let service_port = service.port();
    match (port, service) {
        (Some(port), _) if forward == ForwardMethod::Masquerade => Ok(port),
        (Some(port), ServiceId::Mark { .. }) => Ok(port),
        (Some(port), _) if service_port == 0 => Err(Problem::PortOfAllPorts { forward: told(forward), port }),
        (Some(port), _) if port != service_port => {
            Err(Problem::PortDiffers { forward: told(forward), port, service_port })
        }
        _ => Ok(service_port),
    }
}

const fn told(forward: ForwardMethod) -> &'static str {
    match forward {
        ForwardMethod::DirectRouting => "direct routing",
        ForwardMethod::Local => "local delivery",
        ForwardMethod::Tunnel(_) => "a tunnel",
        ForwardMethod::Masquerade => "masquerading",
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

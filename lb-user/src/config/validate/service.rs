//! `[[virtual_service]]`: a service, its check, its real servers.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_common::wire::RING_SLOTS_MAX;
use toml::Spanned;

use super::{Report, within};
use crate::{
    config::{
        address,
        duration::{Limits, RawDuration},
        error::Problem,
        raw::{RawCheck, RawRealServer, RawVirtualService},
        words::{CHECK_TYPE, CheckType, FORWARD_METHOD, PROTOCOL, SCHEDULER},
    },
    model::{
        Check, CheckKind, ForwardMethod, REAL_SERVERS_MAX, RealServer, ServiceId, VirtualService, WEIGHT_MAX,
    },
};

const NAME_MAX: usize = 64;
const INTERVAL: Limits =
    Limits { range: Duration::from_millis(100)..=Duration::from_secs(86_400), told: "100 ms to 1 day" };
const PROBE_TIMEOUT: Limits =
    Limits { range: Duration::from_millis(10)..=Duration::from_secs(86_400), told: "10 ms to the interval" };

pub(super) fn services(raw: &[Spanned<RawVirtualService>], report: &mut Report<'_>) -> Vec<VirtualService> {
    let mut addresses = HashMap::new();
    let mut services = Vec::new();
    for at in raw {
        let Some(service) = service(at, report) else { continue };
        let address = &at.get_ref().address;
        if let Some(first) = addresses.insert(service.id, address) {
            report.refuse(
                address,
                Problem::Duplicate { what: service.id.to_string(), line: report.line(first) },
            );
        }
        services.push(service);
    }
    services
}

fn service(at: &Spanned<RawVirtualService>, report: &mut Report<'_>) -> Option<VirtualService> {
    let raw = at.get_ref();
    let protocol = report.accept(&raw.protocol, |word| PROTOCOL.read(word));
    let address = report.accept(&raw.address, |text| address::service(text));
    let scheduler = report.accept(&raw.scheduler, |word| SCHEDULER.read(word));
    let check = raw.check.as_ref().and_then(|raw| check(raw, report));
    let (protocol, (address, port)) = (protocol?, address?);
    let id = ServiceId { protocol, address, port };

    if let Some(one_more) = raw.real_server.get(REAL_SERVERS_MAX) {
        report.refuse(one_more, Problem::TooManyRealServers);
    }
    let real_servers = real_servers(&raw.real_server, id, report);
    let service = VirtualService { id, scheduler: scheduler?, check, real_servers };
    let slots = service.ring_slots();
    if slots > u64::from(RING_SLOTS_MAX) {
        report.refuse(at, Problem::RingTooLong { slots });
    }
    Some(service)
}

fn check(raw: &RawCheck, report: &mut Report<'_>) -> Option<Check> {
    let duration = |at: &Option<Spanned<RawDuration>>, default, limits: &Limits, report: &mut Report<'_>| {
        report.accept_or(at.as_ref(), default, |raw| raw.within(limits))
    };
    let kind = report.accept(&raw.kind, |word| CHECK_TYPE.read(word));
    let port = report
        .accept_or(raw.port.as_ref(), None, |&n| within(n, &(1..=65_535)).map(|port| Some(port as u16)));
    let defaults = Check::new(match kind? {
        CheckType::Tcp => CheckKind::Tcp { port },
    });
    let check = Check {
        kind: defaults.kind,
        interval: duration(&raw.interval, defaults.interval, &INTERVAL, report),
        timeout: duration(&raw.timeout, defaults.timeout, &PROBE_TIMEOUT, report),
        rise: report.accept_or(raw.rise.as_ref(), defaults.rise, |&n| within(n, &(1..=1_000))),
        fall: report.accept_or(raw.fall.as_ref(), defaults.fall, |&n| within(n, &(1..=1_000))),
    };
    if check.timeout > check.interval {
        let told = |duration| humantime::format_duration(duration).to_string();
        let problem =
            Problem::TimeoutBeyondInterval { timeout: told(check.timeout), interval: told(check.interval) };
        // One of the two was written: the defaults agree.
        if let Some(at) = raw.timeout.as_ref().or(raw.interval.as_ref()) {
            report.refuse(at, problem);
        }
    }
    Some(check)
}

fn real_servers(
    raw: &[Spanned<RawRealServer>],
    service: ServiceId,
    report: &mut Report<'_>,
) -> Vec<RealServer> {
    let mut addresses = HashMap::new();
    let mut names = HashMap::new();
    let mut real_servers = Vec::new();
    for at in raw {
        let raw = at.get_ref();
        let Some(real_server) = real_server(raw, service, report) else { continue };
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

fn real_server(raw: &RawRealServer, service: ServiceId, report: &mut Report<'_>) -> Option<RealServer> {
    let name = report.accept_or(raw.name.as_ref(), None, |text| name(text).map(Some));
    let weight = report.accept_or(raw.weight.as_ref(), 1, |&value| weight(value));
    let forward = match &raw.forward {
        None => Some(ForwardMethod::default()),
        Some(at) => report.accept(at, |word| FORWARD_METHOD.read(word)),
    };
    let interface = report.accept_or(raw.interface.as_ref(), None, |text| address::interface(text).map(Some));
    let forward = forward?;
    let (address, port) = report.accept(&raw.address, |text| {
        let (address, port) = address::real_server(text)?;
        Ok((suitable(address, forward, service)?, own_port(port, forward, service.port)?))
    })?;
    match (&raw.interface, forward) {
        (Some(at), ForwardMethod::Local) => report.refuse(at, Problem::LocalInterface),
        (None, ForwardMethod::DirectRouting) if is_link_local(address) => {
            report.refuse(&raw.address, Problem::LinkLocal(address));
        }
        _ => {}
    }
    Some(RealServer { name, address, port, weight, forward, interface })
}

fn name(text: &str) -> Result<String, Problem> {
    let valid = (1..=NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if valid { Ok(text.to_owned()) } else { Err(Problem::Name) }
}

fn weight(value: i64) -> Result<u32, Problem> {
    within(value, &(0..=WEIGHT_MAX)).map_err(|_| Problem::Weight { value, max: WEIGHT_MAX })
}

/// An address that can serve `service` by this method.
fn suitable(address: IpAddr, forward: ForwardMethod, service: ServiceId) -> Result<IpAddr, Problem> {
    let loopback_here = forward == ForwardMethod::Local && address.is_loopback();
    if !loopback_here {
        address::unicast(address)?;
    }
    if address.is_ipv4() != service.address.is_ipv4() {
        return Err(Problem::Family { address, service });
    }
    if address == service.address && forward == ForwardMethod::DirectRouting {
        return Err(Problem::OwnAddress(address));
    }
    Ok(address)
}

/// The real server's port, which no method here can make differ from the service's.
fn own_port(port: Option<u16>, forward: ForwardMethod, service_port: u16) -> Result<u16, Problem> {
    let forward = match forward {
        ForwardMethod::DirectRouting => "direct routing",
        ForwardMethod::Local => "local delivery",
    };
    match port {
        Some(port) if port != service_port => Err(Problem::PortDiffers { forward, port, service_port }),
        _ => Ok(service_port),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

//! `[[virtual_service]]`: a service, its scheduler, its check. Its real servers are judged elsewhere.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use lb_common::director::COMPARED_MAX;
use lb_common::wire::RING_SLOTS_MAX;
use toml::Spanned;

use super::{Report, guard::guard, persistence::persistence, real_server::real_servers, within};
use crate::{
    config::{
        address,
        duration::{Limits, RawDuration},
        error::Problem,
        raw::{RawCheck, RawVirtualService},
        words::{CHECK_TYPE, CheckType, FAMILY, PROTOCOL, SCHEDULER, SCHEDULER_FLAG, SchedulerFlag},
    },
    model::{
        Check, CheckKind, Class, Family, ForwardMethod, Protocol, REAL_SERVERS_MAX, RealServer, RingSize,
        Scheduler, SchedulerFlags, ServiceId, VirtualService,
    },
};

const INTERVAL: Limits =
    Limits { range: Duration::from_millis(100)..=Duration::from_secs(86_400), told: "100 ms to 1 day" };
const PROBE_TIMEOUT: Limits =
    Limits { range: Duration::from_millis(10)..=Duration::from_secs(86_400), told: "10 ms to the interval" };

pub(super) fn services(
    raw: &[Spanned<RawVirtualService>],
    classes: &[Class],
    report: &mut Report<'_>,
) -> Vec<VirtualService> {
    let mut offsets = HashMap::new();
    let mut services = Vec::new();
    for at in raw {
        let Some(service) = service(at, classes, report) else { continue };
        let RawVirtualService { address, mark, .. } = at.get_ref();
        // What names it.
        let offset = match (mark, address) {
            (Some(mark), _) => mark.span().start,
            (None, Some(address)) => address.span().start,
            (None, None) => at.span().start,
        };
        if let Some(first) = offsets.insert(service.id, offset) {
            let (what, line) = (service.id.to_string(), report.source.line(first));
            report.errors.push(report.source.error(offset, Problem::Duplicate { what, line }));
        }
        services.push(service);
    }
    services
}

fn service(
    at: &Spanned<RawVirtualService>,
    classes: &[Class],
    report: &mut Report<'_>,
) -> Option<VirtualService> {
    let raw = at.get_ref();
    let id = id(at, report);
    let scheduler = report.accept(&raw.scheduler, |word| SCHEDULER.read(word));
    let scheduler_flags = scheduler_flags(&raw.scheduler_flags, scheduler, report);
    let ring_size = ring_size(raw.ring_size.as_ref(), scheduler, report);
    let check = raw.check.as_ref().and_then(|raw| check(raw.get_ref(), report));
    let id = id?;
    if let (Some(raw), Some(Check { kind: CheckKind::Tcp { port: None }, .. })) = (&raw.check, &check)
        && matches!(id, ServiceId::Address { protocol: Protocol::Sctp, .. })
    {
        report.refuse(&raw.get_ref().kind, Problem::TcpCheckOfSctp);
    }

    if let Some(one_more) = raw.real_server.get(REAL_SERVERS_MAX) {
        report.refuse(one_more, Problem::TooManyRealServers);
    }
    let real_servers = real_servers(&raw.real_server, id, &own_addresses(id, classes), report);
    if let (Some(check), Some(at)) = (check, &raw.check) {
        check_has_ports(check, at, &real_servers, report);
    }
    let one_packet = raw.one_packet.as_ref().is_some_and(|at| *at.get_ref());
    if let Some(at) = raw.one_packet.as_ref().filter(|_| one_packet && !may_be_udp(id)) {
        report.refuse(at, Problem::OnePacketOfTcp);
    }
    let is_masqueraded = |server: &RealServer| server.forward == ForwardMethod::Masquerade;
    if let Some(at) =
        raw.one_packet.as_ref().filter(|_| one_packet && real_servers.iter().any(is_masqueraded))
    {
        report.refuse(at, Problem::OnePacketMasqueraded);
    }
    let persistence = persistence(raw, id.family(), report);
    let guard = guard(raw, id, report);
    let scheduler = scheduler?;
    let service = VirtualService {
        id,
        scheduler,
        scheduler_flags,
        ring_size,
        one_packet,
        persistence,
        guard,
        check,
        real_servers,
    };
    let slots = service.ring_slots();
    if slots > u64::from(RING_SLOTS_MAX) {
        report.refuse(at, Problem::RingTooLong { slots });
    } else if scheduler == Scheduler::Wrr && service.has_thresholds() && slots > u64::from(COMPARED_MAX) {
        report.refuse(at, Problem::RingTooLongForThresholds { slots });
    }
    Some(service)
}

/// What the service is for: an address and port, or a mark.
fn id(at: &Spanned<RawVirtualService>, report: &mut Report<'_>) -> Option<ServiceId> {
    let raw = at.get_ref();
    let protocol = raw.protocol.as_ref().map(|at| report.accept(at, |word| PROTOCOL.read(word)));
    let address = raw.address.as_ref().map(|at| report.accept(at, |text| address::service(text)));
    let family = raw.family.as_ref().map(|at| report.accept(at, |word| FAMILY.read(word)));
    let Some(mark) = &raw.mark else {
        if let Some(at) = &raw.family {
            report.refuse(at, Problem::FamilyOfAddress);
        }
        for (key, is_there) in [("protocol", protocol.is_some()), ("address", address.is_some())] {
            if !is_there {
                report.miss(at, key, Problem::NoEndpoint);
            }
        }
        let (protocol, (address, port)) = (protocol??, address??);
        return Some(ServiceId::Address { protocol, address, port });
    };
    for (key, at) in [("`protocol`", &raw.protocol), ("`address`", &raw.address)] {
        if let Some(at) = at {
            report.refuse(at, Problem::NotOfMark(key));
        }
    }
    let mark = report.accept(mark, |&mark| within(mark, &(1..=u32::MAX)))?;
    let family = family.unwrap_or(Some(Family::V4))?;
    Some(ServiceId::Mark { mark, family })
}

/// Addresses that no real server can have: packets would come back.
fn own_addresses(id: ServiceId, classes: &[Class]) -> BTreeSet<IpAddr> {
    let is_marked = |class: &Class, address| ServiceId::of_mark(class.mark, address) == id;
    let of_classes = classes
        .iter()
        .flat_map(|class| class.addresses.iter().copied().filter(|&address| is_marked(class, address)));
    id.address().into_iter().chain(of_classes).collect()
}

const fn may_be_udp(id: ServiceId) -> bool {
    matches!(id, ServiceId::Address { protocol: Protocol::Udp, .. } | ServiceId::Mark { .. })
}

/// A real server of a service on any port has none, unless it says so.
fn check_has_ports(
    check: Check,
    at: &Spanned<RawCheck>,
    real_servers: &[RealServer],
    report: &mut Report<'_>,
) {
    let CheckKind::Tcp { port: None } = check.kind else { return };
    if let Some(&RealServer { address, .. }) = real_servers.iter().find(|real_server| real_server.port == 0) {
        report.miss(at, "port", Problem::CheckWithoutPort { address });
    }
}

/// `scheduler`: `None` where it was refused, and then flags are not held against it.
fn scheduler_flags(
    raw: &[Spanned<String>],
    scheduler: Option<Scheduler>,
    report: &mut Report<'_>,
) -> SchedulerFlags {
    let mut flags = SchedulerFlags::default();
    let mut firsts = HashMap::new();
    for at in raw {
        let Some(flag) = report.accept(at, |word| SCHEDULER_FLAG.read(word)) else { continue };
        if let Some(first) = firsts.insert(at.get_ref(), at) {
            let what = format!("the flag {}", at.get_ref());
            report.refuse(at, Problem::Duplicate { what, line: report.line(first) });
        }
        let (SchedulerFlag::Port(of) | SchedulerFlag::Fallback(of)) = flag;
        if let Some(scheduler) = scheduler.filter(|&scheduler| scheduler != of) {
            let (of, scheduler) = (of.label(), scheduler.label());
            report.refuse(at, Problem::FlagOfAnother { flag: at.get_ref().clone(), of, scheduler });
        }
        match flag {
            SchedulerFlag::Port(_) => flags.port = true,
            SchedulerFlag::Fallback(_) => flags.fallback = true,
        }
    }
    flags
}

fn ring_size(raw: Option<&Spanned<i64>>, scheduler: Option<Scheduler>, report: &mut Report<'_>) -> RingSize {
    if let (Some(at), Some(scheduler)) = (raw, scheduler)
        && !matches!(scheduler, Scheduler::Mh | Scheduler::Maglev)
    {
        report.refuse(at, Problem::NoRingSize { scheduler: scheduler.label() });
        return RingSize::default();
    }
    report.accept_or(raw, RingSize::default(), |&value| {
        let size = u32::try_from(value).ok().and_then(RingSize::new);
        let nearest = RingSize::PRIMES.into_iter().min_by_key(|&slots| value.abs_diff(i64::from(slots)));
        size.ok_or(Problem::RingSize { value, nearest: nearest.unwrap_or_default() })
    })
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

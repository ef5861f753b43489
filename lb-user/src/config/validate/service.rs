//! `[[virtual_service]]`: a service, its scheduler, its check. Its real servers are judged elsewhere.

use std::{collections::HashMap, time::Duration};

use lb_common::director::COMPARED_MAX;
use lb_common::sched::Shape;
use lb_common::wire::RING_SLOTS_MAX;
use toml::Spanned;

use super::{Report, persistence::persistence, real_server::real_servers, within};
use crate::{
    config::{
        address,
        duration::{Limits, RawDuration},
        error::Problem,
        raw::{RawCheck, RawVirtualService},
        words::{CHECK_TYPE, CheckType, PROTOCOL, SCHEDULER, SCHEDULER_FLAG, SchedulerFlag},
    },
    model::{
        Check, CheckKind, ForwardMethod, Protocol, REAL_SERVERS_MAX, RealServer, RingSize, Scheduler,
        SchedulerFlags, ServiceId, VirtualService,
    },
};

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
    let scheduler_flags = scheduler_flags(&raw.scheduler_flags, scheduler, report);
    let ring_size = ring_size(raw.ring_size.as_ref(), scheduler, report);
    let check = raw.check.as_ref().and_then(|raw| check(raw, report));
    let (protocol, (address, port)) = (protocol?, address?);
    let id = ServiceId { protocol, address, port };
    if let (Some(raw), Some(Check { kind: CheckKind::Tcp { port: None }, .. })) = (&raw.check, &check)
        && protocol == Protocol::Sctp
    {
        report.refuse(&raw.kind, Problem::TcpCheckOfSctp);
    }

    if let Some(one_more) = raw.real_server.get(REAL_SERVERS_MAX) {
        report.refuse(one_more, Problem::TooManyRealServers);
    }
    if let (Some(one_more), Some(scheduler)) = (raw.real_server.get(COMPARED_MAX as usize), scheduler)
        && scheduler.shape() == Shape::Walk
    {
        report.refuse(one_more, Problem::TooManyToCompare { scheduler: scheduler.label() });
    }
    let real_servers = real_servers(&raw.real_server, id, report);
    let one_packet = raw.one_packet.as_ref().is_some_and(|at| *at.get_ref());
    if let Some(at) = raw.one_packet.as_ref().filter(|_| one_packet && protocol != Protocol::Udp) {
        report.refuse(at, Problem::OnePacketOfTcp);
    }
    let is_masqueraded = |server: &RealServer| server.forward == ForwardMethod::Masquerade;
    if let Some(at) =
        raw.one_packet.as_ref().filter(|_| one_packet && real_servers.iter().any(is_masqueraded))
    {
        report.refuse(at, Problem::OnePacketMasqueraded);
    }
    let persistence = persistence(raw, address, report);
    let scheduler = scheduler?;
    let service = VirtualService {
        id,
        scheduler,
        scheduler_flags,
        ring_size,
        one_packet,
        persistence,
        check,
        real_servers,
    };
    let slots = service.ring_slots();
    if slots > u64::from(RING_SLOTS_MAX) {
        report.refuse(at, Problem::RingTooLong { slots });
    }
    Some(service)
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

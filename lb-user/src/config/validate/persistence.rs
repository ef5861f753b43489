//! `persistent` and `netmask` of a service: for how long its clients are remembered, and who counts as one.

use std::{net::Ipv4Addr, time::Duration};

use super::Report;
use crate::{
    config::{
        duration::Limits,
        error::Problem,
        raw::{RawNetmask, RawPersistent, RawVirtualService},
    },
    model::{Family, Netmask, Persistence},
};

/// ipvsadm(8), `--persistent`: seconds, and no more than 31 days.
const TIMEOUT: Limits =
    Limits { range: Duration::from_secs(1)..=Duration::from_secs(31 * 86_400), told: "1 s to 31 days" };

/// `family` is the service's.
pub(super) fn persistence(
    raw: &RawVirtualService,
    family: Family,
    report: &mut Report<'_>,
) -> Option<Persistence> {
    let timeout = raw.persistent.as_ref().and_then(|at| match at.get_ref() {
        RawPersistent::Switch(false) => None,
        RawPersistent::Switch(true) => Some(Persistence::TIMEOUT),
        RawPersistent::Timeout(raw) => match raw.whole_seconds_within(&TIMEOUT) {
            Ok(timeout) => Some(timeout),
            Err(problem) => {
                report.refuse(at, problem);
                // Who has written one wants it: the netmask is not to be left out.
                Some(Persistence::TIMEOUT)
            }
        },
    });
    let whole = Netmask::whole(family);
    let mask = report.accept_or(raw.netmask.as_ref(), whole, |raw| netmask(raw, family));
    if let (None, Some(at)) = (timeout, &raw.netmask) {
        report.refuse(at, Problem::NetmaskAlone);
    }
    let timeout = timeout?;
    if let Some(at) = raw.one_packet.as_ref().filter(|at| *at.get_ref()) {
        report.refuse(at, Problem::PersistentOnePacket);
    }
    Some(Persistence { timeout, netmask: mask })
}

fn netmask(raw: &RawNetmask, family: Family) -> Result<Netmask, Problem> {
    match (raw, family) {
        (RawNetmask::Bits(bits), Family::V4) => {
            let bits = within(*bits, 32)?;
            Ok(Netmask::V4(Ipv4Addr::from_bits(u32::MAX << (32 - bits))))
        }
        (RawNetmask::Bits(bits), Family::V6) => Ok(Netmask::V6(within(*bits, 128)?)),
        (RawNetmask::Text(text), Family::V4) => match text.parse::<Ipv4Addr>() {
            Ok(Ipv4Addr::UNSPECIFIED) => Err(Problem::NetmaskBits { value: 0, max: 32 }),
            Ok(mask) => Ok(Netmask::V4(mask)),
            Err(_) => Err(Problem::NotANetmask(text.clone())),
        },
        (RawNetmask::Text(text), Family::V6) => Err(Problem::NotAPrefixLength(text.clone())),
    }
}

fn within(value: i64, max: u8) -> Result<u8, Problem> {
    u8::try_from(value)
        .ok()
        .filter(|bits| (1..=max).contains(bits))
        .ok_or(Problem::NetmaskBits { value, max })
}

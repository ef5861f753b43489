//! Which service a packet is for, in the order of IPVS (`ip_vs_service_find`, without what it does for FTP): the
//! one of its class's mark; the one of its address, protocol and port; the one of all ports.
//!
//! A packet meets the rules of its own address only, so many in a run of the program. It judges nothing but that.

use super::{Tables, Task};
use crate::verdict::Verdict;
use crate::wire::{
    Connection, RULE_ENDS_CLASS, RULE_ENDS_CLAUSE, RULE_NEGATED, RULES_MAX, Rule, RuleSpan, ServiceKey,
};

/// Rules that are looked at in one run. More are more to verify.
const RULES_A_RUN: u32 = RULES_MAX / 2;

/// How the rules before went: that they were looked for; and the places of two bits, whether the clause under way is
/// met, and whether one of its class isn't.
const IS_BEGUN: u32 = 1;
const MET: u32 = 1;
const FAILED: u32 = 2;

/// The index of a packet's service; nothing as long as there are rules to be looked at.
#[inline(always)]
pub(super) fn service<T: Tables>(tables: &T, task: &mut Task) -> Result<Option<u32>, Verdict> {
    let [high, low, rest]: [u64; 3] = bytemuck::cast(task.flow.service);
    // Port and protocol, and above them the family.
    let family = rest & 0xff00_0000;
    if task.classes == 0 {
        let address: ServiceKey = bytemuck::cast([high, low, family]);
        (task.rules, task.classes) = (tables.rules(&address).to_word(), u64::from(IS_BEGUN));
    }
    let Some(mark) = mark(tables, task) else { return Ok(None) };
    // Forgotten: by which rule it was found.
    let mark = tables.forget(mark);
    if mark != 0
        && let Some(service) = tables.service(&bytemuck::cast([u64::from(mark.to_be()), 0, family]))
    {
        return Ok(Some(service));
    }
    if let Some(service) = tables.service(&task.flow.service) {
        return Ok(Some(service));
    }
    // All ports of the same protocol.
    match tables.service(&bytemuck::cast([high, low, rest & !0xffff])) {
        Some(service) => Ok(Some(service)),
        None if mark == 0 => Err(Verdict::NoService),
        None => Err(Verdict::NoMarkedService),
    }
}

/// The mark of the first class that matches, 0 if none does; nothing as long as there are rules to be looked at.
#[inline(always)]
fn mark<T: Tables>(tables: &T, task: &mut Task) -> Option<u32> {
    let seen = Seen::of(&task.connection);
    let RuleSpan { mut first, mut rules } = RuleSpan::from_word(task.rules);
    let mut went = task.classes as u32;
    for _ in 0..RULES_A_RUN {
        if rules == 0 {
            return Some(0);
        }
        let Some(rule) = tables.rule(first) else { return Some(0) };
        let (then, matches) = follow(went, rule, &seen);
        if matches {
            return Some(rule.mark);
        }
        // Forgotten: which rules went how would be a path of its own through all that follow.
        went = tables.forget(then);
        (first, rules) = (first.wrapping_add(1), rules.wrapping_sub(1));
    }
    if rules == 0 {
        return Some(0);
    }
    (task.rules, task.classes) = (RuleSpan { first, rules }.to_word(), u64::from(went));
    None
}

/// What rules are about.
struct Seen {
    source: [u64; 2],
    link: u64,
    interface: u32,
    port: u32,
}

impl Seen {
    #[inline(always)]
    const fn of(connection: &Connection) -> Self {
        // Where a frame to the client goes is where this one came from.
        let [a, b, _] = connection.ethernet;
        let protocol = connection.kind & 0xff;
        Self {
            source: connection.client,
            link: a as u64 | (b as u64 & 0xffff) << 32 | (protocol as u64) << 48,
            interface: connection.interface,
            port: u16::from_be((connection.ports >> 16) as u16) as u32,
        }
    }
}

/// Goes on by one rule; and whether its class ends with it and matches.
// Arithmetic: each branch would be two paths.
#[inline(always)]
fn follow(went: u32, rule: &Rule, seen: &Seen) -> (u32, bool) {
    let bit = |flag: u64| (rule.link_mask >> flag.trailing_zeros()) as u32 & 1;
    let (ends_clause, ends_class) = (bit(RULE_ENDS_CLAUSE), bit(RULE_ENDS_CLASS));
    let holds = holds(rule, seen) ^ bit(RULE_NEGATED);
    let met = holds | (went >> MET & 1);
    let failed = (ends_clause & !met) | (went >> FAILED & 1);
    let matches = ends_class & !failed == 1;
    let (met, failed) = (met & !ends_clause & 1, failed & !ends_class & 1);
    (IS_BEGUN | met << MET | failed << FAILED, matches)
}

/// 1 if all conditions of a rule hold, else 0.
#[inline(always)]
const fn holds(rule: &Rule, seen: &Seen) -> u32 {
    let [first, last] = rule.ports;
    let below = seen.port.wrapping_sub(first as u32) >> 31;
    let above = (last as u32).wrapping_sub(seen.port) >> 31;
    let differs = (seen.source[0] ^ rule.source[0]) & rule.source_mask[0]
        | (seen.source[1] ^ rule.source[1]) & rule.source_mask[1]
        | (seen.link ^ rule.link) & rule.link_mask
        | ((seen.interface ^ rule.interface) & rule.interface_mask) as u64
        | (below | above) as u64;
    ((differs | differs.wrapping_neg()) >> 63) as u32 ^ 1
}

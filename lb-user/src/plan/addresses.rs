//! Which addresses are services', and the rules of classes that each has. Pure.
//!
//! An address keeps its place as long as it is one. Addresses with the same rules share them, so that a class for
//! many addresses takes no more room than for one.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::wire::{Rule, RuleSpan, ServiceKey};

use super::{Full, Wanted, admission, first_free, first_gap};
use crate::dataplane::{Change, Held};

/// The changes of addresses and rules.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Rules: when keys of new services are known, and those that go still are.
    pub(super) early: Vec<Change>,
    /// Addresses, and the filter in front: when all is known that they lead to.
    pub(super) late: Vec<Change>,
}

impl Addresses {
    pub(super) fn new(held: &Held, wanted: &Wanted) -> Result<Self, Full> {
        let addresses = addresses(wanted);
        let mut changes = Self::default();
        let mut places: BTreeMap<ServiceKey, u32> = BTreeMap::new();
        let mut taken: BTreeSet<u32> = held.addresses.values().map(|address| address.place).collect();
        let mut rules = Rules::new(held);
        let room = held.settings.services + held.settings.class_addresses;
        if addresses.len() > room as usize {
            return Err(Full { table: "class_addresses", room: held.settings.class_addresses });
        }
        let has_rules = addresses.values().any(|rules| !rules.is_empty());
        if has_rules && held.settings.has_rules == 0 {
            changes.early.push(Change::SetHasRules(true));
        }
        for (&key, &wanted) in &addresses {
            let before = held.addresses.get(&key);
            let place = match before {
                Some(before) => before.place,
                // There are twice as many places as addresses.
                None => first_free(&taken, 0, 2 * room).ok_or(Full { table: "class_addresses", room })?,
            };
            taken.insert(place);
            places.insert(key, place);
            if before.is_none_or(|before| before.rules != *wanted) {
                let rules = rules.span(wanted, &mut changes.early)?;
                changes.early.push(Change::PublishRules { place, rules });
            }
        }
        if !held.addresses.keys().eq(addresses.keys()) {
            // In front of the filter: what that admits is known by then.
            changes.late.push(Change::SetAddresses(places));
            changes.late.push(Change::SetAdmission(Box::new(admission(addresses.keys()))));
        }
        if !has_rules && held.settings.has_rules != 0 {
            changes.late.push(Change::SetHasRules(false));
        }
        Ok(changes)
    }
}

/// The addresses that are services', and their rules.
fn addresses(wanted: &Wanted) -> BTreeMap<ServiceKey, &[Rule]> {
    let keys: BTreeSet<ServiceKey> = wanted.services.iter().map(|service| service.key).collect();
    let own: BTreeSet<_> =
        keys.iter().filter(|key| key.mark().is_none()).map(|key| key.address_only()).collect();
    let is_marked =
        |address: &ServiceKey, rule: &Rule| keys.contains(&ServiceKey::of_mark(rule.mark, address.family()));
    let mut addresses: BTreeMap<ServiceKey, &[Rule]> =
        own.iter().map(|&address| (address, &[][..])).collect();
    for (&address, rules) in &wanted.rules {
        if own.contains(&address) || rules.iter().any(|rule| is_marked(&address, rule)) {
            addresses.insert(address, rules);
        }
    }
    addresses
}

/// The map of rules: what lies where.
struct Rules {
    lies: BTreeMap<Vec<Rule>, RuleSpan>,
    /// What is in use, and what this plan replaces.
    spans: BTreeSet<(u32, u32)>,
    room: u32,
}

impl Rules {
    fn new(held: &Held) -> Self {
        let used = || held.addresses.values().filter(|address| address.span.rules > 0);
        Self {
            lies: used().map(|address| (address.rules.clone(), address.span)).collect(),
            spans: used().map(|address| (address.span.first, address.span.rules)).collect(),
            room: held.settings.class_rules,
        }
    }

    /// Where these rules lie, or are to.
    fn span(&mut self, rules: &[Rule], changes: &mut Vec<Change>) -> Result<RuleSpan, Full> {
        if rules.is_empty() {
            return Ok(RuleSpan::default());
        }
        if let Some(&span) = self.lies.get(rules) {
            return Ok(span);
        }
        let (count, room) = (rules.len() as u32, self.room);
        let first = first_gap(&self.spans, count, room).ok_or(Full { table: "class_rules", room })?;
        let span = RuleSpan { first, rules: count };
        self.spans.insert((first, count));
        self.lies.insert(rules.to_vec(), span);
        changes.push(Change::WriteRules { first, rules: rules.to_vec() });
        Ok(span)
    }
}

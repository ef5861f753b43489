//! The services' addresses in the kernel's tables, and the rules of classes that each finds by its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Release;

use aya::maps::MapError;
use lb_common::wire::{Rule, RuleSpan, ServiceKey};

use super::kernel::{KernelDataplane, key_bytes};
use super::{Error, Held, HeldAddress};

const fn of_addresses(source: MapError) -> Error {
    Error::Map { map: "ADDRESSES", source }
}

impl KernelDataplane {
    pub(super) fn read_addresses(&self, held: &mut Held) -> Result<(), Error> {
        for pair in &self.addresses {
            let (key, place) = pair.map_err(of_addresses)?;
            let span = RuleSpan::from_word(self.rule_spans.read(place as usize));
            let (first, rules) = (span.first as usize, span.rules as usize);
            let rules = (first..first + rules).map(|index| self.rules.read(index)).collect();
            held.addresses.insert(bytemuck::cast(key), HeldAddress { place, span, rules });
        }
        Ok(())
    }

    pub(super) fn set_addresses(&mut self, addresses: &BTreeMap<ServiceKey, u32>) -> Result<(), Error> {
        let held: Result<BTreeSet<[u8; size_of::<ServiceKey>()]>, MapError> = self.addresses.keys().collect();
        let held = held.map_err(of_addresses)?;
        let wanted: BTreeMap<_, u32> =
            addresses.iter().map(|(&key, &place)| (key_bytes(key), place)).collect();
        for key in held.iter().filter(|key| !wanted.contains_key(*key)) {
            self.addresses.remove(key).map_err(of_addresses)?;
        }
        for (key, place) in wanted.iter().filter(|(key, _)| !held.contains(*key)) {
            self.addresses.insert(key, place, 0).map_err(of_addresses)?;
        }
        Ok(())
    }

    pub(super) fn write_rules(&self, first: u32, rules: &[Rule]) {
        for (index, rule) in (first as usize..).zip(rules) {
            self.rules.write(index, *rule);
        }
    }

    pub(super) fn publish_rules(&self, place: u32, rules: RuleSpan) {
        self.rule_spans.word(place as usize, 0).store(rules.to_word(), Release);
    }
}

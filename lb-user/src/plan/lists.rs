//! Lists of sources: a service's list is replaced as a whole, since packets ask it all the time.
//!
//! A new one is written under a number that nobody names, published in one word, and the old one goes later: when
//! the daemon gives back what is not named, or when its number is needed again.

use std::collections::BTreeMap;

use lb_common::wire::{Guard, Prefix};

use super::{Full, Plan};
use crate::dataplane::{Change, Held};

impl Plan<'_> {
    /// The number of the list with these sources for the service at an index; it is written, if it isn't held.
    pub(super) fn list(&mut self, index: u32, sources: &BTreeMap<Prefix, bool>) -> Result<u32, Full> {
        let held = self.held;
        if sources.is_empty() {
            return Ok(0);
        }
        let sources = with_default(sources);
        let named = held.services.get(&index).map_or(0, |service| service.list);
        if held.lists.get(&named) == Some(&sources) {
            return Ok(named);
        }
        let [first, second] = Guard::lists(index);
        let list = if named == first { second } else { first };
        if let Some(stale) = held.lists.get(&list) {
            self.listed -= stale.len();
            self.early.push(Change::RemoveSources { list, sources: stale.keys().copied().collect() });
        }
        self.listed += sources.len();
        let room = held.settings.sources;
        if self.listed > room as usize {
            return Err(Full { table: "sources", room });
        }
        self.early.push(Change::PutSources { list, sources });
        Ok(list)
    }
}

/// The changes that take away lists that no service names.
pub(super) fn unnamed(held: &Held) -> impl Iterator<Item = Change> + '_ {
    let is_named = |list| held.services.values().any(|service| service.list == list);
    held.lists
        .iter()
        .filter(move |&(&list, _)| !is_named(list))
        .map(|(&list, sources)| Change::RemoveSources { list, sources: sources.keys().copied().collect() })
}

/// A list that says of everybody whether they may, if it says so of somebody: those that it doesn't name may not.
fn with_default(sources: &BTreeMap<Prefix, bool>) -> BTreeMap<Prefix, bool> {
    let mut sources = sources.clone();
    let families: Vec<_> =
        sources.iter().filter(|(_, is_allowed)| **is_allowed).map(|(prefix, _)| prefix.is_v6).collect();
    for is_v6 in families {
        sources.entry(Prefix { is_v6, bits: 0, address: [0; 16] }).or_insert(false);
    }
    sources
}

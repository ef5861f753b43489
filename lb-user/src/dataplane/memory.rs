//! The twin of the kernel's tables: the same changes, carried out on tables in memory.

use lb_common::host::MemoryTables;
use lb_common::wire::{Admission, RingSpan, RuleSpan, Service, Settings, peer_bit};

use super::{Change, Dataplane, Error, Held, HeldAddress, HeldDestination, HeldService, remove_sources};

/// A director's tables in memory, for tests and rehearsals.
pub struct MemoryDataplane {
    /// The tables, on which `lb_common::director::direct` decides.
    pub tables: MemoryTables,
    held: Held,
}

impl MemoryDataplane {
    /// Empty tables.
    pub fn new(settings: Settings) -> Self {
        Self { tables: MemoryTables::new(settings), held: Held::empty(settings) }
    }
}

impl Dataplane for MemoryDataplane {
    fn held(&self) -> Result<Held, Error> {
        let mut held = Held::empty(self.tables.settings);
        held.peers = self.tables.peers.iter().map(|&word| bytes_of_peer(word)).collect();
        held.interfaces.clone_from(&self.held.interfaces);
        for (&key, &index) in &self.tables.service_index {
            let service = self.tables.services[index as usize];
            let span = RingSpan::from_word(service.ring);
            let ring = self.tables.rings[span.first as usize..][..span.slots as usize].to_vec();
            let Service { scheduler, flags, new_flows, list, persistence, .. } = service;
            let service = HeldService { key, scheduler, flags, new_flows, list, persistence, span, ring };
            held.services.insert(index, service);
        }
        held.lists.clone_from(&self.tables.guards.lists);
        for (number, head) in (0..).zip(&self.tables.heads).filter(|(_, head)| head.record != 0) {
            let destination = self.tables.destinations[head.record as usize];
            held.destinations.insert(number, HeldDestination { head: *head, destination });
        }
        for (&key, &place) in &self.tables.addresses {
            let span = RuleSpan::from_word(self.tables.rule_spans[place as usize]);
            let rules = self.tables.rules[span.first as usize..][..span.rules as usize].to_vec();
            held.addresses.insert(key, HeldAddress { place, span, rules });
        }
        Ok(held)
    }

    fn picks(&self, service: u32) -> u64 {
        self.tables.picks(service)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        let tables = &mut self.tables;
        match change {
            Change::AddInterface(interface) => drop(self.held.interfaces.insert(*interface)),
            Change::RemoveInterface(interface) => drop(self.held.interfaces.remove(interface)),
            Change::SetPeers(peers) => {
                tables.peers = peers.iter().copied().map(word_of_peer).collect();
                tables.settings.peer_filter = peer_filter(peers);
            }
            Change::SetTimeouts(timeouts) => tables.settings.timeouts = *timeouts,
            Change::SetOptions(options) => tables.settings.options = *options,
            Change::PutDestination { number, head, destination, is_new } => {
                if *is_new {
                    tables.clear_counters(*number);
                }
                tables.destinations[head.record as usize] = *destination;
                tables.limit(*number, destination.upper, destination.lower);
                tables.heads[*number as usize] = *head;
            }
            Change::FlagDestination { number, head } => tables.heads[*number as usize] = *head,
            Change::FreeDestination(number) => {
                tables.heads[*number as usize] = bytemuck::Zeroable::zeroed();
                tables.guards.retain_localities(|_, locality| locality.number != *number);
            }
            Change::WriteRing { first, slots } => {
                tables.rings[*first as usize..][..slots.len()].copy_from_slice(slots);
            }
            Change::PutService { index, service } => {
                tables.services[*index as usize] = *service;
                tables.set_picks(*index, service.picks);
            }
            Change::PublishRing { index, ring, picks, scheduler, flags, new_flows } => {
                let service = &mut tables.services[*index as usize];
                (service.scheduler, service.flags, service.new_flows) = (*scheduler, *flags, *new_flows);
                service.ring = ring.to_word();
                tables.set_picks(*index, *picks);
            }
            Change::AddKey(key, index) => drop(tables.service_index.insert(*key, *index)),
            Change::RemoveKey(key) => drop(tables.service_index.remove(key)),
            Change::SetPersistence { index, persistence } => {
                tables.services[*index as usize].persistence = *persistence;
            }
            Change::FreeService(index) => {
                tables.services[*index as usize] = bytemuck::Zeroable::zeroed();
                tables.forget_clients(*index);
                tables.guards.forget_service(*index);
            }
            Change::PutSources { list, sources } => {
                tables.guards.lists.entry(*list).or_default().extend(sources);
            }
            Change::RemoveSources { list, sources } => {
                remove_sources(&mut tables.guards.lists, *list, sources);
            }
            Change::PublishList { index, list } => tables.services[*index as usize].list = *list,
            Change::WriteRules { first, rules } => {
                tables.rules[*first as usize..][..rules.len()].copy_from_slice(rules);
            }
            Change::PublishRules { place, rules } => tables.rule_spans[*place as usize] = rules.to_word(),
            Change::SetAddresses(addresses) => {
                tables.addresses = addresses.iter().map(|(&key, &place)| (key, place)).collect();
            }
            Change::SetHasRules(has_rules) => tables.settings.has_rules = u32::from(*has_rules),
            Change::SetAdmission(admission) => tables.admission = Admission::clone(admission),
            Change::SetSources(sources) => {
                tables.settings.masquerades = u64::from(sources.is_some());
                tables.sources = sources.as_deref().copied().unwrap_or(Admission::EMPTY);
            }
        }
        Ok(())
    }
}

/// An Ethernet address as the tables have it: in the low six bytes of a native word.
pub(super) fn word_of_peer([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// Back again.
pub(super) fn bytes_of_peer(word: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, _, _] = word.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The filter that stands before the look-up of a peer.
pub(super) fn peer_filter<'a>(peers: impl IntoIterator<Item = &'a [u8; 6]>) -> u64 {
    peers.into_iter().fold(0, |filter, peer| filter | 1 << peer_bit(word_of_peer(*peer)))
}

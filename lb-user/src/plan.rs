//! From what the tables hold and what is wanted to the changes between them. Pure.
//!
//! The order of the changes is such that no packet meets a half state: records before rings, rings
//! before keys, keys before the admission filter; and away again the other way round.

use std::collections::{BTreeMap, BTreeSet};

use bytemuck::Zeroable as _;
use lb_common::wire::{
    Admission, DESTINATION_DOWN, DESTINATION_PAIRED, DESTINATION_REMOVED, DESTINATION_REPLY, Destination,
    DestinationHead, FORWARD_MASQUERADE, FORWARD_REPLY, Family, Options, Persistence, Prefix, RingSpan, Rule,
    SERVICE_FALLBACK, SERVICE_GUARDED, SERVICE_ONE_PACKET, SERVICE_PERSISTENT, SERVICE_PORT,
    SERVICE_THRESHOLDS, Service, ServiceKey, Timeouts, admission_bit_v4, admission_bit_v6,
};

use crate::dataplane::{Change, Held, HeldDestination};
use crate::model::{RingSize, Scheduler, SchedulerFlags};
use addresses::Addresses;
use rings::{Rings, Server};

mod addresses;
mod lists;
mod rings;

/// What maglev's rings are made with. Directors that have the same one send a client to the same real server;
/// a key that they share is to take its place.
pub const MAGLEV_SEED: [u64; 2] = [0, 0];

/// What the tables are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// All services; no key twice.
    pub services: Vec<WantedService>,
    /// The rules of classes, by [`ServiceKey::address_only`]. Of an address that would be no service's, nothing is
    /// kept: it is one if it has a service of its own, or a rule whose mark has a service.
    pub rules: BTreeMap<ServiceKey, Vec<Rule>>,
    /// Ethernet addresses of peer directors.
    pub peers: BTreeSet<[u8; 6]>,
    /// Interfaces (ifindex) that packets may leave by.
    pub interfaces: BTreeSet<u32>,
    /// Idle timeouts.
    pub timeouts: Timeouts,
    /// What the operator chose about connections.
    pub options: Options,
}

/// A service, and its real servers in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedService {
    /// Who it is.
    pub key: ServiceKey,
    /// How it picks.
    pub scheduler: Scheduler,
    /// What the scheduler is told besides.
    pub flags: SchedulerFlags,
    /// Whether every datagram is scheduled for itself (`ipvsadm -o`).
    pub one_packet: bool,
    /// How it remembers clients (`ipvsadm -p`).
    pub persistence: Persistence,
    /// How many slots mh and maglev have; others don't ask.
    pub ring_size: RingSize,
    /// What maglev's ring is made with; others don't ask.
    pub seed: [u64; 2],
    /// How many flows each CPU may open in a tick; 0: any number.
    pub new_flows: u32,
    /// From where flows may be opened, and from where not. What is in none may, unless something else may.
    pub sources: BTreeMap<Prefix, bool>,
    /// Its real servers.
    pub destinations: Vec<WantedDestination>,
}

impl WantedService {
    /// One without flags and persistence, its ring of the usual size, made with [`MAGLEV_SEED`].
    pub fn new(key: ServiceKey, scheduler: Scheduler, destinations: Vec<WantedDestination>) -> Self {
        Self {
            key,
            scheduler,
            flags: SchedulerFlags::default(),
            one_packet: false,
            persistence: Persistence::NONE,
            ring_size: RingSize::default(),
            seed: MAGLEV_SEED,
            new_flows: 0,
            sources: BTreeMap::new(),
            destinations,
        }
    }

    /// Whether some of its real servers can be overloaded.
    fn has_thresholds(&self) -> bool {
        self.destinations.iter().any(|wanted| wanted.destination.upper != 0)
    }
}

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedDestination {
    /// The record that forwarding needs; [`Destination::weight`] is the weight.
    pub destination: Destination,
    /// Whether it may be given new connections.
    pub health: Health,
}

/// What is known of a real server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Never checked: no new connections, but those that it has stay.
    Unknown,
    /// Its check passes, or it has none.
    Up,
    /// Its check fails.
    Down,
}

/// A table that is too small for what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table} is full: it has room for {room}; raise [tables] {table} and restart after `lb stop`")]
pub struct Full {
    /// The table, by its key in the config.
    pub table: &'static str,
    /// How many it can hold.
    pub room: u32,
}

/// The changes from what is held to what is wanted, in order. `picks` tells how many picks a service made.
pub fn plan(held: &Held, wanted: &Wanted, picks: impl Fn(u32) -> u64) -> Result<Vec<Change>, Full> {
    let mut plan = Plan::new(held);
    plan.settings(wanted);
    for service in &wanted.services {
        plan.service(service, &picks)?;
    }
    let addresses = Addresses::new(held, wanted)?;
    Ok(plan.finish(addresses))
}

/// The changes that give back destinations that were removed, and that no connection names: `is_named` asks; and lists
/// of sources that no service names any more.
pub fn free(held: &Held, is_named: impl Fn(u32) -> bool) -> Vec<Change> {
    held.destinations
        .iter()
        .filter(|&(&number, held)| held.head.flags & DESTINATION_REMOVED != 0 && !is_named(number))
        .map(|(&number, _)| Change::FreeDestination(number))
        .chain(lists::unnamed(held))
        .collect()
}

/// What makes a destination the same one.
type Identity = (ServiceKey, [u8; 16], [u8; 2], u8);

fn identity(destination: &Destination) -> Identity {
    (destination.service, destination.address, destination.port, destination.forward)
}

struct Plan<'a> {
    held: &'a Held,
    numbers: BTreeMap<Identity, u32>,
    indices: BTreeMap<ServiceKey, u32>,
    /// Numbers and indices that are taken, those of this plan included.
    taken_numbers: BTreeSet<u32>,
    taken_indices: BTreeSet<u32>,
    /// Parts of the map of rings that are in use, those that this plan replaces included.
    spans: BTreeSet<(u32, u32)>,
    kept_numbers: BTreeSet<u32>,
    kept_services: BTreeSet<ServiceKey>,
    /// Addresses of masqueraded real servers, [`ServiceKey::address_only`].
    sources: BTreeSet<ServiceKey>,
    /// Prefixes that lists have, those of this plan included.
    listed: usize,
    early: Vec<Change>,
    rings: Vec<Change>,
    late: Vec<Change>,
}

impl<'a> Plan<'a> {
    fn new(held: &'a Held) -> Self {
        Self {
            held,
            numbers: held
                .destinations
                .iter()
                .map(|(&number, held)| (identity(&held.destination), number))
                .collect(),
            indices: held.services.iter().map(|(&index, service)| (service.key, index)).collect(),
            taken_numbers: held.destinations.keys().copied().collect(),
            taken_indices: held.services.keys().copied().collect(),
            spans: held
                .services
                .values()
                .filter(|service| service.span.slots > 0)
                .map(|service| (service.span.first, service.span.slots))
                .collect(),
            kept_numbers: BTreeSet::new(),
            kept_services: BTreeSet::new(),
            sources: BTreeSet::new(),
            listed: held.lists.values().map(BTreeMap::len).sum(),
            early: Vec::new(),
            rings: Vec::new(),
            late: Vec::new(),
        }
    }

    fn settings(&mut self, wanted: &Wanted) {
        let held = self.held;
        self.early
            .extend(wanted.interfaces.difference(&held.interfaces).map(|&index| Change::AddInterface(index)));
        self.late.extend(
            held.interfaces.difference(&wanted.interfaces).map(|&index| Change::RemoveInterface(index)),
        );
        if wanted.peers != held.peers {
            self.early.push(Change::SetPeers(wanted.peers.clone()));
        }
        if wanted.timeouts != held.settings.timeouts {
            self.early.push(Change::SetTimeouts(wanted.timeouts));
        }
        if wanted.options != held.settings.options {
            self.early.push(Change::SetOptions(wanted.options));
        }
    }

    fn service(&mut self, wanted: &WantedService, picks: impl Fn(u32) -> u64) -> Result<(), Full> {
        self.kept_services.insert(wanted.key);
        let mut servers = Vec::with_capacity(wanted.destinations.len());
        for destination in &wanted.destinations {
            let number = self.real_server(destination)?;
            servers.push(Server::new(number, destination));
        }
        let index = self.indices.get(&wanted.key).copied();
        let rings = Rings::new(self.held, index, wanted, servers);
        let ring = rings.ring();
        let (scheduler, flags) = (wanted.scheduler.number(), flag_bits(wanted));
        let (key, new_flows) = (wanted.key, wanted.new_flows);
        let Some(index) = index else {
            let index = self.free_index()?;
            let list = self.list(index, &wanted.sources)?;
            let ring = self.write_ring(ring)?.to_word();
            let persistence = wanted.persistence;
            let service = Service {
                ring,
                key,
                scheduler,
                flags,
                new_flows,
                list,
                persistence,
                ..bytemuck::Zeroable::zeroed()
            };
            self.rings.push(Change::PutService { index, service });
            self.rings.push(Change::AddKey(wanted.key, index));
            return Ok(());
        };
        let held = &self.held.services[&index];
        if held.persistence != wanted.persistence {
            // In front of the flag that lets packets ask for it.
            let persistence = wanted.persistence;
            self.rings.push(Change::SetPersistence { index, persistence });
        }
        let list = self.list(index, &wanted.sources)?;
        if held.list != list {
            self.rings.push(Change::PublishList { index, list });
        }
        if (&held.ring, held.scheduler, held.flags, held.new_flows) == (&ring, scheduler, flags, new_flows) {
            return Ok(());
        }
        let picks = rings.resume(picks(index));
        let ring = self.write_ring(ring)?;
        self.rings.push(Change::PublishRing { index, ring, picks, scheduler, flags, new_flows });
        Ok(())
    }

    /// Puts a real server under its number; if it is masqueraded, its replies under one of their own first.
    fn real_server(&mut self, wanted: &WantedDestination) -> Result<u32, Full> {
        let mut wanted = *wanted;
        if wanted.destination.forward == FORWARD_MASQUERADE {
            wanted.destination.reply = self.destination(&reply(&wanted.destination))?;
            self.sources.insert(wanted.destination.address_key());
        }
        self.destination(&wanted)
    }

    /// Puts a destination under its number, or a new one.
    fn destination(&mut self, wanted: &WantedDestination) -> Result<u32, Full> {
        let WantedDestination { destination, health } = wanted;
        let is_down = if *health == Health::Down { DESTINATION_DOWN } else { 0 };
        let flags = is_down | direction(destination);
        let Some(&number) = self.numbers.get(&identity(destination)) else {
            let number = self.free_number()?;
            let head = DestinationHead { record: 2 * number, flags };
            let destination = *destination;
            self.early.push(Change::PutDestination { number, head, destination, is_new: true });
            return Ok(number);
        };
        self.kept_numbers.insert(number);
        let held = self.held.destinations[&number];
        if held.destination != *destination {
            // The other one of its two records: nothing has named it for a while.
            let head = DestinationHead { record: held.head.record ^ 1, flags };
            let destination = *destination;
            self.early.push(Change::PutDestination { number, head, destination, is_new: false });
        } else if held.head.flags != flags {
            let change = Change::FlagDestination { number, head: DestinationHead { flags, ..held.head } };
            // Up before a ring names it, down after none does.
            if is_down == 0 { self.early.push(change) } else { self.late.push(change) }
        }
        Ok(number)
    }

    fn write_ring(&mut self, slots: Vec<u32>) -> Result<RingSpan, Full> {
        let (count, room) = (slots.len() as u32, self.held.settings.ring_slots);
        let first = first_gap(&self.spans, count, room).ok_or(Full { table: "ring_slots", room })?;
        let span = RingSpan { first, slots: count };
        if span.slots > 0 {
            self.spans.insert((span.first, span.slots));
            self.rings.push(Change::WriteRing { first: span.first, slots });
        }
        Ok(span)
    }

    fn free_number(&mut self) -> Result<u32, Full> {
        let end = self.held.settings.destinations;
        let number =
            first_free(&self.taken_numbers, 1, end).ok_or(Full { table: "destinations", room: end - 1 })?;
        self.taken_numbers.insert(number);
        Ok(number)
    }

    fn free_index(&mut self) -> Result<u32, Full> {
        let end = self.held.settings.services;
        let index = first_free(&self.taken_indices, 0, end).ok_or(Full { table: "services", room: end })?;
        self.taken_indices.insert(index);
        Ok(index)
    }

    fn finish(mut self, mut addresses: Addresses) -> Vec<Change> {
        let mut gone = Vec::new();
        // Behind the keys of new services, in front of those that go: whoever is marked finds the service.
        self.rings.append(&mut addresses.early);
        for (&index, service) in &self.held.services {
            if !self.kept_services.contains(&service.key) {
                self.rings.push(Change::RemoveKey(service.key));
                gone.push(Change::FreeService(index));
            }
        }
        for (&number, held) in &self.held.destinations {
            if !self.kept_numbers.contains(&number) && held.head.flags & DESTINATION_REMOVED == 0 {
                let head = DestinationHead { flags: held.head.flags | DESTINATION_REMOVED, ..held.head };
                self.late.push(Change::FlagDestination { number, head });
            }
        }
        let are = |held: &&HeldDestination| {
            held.destination.forward == FORWARD_MASQUERADE && held.head.flags & DESTINATION_REMOVED == 0
        };
        let masqueraded = self.held.destinations.values().filter(are);
        let before: BTreeSet<_> = masqueraded.map(|held| held.destination.address_key()).collect();
        if before != self.sources {
            let filter = (!self.sources.is_empty()).then(|| Box::new(admission(self.sources.iter())));
            // Before a ring names the first of them, and after none does.
            let changes = if self.sources.is_empty() { &mut self.late } else { &mut self.early };
            changes.push(Change::SetSources(filter));
        }
        self.rings.append(&mut addresses.late);
        let mut changes = self.early;
        changes.append(&mut self.rings);
        changes.append(&mut gone);
        changes.append(&mut self.late);
        changes
    }
}

/// The destination of what a masqueraded real server answers: it is there as long as that is, up or down.
fn reply(real_server: &Destination) -> WantedDestination {
    let Destination { address, port, service, .. } = *real_server;
    let destination = Destination { address, port, service, forward: FORWARD_REPLY, ..Destination::zeroed() };
    WantedDestination { destination, health: Health::Up }
}

/// Flags of a head that say which way the connections of its entries go.
const fn direction(destination: &Destination) -> u32 {
    match destination.forward {
        FORWARD_MASQUERADE => DESTINATION_PAIRED,
        FORWARD_REPLY => DESTINATION_PAIRED | DESTINATION_REPLY,
        _ => 0,
    }
}

/// As in [`Service::flags`].
fn flag_bits(service: &WantedService) -> u8 {
    let SchedulerFlags { port, fallback } = service.flags;
    (if port { SERVICE_PORT } else { 0 })
        | (if fallback { SERVICE_FALLBACK } else { 0 })
        | (if service.one_packet { SERVICE_ONE_PACKET } else { 0 })
        | (if service.persistence.is_some() { SERVICE_PERSISTENT } else { 0 })
        | (if service.has_thresholds() { SERVICE_THRESHOLDS } else { 0 })
        | (if service.new_flows > 0 || !service.sources.is_empty() { SERVICE_GUARDED } else { 0 })
}

fn admission<'a>(keys: impl Iterator<Item = &'a ServiceKey>) -> Admission {
    let mut admission = Admission::EMPTY;
    for key in keys {
        admission.admit(match key.family() {
            Family::V4 => {
                let [word, ..]: [u32; 4] = bytemuck::cast(key.address);
                admission_bit_v4(word)
            }
            Family::V6 => {
                let [high, low]: [u64; 2] = bytemuck::cast(key.address);
                admission_bit_v6(high, low)
            }
        });
    }
    admission
}

/// The beginning of the first gap between spans (first, length) that is wide enough; 0 for nothing.
fn first_gap(spans: &BTreeSet<(u32, u32)>, width: u32, room: u32) -> Option<u32> {
    let mut first = 0;
    for &(begin, length) in spans {
        if begin.saturating_sub(first) >= width {
            break;
        }
        first = begin + length;
    }
    (width <= room && first <= room - width).then_some(if width == 0 { 0 } else { first })
}

fn first_free(taken: &BTreeSet<u32>, begin: u32, end: u32) -> Option<u32> {
    let mut free = begin;
    for &number in taken.range(begin..) {
        if number > free {
            break;
        }
        free = number + 1;
    }
    (free < end).then_some(free)
}

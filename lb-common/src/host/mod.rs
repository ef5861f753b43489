//! Tables in memory: the same decision, run outside the kernel by tests and rehearsals.
//!
//! Any number of threads may decide on them at the same time, as CPUs do on the kernel's.

mod guard;
mod load;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use crate::director::{self, Entered, FlowLine, Record, Tables, Task};
use crate::sched::Scheduler;
use crate::verdict::{Action, Verdict};
use crate::wire::{
    Admission, Clock, Connection, Counters, DESTINATION_DOWN, DESTINATION_REMOVED, Destination,
    DestinationHead, EMPTY, Edit, Guard, LINE_SLOTS, Line, Load, LocalityKey, Options, Persistence, Place,
    RingSpan, Rule, RuleSpan, Service, ServiceKey, Settings, State, Template, Tick, peer_bit,
};

pub use guard::MemoryGuards;
use load::MemoryLoad;

/// One director's tables, sized by its settings.
pub struct MemoryTables {
    /// The director's settings.
    pub settings: Settings,
    /// The admission filter.
    pub admission: Admission,
    /// The filter of masqueraded real servers' addresses.
    pub sources: Admission,
    /// Addresses of services, by [`ServiceKey::address_only`]: indices in [`Self::rule_spans`].
    pub addresses: HashMap<ServiceKey, u32>,
    /// Where the rules of addresses lie: [`RuleSpan`], as words.
    pub rule_spans: Vec<u64>,
    /// Rules of classes.
    pub rules: Vec<Rule>,
    /// Ethernet addresses of peer directors.
    pub peers: HashSet<u64>,
    /// Indices of services.
    pub service_index: HashMap<ServiceKey, u32>,
    /// Services, by index. `picks` is in a field of its own.
    pub services: Vec<Service>,
    /// Slots of all rings.
    pub rings: Vec<u32>,
    /// Heads of destinations, by number.
    pub heads: Vec<DestinationHead>,
    /// Records of destinations.
    pub destinations: Vec<Destination>,
    /// What stands before services.
    pub guards: MemoryGuards,
    flows: Vec<MemoryLine>,
    connections: Vec<MemoryRecord>,
    picks: Vec<AtomicU64>,
    counters: Vec<[AtomicU64; 4]>,
    loads: Vec<MemoryLoad>,
    verdicts: Vec<AtomicU64>,
    evictions: Vec<AtomicU64>,
    without_template: AtomicU64,
    jiffies: AtomicU64,
    answers: AtomicU64,
    rules_seen: AtomicU64,
}

impl MemoryTables {
    /// Empty tables.
    pub fn new(settings: Settings) -> Self {
        let destinations = settings.destinations as usize;
        let services = settings.services as usize;
        Self {
            settings,
            admission: Admission::EMPTY,
            sources: Admission::EMPTY,
            addresses: HashMap::new(),
            rule_spans: vec![0; 2 * (settings.services + settings.class_addresses) as usize],
            rules: vec![Rule::ANY; settings.class_rules as usize],
            peers: HashSet::new(),
            service_index: HashMap::new(),
            services: vec![bytemuck::Zeroable::zeroed(); services],
            rings: vec![0; settings.ring_slots as usize],
            heads: vec![bytemuck::Zeroable::zeroed(); destinations],
            destinations: vec![bytemuck::Zeroable::zeroed(); 2 * destinations],
            guards: MemoryGuards::new(&settings),
            flows: (0..settings.all_lines()).map(|_| MemoryLine::default()).collect(),
            connections: (0..settings.all_lines() as usize * LINE_SLOTS)
                .map(|_| MemoryRecord::default())
                .collect(),
            picks: (0..services).map(|_| AtomicU64::new(0)).collect(),
            counters: (0..destinations).map(|_| Default::default()).collect(),
            loads: (0..destinations).map(|_| MemoryLoad::default()).collect(),
            verdicts: Verdict::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            evictions: (0..State::NUMBERS).map(|_| AtomicU64::new(0)).collect(),
            without_template: AtomicU64::new(0),
            jiffies: AtomicU64::new(1 << 40),
            answers: AtomicU64::new(0),
            rules_seen: AtomicU64::new(0),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, seconds: u64) {
        self.jiffies.fetch_add(seconds * u64::from(self.settings.hz), SeqCst);
    }

    /// Sets the time.
    pub fn set_jiffies(&self, jiffies: u64) {
        self.jiffies.store(jiffies, SeqCst);
    }

    /// How many picks a service has made.
    pub fn picks(&self, service: u32) -> u64 {
        self.picks[service as usize].load(SeqCst)
    }

    /// The pick that a service goes on with.
    pub fn set_picks(&mut self, service: u32, picks: u64) {
        self.picks[service as usize] = AtomicU64::new(picks);
    }

    /// Begins the counters of a destination at zero.
    pub fn clear_counters(&mut self, number: u32) {
        self.counters[number as usize] = Default::default();
        self.loads[number as usize] = MemoryLoad::default();
    }

    /// How often a verdict was met.
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        self.verdicts[verdict.index()].load(SeqCst)
    }

    /// How many live entries had to make room, by what they were.
    pub fn evictions(&self, state: State) -> u64 {
        self.evictions[state as usize].load(SeqCst)
    }

    /// How many connections to persistent services went without a template, there being no room.
    pub fn without_template(&self) -> u64 {
        self.without_template.load(SeqCst)
    }

    /// How many rules packets were compared with.
    pub fn rules_seen(&self) -> u64 {
        self.rules_seen.load(SeqCst)
    }

    /// What was sent to a destination.
    pub fn counters(&self, number: u32) -> Counters {
        let [packets, bytes, connections, dropped] = &self.counters[number as usize];
        Counters {
            packets: packets.load(SeqCst),
            bytes: bytes.load(SeqCst),
            connections: connections.load(SeqCst),
            dropped: dropped.load(SeqCst),
        }
    }

    /// What a destination holds.
    pub fn load(&self, number: u32) -> Load {
        self.loads[number as usize].read()
    }

    /// Sets the thresholds of a destination, and asks whether it is overloaded.
    pub fn limit(&self, number: u32, upper: u32, lower: u32) {
        self.loads[number as usize].limit(upper, lower);
    }

    /// What is kept of the connection in a slot of the flow table.
    pub fn connection(&self, place: Place) -> Connection {
        let words = &self.connections[place.index() as usize].0;
        Connection::from_words(|index| words[index].load(SeqCst))
    }

    /// What is kept of the template in a slot of the flow table.
    pub fn template(&self, place: Place) -> Template {
        bytemuck::cast(self.connection(place))
    }

    /// Forgets the clients of a service.
    pub fn forget_clients(&self, service: u32) {
        for line in self.settings.lines..self.settings.all_lines() {
            for slot in 0..LINE_SLOTS {
                if self.template(Place::new(line, slot)).service == service {
                    self.flows[line as usize].entries[slot].store(EMPTY, SeqCst);
                }
            }
        }
    }

    /// A copy of every line of the flow table, those of templates behind those of flows.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.flows.iter().map(|line| Line {
            entries: std::array::from_fn(|slot| line.entries[slot].load(SeqCst)),
            states: std::array::from_fn(|slot| line.states[slot].load(SeqCst)),
            reserved: 0,
        })
    }
}

/// What is kept of one connection, in atomics.
#[derive(Debug, Default)]
pub struct MemoryRecord([AtomicU64; Connection::WORDS]);

impl Record for &MemoryRecord {
    fn word(&self, index: usize) -> u64 {
        self.0[index].load(SeqCst)
    }

    fn set_word(&self, index: usize, word: u64) {
        self.0[index].store(word, SeqCst);
    }
}

/// One line, in atomics.
#[derive(Debug, Default)]
pub struct MemoryLine {
    entries: [AtomicU64; LINE_SLOTS],
    states: [AtomicU32; LINE_SLOTS],
}

impl FlowLine for &MemoryLine {
    fn entry(&self, slot: usize) -> u64 {
        self.entries[slot].load(SeqCst)
    }

    fn exchange_entry(&self, slot: usize, expected: u64, entry: u64) -> bool {
        self.entries[slot].compare_exchange(expected, entry, SeqCst, SeqCst).is_ok()
    }

    fn state(&self, slot: usize) -> u32 {
        self.states[slot].load(SeqCst)
    }

    fn exchange_state(&self, slot: usize, expected: u32, state: u32) -> bool {
        self.states[slot].compare_exchange(expected, state, SeqCst, SeqCst).is_ok()
    }

    fn set_state(&self, slot: usize, state: u32) {
        self.states[slot].store(state, SeqCst);
    }
}

impl<'a> Tables for &'a MemoryTables {
    type Line = &'a MemoryLine;
    type Record = &'a MemoryRecord;

    fn admits(&self, bit: u32) -> bool {
        self.admission.admits(bit)
    }

    fn masquerades(&self) -> bool {
        self.settings.masquerades != 0
    }

    fn admits_source(&self, bit: u32) -> bool {
        self.sources.admits(bit)
    }

    fn peer_filter(&self) -> u64 {
        self.settings.peer_filter
    }

    fn is_peer(&self, address: u64) -> bool {
        self.settings.peer_filter >> peer_bit(address) & 1 == 1 && self.peers.contains(&address)
    }

    fn seed(&self, index: usize) -> u64 {
        self.settings.seed[index]
    }

    fn lines(&self) -> u32 {
        self.settings.lines
    }

    fn template_lines(&self) -> u32 {
        self.settings.template_lines
    }

    fn line(&self, index: u32) -> Option<Self::Line> {
        self.flows.get(index as usize)
    }

    fn record(&self, place: Place) -> Option<Self::Record> {
        self.connections.get(place.index() as usize)
    }

    fn is_service_address(&self, key: &ServiceKey) -> bool {
        self.addresses.contains_key(key)
    }

    fn rules(&self, key: &ServiceKey) -> RuleSpan {
        let index = self.addresses.get(key).filter(|_| self.settings.has_rules != 0);
        index.map_or(RuleSpan::default(), |&index| RuleSpan::from_word(self.rule_spans[index as usize]))
    }

    fn rule(&self, index: u32) -> Option<&Rule> {
        self.rules_seen.fetch_add(1, SeqCst);
        self.rules.get(index as usize)
    }

    fn service(&self, key: &ServiceKey) -> Option<u32> {
        self.service_index.get(key).copied()
    }

    fn ring(&self, service: u32) -> RingSpan {
        self.services
            .get(service as usize)
            .map_or(RingSpan::default(), |service| RingSpan::from_word(service.ring))
    }

    fn scheduler(&self, service: u32) -> (Scheduler, u8) {
        let service = self.services.get(service as usize).copied().unwrap_or_else(bytemuck::Zeroable::zeroed);
        (Scheduler::from_number(service.scheduler).unwrap_or(Scheduler::Rr), service.flags)
    }

    fn persistence(&self, service: u32) -> Persistence {
        self.services.get(service as usize).map_or(Persistence::NONE, |service| service.persistence)
    }

    fn serves(&self, number: u32, service: u32) -> bool {
        let key = self.services.get(service as usize).map(|service| service.key);
        self.destination(number).map(|destination| destination.service) == key
    }

    fn guard(&self, service: u32) -> Guard {
        self.services
            .get(service as usize)
            .map_or(Guard::default(), |service| Guard { new_flows: service.new_flows, list: service.list })
    }

    fn source(&self, list: u32, is_v6: u32, address: [u64; 2]) -> u32 {
        self.guards.source(list, is_v6 != 0, bytemuck::cast(address))
    }

    fn gate(&self, service: u32) -> u64 {
        self.guards.gate(service)
    }

    fn set_gate(&self, service: u32, word: u64) {
        self.guards.set_gate(service, word);
    }

    fn locality(&self, key: &LocalityKey) -> u32 {
        self.guards.locality(key)
    }

    fn set_locality(&self, key: &LocalityKey, number: u32) {
        self.guards.set_locality(key, number, self.now());
    }

    fn weight(&self, number: u32) -> u32 {
        let head = self.head(number);
        if head.flags & (DESTINATION_DOWN | DESTINATION_REMOVED) != 0 {
            return 0;
        }
        self.destination(number).map_or(0, Destination::weight_for_new)
    }

    fn load(&self, number: u32) -> Load {
        self.loads.get(number as usize).map_or(Load::default(), MemoryLoad::read)
    }

    fn insert(
        &self,
        hash: u64,
        destination: u32,
        first: u32,
        instead: u64,
        connection: &Connection,
    ) -> Entered {
        director::insert(self, hash, destination, first, instead, connection)
    }

    fn enter_reply(&self, task: &mut Task, place: u32) -> u32 {
        director::enter_reply(self, task, place)
    }

    fn take_out(&self, place: Place, entry: u64) {
        director::take_out(self, place, entry);
    }

    fn answers(&self) -> u64 {
        self.answers.load(SeqCst)
    }

    fn set_answers(&self, word: u64) {
        self.answers.store(word, SeqCst);
    }

    fn pick(&self, service: u32) -> u64 {
        self.picks.get(service as usize).map_or(0, |picks| picks.fetch_add(1, SeqCst))
    }

    fn ring_slot(&self, slot: u32) -> u32 {
        self.rings.get(slot as usize).copied().unwrap_or(0)
    }

    fn head(&self, number: u32) -> DestinationHead {
        self.heads.get(number as usize).copied().unwrap_or(DestinationHead { record: 0, flags: 0 })
    }

    fn destination(&self, number: u32) -> Option<&Destination> {
        match self.head(number).record {
            0 => None,
            record => self.destinations.get(record as usize),
        }
    }

    fn edit(&self, number: u32) -> Option<Edit> {
        let head = self.head(number);
        (head.flags == 0).then(|| self.destination(number))?.map(Destination::edit)
    }

    fn is_over(&self, state: u32, now: Tick) -> bool {
        self.settings.timeouts.is_over(state, now)
    }

    fn options(&self) -> Options {
        self.settings.options
    }

    fn forget(&self, value: u32) -> u32 {
        value
    }

    fn now(&self) -> Tick {
        Clock::new(self.settings.hz).tick(Tables::jiffies(self))
    }

    fn jiffies(&self) -> u64 {
        self.jiffies.load(SeqCst)
    }

    fn count(&self, verdict: Verdict) {
        self.verdicts[verdict.index()].fetch_add(1, SeqCst);
    }

    fn account(&self, number: u32, bytes: u32, verdict: Verdict) {
        if number == 0 {
            return;
        }
        let Some([packets, total, _, dropped]) = self.counters.get(number as usize) else {
            return;
        };
        if verdict.action() == Action::Drop {
            dropped.fetch_add(1, SeqCst);
        } else {
            packets.fetch_add(1, SeqCst);
            total.fetch_add(u64::from(bytes), SeqCst);
        }
    }

    fn count_connection(&self, number: u32) {
        if let Some([_, _, connections, _]) = self.counters.get(number as usize) {
            connections.fetch_add(1, SeqCst);
        }
    }

    fn count_eviction(&self, state: u32) {
        self.evictions[State::of(state) as usize].fetch_add(1, SeqCst);
    }

    fn count_no_template(&self) {
        self.without_template.fetch_add(1, SeqCst);
    }

    fn add_load(&self, number: u32, activity: usize, by: i32) {
        if let Some(load) = self.loads.get(number as usize) {
            load.add(activity, by);
        }
    }

    fn move_load(&self, number: u32, before: usize, after: usize) {
        if let Some(load) = self.loads.get(number as usize) {
            load.shift(before, after);
        }
    }
}

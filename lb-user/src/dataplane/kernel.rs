//! The kernel's tables: read, changed step by step, counted, swept.
//!
//! With a directory of pins, tables outlive the daemon: whoever comes next finds and adopts them.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, Release};

use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError, ProgramArray, xdp::DevMapHash};
use aya::programs::links::FdLink;
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::verdict::Verdict;
use lb_common::wire::{
    Admission, BUSY, Connection, Counters, Destination, DestinationHead, EMPTY, LINE_SLOTS, Layout, Line,
    Load, Part, Place, RING_CHUNK, RingSpan, Rule, Service, ServiceKey, Settings, State, Tick,
    VERDICT_NO_TEMPLATE, VERDICT_STRIDE, entry_destination,
};

use super::guards::Guards;
use super::load::{load_object, map_array, map_tables, take};
use super::loads::Loads;
use super::mapped::MappedArray;
use super::memory::{bytes_of_peer, peer_filter, word_of_peer};
use super::pins::pinned_settings;
use super::sweep::Sweep;
use super::{Change, Dataplane, Error, Held, HeldDestination, HeldService, Sizes, VerdictCounts};

/// Offsets of the words of a [`Service`] that change while the program runs.
const SERVICE_RING: usize = std::mem::offset_of!(Service, ring);
const SERVICE_PICKS: usize = std::mem::offset_of!(Service, picks);
/// The word of scheduler and flags.
const SERVICE_SCHEDULER: usize = std::mem::offset_of!(Service, scheduler);
const _: () = assert!(SERVICE_SCHEDULER.is_multiple_of(8));

/// The programs that others leave packets to, in the order of their places in the map `PROGRAMS`.
const PROGRAMS: [&str; 8] = [
    "director_long_way",
    "director_open",
    "director_forward",
    "director_answer",
    "director_tell",
    "director_choose",
    "director_classify",
    "director_masquerade",
];

/// Whether tables were made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// They are new and empty.
    New,
    /// They were pinned, and are used as they are.
    Adopted {
        /// Whether the config asks for other sizes, which then wait for a `lb stop`.
        other_sizes: bool,
    },
}

/// A director's tables in the kernel, and the program that decides on them.
pub struct KernelDataplane {
    pub(super) ebpf: Ebpf,
    pub(super) pins: Option<PathBuf>,
    pub(super) attached: Vec<(String, FdLink)>,
    sizes: Sizes,
    settings: MappedArray<Settings>,
    admission: MappedArray<Admission>,
    sources: MappedArray<Admission>,
    pub(super) services: MappedArray<Service>,
    rings: MappedArray<[u32; RING_CHUNK as usize]>,
    pub(super) rule_spans: MappedArray<u64>,
    pub(super) rules: MappedArray<Rule>,
    pub(super) heads: MappedArray<u64>,
    destinations: MappedArray<Destination>,
    pub(super) flows: MappedArray<Line>,
    counters: MappedArray<Counters>,
    pub(super) connections: MappedArray<Connection>,
    loads: Loads,
    verdicts: MappedArray<[u64; VERDICT_STRIDE]>,
    peers: HashMap<MapData, u64, u32>,
    pub(super) addresses: HashMap<MapData, [u8; size_of::<ServiceKey>()], u32>,
    service_index: HashMap<MapData, [u8; size_of::<ServiceKey>()], u32>,
    interfaces: DevMapHash<MapData>,
    programs: ProgramArray<MapData>,
    pub(super) guards: Guards,
}

impl KernelDataplane {
    /// Loads the program, with tables that it makes or, if `pins` is a directory that has some, adopts.
    ///
    /// `debug` tells the log about every packet, which costs microseconds each.
    pub fn load(wanted: &Sizes, pins: Option<&Path>, debug: bool) -> Result<(Self, Adoption), Error> {
        let found = match pins {
            Some(directory) => pinned_settings(directory)?,
            None => None,
        };
        let sizes = found.map_or_else(|| wanted.clone(), Sizes::from_settings);
        let mut ebpf = load_object(&sizes, pins, debug)?;
        let Settings { destinations, services, ring_slots, cpus, .. } = sizes.settings();
        let lines = sizes.settings().all_lines();
        let layout = Layout::of(&sizes.settings());
        let tables = map_tables(&ebpf, layout.bytes)?;
        let mut dataplane = Self {
            settings: MappedArray::part(&tables, 0, 1),
            admission: MappedArray::part(&tables, Layout::ADMISSION, 1),
            sources: MappedArray::part(&tables, Layout::SOURCES, 1),
            services: map_array(&mut ebpf, "SERVICES", services)?,
            rings: map_array(&mut ebpf, "RINGS", ring_slots / RING_CHUNK)?,
            rule_spans: map_array(&mut ebpf, "RULE_SPANS", sizes.rule_spans())?,
            rules: map_array(&mut ebpf, "RULES", sizes.settings().class_rules)?,
            heads: MappedArray::part(&tables, layout.offset(Part::Heads), destinations),
            destinations: MappedArray::part(&tables, layout.offset(Part::Destinations), 2 * destinations),
            flows: MappedArray::part(&tables, layout.offset(Part::Flows), lines),
            counters: MappedArray::part(&tables, layout.offset(Part::Counters), cpus * destinations),
            connections: map_array(&mut ebpf, "CONNECTIONS", lines * LINE_SLOTS as u32)?,
            loads: Loads::new(map_array(&mut ebpf, "LOADS", destinations)?),
            verdicts: MappedArray::part(&tables, layout.offset(Part::Verdicts), cpus),
            peers: take(&mut ebpf, "PEERS")?,
            addresses: take(&mut ebpf, "ADDRESSES")?,
            service_index: take(&mut ebpf, "SERVICE_INDEX")?,
            interfaces: take(&mut ebpf, "INTERFACES")?,
            programs: take(&mut ebpf, "PROGRAMS")?,
            guards: Guards::of(&mut ebpf, sizes.settings())?,
            ebpf,
            pins: pins.map(Path::to_path_buf),
            attached: Vec::new(),
            sizes,
        };
        dataplane.load_programs()?;
        let adoption = if found.is_some() {
            let same = |a: Settings, b: Settings| {
                let tables = |it: Settings| {
                    [
                        it.lines,
                        it.template_lines,
                        it.destinations,
                        it.services,
                        it.ring_slots,
                        it.class_addresses,
                        it.class_rules,
                        it.sources,
                        it.localities,
                    ]
                };
                tables(a) == tables(b)
            };
            Adoption::Adopted { other_sizes: !same(wanted.settings(), dataplane.sizes.settings()) }
        } else {
            // Last: tables without a version were never finished, and nobody adopts them.
            dataplane.settings.write(0, dataplane.sizes.settings());
            Adoption::New
        };
        Ok((dataplane, adoption))
    }

    /// The sizes of the tables.
    pub const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The object, for whoever drains its log.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// The time as the programs see it.
    pub fn now(&self) -> Result<Tick, Error> {
        Ok(self.sizes.clock().tick(self.jiffies()?))
    }

    /// The kernel's jiffies, asked of a program: no system call tells them.
    pub fn jiffies(&self) -> Result<u64, Error> {
        let clock: &Xdp =
            self.ebpf.program("clock").ok_or_else(missing_program)?.try_into().map_err(Error::Program)?;
        // A test run takes no shorter frame.
        let mut frame = [0; 14];
        let given = frame;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&given);
        options.data_out = Some(&mut frame);
        clock.test_run(options).map_err(Error::Program)?;
        let [jiffies @ .., _, _, _, _, _, _] = frame;
        Ok(u64::from_ne_bytes(jiffies))
    }

    /// Loads every program; nothing is attached yet, and what is goes on with what it has.
    fn load_programs(&mut self) -> Result<(), Error> {
        // The one that is attached last: all that it leaves packets to is there then.
        for name in ["clock"].into_iter().chain(PROGRAMS.into_iter().rev()).chain(["director"]) {
            let program: &mut Xdp = self
                .ebpf
                .program_mut(name)
                .ok_or_else(missing_program)?
                .try_into()
                .map_err(Error::Program)?;
            program.load().map_err(Error::Program)?;
            if let Some(place) = PROGRAMS.iter().position(|program| *program == name) {
                let program = program.fd().map_err(Error::Program)?;
                self.programs
                    .set(place as u32, program, 0)
                    .map_err(|source| Error::Map { map: "PROGRAMS", source })?;
            }
        }
        Ok(())
    }

    /// The program that is attached, for whoever runs or measures it.
    pub fn program(&self) -> Result<&Xdp, Error> {
        let program = self.ebpf.program("director").ok_or_else(missing_program)?;
        program.try_into().map_err(Error::Program)
    }

    pub(super) fn program_mut(&mut self) -> Result<&mut Xdp, Error> {
        let program = self.ebpf.program_mut("director").ok_or_else(missing_program)?;
        program.try_into().map_err(Error::Program)
    }

    /// What was sent to a destination, summed over CPUs.
    pub fn counters(&self, number: u32) -> Counters {
        let Settings { cpus, destinations, .. } = self.sizes.settings();
        (0..cpus)
            .map(|cpu| self.counters.read((cpu * destinations + number) as usize))
            .fold(Counters::default(), Counters::plus)
    }

    /// How many connections a destination holds. Negative for the blink of an event's race.
    pub fn load_of(&self, number: u32) -> Load {
        self.loads.read(number)
    }

    /// All verdicts and evictions, summed over CPUs.
    pub fn verdict_counts(&self) -> VerdictCounts {
        let mut counts = VerdictCounts { verdicts: vec![0; Verdict::COUNT], ..VerdictCounts::default() };
        for cpu in 0..self.verdicts.len() {
            let row = self.verdicts.read(cpu);
            let (verdicts, evictions) = row.split_at(Verdict::COUNT);
            for (sum, one) in counts.verdicts.iter_mut().zip(verdicts) {
                *sum = sum.wrapping_add(*one);
            }
            for (sum, one) in counts.evictions.iter_mut().zip(evictions) {
                *sum = sum.wrapping_add(*one);
            }
            counts.without_template = counts.without_template.wrapping_add(row[VERDICT_NO_TEMPLATE]);
        }
        counts
    }

    /// What is kept of the connection in a slot of the flow table.
    pub fn connection(&self, place: Place) -> Connection {
        self.connections.read(place.index() as usize)
    }

    /// A copy of the flow table, the lines of templates behind those of flows. What is written meanwhile may be in it or not.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        (0..self.flows.len()).map(|index| self.flows.read(index))
    }

    /// Walks the flow table: ends what has expired, and counts what is there.
    pub fn sweep(&self) -> Result<Sweep, Error> {
        let jiffies = self.jiffies()?;
        let now = self.sizes.clock().tick(jiffies);
        let timeouts = self.settings.read(0).timeouts;
        let mut templates = self.templates();
        let mut sweep = Sweep {
            states: [0; State::NUMBERS],
            expired: 0,
            loads: vec![Load::default(); self.loads.len()],
            named: HashSet::new(),
            templates: vec![0; self.loads.len()],
        };
        for index in 0..self.sizes.settings().lines as usize {
            for slot in 0..LINE_SLOTS {
                let word = self.flows.word(index, 8 * slot);
                let entry = word.load(Relaxed);
                if entry == EMPTY || entry == BUSY {
                    continue;
                }
                let offset = std::mem::offset_of!(Line, states) + 4 * slot;
                let state_word = self.flows.half(index, offset).load(Relaxed).cast_unsigned();
                let state = State::of(state_word);
                let number = entry_destination(entry);
                if timeouts.is_over(state_word, now) {
                    if word.compare_exchange(entry, EMPTY, Release, Relaxed).is_ok() {
                        sweep.expired += 1;
                        self.loads.add(number, State::activity(state_word), -State::weight(state_word));
                    }
                    continue;
                }
                sweep.states[state as usize] += 1;
                // What the kernel got has a number that no destination has.
                if let Some(load) = sweep.loads.get_mut(number as usize) {
                    load.connections[State::activity(state_word)] += State::weight(state_word);
                    sweep.named.insert(number);
                    templates.name(self, Place::new(index as u32, slot), state_word, number);
                }
            }
        }
        templates.sweep(self, jiffies, &mut sweep);
        self.loads.judge();
        Ok(sweep)
    }

    /// Takes from a destination's load what a race has left in it.
    pub fn correct_load(&self, number: u32, by: Load) {
        for (activity, by) in by.connections.into_iter().enumerate() {
            self.loads.add(number, activity, by);
        }
    }

    fn write_ring(&self, first: u32, slots: &[u32]) {
        let chunk = RING_CHUNK as usize;
        let mut at = first as usize;
        let mut rest = slots;
        while !rest.is_empty() {
            let (index, begin) = (at / chunk, at % chunk);
            let (now, later) = rest.split_at(rest.len().min(chunk - begin));
            // Its other slots belong to other rings: they are written as they were.
            let mut value = self.rings.read(index);
            value[begin..begin + now.len()].copy_from_slice(now);
            self.rings.write(index, value);
            at += now.len();
            rest = later;
        }
    }

    fn ring(&self, span: RingSpan) -> Vec<u32> {
        let chunk = RING_CHUNK as usize;
        (span.first as usize..(span.first + span.slots) as usize)
            .map(|slot| self.rings.read(slot / chunk)[slot % chunk])
            .collect()
    }

    fn clear_counters(&self, number: u32) {
        let Settings { cpus, destinations, .. } = self.sizes.settings();
        for cpu in 0..cpus {
            self.counters.write((cpu * destinations + number) as usize, Counters::default());
        }
        self.loads.clear(number);
    }
}

impl Dataplane for KernelDataplane {
    fn held(&self) -> Result<Held, Error> {
        let mut held = Held::empty(self.settings.read(0));
        for pair in &self.service_index {
            let (key, index) = pair.map_err(|source| Error::Map { map: "SERVICE_INDEX", source })?;
            let Service { ring, scheduler, flags, new_flows, list, persistence, .. } =
                self.services.read(index as usize);
            let span = RingSpan::from_word(ring);
            let (key, ring) = (bytemuck::cast(key), self.ring(span));
            let service = HeldService { key, scheduler, flags, new_flows, list, persistence, span, ring };
            held.services.insert(index, service);
        }
        held.lists = self.guards.lists()?;
        for number in 1..self.heads.len() {
            let head = DestinationHead::from_word(self.heads.read(number));
            if head.record != 0 {
                let destination = self.destinations.read(head.record as usize);
                held.destinations.insert(number as u32, HeldDestination { head, destination });
            }
        }
        self.read_addresses(&mut held)?;
        let peers: Result<BTreeSet<_>, MapError> =
            self.peers.keys().map(|word| word.map(bytes_of_peer)).collect();
        held.peers = peers.map_err(|source| Error::Map { map: "PEERS", source })?;
        let interfaces: Result<BTreeSet<_>, MapError> = self.interfaces.keys().collect();
        held.interfaces = interfaces.map_err(|source| Error::Map { map: "INTERFACES", source })?;
        Ok(held)
    }

    fn picks(&self, service: u32) -> u64 {
        self.services.word(service as usize, SERVICE_PICKS).load(Relaxed)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::AddInterface(interface) => self
                .interfaces
                .insert(*interface, *interface, None, 0)
                .map_err(|source| Error::Interface { interface: *interface, source })?,
            Change::RemoveInterface(interface) => {
                self.interfaces
                    .remove(*interface)
                    .map_err(|source| Error::Map { map: "INTERFACES", source })?;
            }
            Change::SetPeers(peers) => {
                self.set_peers(peers).map_err(|source| Error::Map { map: "PEERS", source })?;
            }
            Change::SetTimeouts(timeouts) => {
                self.settings.write(0, Settings { timeouts: *timeouts, ..self.settings.read(0) });
            }
            Change::SetOptions(options) => {
                let word = self.settings.half(0, std::mem::offset_of!(Settings, options));
                word.store(options.to_word().cast_signed(), Relaxed);
            }
            Change::PutDestination { number, head, destination, is_new } => {
                if *is_new {
                    self.clear_counters(*number);
                }
                self.destinations.write(head.record as usize, *destination);
                self.loads.limit(*number, destination);
                self.publish_head(*number, *head);
            }
            Change::FlagDestination { number, head } => self.publish_head(*number, *head),
            Change::FreeDestination(number) => {
                self.publish_head(*number, DestinationHead { record: 0, flags: 0 });
                self.guards.retain_localities(|_, locality| locality.number != *number)?;
            }
            Change::WriteRing { first, slots } => self.write_ring(*first, slots),
            Change::PutService { index, service } => self.services.write(*index as usize, *service),
            Change::PublishRing { index, ring, picks, scheduler, flags, new_flows } => {
                let [a, b, c, d] = new_flows.to_ne_bytes();
                let how = u64::from_ne_bytes([*scheduler, *flags, 0, 0, a, b, c, d]);
                self.services.word(*index as usize, SERVICE_SCHEDULER).store(how, Release);
                self.services.word(*index as usize, SERVICE_RING).store(ring.to_word(), Release);
                self.services.word(*index as usize, SERVICE_PICKS).store(*picks, Release);
            }
            Change::AddKey(key, index) => self
                .service_index
                .insert(key_bytes(*key), index, 0)
                .map_err(|source| Error::Map { map: "SERVICE_INDEX", source })?,
            Change::RemoveKey(key) => self
                .service_index
                .remove(&key_bytes(*key))
                .map_err(|source| Error::Map { map: "SERVICE_INDEX", source })?,
            Change::SetPersistence { index, persistence } => self.set_persistence(*index, *persistence),
            Change::FreeService(index) => {
                self.services.write(*index as usize, bytemuck::Zeroable::zeroed());
                self.forget_clients(*index);
                self.guards.forget_service(*index)?;
            }
            Change::PutSources { list, sources } => self.guards.put_sources(*list, sources)?,
            Change::RemoveSources { list, sources } => self.guards.remove_sources(*list, sources)?,
            Change::PublishList { index, list } => {
                let offset = std::mem::offset_of!(Service, list);
                self.services.half(*index as usize, offset).store(list.cast_signed(), Release);
            }
            Change::WriteRules { first, rules } => self.write_rules(*first, rules),
            Change::PublishRules { place, rules } => self.publish_rules(*place, *rules),
            Change::SetHasRules(has_rules) => {
                self.settings
                    .write(0, Settings { has_rules: u32::from(*has_rules), ..self.settings.read(0) });
            }
            Change::SetAddresses(addresses) => self.set_addresses(addresses)?,
            Change::SetAdmission(admission) => set_filter(&self.admission, admission),
            Change::SetSources(sources) => {
                let filter = sources.as_deref().copied().unwrap_or(Admission::EMPTY);
                set_filter(&self.sources, &filter);
                // Last: whoever sees it finds the filter.
                let masquerades = std::mem::offset_of!(Settings, masquerades);
                self.settings.word(0, masquerades).store(u64::from(sources.is_some()), Release);
            }
        }
        Ok(())
    }
}

impl KernelDataplane {
    fn publish_head(&self, number: u32, head: DestinationHead) {
        self.heads.word(number as usize, 0).store(head.to_word(), Release);
    }

    fn set_peers(&mut self, peers: &BTreeSet<[u8; 6]>) -> Result<(), MapError> {
        let filter_offset = std::mem::offset_of!(Settings, peer_filter);
        let filter = self.settings.word(0, filter_offset);
        let held: Result<BTreeSet<u64>, MapError> = self.peers.keys().collect();
        let held = held?;
        let wanted: BTreeSet<u64> = peers.iter().copied().map(word_of_peer).collect();
        for word in wanted.difference(&held) {
            self.peers.insert(word, 1, 0)?;
        }
        filter.store(peer_filter(peers), Release);
        for word in held.difference(&wanted) {
            self.peers.remove(word)?;
        }
        Ok(())
    }
}

fn set_filter(filter: &MappedArray<Admission>, bits: &Admission) {
    for (word, bits) in bits.words.iter().enumerate() {
        filter.word(0, 8 * word).store(*bits, Relaxed);
    }
}

pub(super) fn key_bytes(key: ServiceKey) -> [u8; size_of::<ServiceKey>()] {
    bytemuck::cast(key)
}

fn missing_program() -> Error {
    Error::Program(aya::programs::ProgramError::UnexpectedProgramType)
}

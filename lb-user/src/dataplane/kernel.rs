//! The kernel's tables: loads the object, maps its arrays, carries out changes, attaches.
//!
//! With a directory of pins, tables outlive the daemon: whoever comes next finds and adopts them.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, Release};

use aya::maps::{HashMap, Map, MapData, MapError, xdp::DevMapHash};
use aya::programs::Xdp;
use aya::programs::links::FdLink;
use aya::{Ebpf, EbpfLoader};
use lb_common::verdict::Verdict;
use lb_common::wire::{
    Admission, BUSY, Counters, Destination, DestinationHead, EMPTY, LINE_SLOTS, Line, Load, RING_CHUNK,
    RingSpan, Service, ServiceKey, Settings, State, Tick, VERDICT_STRIDE, VERSION, entry_destination,
};

use super::mapped::MappedArray;
use super::memory::{bytes_of_peer, peer_filter, word_of_peer};
use super::{Change, Dataplane, Error, Held, HeldDestination, HeldService, OBJECT, Sizes, VerdictCounts};

/// Offsets of the words of a [`Service`] that change while the program runs.
const SERVICE_RING: usize = std::mem::offset_of!(Service, ring);
const SERVICE_PICKS: usize = std::mem::offset_of!(Service, picks);

/// Maps that are pinned: all but read-only data and the log.
const PINNED: [&str; 12] = [
    "SETTINGS",
    "ADMISSION",
    "PEERS",
    "SERVICE_INDEX",
    "SERVICES",
    "RINGS",
    "DESTINATION_HEADS",
    "DESTINATIONS",
    "FLOWS",
    "COUNTERS",
    "LOADS",
    "VERDICTS",
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
    services: MappedArray<Service>,
    rings: MappedArray<[u32; RING_CHUNK as usize]>,
    heads: MappedArray<u64>,
    destinations: MappedArray<Destination>,
    flows: MappedArray<Line>,
    counters: MappedArray<Counters>,
    loads: MappedArray<Load>,
    verdicts: MappedArray<[u64; VERDICT_STRIDE]>,
    peers: HashMap<MapData, u64, u32>,
    service_index: HashMap<MapData, [u8; size_of::<ServiceKey>()], u32>,
    interfaces: DevMapHash<MapData>,
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
        let Settings { lines, destinations, services, ring_slots, cpus, .. } = sizes.settings();
        let mut dataplane = Self {
            settings: map_array(&mut ebpf, "SETTINGS", 1)?,
            admission: map_array(&mut ebpf, "ADMISSION", 1)?,
            services: map_array(&mut ebpf, "SERVICES", services)?,
            rings: map_array(&mut ebpf, "RINGS", ring_slots / RING_CHUNK)?,
            heads: map_array(&mut ebpf, "DESTINATION_HEADS", destinations)?,
            destinations: map_array(&mut ebpf, "DESTINATIONS", 2 * destinations)?,
            flows: map_array(&mut ebpf, "FLOWS", lines)?,
            counters: map_array(&mut ebpf, "COUNTERS", cpus * destinations)?,
            loads: map_array(&mut ebpf, "LOADS", destinations)?,
            verdicts: map_array(&mut ebpf, "VERDICTS", cpus)?,
            peers: take(&mut ebpf, "PEERS")?,
            service_index: take(&mut ebpf, "SERVICE_INDEX")?,
            interfaces: take(&mut ebpf, "INTERFACES")?,
            ebpf,
            pins: pins.map(Path::to_path_buf),
            attached: Vec::new(),
            sizes,
        };
        dataplane.program_mut()?.load().map_err(Error::Program)?;
        let adoption = if found.is_some() {
            let same = |a: Settings, b: Settings| {
                (a.lines, a.destinations, a.services, a.ring_slots)
                    == (b.lines, b.destinations, b.services, b.ring_slots)
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

    /// The program, for whoever runs or measures it.
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
        self.loads.read(number as usize)
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
        }
        counts
    }

    /// Walks the flow table: ends what has expired, and counts what is there.
    pub fn sweep(&self, now: Tick) -> Sweep {
        let timeouts = self.settings.read(0).timeouts;
        let mut sweep = Sweep {
            states: [0; State::ALL.len()],
            expired: 0,
            loads: vec![Load::default(); self.loads.len()],
        };
        for index in 0..self.flows.len() {
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
                        self.add_load(number, State::activity(state_word), -1);
                    }
                    continue;
                }
                sweep.states[state as usize] += 1;
                if let Some(load) = sweep.loads.get_mut(number as usize) {
                    load.connections[State::activity(state_word)] += 1;
                }
            }
        }
        sweep
    }

    /// Takes from a destination's load what a race has left in it.
    pub fn correct_load(&self, number: u32, by: Load) {
        for (activity, by) in by.connections.into_iter().enumerate() {
            self.add_load(number, activity, by);
        }
    }

    fn add_load(&self, number: u32, activity: usize, by: i32) {
        if (number as usize) < self.loads.len() {
            self.loads.half(number as usize, 4 * activity).fetch_add(by, Relaxed);
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
        self.loads.write(number as usize, Load::default());
    }
}

impl Dataplane for KernelDataplane {
    fn held(&self) -> Result<Held, Error> {
        let mut held = Held::empty(self.settings.read(0));
        for pair in &self.service_index {
            let (key, index) = pair.map_err(|source| Error::Map { map: "SERVICE_INDEX", source })?;
            let Service { ring, scheduler, .. } = self.services.read(index as usize);
            let span = RingSpan::from_word(ring);
            let service = HeldService { key: bytemuck::cast(key), scheduler, span, ring: self.ring(span) };
            held.services.insert(index, service);
        }
        for number in 1..self.heads.len() {
            let head = DestinationHead::from_word(self.heads.read(number));
            if head.record != 0 {
                let destination = self.destinations.read(head.record as usize);
                held.destinations.insert(number as u32, HeldDestination { head, destination });
            }
        }
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
            Change::PutDestination { number, head, destination, is_new } => {
                if *is_new {
                    self.clear_counters(*number);
                }
                self.destinations.write(head.record as usize, *destination);
                self.publish_head(*number, *head);
            }
            Change::FlagDestination { number, head } => self.publish_head(*number, *head),
            Change::FreeDestination(number) => {
                self.publish_head(*number, DestinationHead { record: 0, flags: 0 });
            }
            Change::WriteRing { first, slots } => self.write_ring(*first, slots),
            Change::PutService { index, service } => self.services.write(*index as usize, *service),
            Change::PublishRing { index, ring, picks, scheduler } => {
                let old = self.services.read(*index as usize);
                if old.scheduler != *scheduler {
                    // No word that the program reads differs.
                    self.services.write(*index as usize, Service { scheduler: *scheduler, ..old });
                }
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
            Change::FreeService(index) => self.services.write(*index as usize, bytemuck::Zeroable::zeroed()),
            Change::SetAdmission(admission) => {
                for (word, bits) in admission.words.iter().enumerate() {
                    self.admission.word(0, 8 * word).store(*bits, Relaxed);
                }
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

/// What a walk over the flow table found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Live entries by the number of their [`State`].
    pub states: [u64; State::ALL.len()],
    /// Entries that were ended.
    pub expired: u64,
    /// Live entries by destination.
    pub loads: Vec<Load>,
}

/// Takes away all pinned tables in a directory. Links that are pinned there are not touched.
pub(super) fn remove_pinned_tables(directory: &Path) -> Result<(), Error> {
    for name in PINNED {
        remove_pin(&directory.join(name))?;
    }
    Ok(())
}

pub(super) fn remove_pin(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Pin { path: path.to_path_buf(), why: format!("can't be removed: {error}") })
        }
        _ => Ok(()),
    }
}

/// The settings of the tables that are pinned in a directory, if there are any that were finished.
fn pinned_settings(directory: &Path) -> Result<Option<Settings>, Error> {
    let path = directory.join("SETTINGS");
    if !path.exists() {
        remove_pinned_tables(directory)?;
        return Ok(None);
    }
    let wrong = |why: String| Error::Pin { path: path.clone(), why };
    let map = MapData::from_pin(&path).map_err(|error| wrong(format!("is not a map: {error}")))?;
    let info = map.info().map_err(|error| wrong(format!("can't be asked: {error}")))?;
    if info.value_size() as usize != size_of::<Settings>() {
        return Err(wrong("belongs to another version of lb; `lb stop` removes it".into()));
    }
    let settings = MappedArray::<Settings>::new(map.fd().as_fd(), 1)
        .map_err(|source| Error::Mmap { map: "SETTINGS", source })?
        .read(0);
    match settings.version {
        VERSION => Ok(Some(settings)),
        0 => {
            // Whoever began with these tables did not come to their end.
            remove_pinned_tables(directory)?;
            Ok(None)
        }
        other => Err(wrong(format!(
            "holds tables of version {other}, and this lb makes version {VERSION}: \
             run `lb stop` with the lb that made them; connections then begin anew"
        ))),
    }
}

fn load_object(sizes: &Sizes, pins: Option<&Path>, debug: bool) -> Result<Ebpf, Error> {
    let settings = sizes.settings();
    let mut loader = EbpfLoader::new();
    let debug = u32::from(debug);
    let arrays = sizes.arrays();
    for (name, values, _) in &arrays {
        loader.map_max_entries(name, *values);
    }
    loader.map_max_entries("SERVICE_INDEX", settings.services);
    loader
        .override_global("SEED", &settings.seed[..], true)
        .override_global("LINES", &settings.lines, true)
        .override_global("DESTINATION_COUNT", &settings.destinations, true)
        .override_global("DEBUG", &debug, true);
    if let Some(directory) = pins {
        for name in PINNED {
            loader.map_pin_path(name, directory.join(name));
        }
    }
    loader.load(OBJECT).map_err(Error::Load)
}

fn map_array<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    map: &'static str,
    values: u32,
) -> Result<MappedArray<T>, Error> {
    match ebpf.map(map) {
        Some(Map::Array(data)) => {
            MappedArray::new(data.fd().as_fd(), values).map_err(|source| Error::Mmap { map, source })
        }
        _ => Err(missing_map(map)),
    }
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, map: &'static str) -> Result<T, Error> {
    let data = ebpf.take_map(map).ok_or_else(|| missing_map(map))?;
    data.try_into().map_err(|source| Error::Map { map, source })
}

fn key_bytes(key: ServiceKey) -> [u8; size_of::<ServiceKey>()] {
    bytemuck::cast(key)
}

fn missing_map(map: &'static str) -> Error {
    Error::Map { map, source: MapError::InvalidName { name: map.into() } }
}

fn missing_program() -> Error {
    Error::Program(aya::programs::ProgramError::UnexpectedProgramType)
}

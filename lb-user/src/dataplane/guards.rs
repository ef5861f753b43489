//! What stands before services, in the kernel: gates, lists of sources, and lblc's memory.

use std::collections::{BTreeMap, BTreeSet};

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, MapData, MapError};
use lb_common::sched::{LBLC_EXPIRATION, LBLC_EXPIRATION_IF_FULL};
use lb_common::wire::{
    Clock, Locality, LocalityKey, Prefix, SOURCE_ALLOWED, SOURCE_DENIED, SOURCE_KEY_BITS, Settings,
    SourceKey, Tick,
};

use super::Error;
use super::kernel::KernelDataplane;
use super::load::{map_array, take};
use super::mapped::MappedArray;

type SourceBytes = [u8; size_of::<SourceKey>()];
type LocalityBytes = [u8; size_of::<LocalityKey>()];

/// The maps of `lb-ebpf`'s module of the same name.
pub(super) struct Guards {
    gates: MappedArray<u64>,
    sources: LpmTrie<MapData, SourceBytes, u32>,
    localities: HashMap<MapData, LocalityBytes, u64>,
    settings: Settings,
}

impl Guards {
    pub(super) fn of(ebpf: &mut Ebpf, settings: Settings) -> Result<Self, Error> {
        Ok(Self {
            gates: map_array(ebpf, "GATES", settings.cpus * settings.services)?,
            sources: take(ebpf, "SOURCES")?,
            localities: take(ebpf, "LOCALITIES")?,
            settings,
        })
    }

    /// All lists of sources, by their numbers.
    pub(super) fn lists(&self) -> Result<BTreeMap<u32, BTreeMap<Prefix, bool>>, Error> {
        let mut lists: BTreeMap<u32, BTreeMap<Prefix, bool>> = BTreeMap::new();
        for entry in &self.sources {
            let (key, value) = entry.map_err(of_sources)?;
            let (list, prefix) = read(&key);
            lists.entry(list).or_default().insert(prefix, value == SOURCE_ALLOWED);
        }
        Ok(lists)
    }

    pub(super) fn put_sources(&mut self, list: u32, sources: &BTreeMap<Prefix, bool>) -> Result<(), Error> {
        for (prefix, &is_allowed) in sources {
            let value = if is_allowed { SOURCE_ALLOWED } else { SOURCE_DENIED };
            self.sources.insert(&key(list, prefix), value, 0).map_err(of_sources)?;
        }
        Ok(())
    }

    pub(super) fn remove_sources(&mut self, list: u32, sources: &BTreeSet<Prefix>) -> Result<(), Error> {
        for prefix in sources {
            match self.sources.remove(&key(list, prefix)) {
                // Nobody reads what is removed: that it wasn't there is all right.
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(source) => return Err(of_sources(source)),
            }
        }
        Ok(())
    }

    /// The word of a service's gate on each CPU.
    pub(super) fn gates(&self, service: u32) -> impl Iterator<Item = u64> + '_ {
        let Settings { cpus, services, .. } = self.settings;
        (0..cpus).map(move |cpu| self.gates.read((cpu * services + service) as usize))
    }

    /// Begins what a service has counted and remembers anew.
    pub(super) fn forget_service(&mut self, index: u32) -> Result<(), Error> {
        let Settings { cpus, services, .. } = self.settings;
        for cpu in 0..cpus {
            self.gates.write((cpu * services + index) as usize, 0);
        }
        self.retain_localities(|key, _| key.service != index)
    }

    /// Everything that lblc remembers.
    pub(super) fn localities(&self) -> Result<BTreeMap<LocalityKey, Locality>, Error> {
        let of_word = |(key, word)| (bytemuck::cast::<LocalityBytes, _>(key), Locality::from_word(word));
        self.localities.iter().map(|entry| entry.map(of_word).map_err(of_localities)).collect()
    }

    /// Forgets addresses.
    pub(super) fn retain_localities(
        &mut self,
        keep: impl Fn(&LocalityKey, &Locality) -> bool,
    ) -> Result<(), Error> {
        for (key, locality) in self.localities()? {
            if !keep(&key, &locality) {
                match self.localities.remove(&bytemuck::cast::<_, LocalityBytes>(key)) {
                    Ok(()) | Err(MapError::KeyNotFound) => {}
                    Err(source) => return Err(of_localities(source)),
                }
            }
        }
        Ok(())
    }

    /// Forgets addresses that nobody has asked for in a long time, or, where there is no room, in a short one.
    pub(super) fn sweep(&mut self, now: Tick, clock: Clock) -> Result<(), Error> {
        let is_full = self.localities()?.len() >= self.settings.localities as usize;
        let after = clock.span(if is_full { LBLC_EXPIRATION_IF_FULL } else { LBLC_EXPIRATION });
        self.retain_localities(|_, locality| now.since(Tick::from_jiffies(locality.tick.into(), 0)) < after)
    }
}

impl KernelDataplane {
    /// Ticks in which a service's gate was asked last, one for each CPU.
    pub fn gate_ticks(&self, service: u32) -> impl Iterator<Item = u32> + '_ {
        self.guards.gates(service).map(|word| (word >> 32) as u32)
    }

    /// Who serves which address by lblc.
    pub fn localities(&self) -> Result<BTreeMap<LocalityKey, Locality>, Error> {
        self.guards.localities()
    }

    /// Forgets addresses that lblc remembers and nobody asks for.
    pub fn sweep_localities(&mut self) -> Result<(), Error> {
        let (now, clock) = (self.now()?, self.sizes().clock());
        self.guards.sweep(now, clock)
    }
}

fn key(list: u32, prefix: &Prefix) -> Key<SourceBytes> {
    let address = bytemuck::cast(prefix.address);
    let key = SourceKey::new(list, prefix.is_v6.into(), address);
    Key::new(SOURCE_KEY_BITS + u32::from(prefix.bits), bytemuck::cast(key))
}

fn read(key: &Key<SourceBytes>) -> (u32, Prefix) {
    let SourceKey { list, address } = bytemuck::cast(key.data());
    let bits = (key.prefix_len() - SOURCE_KEY_BITS) as u8;
    (list >> 1, Prefix { is_v6: list & 1 == 1, bits, address: bytemuck::cast(address) })
}

const fn of_sources(source: MapError) -> Error {
    Error::Map { map: "SOURCES", source }
}

const fn of_localities(source: MapError) -> Error {
    Error::Map { map: "LOCALITIES", source }
}

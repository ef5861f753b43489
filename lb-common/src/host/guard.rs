//! Gates, lists of sources and lblc's memory, on the host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::wire::{Locality, LocalityKey, Prefix, SOURCE_ALLOWED, SOURCE_DENIED, Settings, Tick};

/// What stands before services.
pub struct MemoryGuards {
    /// The lists of sources, by their numbers: whether flows from a prefix may be opened.
    pub lists: BTreeMap<u32, BTreeMap<Prefix, bool>>,
    /// Who serves an address by lblc.
    pub localities: Mutex<HashMap<LocalityKey, Locality>>,
    localities_max: usize,
    gates: Vec<AtomicU64>,
}

impl MemoryGuards {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            lists: BTreeMap::new(),
            localities: Mutex::default(),
            localities_max: settings.localities as usize,
            gates: (0..settings.services).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Begins what a service has counted and remembers anew.
    pub fn forget_service(&mut self, index: u32) {
        if let Some(gate) = self.gates.get(index as usize) {
            gate.store(0, SeqCst);
        }
        self.retain_localities(|key, _| key.service != index);
    }

    /// Forgets addresses.
    pub fn retain_localities(&mut self, mut keep: impl FnMut(&LocalityKey, &Locality) -> bool) {
        if let Ok(localities) = self.localities.get_mut() {
            localities.retain(|key, locality| keep(key, locality));
        }
    }

    pub(super) fn source(&self, list: u32, is_v6: bool, address: [u8; 16]) -> u32 {
        let is_in = |prefix: &Prefix| {
            let bits = usize::from(prefix.bits);
            let differing = (0..16).map(|byte| prefix.address[byte] ^ address[byte]);
            let leading: u32 = differing
                .scan(true, |goes_on, byte| {
                    let leading = if *goes_on { byte.leading_zeros() } else { 0 };
                    *goes_on &= byte == 0;
                    Some(leading)
                })
                .sum();
            prefix.is_v6 == is_v6 && leading as usize >= bits
        };
        let found = self.lists.get(&list).into_iter().flatten().filter(|(prefix, _)| is_in(prefix));
        let longest = found.max_by_key(|(prefix, _)| prefix.bits);
        longest.map_or(0, |(_, &is_allowed)| if is_allowed { SOURCE_ALLOWED } else { SOURCE_DENIED })
    }

    pub(super) fn gate(&self, service: u32) -> u64 {
        self.gates.get(service as usize).map_or(0, |gate| gate.load(SeqCst))
    }

    pub(super) fn set_gate(&self, service: u32, word: u64) {
        if let Some(gate) = self.gates.get(service as usize) {
            gate.store(word, SeqCst);
        }
    }

    pub(super) fn locality(&self, key: &LocalityKey) -> u32 {
        self.localities
            .lock()
            .ok()
            .and_then(|all| all.get(key).copied())
            .map_or(0, |locality| locality.number)
    }

    pub(super) fn set_locality(&self, key: &LocalityKey, number: u32, now: Tick) {
        let Ok(mut all) = self.localities.lock() else { return };
        if all.contains_key(key) || all.len() < self.localities_max {
            all.insert(*key, Locality { number, tick: now.number() });
        }
    }
}

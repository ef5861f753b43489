//! What one destination holds, in atomics.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

use crate::wire::Load;

/// A [`Load`] that any number of threads change.
#[derive(Debug, Default)]
pub(super) struct MemoryLoad {
    connections: [AtomicI32; 2],
    upper: AtomicU32,
    lower: AtomicU32,
    overloaded: AtomicU32,
}

impl MemoryLoad {
    pub(super) fn read(&self) -> Load {
        let [inactive, active] = &self.connections;
        Load {
            connections: [inactive.load(SeqCst), active.load(SeqCst)],
            upper: self.upper.load(SeqCst),
            lower: self.lower.load(SeqCst),
            overloaded: self.overloaded.load(SeqCst),
            reserved: [0; 3],
        }
    }

    pub(super) fn add(&self, activity: usize, by: i32) {
        self.connections[activity].fetch_add(by, SeqCst);
        self.overloaded.store(self.read().overloaded_now(), SeqCst);
    }

    pub(super) fn shift(&self, before: usize, after: usize) {
        self.connections[before].fetch_add(-1, SeqCst);
        self.connections[after].fetch_add(1, SeqCst);
    }

    pub(super) fn limit(&self, upper: u32, lower: u32) {
        let load = self.read().with_thresholds(upper, lower);
        self.upper.store(load.upper, SeqCst);
        self.lower.store(load.lower, SeqCst);
        self.overloaded.store(load.overloaded, SeqCst);
    }
}

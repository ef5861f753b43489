//! What a walk over the flow table tells.

use std::collections::HashSet;

use lb_common::wire::{Load, State};

/// What a walk over the flow table found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Live entries by the number of their [`State`].
    pub states: [u64; State::NUMBERS],
    /// Entries that were ended.
    pub expired: u64,
    /// Connections by destination.
    pub loads: Vec<Load>,
    /// Destinations that live entries name, those for fragments and templates among them.
    pub named: HashSet<u32>,
    /// Templates by destination: ipvsadm's PersistConn.
    pub templates: Vec<u64>,
}

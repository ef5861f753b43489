//! What concerns the whole director: sizes, keys, peers, timeouts.

use bytemuck::{Pod, Zeroable};

use super::{Options, Timeouts};
use crate::verdict::Verdict;

/// Peer directors that can be told apart by their Ethernet address.
pub const PEERS_MAX: u32 = 1024;

/// Counters in one CPU's row of verdicts: whole cache lines, so that CPUs share none.
pub const VERDICT_STRIDE: usize = 128;
/// Counters that follow the verdicts in a row: evictions, by the [`super::State`] of what was evicted.
pub const VERDICT_COUNTERS: usize = VERDICT_NO_TEMPLATE + 1;
/// The one behind them: connections to persistent services that went without a template, there being no room.
pub const VERDICT_NO_TEMPLATE: usize = Verdict::COUNT + super::State::NUMBERS;

/// Words at the end of a row that are no counters: what one program leaves to the next, and how many
/// answers were sent.
pub const VERDICT_SPARE: usize = 70;

const _: () = assert!(VERDICT_COUNTERS + VERDICT_SPARE <= VERDICT_STRIDE);

/// The secret key of the flow hash, see [`crate::flow::Flow::hash`]. Every number is odd.
pub type Seed = [u64; 6];

/// The director's settings. The first bytes of the map `TABLES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct Settings {
    /// [`super::VERSION`] of whoever made the tables.
    pub version: u32,
    /// Lines of the flow table that flows stand in.
    pub lines: u32,
    /// Destinations, number 0 included; the width of a row of [`super::Part::Counters`].
    pub destinations: u32,
    /// Services.
    pub services: u32,
    /// Slots of all rings together.
    pub ring_slots: u32,
    /// Possible CPUs: rows of counters and verdicts.
    pub cpus: u32,
    /// Jiffies a second, see [`super::Clock`].
    pub hz: u32,
    /// Lines of the flow table behind those of flows, that templates of persistence stand in.
    pub template_lines: u32,
    /// What the operator chose about connections. A word of its own: it is written while packets are on their way.
    pub options: Options,
    /// 1 if any address has rules of classes; without, no packet looks for them.
    pub has_rules: u32,
    /// Addresses of classes that are no service's own.
    pub class_addresses: u32,
    /// Rules of all classes together.
    pub class_rules: u32,
    /// The secret key of the flow hash: random odd numbers, kept while the tables live.
    pub seed: Seed,
    /// Bit [`peer_bit`] of every peer director's Ethernet address: no bit, no look-up.
    pub peer_filter: u64,
    /// Idle timeouts.
    pub timeouts: Timeouts,
    /// Addresses that lblc remembers for all services.
    pub localities: u32,
    /// Prefixes in the lists of all services.
    pub sources: u32,
    /// 0, of which the verifier knows nothing, see [`crate::director::Tables::forget`].
    pub nothing: u64,
    /// Whether there are masqueraded real servers, whose packets are asked for by their source: 1 or 0.
    pub masquerades: u64,
}

const _: () = assert!(size_of::<Settings>() == 192);

impl Settings {
    /// All lines of the flow table.
    pub const fn all_lines(&self) -> u32 {
        self.lines + self.template_lines
    }
}

/// The bit (0 to 63) of an Ethernet address in [`Settings::peer_filter`].
///
/// The address is in the low six bytes, as it lies in the frame and read as a native word.
#[inline(always)]
pub const fn peer_bit(address: u64) -> u32 {
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u32
}

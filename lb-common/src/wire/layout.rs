//! Where the tables lie in the map `TABLES`: all that an established connection's packet may read, in one
//! value of one array.
//!
//! One look-up then finds them all. Every look-up of its own is a call to the compiler, around which it
//! saves and restores what it knows of the packet.

use super::{Admission, Counters, Destination, Line, Settings, VERDICT_STRIDE};

/// The most that all parts may take together: further than this into one value a program can't reach
/// (Linux, `BPF_MAX_VAR_OFF`).
pub const LAYOUT_BYTES_MAX: u64 = (1 << 29) - 1;

/// A table within the map, behind [`Settings`] and [`Admission`], whose places are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// A row of [`VERDICT_STRIDE`] counters a CPU.
    Verdicts = 0,
    /// [`Counters`], index CPU * destinations + number.
    Counters = 1,
    /// [`super::DestinationHead`], as words.
    Heads = 2,
    /// [`Destination`]: two records a destination, one in use, one to fill.
    Destinations = 3,
    /// [`Line`]: those of flows, then those of templates.
    Flows = 4,
}

/// The offsets of all parts, in bytes. Every part begins with a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// By the number of a [`Part`].
    pub offsets: [u64; 5],
    /// All of it.
    pub bytes: u64,
}

impl Layout {
    /// Where the admission filter lies; [`Settings`] are in front of it.
    pub const ADMISSION: u64 = cache_lines(size_of::<Settings>() as u64);
    /// Where the same filter for the addresses of masqueraded real servers lies.
    pub const SOURCES: u64 = Self::ADMISSION + size_of::<Admission>() as u64;
    const PARTS: u64 = Self::SOURCES + size_of::<Admission>() as u64;

    /// The layout of tables of these sizes.
    pub const fn of(settings: &Settings) -> Self {
        let Settings { cpus, destinations, .. } = *settings;
        let (cpus, destinations) = (cpus as u64, destinations as u64);
        let verdicts = Self::PARTS;
        let counters = verdicts + cache_lines(cpus * (8 * VERDICT_STRIDE) as u64);
        let heads = counters + cache_lines(cpus * destinations * size_of::<Counters>() as u64);
        let records = heads + cache_lines(destinations * 8);
        let flows = records + cache_lines(2 * destinations * size_of::<Destination>() as u64);
        // And a line that nobody uses: as far as the verifier knows, a slot of the last one may lie in it.
        let bytes = flows + (settings.all_lines() as u64 + 1) * size_of::<Line>() as u64;
        Self { offsets: [verdicts, counters, heads, records, flows], bytes }
    }

    /// Where a part begins.
    pub const fn offset(&self, part: Part) -> u64 {
        self.offsets[part as usize]
    }
}

const fn cache_lines(bytes: u64) -> u64 {
    bytes.next_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_begin_with_a_cache_line() {
        let mut settings: Settings = bytemuck::Zeroable::zeroed();
        (settings.cpus, settings.destinations) = (3, 1_001);
        (settings.lines, settings.template_lines) = (13, 4);
        let layout = Layout::of(&settings);
        assert!(Layout::ADMISSION >= size_of::<Settings>() as u64);
        let sizes = [3 * 1_024, 3 * 1_001 * 32, 1_001 * 8, 2 * 1_001 * 256, 18 * 64];
        let mut end = Layout::SOURCES + size_of::<Admission>() as u64;
        for (offset, size) in layout.offsets.into_iter().zip(sizes) {
            assert!(offset >= end && offset < end + 64 && offset % 64 == 0, "{offset} after {end}");
            end = offset + size;
        }
        assert_eq!(layout.bytes, end);
    }
}

//! How large each table is, from what the config asks for, and what memory that takes.

use lb_common::wire::{
    Admission, Clock, Connection, Counters, Destination, LINE_SLOTS, Line, Load, Options, RING_CHUNK, Rule,
    Seed, Service, Settings, Timeouts, VERDICT_STRIDE, VERSION,
};

use crate::model::TableSizes;

/// Entries and element size of each mmapable array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    settings: Settings,
}

impl Sizes {
    /// Tables for a config, on a machine with so many possible CPUs.
    ///
    /// The flow table gets 2^19 lines of five for a million flows and in proportion: at 2.6 slots a
    /// flow, both lines of a new flow are as good as never full. Templates get as many.
    pub fn of(tables: &TableSizes, cpus: u32, seed: Seed, timeouts: Timeouts, clock: Clock) -> Self {
        let lines = |entries: u32| (u64::from(entries) * (1 << 19)).div_ceil(1_000_000) as u32;
        Self {
            settings: Settings {
                version: VERSION,
                lines: lines(tables.flows).max(16),
                template_lines: lines(tables.templates),
                // Number 0 is none.
                destinations: tables.destinations + 1,
                services: tables.services,
                ring_slots: tables.ring_slots.next_multiple_of(RING_CHUNK),
                cpus,
                hz: clock.hz(),
                options: Options::DEFAULT,
                has_rules: 0,
                class_addresses: tables.class_addresses,
                class_rules: tables.class_rules,
                seed,
                peer_filter: 0,
                timeouts,
                localities: tables.localities,
                sources: tables.sources,
                nothing: 0,
                masquerades: 0,
            },
        }
    }

    /// The sizes of tables that exist.
    pub const fn from_settings(settings: Settings) -> Self {
        Self { settings }
    }

    /// The settings that go into the tables.
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// The rate of jiffies by which the tables tell the time.
    pub const fn clock(&self) -> Clock {
        Clock::new(self.settings.hz)
    }

    /// How many addresses services and classes may have together.
    pub const fn addresses(&self) -> u32 {
        self.settings.services + self.settings.class_addresses
    }

    /// How many addresses may have rules: twice as many, since no place is given to another at once.
    pub const fn rule_spans(&self) -> u32 {
        2 * self.addresses()
    }

    /// Every table: its name, its number of values, the bytes of one.
    pub fn arrays(&self) -> [(&'static str, u32, usize); 14] {
        let Settings { lines, template_lines, destinations, services, ring_slots, cpus, .. } = self.settings;
        [
            // Of service addresses, and of masqueraded real servers.
            ("ADMISSION", 2, size_of::<Admission>()),
            ("FLOWS", lines, size_of::<Line>()),
            ("TEMPLATES", template_lines, size_of::<Line>()),
            ("COUNTERS", cpus * destinations, size_of::<Counters>()),
            ("LOADS", destinations, size_of::<Load>()),
            ("CONNECTIONS", self.settings.all_lines() * LINE_SLOTS as u32, size_of::<Connection>()),
            ("DESTINATION_HEADS", destinations, size_of::<u64>()),
            // Two records a destination: one in use, one to fill.
            ("DESTINATIONS", 2 * destinations, size_of::<Destination>()),
            ("SERVICES", services, size_of::<Service>()),
            ("RULE_SPANS", self.rule_spans(), size_of::<u64>()),
            ("RULES", self.settings.class_rules, size_of::<Rule>()),
            ("GATES", cpus * services, size_of::<u64>()),
            ("RINGS", ring_slots / RING_CHUNK, 4 * RING_CHUNK as usize),
            ("VERDICTS", cpus, 8 * VERDICT_STRIDE),
        ]
    }

    /// Bytes of all arrays together.
    pub fn bytes(&self) -> usize {
        self.arrays().iter().map(|(_, values, bytes)| *values as usize * bytes).sum()
    }

    /// One line for people: what takes how much.
    pub fn describe(&self) -> String {
        let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
        let mut parts: Vec<_> =
            self.arrays().into_iter().map(|(name, values, bytes)| (values as usize * bytes, name)).collect();
        parts.sort_unstable_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
        let largest: Vec<_> = parts
            .iter()
            .take(4)
            .map(|(bytes, name)| format!("{} {}", name.to_lowercase(), megabytes(*bytes)))
            .collect();
        format!("{} in all: {}", megabytes(self.bytes()), largest.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_flows_take_34_megabytes() {
        let tables = TableSizes { flows: 1_000_000, ..TableSizes::default() };
        let sizes = Sizes::of(&tables, 2, [1; 6], Timeouts::new(1, 1, 1, Clock::new(100)), Clock::new(100));
        let (_, lines, bytes) = sizes.arrays()[1];
        assert!(lines as usize * bytes <= 34_000_000, "{lines} lines");
    }
}

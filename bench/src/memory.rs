//! Suite `memory`: bytes of kernel memory for each flow, service and real server, as the kernel accounts for
//! them.
//!
//! Tables are made twice, and what the larger ones take more is shared among what they hold more. Refuses to
//! compute what it can ask.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, ensure};
use aya::maps::MapInfo;
use lb_common::wire::Timeouts;
use lb_user::{
    dataplane::{KernelDataplane, clock},
    model::TableSizes,
};

use crate::{
    figures::{Key, Plan, Progress, Row},
    testrun::load,
};

/// How much larger the larger tables are.
const MORE: u32 = 1 << 16;
/// What is less than this, in bytes, is the rounding of another table.
const LEAST: f64 = 0.1;

/// Measures.
pub fn run(_: Plan) -> anyhow::Result<Vec<Row>> {
    let small = TableSizes {
        flows: 1 << 16,
        services: 64,
        destinations: 1 << 10,
        ring_slots: 1 << 12,
        templates: 1 << 10,
        class_addresses: 1 << 10,
        class_rules: 1 << 10,
        ..TableSizes::default()
    };
    let larger = [
        ("flow", TableSizes { flows: small.flows + MORE, ..small }),
        ("service", TableSizes { services: small.services + MORE, ..small }),
        ("real-server", TableSizes { destinations: small.destinations + MORE, ..small }),
        ("ring-slot", TableSizes { ring_slots: small.ring_slots + MORE, ..small }),
        ("template", TableSizes { templates: small.templates + MORE, ..small }),
        ("class-address", TableSizes { class_addresses: small.class_addresses + MORE, ..small }),
        ("class-rule", TableSizes { class_rules: small.class_rules + MORE, ..small }),
    ];
    let mut progress = Progress::new("memory", larger.len() + 2);
    progress.step("small tables");
    let base = bytes_of(&small)?;
    let mut rows = Vec::new();
    for (what, sizes) in larger {
        progress.step(what);
        let more: Vec<(String, f64)> = bytes_of(&sizes)?
            .into_iter()
            .map(|(map, bytes)| {
                let more = bytes.saturating_sub(base.get(&map).copied().unwrap_or_default());
                (map, more as f64 / f64::from(MORE))
            })
            .filter(|(_, more)| *more > LEAST)
            .collect();
        rows.push(row(what, "lb", 0, more.iter().map(|(_, more)| more).sum()));
        for (map, more) in more {
            rows.push(row(&format!("{what}/{}", map.to_lowercase()), "lb", 0, more));
        }
    }
    progress.step("a million flows");
    let all: u64 = bytes_of(&TableSizes::default())?.values().sum();
    rows.push(row("all-tables", "lb", TableSizes::default().flows.into(), all as f64));
    if let Some(bytes) = connection_of_the_kernel() {
        rows.push(row("flow", "nftables", 0, bytes));
    }
    Ok(rows)
}

fn row(case: &str, subject: &str, flows: u64, bytes: f64) -> Row {
    let key = Key { suite: "memory", case: case.into(), subject: subject.into(), flows, unit: "bytes" };
    // The kernel's word, not a measurement: it has no spread.
    Row::alone(key, &[bytes])
}

/// What each map of these tables takes, by its name.
fn bytes_of(sizes: &TableSizes) -> anyhow::Result<BTreeMap<String, u64>> {
    let timeouts = Timeouts::new(900, 120, 300, clock());
    let before = locked()?;
    let kernel: KernelDataplane = load(sizes, timeouts)?;
    let after = locked()?;
    drop(kernel);
    let mut bytes = BTreeMap::new();
    for (id, locked) in after {
        if !before.contains_key(&id) {
            let name = MapInfo::from_id(id)?.name_as_str().unwrap_or("nameless").to_owned();
            *bytes.entry(name).or_default() += locked;
        }
    }
    ensure!(!bytes.is_empty(), "no memory is accounted for maps: /proc/self/fdinfo has no memlock");
    Ok(bytes)
}

/// The memory of each map that this process holds, in bytes, by the map's id (`bpf_map_show_fdinfo`).
fn locked() -> anyhow::Result<BTreeMap<u32, u64>> {
    let mut maps = BTreeMap::new();
    for file in fs::read_dir("/proc/self/fdinfo").context("reading /proc/self/fdinfo")?.flatten() {
        // The descriptor that the directory is read by is gone again.
        let Ok(text) = fs::read_to_string(file.path()) else { continue };
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(bytes)) = (number("map_id"), number("memlock")) {
            maps.insert(u32::try_from(id)?, bytes);
        }
    }
    Ok(maps)
}

/// What a connection takes in the kernel's own table (`nf_conntrack`), without its place in the hash table.
/// Nothing where the kernel doesn't tell, or has none.
fn connection_of_the_kernel() -> Option<f64> {
    let slabs = fs::read_to_string("/proc/slabinfo").ok()?;
    let line = slabs.lines().find(|line| line.starts_with("nf_conntrack "))?;
    // name, active objects, all objects, bytes of one (slabinfo(5)).
    line.split_whitespace().nth(3)?.parse().ok()
}
